//! Messages from a job, received by the owner of its handle. Keeps none: the job's inbox does.

use std::io;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::pool::handle::JobHandle;
use psmith_engine::EngineError;
use psmith_engine::function::described::Described;
use psmith_engine::worker::mailbox::RecvError;

impl<R> JobHandle<R> {
    /// Waits for the next message that the job sends ([`Cx::send`](crate::Cx::send)): one after the other, in the order
    /// sent, of all attempts. Messages are kept until they are taken, also when the job is over, up to 1,024 or 1 MiB of
    /// them (one alone may be longer). From the first call on a job that sends more waits until there is room, unless
    /// [`JobHandle::wait`] or the end of the pool waits for the job: then, and where no call was made, it is told that
    /// nobody receives its messages ([`SendError::Unheard`](crate::SendError::Unheard)).
    ///
    /// ```
    /// # psmith::init();
    /// # // proves: messages-both-ways
    /// use psmith::{Job, Pool};
    ///
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let double = |_: ()| {
    ///     let cx = psmith::cx().expect("inside a job");
    ///     while let Ok(n) = cx.recv::<u32>() {
    ///         cx.send(&(2 * n)).unwrap();
    ///     }
    /// };
    /// let handle = pool.submit(Job::new(double, ())).unwrap();
    /// for n in [1, 2, 3] {
    ///     handle.send(&n).unwrap();
    ///     assert_eq!(handle.recv::<u32>().unwrap(), 2 * n);
    /// }
    /// ```
    ///
    /// # Errors
    /// [`RecvError::Closed`] when the job is over and all messages were taken, or where they go elsewhere
    /// ([`PoolBuilder::on_message`](crate::PoolBuilder::on_message)); [`RecvError::Undecodable`] for one of another type.
    pub fn recv<M: DeserializeOwned>(&self) -> Result<M, RecvError> {
        // Without a limit there is always a message or an error.
        self.take_message(None)?.ok_or(RecvError::Closed)
    }

    /// Waits for the next message as [`JobHandle::recv`] does, for at most `limit`; `Ok(None)` if none has come by then.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// let handle = pool.submit(Job::<()>::new(forever, ())).unwrap();
    /// let limit = std::time::Duration::from_millis(5);
    /// assert!(handle.recv_timeout::<u32>(limit).unwrap().is_none());
    /// # handle.kill();
    /// ```
    ///
    /// # Errors
    /// Those of [`JobHandle::recv`].
    pub fn recv_timeout<M: DeserializeOwned>(&self, limit: Duration) -> Result<Option<M>, RecvError> {
        self.take_message(Instant::now().checked_add(limit))
    }

    /// Returns the next message, if it is there.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let handle = pool.submit(Job::new(|_: ()| psmith::cx().unwrap().send("done").unwrap(), ())).unwrap();
    /// handle.wait().unwrap();
    /// assert_eq!(handle.try_recv::<String>().unwrap().as_deref(), Some("done"));
    /// ```
    ///
    /// # Errors
    /// Those of [`JobHandle::recv`].
    pub fn try_recv<M: DeserializeOwned>(&self) -> Result<Option<M>, RecvError> {
        self.recv_timeout(Duration::ZERO)
    }

    /// Receives messages until the job is over, as [`JobHandle::recv`] does.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let count = |n: u32| (0..n).for_each(|i| psmith::cx().unwrap().send(&i).unwrap());
    /// let handle = pool.submit(Job::new(count, 3)).unwrap();
    /// let sum: u32 = handle.messages::<u32>().map(Result::unwrap).sum();
    /// assert_eq!((sum, handle.is_ready()), (3, true));
    /// ```
    pub fn messages<M: DeserializeOwned>(&self) -> impl Iterator<Item = Result<M, RecvError>> {
        std::iter::from_fn(|| match self.recv() {
            Err(RecvError::Closed | RecvError::Gone(_)) => None,
            message => Some(message),
        })
    }

    fn take_message<M: DeserializeOwned>(&self, until: Option<Instant>) -> Result<Option<M>, RecvError> {
        if self.forked().is_some() {
            return Err(RecvError::Gone(io::Error::other(EngineError::Forked)));
        }
        let taken = self.completion.mailbox.inbox.take(until, |job| self.shared.submitter.has_messages(job));
        match taken.map_err(|_| RecvError::Closed)? {
            None => Ok(None),
            Some((bytes, body)) => {
                let message = Described::read(&bytes[body..]);
                message.map(Some).map_err(|error| RecvError::Undecodable(error.to_string()))
            }
        }
    }

    /// Notes that the owner waits for the outcome alone: a job that waits for room for its messages does so in vain.
    pub(super) fn takes_no_messages(&self) {
        if let Some(job) = self.completion.mailbox.inbox.pause() {
            self.shared.submitter.has_messages(job);
        }
    }
}
