//! A job that was handed in, as its owner holds it: to wait for, to inspect, to end. Runs nothing itself.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::job::failure::Failure;
use crate::pool::completion::{CompletionSlot, JobResult};
use crate::pool::shared::PoolShared;
use crate::run::decode;
use psmith_engine::EngineError;
use psmith_engine::function::codec::CodecError;
use psmith_engine::worker::send_error::{SendError, encoded};

/// A job of a [`Pool`](crate::Pool) or [`Scheduler`](crate::Scheduler), and its outcome.
///
/// Waiting and ending are two verbs: no wait, however short, ends a job. Dropping the handle leaves the job running. A
/// handle is also a future of the outcome, for any executor.
///
/// ```
/// # psmith::init();
/// use psmith::{Job, Pool};
///
/// let pool = Pool::builder().workers(1).build().unwrap();
/// # // proves: handles-wait-and-end
/// let answer = pool.submit(Job::new(|n: u32| n * 2, 21)).unwrap();
/// assert_eq!(answer.wait().unwrap(), 42);
/// assert_eq!(answer.wait().unwrap(), 42);
/// assert!(answer.is_ready());
/// ```
#[must_use = "a dropped handle leaves its job running, and its outcome is lost"]
pub struct JobHandle<R> {
    pub(crate) completion: Arc<CompletionSlot>,
    pub(crate) shared: Arc<PoolShared>,
    pub(crate) decode: fn(&[u8]) -> Result<R, CodecError>,
    pub(crate) cancel_on_drop: bool,
}

impl<R> JobHandle<R> {
    /// The job's number in its pool, from 1: the same that [`Cx::job_id`](crate::Cx::job_id) returns in the job.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let own = |_: ()| psmith::cx().unwrap().job_id();
    /// let handle = pool.submit(Job::new(own, ())).unwrap();
    /// assert_eq!(handle.wait().unwrap(), handle.id());
    /// ```
    #[must_use]
    pub fn id(&self) -> u64 {
        self.completion.index + 1
    }

