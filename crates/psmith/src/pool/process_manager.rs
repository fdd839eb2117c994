//! A process manager: jobs with exit handlers, driven by the caller's own thread.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::job::failure::Failure;
use crate::job::job::Job;
use crate::pool::completion::Notifier;
use crate::pool::handle::JobHandle;
use crate::pool::pool::Pool;
use crate::pool::refusal::{SubmitError, Unfinished};
use crate::pool::strategy::Throttled;
use crate::run::face;
use crate::run::listening::listening;
use crate::run::options::Options;
use crate::run::settings::settings;
use psmith_core::Table;
use psmith_engine::EngineError;
use psmith_engine::worker::send_error::SendError;

type OnExit<'h, R> = Box<dyn FnOnce(ProcessId, Result<R, Failure>) + Send + 'h>;

/// Runs jobs, each in a process of its own, and calls a handler for each that has ended: on the thread that calls
/// [`ProcessManager::step`], never two at once.
///
/// Defaults: as many workers as there are jobs, a process for each job, and the others go on after a failure. Of
/// [`Options`] it does not serve `workers`, `window`, `isolation`.
///
/// ```
/// # psmith::init();
/// # // proves: manager-by-caller
/// use psmith::{Failure, Job, ProcessManager};
/// use std::sync::atomic::Ordering;
/// use std::time::Duration;
///
/// let sum = std::sync::atomic::AtomicU32::new(0);
/// let mut manager = ProcessManager::new().unwrap();
/// for n in 1..=3 {
///     let add = |_, result: Result<u32, Failure>| {
///         sum.fetch_add(result.unwrap(), Ordering::Relaxed);
///     };
///     manager.create_process(Job::new(|n: u32| n * 10, n), add).unwrap();
/// }
/// assert_eq!(manager.process_count(), 3);
/// while manager.process_count() > 0 {
///     manager.step(Duration::from_secs(60));
/// }
/// assert_eq!(sum.load(Ordering::Relaxed), 60);
/// ```
pub struct ProcessManager<'h, R> {
    pool: Pool,
    notifier: Arc<Notifier>,
    processes: Table<u64, Process<'h, R>>,
}

struct Process<'h, R> {
    handle: JobHandle<R>,
    on_exit: OnExit<'h, R>,
}

/// The number of a manager's process, in the order of their creation, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u64);

/// The state of a manager's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// Created; there is no process yet.
    New,
    /// Running.
    Running,
    /// Ended; its handler has not been called.
    Stopped,
    /// Gone: its handler has been called, or it was never created.
    Removed,
}

/// The settings of a process manager; see [`ProcessManager::builder`].
#[derive(Debug)]
#[must_use = "nothing is started before `build`"]
pub struct ManagerBuilder {
    options: Options,
}

impl ManagerBuilder {
    settings!(options);
    listening!(options);

    /// Builds a manager without processes, for jobs of any result type.
    ///
    /// # Errors
    /// No threads or descriptors.
    pub fn build<'h, R>(self) -> Result<ProcessManager<'h, R>, EngineError> {
        let mut pool = Pool::begin(&self.options, Some(Box::new(Throttled(usize::MAX))))?;
        // Nobody has the handles but the manager.
        pool.handles_receive = false;
        Ok(ProcessManager { pool, notifier: Arc::default(), processes: Table::new() })
    }
}

impl ProcessManager<'_, ()> {
    /// A manager with settings of its own.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::ProcessManager;
    /// let manager = ProcessManager::builder().breaker(5).build::<u32>().unwrap();
    /// assert_eq!(manager.process_count(), 0);
    /// ```
    pub fn builder() -> ManagerBuilder {
        ManagerBuilder { options: Options::of(face::PROCESS_MANAGER) }
    }
}

