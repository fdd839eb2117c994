//! A supervisor: a number of workers that are restarted whenever one ends. Runs no jobs but these.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::job::callee::Callee;
use crate::job::failure::Failure;
use crate::job::job::Job;
use crate::job::run_summary::LogLevel;
use crate::map::hooks::HookAnswer;
use crate::pool::body::{SupervisedBody, SupervisedBodyWithInput};
use crate::pool::completion::Notifier;
use crate::pool::handle::JobHandle;
use crate::pool::pool::Pool;
use crate::pool::refusal::Unfinished;
use crate::run::face;
use crate::run::listening::listening;
use crate::run::options::{Logger, Options};
use crate::run::settings::settings;
use psmith_engine::EngineError;
use psmith_engine::condition::Condition;
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::Described;
use psmith_sys::generation::generation;

/// Keeps `n` processes alive that each run `f`: whatever ends one, another takes its place.
///
/// `f` is called with the worker's number, from 1. A worker that ends soon after its start (within the longest pause)
/// is started again at once the first time, then after pauses that grow: a crash loop slows down, and each restart is
/// logged.
///
/// Defaults: `n` workers, a process for each job, output passed on line by line, and the others go on after a failure.
/// Of [`Options`] it does not serve `workers`, `window`, `isolation`, `total_timeout`, `retry`, `on_error`, `breaker`.
///
/// ```
/// # psmith::init();
/// # // proves: workers-kept-alive
/// use psmith::Supervisor;
///
/// let serve = |_number: u32| -> () { loop { std::thread::park() } };
/// let mut supervisor = Supervisor::new(2, serve);
/// supervisor.start().unwrap();
/// assert_eq!(supervisor.pids().len(), 2);
/// supervisor.stop();
/// assert!(supervisor.pids().is_empty());
/// ```
#[must_use = "nothing runs before `start`"]
pub struct Supervisor {
    n: u32,
    make: Arc<dyn Fn(u32) -> Job<()> + Send + Sync>,
    first: Duration,
    longest: Duration,
    options: Options,
    /// Since the last start.
    running: Option<Arc<SupervisorState>>,
    /// The process that started them: a forked copy has neither the thread nor the workers.
    process: u64,
}

/// The state that the supervisor and its thread share.
#[derive(Default)]
struct SupervisorState {
    notifier: Arc<Notifier>,
    /// True once no worker is started again.
    drains: AtomicBool,
    stops: AtomicBool,
    end: Mutex<End>,
    ended: Condition,
    restarts: AtomicU64,
    /// The workers' last processes, by the worker's number; `None`: not started yet.
    members: Mutex<Vec<Option<Arc<crate::pool::completion::CompletionSlot>>>>,
}

/// The way in which the supervisor's thread must end, and its result.
#[derive(Default)]
struct End {
    grace: Duration,
    unfinished: Unfinished,
    is_over: bool,
}

/// Marks the supervisor's thread as ended when it is dropped, also by a panic.
struct Over(Arc<SupervisorState>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.lock_end().is_over = true;
        self.0.ended.notify_all();
    }
}

/// The reason for which a supervisor did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum SupervisorError {
    /// The supervisor runs already.
    AlreadyRunning,
    /// psmith itself failed.
    Engine(EngineError),
}