    /// The process that works on it, or worked on it last, as it was; `None` before there is one.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let handle = pool.submit(Job::new(|_: ()| std::process::id(), ())).unwrap();
    /// let pid = handle.wait().unwrap();
    /// assert_eq!(handle.pid(), Some(pid));
    /// ```
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        if self.shared.is_ours() { self.completion.pid() } else { None }
    }

    /// Waits for the outcome. It stays: the next call gives it again, decoded anew.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let handle = pool.submit(Job::new(|n: u32| n + 1, 1)).unwrap();
    /// assert_eq!(handle.wait().unwrap(), 2);
    /// assert_eq!(handle.wait().unwrap(), 2);
    /// ```
    ///
    /// # Errors
    /// The job's failure; [`Cause::Cancelled`](crate::Cause::Cancelled) if the pool ended before the job did.
    pub fn wait(&self) -> Result<R, Failure> {
        if let Some(forked) = self.forked() {
            return Err(forked);
        }
        self.takes_no_messages();
        self.shared.drive_until_done(&self.completion, None);
        let mut state = self.completion.lock();
        loop {
            if let Some(result) = &state.result {
                let result = result.clone();
                drop(state);
                return self.decoded(result);
            }
            state = self.completion.arrived.wait(state);
        }
    }

    /// Waits for the outcome for at most `limit`; `None` if it has not come, and the job goes on.
    ///
    /// ```
    /// # psmith::init();
    /// # use psmith::{Job, Pool};
    /// # use std::time::Duration;
    /// let pool = Pool::builder().build().unwrap();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// let handle = pool.submit(Job::<()>::new(forever, ())).unwrap();
    /// assert!(handle.wait_timeout(Duration::from_millis(10)).is_none());
    /// handle.kill();
    /// assert_eq!(handle.wait().unwrap_err().cause, psmith::Cause::Cancelled);
    /// ```
    pub fn wait_timeout(&self, limit: Duration) -> Option<Result<R, Failure>> {
        let until = Instant::now().checked_add(limit);
        let Some(until) = until else { return Some(self.wait()) };
        if let Some(forked) = self.forked() {
            return Some(Err(forked));
        }
        if !limit.is_zero() {
            self.shared.drive_until_done(&self.completion, Some(until));
        }
        let mut state = self.completion.lock();
        loop {
            if let Some(result) = &state.result {
                let result = result.clone();
                drop(state);
                return Some(self.decoded(result));
            }
            state = self.completion.arrived.wait_until(state, Some(until)).ok()?;
        }
    }

    /// The outcome, if it is there.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let handle = pool.submit(Job::new(|n: u32| n + 1, 1)).unwrap();
    /// let came = loop {
    ///     match handle.try_wait() {
    ///         Some(came) => break came,
    ///         // Something else might be done.
    ///         None => std::thread::yield_now(),
    ///     }
    /// };
    /// assert_eq!(came.unwrap(), 2);
    /// ```
    pub fn try_wait(&self) -> Option<Result<R, Failure>> {
        self.wait_timeout(Duration::ZERO)
    }

    /// Has `call` called with the outcome, once: when it arrives, or at once if it is there. Any number of functions may
    /// be given; they are called in this order, on the thread on which the outcome arrives: one of the pool's, or that of
    /// a call that cancels the job before it has begun. While one runs, no other outcome of the pool is received, and a join
    /// or an end of the pool waits for it: it must not wait for the pool itself. Dropping the handle takes none back, and
    /// in a forked copy of the program none is called.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// use std::sync::mpsc;
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let (sender, outcomes) = mpsc::channel();
    /// let handle = pool.submit(Job::new(|n: u32| n + 1, 1)).unwrap();
    /// handle.on_done(move |outcome| sender.send(outcome.unwrap()).unwrap());
    /// assert_eq!(outcomes.recv().unwrap(), 2);
    /// ```
    pub fn on_done(&self, call: impl FnOnce(Result<R, Failure>) + Send + 'static)
    where
        R: 'static,
    {
        if self.forked().is_some() {
            return;
        }
        let (decode, index, label) = (self.decode, self.completion.index, self.completion.label.clone());
        self.shared.calls_back.store(true, Ordering::SeqCst);
        self.completion.on_outcome(Box::new(move |result| call(decoded(decode, result, index, label))));
    }

    /// Returns whether the outcome is there, a value or a failure.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let handle = pool.submit(Job::<()>::new(|_: ()| -> () { std::process::abort() }, ())).unwrap();
    /// pool.join();
    /// assert!(handle.is_ready(), "also when it has failed");
    /// ```
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.shared.is_ours() || self.completion.is_filled()
    }

    /// Asks the job to stop: one that waits ends at once; one that runs gets the terminate signal
    /// ([`Cx::cancelled`](crate::Cx::cancelled)), and is killed after the grace. Nothing happens to one that is over.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// let handle = pool.submit(Job::<()>::new(forever, ())).unwrap();
    /// handle.cancel();
    /// assert_eq!(handle.wait().unwrap_err().cause, psmith::Cause::Cancelled);
    /// ```
    pub fn cancel(&self) {
        self.shared.cancel(self.completion.index, false);
    }

    /// Kills the job with all that it started, now.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// let handle = pool.submit(Job::<()>::new(forever, ())).unwrap();
    /// handle.kill();
    /// assert_eq!(handle.wait().unwrap_err().cause, psmith::Cause::Cancelled);
    /// ```
    pub fn kill(&self) {
        self.shared.cancel(self.completion.index, true);
    }

    /// Sends the job a message, which it takes by [`Cx::recv`](crate::Cx::recv); the value travels by the default
    /// codec. It may be sent before the job has begun. Waits while 1,024 messages, or 1 MiB of them, wait for a job
    /// that does not take them. (One alone may be longer, up to `max_message_bytes`.)
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool, SendError};
    ///
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let greet = |()| format!("hello {}", psmith::cx().unwrap().recv::<String>().unwrap());
    /// let handle = pool.submit(Job::<String>::new(greet, ())).unwrap();
    /// handle.send("world").unwrap();
    /// assert_eq!(handle.wait().unwrap(), "hello world");
    /// assert!(matches!(handle.send(&1), Err(SendError::Over)));
    /// ```
    ///
    /// # Errors
    /// [`SendError::Over`] when the job has its outcome, also while this waits, or after [`JobHandle::end_messages`]; a
    /// value that cannot be encoded or is too long. That a message was sent does not say that the job will take it.
    pub fn send<M: Serialize + ?Sized>(&self, message: &M) -> Result<(), SendError> {
        self.send_until(message, None)
    }

    /// Sends the job a message as [`JobHandle::send`] does, but waits at most `limit` for room.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// use std::time::Duration;
    /// let handle = pool.submit(Job::new(|_: ()| psmith::cx().unwrap().recv::<u32>().unwrap(), ())).unwrap();
    /// handle.send_timeout(&7, Duration::from_secs(1)).unwrap();
    /// assert_eq!(handle.wait().unwrap(), 7);
    /// ```
    ///
    /// # Errors
    /// As [`JobHandle::send`]; [`SendError::Full`] if there was no room.
    pub fn send_timeout<M: Serialize + ?Sized>(&self, message: &M, limit: Duration) -> Result<(), SendError> {
        self.send_until(message, Instant::now().checked_add(limit))
    }

    /// Sends the job a message as [`JobHandle::send`] does, if there is room; never waits.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let handle = pool.submit(Job::new(|_: ()| psmith::cx().unwrap().recv::<u32>().unwrap(), ())).unwrap();
    /// handle.try_send(&7).unwrap();
    /// assert_eq!(handle.wait().unwrap(), 7);
    /// ```
    ///
    /// # Errors
    /// As [`JobHandle::send`]; [`SendError::Full`] if there is none.
    pub fn try_send<M: Serialize + ?Sized>(&self, message: &M) -> Result<(), SendError> {
        self.send_timeout(message, Duration::ZERO)
    }

    fn send_until<M: Serialize + ?Sized>(
        &self,
        message: &M,
        until: Option<Instant>,
    ) -> Result<(), SendError> {
        if self.forked().is_some() {
            return Err(SendError::Gone(std::io::Error::other(EngineError::Forked)));
        }
        let message = encoded(message, self.shared.submitter.frame_bytes_max())?;
        if let Some(job) = self.completion.mailbox.push(message, until)? {
            self.shared.submitter.has_messages(job);
        }
        Ok(())
    }

    /// Ends the messages to the job: once it has taken what was sent, its [`Cx::recv`](crate::Cx::recv) returns an
    /// error that says so. Dropping the handle does the same.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let count = |_: ()| std::iter::from_fn(|| psmith::cx()?.recv::<u32>().ok()).count();
    /// let handle = pool.submit(Job::new(count, ())).unwrap();
    /// handle.send(&1).unwrap();
    /// handle.send(&2).unwrap();
    /// handle.end_messages();
    /// assert_eq!(handle.wait().unwrap(), 2);
    /// ```
    pub fn end_messages(&self) {
        if self.forked().is_none()
            && let Some(job) = self.completion.mailbox.end()
        {
            self.shared.submitter.has_messages(job);
        }
    }

    /// Makes dropping the handle cancel the job, from now on.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// let handle = pool.submit(Job::<()>::new(forever, ())).unwrap();
    /// drop(handle.cancel_on_drop());
    /// // It is over, or this would wait for ever.
    /// pool.join();
    /// ```
    pub fn cancel_on_drop(mut self) -> Self {
        self.cancel_on_drop = true;
        self
    }

    /// Ends the messages to the job, waits for the outcome and returns it.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let count = |_: ()| std::iter::from_fn(|| psmith::cx()?.recv::<u32>().ok()).count();
    /// let handle = pool.submit(Job::new(count, ())).unwrap();
    /// handle.send(&1).unwrap();
    /// assert_eq!(handle.into_outcome().unwrap(), 1);
    /// ```
    ///
    /// # Errors
    /// As [`JobHandle::wait`].
    pub fn into_outcome(self) -> Result<R, Failure> {
        self.end_messages();
        self.wait()
    }

    fn decoded(&self, result: JobResult) -> Result<R, Failure> {
        decoded(self.decode, result, self.completion.index, self.completion.label.clone())
    }

    /// The failure of every wait in a forked copy of this program, where no outcome arrives.
    pub(super) fn forked(&self) -> Option<Failure> {
        let is_copy = !self.shared.is_ours();
        is_copy.then(|| Failure::ours(Arc::new(EngineError::Forked), self.completion.index))
    }
}