impl<'h, R> ProcessManager<'h, R> {
    /// A manager without processes.
    ///
    /// ```
    /// # psmith::init();
    /// let manager = psmith::ProcessManager::<()>::new().unwrap();
    /// assert_eq!(manager.process_count(), 0);
    /// ```
    ///
    /// # Errors
    /// No threads or descriptors.
    pub fn new() -> Result<ProcessManager<'h, R>, EngineError> {
        ProcessManager::builder().build()
    }

    /// Starts a process for `job`; `on_exit` is called once, by a later [`ProcessManager::step`], with its outcome.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, ProcessManager};
    /// use std::time::Duration;
    /// let mut ended = None;
    /// let mut manager = ProcessManager::new().unwrap();
    /// manager.create_process(Job::new(|n: u32| n + 1, 1), |id, end| ended = Some((id.0, end.unwrap()))).unwrap();
    /// manager.join();
    /// drop(manager);
    /// assert_eq!(ended, Some((1, 2)));
    /// ```
    ///
    /// # Errors
    /// The job, if no process can be had any more: psmith itself has failed, or the circuit has broken
    /// ([`ManagerBuilder::breaker`]).
    pub fn create_process(
        &mut self,
        job: Job<R>,
        on_exit: impl FnOnce(ProcessId, Result<R, Failure>) + Send + 'h,
    ) -> Result<ProcessId, SubmitError<R>> {
        let handle = self.pool.submit(job)?;
        handle.completion.wake_when_done(Waker::from(Arc::clone(&self.notifier)));
        let id = ProcessId(handle.id());
        self.processes.insert(id.0, Process { handle, on_exit: Box::new(on_exit) });
        Ok(id)
    }

    /// Calls the handlers of processes that have ended; where there are none, sleeps until one changes its state, a
    /// [`waker`](ProcessManager::waker) ends the step, or `timeout` has passed. Returns the number of handlers that were called.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, ProcessManager};
    /// use std::time::Duration;
    /// let mut manager = ProcessManager::new().unwrap();
    /// assert_eq!(manager.step(Duration::ZERO), 0);
    /// manager.create_process(Job::new(|n: u32| n + 1, 1), |_, end| assert_eq!(end.unwrap(), 2)).unwrap();
    /// let mut called = 0;
    /// while called == 0 {
    ///     called = manager.step(Duration::from_secs(60));
    /// }
    /// assert_eq!(called, 1);
    /// ```
    pub fn step(&mut self, timeout: Duration) -> usize {
        let until = Instant::now().checked_add(timeout);
        loop {
            let called = self.dispatch();
            if called > 0 || !self.pool.is_ours() || !self.notifier.wait(until) {
                return called;
            }
            if !self.processes.values().any(|process| process.handle.is_ready()) {
                return 0;
            }
        }
    }

    /// Returns a waker that ends a [`ProcessManager::step`] early, from any thread: the one that sleeps, or the next if
    /// none does.
    ///
    /// ```
    /// # psmith::init();
    /// use std::time::Duration;
    /// let mut manager = psmith::ProcessManager::<()>::new().unwrap();
    /// manager.waker().wake();
    /// assert_eq!(manager.step(Duration::MAX), 0, "it has not slept");
    /// let waker = manager.waker();
    /// let other = std::thread::spawn(move || waker.wake());
    /// assert_eq!(manager.step(Duration::MAX), 0);
    /// other.join().unwrap();
    /// ```
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.notifier))
    }

    /// Returns the number of processes, those that have ended and whose handler has not been called among them.
    #[must_use]
    pub fn process_count(&self) -> usize {
        self.processes.len()
    }

    /// Returns the state of a process.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, ProcessManager};
    /// use std::time::Duration;
    /// use psmith::ProcessState;
    /// let mut manager = ProcessManager::new().unwrap();
    /// let id = manager.create_process(Job::new(|n: u32| n, 1), |_, _| ()).unwrap();
    /// while manager.state(id) != ProcessState::Removed {
    ///     manager.step(Duration::from_secs(60));
    /// }
    /// ```
    #[must_use]
    pub fn state(&self, id: ProcessId) -> ProcessState {
        match self.processes.get(id.0) {
            None => ProcessState::Removed,
            Some(process) if process.handle.is_ready() => ProcessState::Stopped,
            Some(process) if process.handle.pid().is_some() => ProcessState::Running,
            Some(_) => ProcessState::New,
        }
    }

    /// Sends a signal to every process that runs, with all that it started. One that has not begun yet receives none.
    ///
    /// ```
    /// # psmith::init();
    /// # use std::time::Duration;
    /// let mut cause = None;
    /// let mut manager = psmith::ProcessManager::new().unwrap();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// let id = manager
    ///     .create_process(psmith::Job::<()>::new(forever, ()), |_, ended| cause = ended.err().map(|f| f.cause.clone()))
    ///     .unwrap();
    /// while manager.state(id) == psmith::ProcessState::New {
    ///     manager.step(Duration::from_secs(60));
    /// }
    /// manager.signal_all(15);
    /// while manager.process_count() > 0 {
    ///     manager.step(Duration::from_secs(60));
    /// }
    /// drop(manager);
    /// assert_eq!(cause, Some(psmith::Cause::Signal { signal: 15, core_dumped: false }));
    /// ```
    pub fn signal_all(&self, signal: i32) {
        for process in self.processes.values().filter(|process| !process.handle.is_ready()) {
            self.pool.signal(process.handle.completion.index, signal);
        }
    }

    /// Sends a process a message, which its job takes by [`Cx::recv`](crate::Cx::recv), as [`JobHandle::send`] does.
    ///
    /// ```
    /// # psmith::init();
    /// # use std::time::Duration;
    /// let mut answer = None;
    /// let mut manager = psmith::ProcessManager::new().unwrap();
    /// let double = |()| psmith::cx().unwrap().recv::<u32>().unwrap() * 2;
    /// let id = manager.create_process(psmith::Job::new(double, ()), |_, ended| answer = ended.ok()).unwrap();
    /// manager.send(id, &21_u32).unwrap();
    /// while manager.process_count() > 0 {
    ///     manager.step(Duration::from_secs(60));
    /// }
    /// assert!(matches!(manager.send(id, &1_u32), Err(psmith::SendError::Over)));
    /// drop(manager);
    /// assert_eq!(answer, Some(42));
    /// ```
    ///
    /// # Errors
    /// As [`JobHandle::send`]; [`SendError::Over`] also of a process that was removed.
    pub fn send<M: Serialize + ?Sized>(&self, id: ProcessId, message: &M) -> Result<(), SendError> {
        self.process(id)?.handle.send(message)
    }

    /// Sends a message as [`ProcessManager::send`] does, if there is room: it never waits for the process.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, ProcessManager};
    /// use std::time::Duration;
    /// let mut manager = ProcessManager::new().unwrap();
    /// let take = |_: ()| psmith::cx().unwrap().recv::<u32>().unwrap();
    /// let id = manager.create_process(Job::new(take, ()), |_, end| assert_eq!(end.unwrap(), 7)).unwrap();
    /// manager.try_send(id, &7_u32).unwrap();
    /// manager.join();
    /// ```
    ///
    /// # Errors
    /// As [`ProcessManager::send`]; [`SendError::Full`] if there is none.
    pub fn try_send<M: Serialize + ?Sized>(&self, id: ProcessId, message: &M) -> Result<(), SendError> {
        self.process(id)?.handle.try_send(message)
    }

    /// Ends the messages to this process ([`JobHandle::end_messages`]).
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, ProcessManager};
    /// use std::time::Duration;
    /// let mut manager = ProcessManager::new().unwrap();
    /// let count = |_: ()| std::iter::from_fn(|| psmith::cx()?.recv::<u32>().ok()).count();
    /// let id = manager.create_process(Job::new(count, ()), |_, end| assert_eq!(end.unwrap(), 1)).unwrap();
    /// manager.send(id, &7_u32).unwrap();
    /// manager.end_messages(id);
    /// manager.join();
    /// ```
    pub fn end_messages(&self, id: ProcessId) {
        if let Ok(process) = self.process(id) {
            process.handle.end_messages();
        }
    }

    fn process(&self, id: ProcessId) -> Result<&Process<'h, R>, SendError> {
        self.processes.get(id.0).ok_or(SendError::Over)
    }

    /// Waits until all processes have ended, and calls their handlers; afterwards the manager goes on.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, ProcessManager};
    /// let mut manager = ProcessManager::new().unwrap();
    /// manager.create_process(Job::new(|n: u32| n + 1, 1), |_, end| assert_eq!(end.unwrap(), 2)).unwrap();
    /// manager.join();
    /// assert_eq!(manager.process_count(), 0);
    /// ```
    pub fn join(&mut self) {
        while !self.processes.is_empty() {
            self.step(Duration::MAX);
        }
    }

    /// Waits as [`ProcessManager::join`] does, for at most `limit`; false if processes were left by then. They go on.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, ProcessManager};
    /// use std::time::Duration;
    /// let mut manager = ProcessManager::new().unwrap();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// manager.create_process(Job::<()>::new(forever, ()), |_, end| assert!(end.is_err())).unwrap();
    /// assert!(!manager.join_timeout(Duration::from_millis(50)));
    /// assert_eq!(manager.stop().jobs.len(), 1);
    /// ```
    pub fn join_timeout(&mut self, limit: Duration) -> bool {
        let until = Instant::now().checked_add(limit);
        while !self.processes.is_empty() {
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if self.step(left) == 0 && left.is_zero() {
                return false;
            }
        }
        true
    }

    /// Waits until all processes have ended, calls their handlers, and ends the manager: it creates no more.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, ProcessManager, Refusal};
    /// let mut manager = ProcessManager::new().unwrap();
    /// manager.create_process(Job::new(|n: u32| n + 1, 1), |_, end| assert_eq!(end.unwrap(), 2)).unwrap();
    /// assert!(manager.drain().jobs.is_empty());
    /// let refused = manager.create_process(Job::new(|n: u32| n, 1), |_, _| ()).unwrap_err();
    /// assert_eq!(refused.reason, Refusal::Closed);
    /// ```
    pub fn drain(&mut self) -> Unfinished {
        self.join();
        self.pool.drain()
    }

    /// Asks all processes to stop, kills them after the grace ([`ManagerBuilder::grace`]), and ends the manager: it
    /// creates no more. All handlers are called; returns the jobs that had to be ended.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Cause, Job, ProcessManager};
    /// let mut manager = ProcessManager::new().unwrap();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// let on_exit = |_, end: Result<(), psmith::Failure>| assert_eq!(end.unwrap_err().cause, Cause::Cancelled);
    /// manager.create_process(Job::new(forever, ()), on_exit).unwrap();
    /// assert_eq!(manager.stop().jobs.len(), 1);
    /// ```
    pub fn stop(&mut self) -> Unfinished {
        let unfinished = self.pool.stop();
        self.dispatch();
        unfinished
    }

    /// Stops as [`ProcessManager::stop`] does, with this grace, if it is shorter; with none, what runs is killed at
    /// once.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, ProcessManager};
    /// let mut manager = ProcessManager::new().unwrap();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// manager.create_process(Job::<()>::new(forever, ()), |_, end| assert!(end.is_err())).unwrap();
    /// assert_eq!(manager.stop_within(std::time::Duration::ZERO).jobs.len(), 1);
    /// ```
    pub fn stop_within(&mut self, grace: Duration) -> Unfinished {
        let unfinished = self.pool.stop_within(grace);
        self.dispatch();
        unfinished
    }

    fn dispatch(&mut self) -> usize {
        let ready: Vec<ProcessId> = self
            .processes
            .iter()
            .filter(|(_, process)| process.handle.is_ready())
            .map(|(id, _)| ProcessId(id))
            .collect();
        for id in &ready {
            // Its handler cannot reach the manager, which this call borrows.
            if let Some(process) = self.processes.remove(id.0) {
                (process.on_exit)(*id, process.handle.wait());
            }
        }
        ready.len()
    }
}

impl<R> fmt::Debug for ProcessManager<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessManager").field("processes", &self.processes.len()).finish()
    }
}