impl fmt::Display for SupervisorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SupervisorError::AlreadyRunning => f.write_str("the supervisor is already running"),
            SupervisorError::Engine(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for SupervisorError {}

/// A worker of the supervisor.
struct Member {
    number: u32,
    handle: Option<JobHandle<()>>,
    since: Instant,
    /// The number of short runs in a row.
    short: u32,
    /// The time at which it is started again.
    due: Option<Instant>,
}

impl Supervisor {
    /// Makes a supervisor of `n` processes that each run `f`.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// use std::time::Duration;
    /// let stay = |_: u32| -> () { loop { std::thread::park() } };
    /// let mut supervisor = Supervisor::new(2, stay);
    /// supervisor.start().unwrap();
    /// assert_eq!(supervisor.pids().len(), 2);
    /// supervisor.stop();
    /// ```
    pub fn new<O: HookAnswer + 'static>(n: u32, f: fn(u32) -> O) -> Supervisor {
        Supervisor::of(n, move |number| {
            let callee = Callee::new::<_, Described>(SupervisedBody(f), None);
            Job::of_callee::<Described, u32>(callee, &number)
        })
    }

    /// Makes a supervisor of `n` processes that each run `f` with their number and this input, the same at each start.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// # use std::path::PathBuf;
    /// let dir = std::env::temp_dir();
    /// let serve = |number: u32, dir: PathBuf| -> () {
    ///     assert!(dir.is_dir() && number <= 2);
    ///     loop { std::thread::park() }
    /// };
    /// let mut supervisor = Supervisor::with_input(2, dir, serve);
    /// supervisor.start().unwrap();
    /// assert_eq!(supervisor.stop().jobs.len(), 2);
    /// ```
    pub fn with_input<A, O>(n: u32, input: A, f: fn(u32, A) -> O) -> Supervisor
    where
        A: Clone + Send + Sync + 'static,
        O: HookAnswer + 'static,
        Described: Codec<(u32, A)> + Codec<()>,
    {
        Supervisor::of(n, move |number| {
            let callee = Callee::new::<_, Described>(SupervisedBodyWithInput(f), None);
            Job::of_callee::<Described, (u32, A)>(callee, &(number, input.clone()))
        })
    }

    fn of(n: u32, make: impl Fn(u32) -> Job<()> + Send + Sync + 'static) -> Supervisor {
        Supervisor {
            n,
            make: Arc::new(move |number| make(number).label(format!("worker {number}"))),
            first: Duration::from_millis(100),
            longest: Duration::from_secs(10),
            options: Options::of(face::supervisor(n)),
            running: None,
            process: 0,
        }
    }

    settings!(options);
    listening!(options);

    /// Sets the pauses after short runs: the first one, doubled each time up to the longest. The default is 100 ms to
    /// 10 s.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// use std::time::Duration;
    /// let stay = |_: u32| -> () { loop { std::thread::park() } };
    /// let mut supervisor = Supervisor::new(1, stay).backoff(Duration::from_millis(10), Duration::from_secs(1));
    /// supervisor.start().unwrap();
    /// ```
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first = first;
        self.longest = longest.max(first);
        self
    }

    /// Sets the signal that asks a worker to stop; the default is `SIGTERM` (15).
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// use std::time::Duration;
    /// let stay = |_: u32| -> () { loop { std::thread::park() } };
    /// // SIGINT
    /// let mut supervisor = Supervisor::new(1, stay).stop_signal(2);
    /// supervisor.start().unwrap();
    /// supervisor.stop();
    /// ```
    pub fn stop_signal(mut self, signal: i32) -> Self {
        self.options.stop_signal = signal;
        self
    }

    /// Starts the workers; returns when each has a process, or could not get one.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// use std::time::Duration;
    /// let stay = |_: u32| -> () { loop { std::thread::park() } };
    /// let mut supervisor = Supervisor::new(1, stay);
    /// supervisor.start().unwrap();
    /// assert!(matches!(supervisor.start(), Err(psmith::SupervisorError::AlreadyRunning)));
    /// ```
    ///
    /// # Errors
    /// [`SupervisorError::AlreadyRunning`], or psmith itself failed.
    pub fn start(&mut self) -> Result<(), SupervisorError> {
        if self.running().is_some_and(|shared| !shared.lock_end().is_over) {
            return Err(SupervisorError::AlreadyRunning);
        }
        // The supervisor logs more of its workers than a pool logs of jobs.
        let options = Options { logger: None, ..self.options.clone() };
        let mut pool = Pool::begin(&options, None).map_err(SupervisorError::Engine)?;
        // Nobody has the handles but the supervisor.
        pool.handles_receive = false;
        let shared = Arc::new(SupervisorState::default());
        shared.lock_members().resize_with(self.n as usize, || None);
        let began = Arc::new(Notifier::default());
        let side = SupervisorThread {
            pool,
            make: Arc::clone(&self.make),
            first: self.first,
            longest: self.longest,
            shared: Arc::clone(&shared),
            logger: self.options.logger.clone(),
        };
        let (n, began_too) = (self.n, Arc::clone(&began));
        let over = Over(Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("psmith-super".into());
        let spawned = thread.spawn(move || {
            let _over = over;
            side.keep_running(n, &began_too);
        });
        spawned.map_err(|error| SupervisorError::Engine(EngineError::Kernel(error)))?;
        began.wait(None);
        self.running = Some(shared);
        self.process = generation();
        Ok(())
    }

    /// Starts no worker again, and returns when the last has ended by itself. Then it can be started again.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// let mut supervisor = Supervisor::new(2, |_: u32| ());
    /// supervisor.start().unwrap();
    /// assert!(supervisor.drain().jobs.is_empty());
    /// assert!(supervisor.pids().is_empty());
    /// ```
    pub fn drain(&self) -> Unfinished {
        self.end(|shared| shared.drains.store(true, Ordering::SeqCst))
    }

    /// Asks all workers to stop, kills them after the grace ([`Supervisor::grace`]), and returns when the last is gone;
    /// returns those that were ended. Then it can be started again. One that does not run has nothing to stop.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// let stay = |_: u32| -> () { loop { std::thread::park() } };
    /// let mut supervisor = Supervisor::new(1, stay);
    /// assert!(supervisor.stop().jobs.is_empty());
    /// supervisor.start().unwrap();
    /// assert_eq!(supervisor.stop().jobs[0].label(), Some("worker 1"));
    /// assert!(supervisor.pids().is_empty());
    /// ```
    pub fn stop(&self) -> Unfinished {
        self.stop_within(self.options.grace)
    }

    /// Stops as [`Supervisor::stop`] does, with this grace, if it is shorter; with none, the workers are killed at
    /// once.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// let stay = |_: u32| -> () { loop { std::thread::park() } };
    /// let mut supervisor = Supervisor::new(2, stay);
    /// supervisor.start().unwrap();
    /// assert_eq!(supervisor.stop_within(std::time::Duration::ZERO).jobs.len(), 2);
    /// ```
    pub fn stop_within(&self, grace: Duration) -> Unfinished {
        self.end(|shared| {
            shared.lock_end().grace = grace;
            shared.stops.store(true, Ordering::SeqCst);
        })
    }

    /// The state of the workers that were started last. A forked copy of the program has started none.
    fn running(&self) -> Option<&Arc<SupervisorState>> {
        self.running.as_ref().filter(|_| self.process == generation())
    }

    fn end(&self, how: impl FnOnce(&SupervisorState)) -> Unfinished {
        let Some(shared) = self.running() else { return Unfinished::default() };
        if shared.lock_end().is_over {
            return Unfinished::default();
        }
        how(shared);
        shared.notifier.notify();
        shared.wait(None);
        shared.lock_end().unfinished.clone()
    }

    /// Waits until it was ended, by another thread's drain or stop. One that does not run is not waited for.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// let stay = |_: u32| -> () { loop { std::thread::park() } };
    /// let mut supervisor = Supervisor::new(1, stay);
    /// supervisor.start().unwrap();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| supervisor.join());
    ///     supervisor.stop();
    /// });
    /// ```
    pub fn join(&self) {
        self.join_until(None);
    }

    /// Waits as [`Supervisor::join`] does, for at most `limit`; false if it was still running then.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// let stay = |_: u32| -> () { loop { std::thread::park() } };
    /// let mut supervisor = Supervisor::new(1, stay);
    /// supervisor.start().unwrap();
    /// assert!(!supervisor.join_timeout(std::time::Duration::from_millis(10)));
    /// ```
    pub fn join_timeout(&self, limit: Duration) -> bool {
        self.join_until(Instant::now().checked_add(limit))
    }

    fn join_until(&self, until: Option<Instant>) -> bool {
        self.running().is_none_or(|shared| shared.wait(until))
    }

    /// Returns the processes that run now, as far as is known.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// use std::time::Duration;
    /// let stay = |_: u32| -> () { loop { std::thread::park() } };
    /// let mut supervisor = Supervisor::new(2, stay);
    /// assert!(supervisor.pids().is_empty());
    /// supervisor.start().unwrap();
    /// assert_eq!(supervisor.pids().len(), 2);
    /// ```
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let Some(shared) = self.running() else { return Vec::new() };
        let members = shared.lock_members();
        members
            .iter()
            .flatten()
            .filter(|completion| !completion.is_filled())
            .filter_map(|completion| completion.pid())
            .collect()
    }

    /// Returns the number of restarts since the last start, also after the end.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// use std::time::Duration;
    /// let mut supervisor = Supervisor::new(1, |_: u32| ()).backoff(Duration::from_millis(1), Duration::from_millis(1));
    /// supervisor.start().unwrap();
    /// while supervisor.restarts() < 2 {
    ///     std::thread::yield_now();
    /// }
    /// ```
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.running.as_ref().map_or(0, |shared| shared.restarts.load(Ordering::SeqCst))
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("n", &self.n).field("pids", &self.pids()).finish()
    }
}