/// Decodes the outcome of the job with this index and label.
fn decoded<R>(
    decode: fn(&[u8]) -> Result<R, CodecError>,
    result: JobResult,
    index: u64,
    label: Option<String>,
) -> Result<R, Failure> {
    let bytes = result?;
    decode::decoded(|| decode(&bytes)).map_err(|cause| {
        let mut failure = Failure::new(cause, index);
        failure.attempts = 1;
        failure.label = label;
        failure
    })
}

impl<R> Future for JobHandle<R> {
    type Output = Result<R, Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<R, Failure>> {
        if let Some(forked) = self.forked() {
            return Poll::Ready(Err(forked));
        }
        let mut state = self.completion.lock();
        match &state.result {
            Some(result) => {
                let result = result.clone();
                drop(state);
                Poll::Ready(self.decoded(result))
            }
            None => {
                self.takes_no_messages();
                state.wakers.retain(|waker| !waker.will_wake(context.waker()));
                state.wakers.push(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<R> Drop for JobHandle<R> {
    fn drop(&mut self) {
        if self.is_ready() {
            return;
        }
        if self.cancel_on_drop {
            self.cancel();
        }
        self.end_messages();
        if self.forked().is_none()
            && let Some(job) = self.completion.mailbox.inbox.close()
        {
            self.shared.submitter.has_messages(job);
        }
    }
}

impl<R> fmt::Debug for JobHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("id", &self.id()).field("ready", &self.is_ready()).finish()
    }
}
