//! A pool: jobs handed in one by one, from any thread, each with a handle to its outcome.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use psmith_core::{Cause, JobId};

use crate::pool::listener::listen;
use crate::pool::shared::{EventSink, PoolShared, PoolState, RoomWaiters};

use crate::job::failure::Failure;
use crate::job::job::Job;
use crate::job::mailbox::JobMailbox;
use crate::job::run_summary::RunSummary;
use crate::pool::completion::{CompletionSlot, Notifier};
use crate::pool::handle::JobHandle;
use crate::pool::strategy::SpawnStrategy;
use crate::run::options::Options;
use crate::run::process_mutex::ProcessMutex;
use crate::run::run::{Run, no_thread};
use crate::run::run_event::Wants;
use psmith_engine::EngineError;
use psmith_engine::condition::Condition;
use psmith_engine::handler::EngineCommand;
use psmith_sys::credentials::Ids;

use crate::pool::refusal::{Refusal, SubmitError};

/// Runs jobs that are handed in one by one, from any thread, in workers that stay
/// ([`Isolation::Reuse`](crate::Isolation)).
///
/// Several pools in one program are independent of each other. Dropping a pool stops it ([`Pool::stop`]);
/// every handle gets an outcome, whatever becomes of the pool. In a forked copy of the program there is nothing to wait
/// for: jobs are refused, handles fail, and all that waits returns at once.
///
/// Defaults: as many workers as processors, workers that stay, and the others go on after a failure. It serves all of
/// [`Options`].
///
/// ```
/// # psmith::init();
/// use psmith::{Job, Pool};
///
/// let pool = Pool::builder().workers(2).build().unwrap();
/// let handles: Vec<_> =
///     (0..4).map(|n| pool.submit(Job::new(|n: u64| n * n, n)).unwrap()).collect();
/// pool.join();
/// assert!(handles.iter().all(|handle| handle.is_ready()));
/// let squares: Vec<u64> = handles.iter().map(|handle| handle.wait().unwrap()).collect();
/// assert_eq!(squares, [0, 1, 4, 9]);
/// ```
#[derive(Debug)]
pub struct Pool {
    pub(super) shared: Arc<PoolShared>,
    pub(super) listener: Option<JoinHandle<()>>,
    pub(super) window: u32,
    pub(super) grace: Duration,
    /// Those of this process when the pool was made, as which its jobs run.
    pub(super) ids: Ids,
    /// True if the messages of jobs are for their handles.
    pub(super) handles_receive: bool,
}

impl Pool {
    pub(crate) fn begin(
        options: &Options,
        strategy: Option<Box<dyn SpawnStrategy>>,
    ) -> Result<Pool, EngineError> {
        let workers = options.workers_in_force().map_err(EngineError::Setting)?.max(1);
        let listening = options.listening.clone();
        let wants = Wants {
            starts: true,
            messages: listening.hears_messages(),
            progress: listening.hears_progress(),
            ..Wants::default()
        };
        let (run, submitter) = Run::begin(options, workers, wants)?;
        let shared = Arc::new(PoolShared {
            state: ProcessMutex::ours(PoolState::default(), PoolState::of_copies()),
            changed: Condition::default(),
            waiting: RoomWaiters::default(),
            submitter,
            strategy,
            sink: Mutex::new(EventSink {
                output: options.output,
                logger: options.logger.clone(),
                listening,
                undecoded: Vec::new(),
            }),
            calls_back: AtomicBool::new(false),
        });
        let side = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("psmith-pool".into());
        let listener = thread.spawn(move || listen(&side, run));
        let listener = Some(listener.map_err(no_thread)?);
        let window = if shared.strategy.is_some() { u32::MAX } else { options.window_in_force(workers) };
        let handles_receive = !wants.messages;
        Ok(Pool { shared, listener, window, grace: options.grace, handles_receive, ids: Ids::now() })
    }