impl SupervisorState {
    fn lock_members(&self) -> MutexGuard<'_, Vec<Option<Arc<crate::pool::completion::CompletionSlot>>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of the supervisor's thread, or until the time `until`; returns whether it has ended.
    fn wait(&self, until: Option<Instant>) -> bool {
        let mut end = self.lock_end();
        while !end.is_over {
            end = match self.ended.wait_until(end, until) {
                Ok(end) => end,
                Err(_) => return false,
            };
        }
        true
    }
}

/// The supervisor's thread.
struct SupervisorThread {
    pool: Pool,
    make: Arc<dyn Fn(u32) -> Job<()> + Send + Sync>,
    first: Duration,
    longest: Duration,
    shared: Arc<SupervisorState>,
    logger: Option<Logger>,
}

impl SupervisorThread {
    fn keep_running(self, n: u32, began: &Notifier) {
        let now = Instant::now();
        let mut members: Vec<Member> = (1..=n)
            .map(|number| Member { number, handle: None, since: now, short: 0, due: Some(now) })
            .collect();
        let mut has_begun = false;
        while !self.shared.stops.load(Ordering::SeqCst) {
            let now = Instant::now();
            let drains = self.shared.drains.load(Ordering::SeqCst);
            for member in &mut members {
                self.watch_member(member, now, drains);
            }
            if drains && members.iter().all(|member| member.handle.is_none()) {
                break;
            }
            let has_started = |member: &Member| {
                member.handle.as_ref().is_none_or(|handle| handle.pid().is_some() || handle.is_ready())
            };
            if !has_begun && members.iter().all(has_started) {
                has_begun = true;
                began.notify();
            }
            self.shared.notifier.wait(members.iter().filter_map(|member| member.due).min());
        }
        began.notify();
        // After a drain there is nothing that a stop could end.
        let grace = self.shared.lock_end().grace;
        let unfinished = self.pool.stop_within(grace);
        self.shared.lock_end().unfinished = unfinished;
    }

