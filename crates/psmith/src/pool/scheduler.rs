//! A scheduler: every job in a process of its own, as many at once as a strategy lets start.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::job::job::Job;
use crate::job::run_summary::RunSummary;
use crate::pool::handle::JobHandle;
use crate::pool::pool::Pool;
use crate::pool::proxy::Proxy;
use crate::pool::refusal::{Refusal, SubmitError, Unfinished};
use crate::pool::strategy::{PerCore, SpawnStrategy};
use crate::run::face;
use crate::run::listening::listening;
use crate::run::options::Options;
use crate::run::process_mutex::ProcessMutex;
use crate::run::settings::settings;
use psmith_engine::EngineError;

/// Runs jobs as they are handed in, each in a fresh process, first come, first started; a [`SpawnStrategy`] decides how
/// many at once. Handing in never waits: jobs that may not start yet are kept, however many there are.
///
/// Defaults: as many workers as the strategy lets, a process for each job, and the others go on after a failure. Of
/// [`Options`] it does not serve `workers`, `window`, `isolation`.
///
/// Its engine begins with the first job. After a drain or a stop the next job begins another one.
///
/// ```
/// # psmith::init();
/// use psmith::{Job, Scheduler};
///
/// let scheduler = Scheduler::new();
/// let answer = scheduler.schedule(Job::new(|n: u32| n + 1, 41)).unwrap();
/// assert_eq!(answer.wait().unwrap(), 42);
/// scheduler.drain();
/// assert_eq!(scheduler.schedule(Job::new(|n: u32| n, 1)).unwrap().wait().unwrap(), 1);
/// ```
#[derive(Debug)]
#[must_use = "a scheduler does nothing before it has a job"]
pub struct Scheduler {
    strategy: Arc<dyn SpawnStrategy>,
    options: Options,
    pool: ProcessMutex<Option<Arc<Pool>>>,
}

/// A strategy that survives its pool.
struct SharedStrategy(Arc<dyn SpawnStrategy>);

impl fmt::Debug for SharedStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl SpawnStrategy for SharedStrategy {
    fn should_spawn(&self, running: usize) -> bool {
        self.0.should_spawn(running)
    }

    fn on_spawn(&self, running: usize) {
        self.0.on_spawn(running);
    }

    fn on_exit(&self, running: usize) {
        self.0.on_exit(running);
    }
}

impl Default for Scheduler {
    fn default() -> Scheduler {
        Scheduler::new()
    }
}

impl Scheduler {
    /// Makes a scheduler that runs three jobs for each processor at once: [`PerCore`]'s default. Settings are made
    /// before the first job.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Cause, Job, Refusal, Scheduler};
    /// use std::time::Duration;
    /// let scheduler = Scheduler::new().timeout(Duration::from_millis(100));
    /// let hang = |_: ()| -> () { loop { std::thread::park() } };
    /// let ended = scheduler.schedule(Job::new(hang, ())).unwrap().wait().unwrap_err();
    /// assert_eq!(ended.cause, Cause::Timeout(Duration::from_millis(100)));
    /// // Its strategy decides how many run at once.
    /// let refused = Scheduler::new().workers(2).schedule(Job::new(hang, ())).unwrap_err();
    /// assert!(matches!(refused.reason, Refusal::NotBegun(_)));
    /// ```
    pub fn new() -> Scheduler {
        Scheduler::with_strategy(PerCore::default())
    }

    /// Makes a scheduler with another strategy.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Scheduler, Throttled};
    /// let scheduler = Scheduler::with_strategy(Throttled(2));
    /// let handles: Vec<_> =
    ///     (0..5).map(|n| scheduler.schedule(Job::new(|n: u32| n, n)).unwrap()).collect();
    /// scheduler.join();
    /// assert!(handles.iter().all(|handle| handle.is_ready()));
    /// ```
    pub fn with_strategy(strategy: impl SpawnStrategy) -> Scheduler {
        Scheduler {
            strategy: Arc::new(strategy),
            options: Options::of(face::SCHEDULER),
            pool: ProcessMutex::new(None, None),
        }
    }