    /// Hands a job in; waits while the pool is full ([`window`](crate::PoolBuilder::window)).
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let handle = pool.submit(Job::new(|n: u32| n * 2, 21)).unwrap();
    /// assert_eq!(handle.wait().unwrap(), 42);
    /// pool.drain();
    /// assert_eq!(pool.submit(Job::new(|n: u32| n, 1)).unwrap_err().reason, psmith::Refusal::Closed);
    /// ```
    ///
    /// # Errors
    /// The job, if the pool is being joined or was ended.
    pub fn submit<R>(&self, job: Job<R>) -> Result<JobHandle<R>, SubmitError<R>> {
        self.take(job, None)
    }

    /// Hands a job in, if there is room.
    ///
    /// # Errors
    /// The job, if there is none, or the pool is being joined or was ended.
    ///
    /// ```
    /// # psmith::init();
    /// # use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).window(1).build().unwrap();
    /// let first = pool.submit(Job::<()>::new(|_: ()| -> () { loop { std::thread::park() } }, ())).unwrap();
    /// let refused = pool.try_submit(Job::new(|n: u8| n, 1)).unwrap_err();
    /// assert_eq!(refused.reason, psmith::Refusal::Full);
    /// first.kill();
    /// first.wait().unwrap_err();
    /// assert_eq!(pool.submit(*refused.job).unwrap().wait().unwrap(), 1);
    /// ```
    pub fn try_submit<R>(&self, job: Job<R>) -> Result<JobHandle<R>, SubmitError<R>> {
        self.submit_timeout(job, Duration::ZERO)
    }

    /// Hands a job in; waits at most `limit` for room.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let job = Job::new(|n: u32| n * 2, 21);
    /// let handle = pool.submit_timeout(job, std::time::Duration::from_secs(1)).unwrap();
    /// assert_eq!(handle.wait().unwrap(), 42);
    /// ```
    ///
    /// # Errors
    /// The job, if there was none, or the pool is being joined or was ended.
    pub fn submit_timeout<R>(&self, job: Job<R>, limit: Duration) -> Result<JobHandle<R>, SubmitError<R>> {
        self.take(job, Instant::now().checked_add(limit))
    }

    fn take<R>(&self, mut job: Job<R>, until: Option<Instant>) -> Result<JobHandle<R>, SubmitError<R>> {
        if !self.is_ours() {
            return Err(SubmitError {
                job: Box::new(job),
                reason: Refusal::NotBegun(Arc::new(EngineError::Forked)),
            });
        }
        if let Some(change) = self.ids.change() {
            let error = Arc::new(EngineError::Credentials(change));
            return Err(SubmitError { job: Box::new(job), reason: Refusal::NotBegun(error) });
        }
        let mut state = self.shared.lock();
        let refusal = loop {
            if state.closed || state.over {
                break Some(state.broken.map_or(Refusal::Closed, Refusal::CircuitBroken));
            } else if state.joining > 0 {
                break Some(Refusal::Joining);
            } else if state.completions.len() < self.window as usize {
                break None;
            }
            state = match self.shared.changed.wait_until(state, until) {
                Ok(state) => state,
                Err(still) => {
                    state = still;
                    break Some(Refusal::Full);
                }
            };
        };
        if let Some(reason) = refusal {
            return Err(SubmitError { job: Box::new(job), reason });
        }
        let mailbox = Arc::new(JobMailbox::default());
        if job.request.command.is_some() {
            // It asks for no messages, and sends none.
            mailbox.end();
            mailbox.inbox.close();
        }
        if !self.handles_receive {
            mailbox.inbox.close();
        }
        job.request.mailbox = Some(Arc::clone(&mailbox));
        let completion = Arc::new(CompletionSlot::new(state.next_index, job.request.label.clone(), mailbox));
        state.next_index += 1;
        state.completions.insert(completion.index, Arc::clone(&completion));
        state.held_back.push_back((completion.index, job.request));
        let started = self.shared.let_start(&mut state);
        drop(state);
        if started && !self.shared.begin_on_this_thread() {
            self.shared.submitter.wake();
        }
        let shared = Arc::clone(&self.shared);
        Ok(JobHandle { completion, shared, decode: job.decode, cancel_on_drop: false })
    }