    fn watch_member(&self, member: &mut Member, now: Instant, drains: bool) {
        if let Some(ended) = member.handle.as_ref().and_then(JobHandle::try_wait) {
            member.handle = None;
            let pause = (!drains).then(|| self.pause_after(member, now));
            member.due = pause.and_then(|pause| now.checked_add(pause));
            self.log_end(member.number, &ended, pause);
        }
        if drains {
            member.due = None;
        }
        if member.due.is_some_and(|due| due <= now) {
            member.due = None;
            let again = self.shared.lock_members()[member.number as usize - 1].is_some();
            let Ok(handle) = self.pool.submit((self.make)(member.number)) else {
                // psmith itself has failed; the next attempt is as far off as can be.
                member.due = now.checked_add(self.longest);
                return;
            };
            if again {
                self.shared.restarts.fetch_add(1, Ordering::SeqCst);
            }
            member.since = now;
            self.shared.lock_members()[member.number as usize - 1] = Some(Arc::clone(&handle.completion));
            handle.completion.wake_when_done(Waker::from(Arc::clone(&self.shared.notifier)));
            member.handle = Some(handle);
        }
    }

    /// Returns the pause before the next start: none after a long run and after the first short one; then pauses that
    /// double.
    fn pause_after(&self, member: &mut Member, now: Instant) -> Duration {
        if now.duration_since(member.since) >= self.longest {
            member.short = 0;
            return Duration::ZERO;
        }
        member.short = member.short.saturating_add(1);
        match member.short {
            1 => Duration::ZERO,
            times => self.first.saturating_mul(1 << (times - 2).min(30)).min(self.longest),
        }
    }

    fn log_end(&self, number: u32, ended: &Result<(), Failure>, pause: Option<Duration>) {
        let Some(logger) = &self.logger else { return };
        let level = if ended.is_ok() { LogLevel::Info } else { LogLevel::Error };
        // Its name is all that a worker is known by: it is a new job each time.
        let what = ended.as_ref().map_or_else(Failure::without_number, |()| "ended".to_owned());
        match pause {
            None => logger.log(level, format_args!("worker {number}: {what}")),
            Some(Duration::ZERO) => {
                logger.log(level, format_args!("worker {number}: {what}; it is started again"));
            }
            Some(pause) => {
                logger.log(level, format_args!("worker {number}: {what}; it is started again in {pause:?}"));
            }
        }
    }
}