    settings!(options);
    listening!(options);

    /// Hands a job in.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Scheduler};
    /// let scheduler = Scheduler::new();
    /// let answer = scheduler.schedule(Job::new(|n: u32| n + 1, 41)).unwrap();
    /// assert_eq!(answer.wait().unwrap(), 42);
    /// ```
    ///
    /// # Errors
    /// The job, while another thread joins or ends the scheduler, when the circuit has broken
    /// ([`Scheduler::breaker`]), or when its engine cannot begin.
    pub fn schedule<R>(&self, job: Job<R>) -> Result<JobHandle<R>, SubmitError<R>> {
        match self.pool() {
            Ok(pool) => pool.submit(job),
            Err(error) => Err(SubmitError { job: Box::new(job), reason: Refusal::NotBegun(Arc::new(error)) }),
        }
    }

    /// A stand-in for `value`, whose methods then run in processes of their own.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Scheduler;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Serialize, Deserialize)]
    /// struct Account { balance: i64 }
    /// impl Account {
    ///     fn balance(&self) -> i64 { self.balance }
    ///     fn pay(&mut self, amount: i64) -> i64 { self.balance -= amount; self.balance }
    /// }
    ///
    /// let scheduler = Scheduler::new();
    /// let account = scheduler.proxy(Account { balance: 10 });
    /// let after = account.call(Account::pay, (3,)).unwrap().wait().unwrap();
    /// let before = account.call(Account::balance, ()).unwrap().wait().unwrap();
    /// assert_eq!((after, before), (7, 10), "what a call changes stays in its process");
    /// ```
    ///
    /// A method that the type does not have is refused when the program is compiled:
    ///
    /// ```compile_fail
    /// let scheduler = psmith::Scheduler::new();
    /// let account = scheduler.proxy(7_u32);
    /// let _ = account.call(u32::no_such_method, ());
    /// ```
    pub fn proxy<T>(&self, value: T) -> Proxy<'_, T> {
        Proxy::new(self, value)
    }

    /// Waits until every job has its outcome. Meanwhile no job is taken; afterwards the scheduler goes on.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Scheduler};
    /// let scheduler = Scheduler::new();
    /// let answer = scheduler.schedule(Job::new(|n: u32| n + 1, 41)).unwrap();
    /// scheduler.join();
    /// assert!(answer.is_ready());
    /// ```
    pub fn join(&self) {
        if let Some(pool) = self.current() {
            pool.join();
        }
    }

    /// Waits as [`Scheduler::join`] does, for at most `limit`; false if jobs were left by then. They go on.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Scheduler};
    /// let scheduler = Scheduler::new();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// let _handle = scheduler.schedule(Job::<()>::new(forever, ())).unwrap();
    /// assert!(!scheduler.join_timeout(std::time::Duration::from_millis(10)));
    /// ```
    pub fn join_timeout(&self, limit: Duration) -> bool {
        self.current().is_none_or(|pool| pool.join_timeout(limit))
    }

    /// Takes no more jobs, finishes all that were taken, and ends the engine with its helper process. The next job
    /// begins another one.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Scheduler};
    /// let scheduler = Scheduler::new();
    /// let answer = scheduler.schedule(Job::new(|n: u32| n + 1, 41)).unwrap();
    /// assert!(scheduler.drain().jobs.is_empty());
    /// assert!(answer.is_ready());
    /// ```
    pub fn drain(&self) -> Unfinished {
        self.end(Pool::drain)
    }

    /// Takes and starts no more jobs, asks those that run to stop, kills them after the grace ([`Scheduler::grace`]),
    /// and ends the engine. Every handle gets its outcome; returns the jobs that were not done. The next job begins
    /// another one.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Scheduler};
    /// let scheduler = Scheduler::new();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// let handle = scheduler.schedule(Job::<()>::new(forever, ())).unwrap();
    /// assert_eq!(scheduler.stop().jobs.len(), 1);
    /// assert_eq!(handle.wait().unwrap_err().cause, psmith::Cause::Cancelled);
    /// ```
    pub fn stop(&self) -> Unfinished {
        self.end(Pool::stop)
    }

    /// Stops as [`Scheduler::stop`] does, with this grace, if it is shorter; with none, what runs is killed at once.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Scheduler};
    /// let scheduler = Scheduler::new();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// let handle = scheduler.schedule(Job::<()>::new(forever, ())).unwrap();
    /// assert_eq!(scheduler.stop_within(std::time::Duration::ZERO).jobs.len(), 1);
    /// assert!(handle.is_ready());
    /// ```
    pub fn stop_within(&self, grace: Duration) -> Unfinished {
        self.end(|pool| pool.stop_within(grace))
    }

    fn end(&self, how: impl FnOnce(&Pool) -> Unfinished) -> Unfinished {
        let Some(pool) = self.current() else { return Unfinished::default() };
        let unfinished = how(&pool);
        self.forget(&pool);
        unfinished
    }

    /// Returns the number of jobs that have ended since the engine began, and of those that failed.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Scheduler};
    /// let scheduler = Scheduler::new();
    /// let answer = scheduler.schedule(Job::new(|n: u32| n + 1, 41)).unwrap();
    /// scheduler.join();
    /// assert_eq!((scheduler.report().jobs, scheduler.report().failed), (1, 0));
    /// ```
    #[must_use]
    pub fn report(&self) -> RunSummary {
        self.current().map_or_else(RunSummary::default, |pool| pool.report())
    }

    /// Returns the number of jobs that have no outcome yet.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Scheduler};
    /// let scheduler = Scheduler::new();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// let handle = scheduler.schedule(Job::<()>::new(forever, ())).unwrap();
    /// assert_eq!(scheduler.pending(), 1);
    /// handle.kill();
    /// scheduler.join();
    /// assert_eq!(scheduler.pending(), 0);
    /// ```
    #[must_use]
    pub fn pending(&self) -> usize {
        self.current().map_or(0, |pool| pool.pending())
    }

    pub(super) fn current(&self) -> Option<Arc<Pool>> {
        // A forked copy of the program has another process's pool: nothing of it can be waited for.
        self.pool.lock().clone().filter(|pool| pool.is_ours())
    }

    pub(super) fn forget(&self, pool: &Arc<Pool>) {
        let mut current = self.pool.lock();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, pool)) {
            *current = None;
        }
    }

    fn pool(&self) -> Result<Arc<Pool>, EngineError> {
        let mut current = self.pool.lock();
        if let Some(pool) = &*current
            && pool.is_ours()
            // One of another user that has nothing to do is replaced; one that has refuses the job.
            && (pool.ids.change().is_none() || pool.pending() > 0)
        {
            return Ok(Arc::clone(pool));
        }
        // In a forked copy of the program this is the other process's pool, whose threads this copy has not.
        let strategy: Box<dyn SpawnStrategy> = Box::new(SharedStrategy(Arc::clone(&self.strategy)));
        let pool = Arc::new(Pool::begin(&self.options, Some(strategy))?);
        *current = Some(Arc::clone(&pool));
        Ok(pool)
    }
}

/// The program's own scheduler, with the default strategy. It begins when it is first used.
///
/// ```
/// # psmith::init();
/// # // proves: program-scheduler
/// let answer = psmith::global().schedule(psmith::Job::new(|n: u32| n * 2, 4)).unwrap();
/// assert_eq!(answer.wait().unwrap(), 8);
/// psmith::global().drain();
/// ```
pub fn global() -> &'static Scheduler {
    static GLOBAL: std::sync::LazyLock<Scheduler> = std::sync::LazyLock::new(Scheduler::new);
    &GLOBAL
}