    /// Hands all of these in and returns the first value that any of them gives; the others are killed, and the pool
    /// goes on.
    ///
    /// # Errors
    /// If all failed, the failure that came last; [`Cause::Cancelled`] if the pool takes no jobs, or
    /// [`Cause::CircuitBroken`] if that is why;
    /// [`Cause::Error`] if there was none to run.
    ///
    /// ```
    /// # psmith::init();
    /// # use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(3).build().unwrap();
    /// let mirror = |n: u32| match n { 1 => Ok(n), 2 => Err("down"), _ => loop { std::thread::park() } };
    /// let first = pool.race([0, 1, 2].map(|n| Job::fallible(mirror, n))).unwrap();
    /// assert_eq!(first, 1);
    /// ```
    pub fn race<R>(&self, jobs: impl IntoIterator<Item = Job<R>>) -> Result<R, Failure> {
        let notifier = Arc::new(Notifier::default());
        let mut runners: Vec<JobHandle<R>> = Vec::new();
        let mut last = Failure::new(Cause::Error("a race of no jobs has no winner".into()), 0);
        let mut winner = None;
        let mut finish = |runners: &mut Vec<JobHandle<R>>, last: &mut Failure| {
            let mut at = 0;
            while winner.is_none() && at < runners.len() {
                match runners[at].try_wait() {
                    None => at += 1,
                    Some(result) => {
                        drop(runners.swap_remove(at));
                        match result {
                            Ok(value) => winner = Some(value),
                            Err(failure) => *last = failure,
                        }
                    }
                }
            }
            winner.take()
        };
        let mut first = None;
        for job in jobs {
            match self.submit(job) {
                Ok(handle) => {
                    handle.completion.wake_when_done(Waker::from(Arc::clone(&notifier)));
                    runners.push(handle);
                }
                Err(refused) => {
                    last = refused.into_failure(0);
                    break;
                }
            }
            first = finish(&mut runners, &mut last);
            if first.is_some() {
                break;
            }
        }
        while first.is_none() && !runners.is_empty() {
            notifier.wait(None);
            first = finish(&mut runners, &mut last);
        }
        runners.iter().for_each(JobHandle::kill);
        first.ok_or(last)
    }

    /// Returns the number of jobs that have ended so far, and of those that failed.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let fail = |n: u32| if n == 0 { Err("nought") } else { Ok(n) };
    /// let _handles = [0, 1].map(|n| pool.submit(Job::fallible(fail, n)).unwrap());
    /// pool.join();
    /// assert_eq!((pool.report().jobs, pool.report().failed), (2, 1));
    /// ```
    #[must_use]
    pub fn report(&self) -> RunSummary {
        self.shared.lock().report
    }

    /// Wakes `waker` when there may be room for a job.
    pub(crate) fn waits_for_room(&self, waker: &Waker) {
        if self.is_ours() {
            self.shared.waiting.add(waker);
        }
    }

    /// Returns the number of jobs that were taken.
    pub(crate) fn jobs_taken(&self) -> u64 {
        self.shared.lock().next_index
    }

    /// Returns whether this process made the pool.
    pub(crate) fn is_ours(&self) -> bool {
        self.shared.is_ours()
    }

    /// Returns the number of jobs that have no outcome yet.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// pool.pause();
    /// let handle = pool.submit(Job::new(|n: u32| n, 1)).unwrap();
    /// assert_eq!(pool.pending(), 1);
    /// pool.resume();
    /// handle.wait().unwrap();
    /// assert_eq!(pool.pending(), 0);
    /// ```
    #[must_use]
    pub fn pending(&self) -> usize {
        self.shared.lock().completions.len()
    }

    pub(crate) fn signal(&self, index: u64, signal: i32) {
        let state = self.shared.lock();
        if let Some(engine) = state.engine_index(index) {
            self.shared.submitter.order(EngineCommand::Signal(JobId(engine + 1), signal));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if !self.is_ours() {
            // The threads are another process's; this copy has none of them.
            std::mem::forget(self.listener.take());
            return;
        }
        drop(self.stop());
        if let Some(listener) = self.listener.take() {
            // A logger that panicked has printed its panic.
            let _ = listener.join();
        }
    }
}
