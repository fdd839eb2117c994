//! A supervisor: so many workers alive, whatever ends them.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::job::failure::Failure;
use crate::job::job::Job;
use crate::map::server::LogLevel;
use crate::pool::handle::{Bell, JobHandle};
use crate::pool::pool::Pool;
use crate::run::face;
use crate::run::options::{Logger, Options};
use crate::run::settings::settings;
use psmith_engine::EngineError;
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::Described;
use psmith_engine::function::returns::Return;

/// Keeps `n` processes alive that each run `f`: whatever ends one, another takes its place.
///
/// `f` is told which of them it is, from 1. One that ends soon after its start (within the longest pause) is started
/// again at once the first time, then after pauses that grow: a crash loop slows down and says so.
///
/// Defaults: `n` workers, a process for each job, and the others go on after a failure. Of [`Options`](crate::Options)
/// it does not serve `workers`, `window`, `isolation`, `total_timeout`, `retry`, `on_error`, `breaker`.
///
/// ```
/// # psmith::init();
/// # // proves: U-30
/// use psmith::Supervisor;
///
/// let serve = |_number: u32| -> () { loop { std::thread::park() } };
/// let mut supervisor = Supervisor::new(2, serve);
/// supervisor.start().unwrap();
/// assert_eq!(supervisor.pids().len(), 2);
/// supervisor.shutdown().unwrap();
/// assert!(supervisor.pids().is_empty());
/// ```
#[must_use = "nothing runs before `start`"]
pub struct Supervisor {
    n: u32,
    make: Arc<dyn Fn(u32) -> Job<()> + Send + Sync>,
    first: Duration,
    longest: Duration,
    options: Options,
    running: Option<Running>,
}

struct Running {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// What the supervisor and its thread share.
#[derive(Default)]
struct Shared {
    bell: Arc<Bell>,
    stops: AtomicBool,
    restarts: AtomicU64,
    /// The processes, by their number; `None`: between two lives.
    members: Mutex<Vec<Option<Arc<crate::pool::handle::Place>>>>,
}

/// Why a supervisor did not do as it was told.
#[derive(Debug)]
#[non_exhaustive]
pub enum SupervisorError {
    /// It runs already.
    AlreadyRunning,
    /// It does not run.
    NotRunning,
    /// psmith itself failed.
    Engine(EngineError),
}

impl fmt::Display for SupervisorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SupervisorError::AlreadyRunning => f.write_str("the supervisor is already running"),
            SupervisorError::NotRunning => f.write_str("the supervisor is not running"),
            SupervisorError::Engine(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for SupervisorError {}

/// One of the workers.
struct Member {
    number: u32,
    handle: Option<JobHandle<()>>,
    since: Instant,
    /// Short lives in a row.
    short: u32,
    /// When it is started again.
    due: Option<Instant>,
}

impl Supervisor {
    /// Of so many processes that each run `f`.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// use std::time::Duration;
    /// let stay = |_: u32| -> () { loop { std::thread::park() } };
    /// let mut supervisor = Supervisor::new(2, stay);
    /// supervisor.start().unwrap();
    /// assert_eq!(supervisor.pids().len(), 2);
    /// supervisor.shutdown().unwrap();
    /// ```
    pub fn new<F, O>(n: u32, f: F) -> Supervisor
    where
        F: Fn(u32) -> O + Copy + Send + Sync + 'static,
        O: Return<Value = ()> + 'static,
        Described: Codec<u32> + Codec<()>,
    {
        Supervisor {
            n,
            make: Arc::new(move |number| Job::new(f, number).label(format!("worker {number}"))),
            first: Duration::from_millis(100),
            longest: Duration::from_secs(10),
            options: Options::of(face::supervisor(n)),
            running: None,
        }
    }

    settings!(options);

    /// The pauses after short lives: the first one, doubled each time up to the longest. The default is 100 ms to 10 s.
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

    /// The signal that asks a worker to stop; the default is `SIGTERM` (15).
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// use std::time::Duration;
    /// let stay = |_: u32| -> () { loop { std::thread::park() } };
    /// // SIGINT
    /// let mut supervisor = Supervisor::new(1, stay).stop_signal(2);
    /// supervisor.start().unwrap();
    /// supervisor.shutdown().unwrap();
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
        if self.running.is_some() {
            return Err(SupervisorError::AlreadyRunning);
        }
        // What it tells of its workers is more than what a pool tells of jobs.
        let options = Options { logger: None, ..self.options.clone() };
        let pool = Pool::begin(&options, None).map_err(SupervisorError::Engine)?;
        let shared = Arc::new(Shared::default());
        shared.lock_members().resize_with(self.n as usize, || None);
        let began = Arc::new(Bell::default());
        let keeper = Keeper {
            pool,
            make: Arc::clone(&self.make),
            first: self.first,
            longest: self.longest,
            shared: Arc::clone(&shared),
            logger: self.options.logger.clone(),
            grace: self.options.grace,
        };
        let (n, told) = (self.n, Arc::clone(&began));
        let thread = std::thread::Builder::new().name("psmith-super".into());
        let thread = thread
            .spawn(move || keeper.go_on(n, &told))
            .map_err(|error| SupervisorError::Engine(EngineError::Kernel(error)))?;
        began.wait(None);
        self.running = Some(Running { shared, thread });
        Ok(())
    }

    /// Asks all workers to stop, kills them after the grace, and returns when the last is gone. Then it can be started
    /// again.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Supervisor;
    /// use std::time::Duration;
    /// let stay = |_: u32| -> () { loop { std::thread::park() } };
    /// let mut supervisor = Supervisor::new(1, stay);
    /// assert!(matches!(supervisor.shutdown(), Err(psmith::SupervisorError::NotRunning)));
    /// supervisor.start().unwrap();
    /// supervisor.shutdown().unwrap();
    /// assert!(supervisor.pids().is_empty());
    /// ```
    ///
    /// # Errors
    /// [`SupervisorError::NotRunning`].
    pub fn shutdown(&mut self) -> Result<(), SupervisorError> {
        let Some(running) = self.running.take() else { return Err(SupervisorError::NotRunning) };
        running.shared.stops.store(true, Ordering::SeqCst);
        running.shared.bell.ring();
        // A logger that panicked has said so, and the pool went with it.
        let _ = running.thread.join();
        Ok(())
    }

    /// The processes that live now, as far as is known.
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
        let Some(running) = &self.running else { return Vec::new() };
        let members = running.shared.lock_members();
        members.iter().flatten().filter(|place| !place.is_filled()).filter_map(|place| place.pid()).collect()
    }

    /// How often a worker was started again since the start.
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
        self.running.as_ref().map_or(0, |running| running.shared.restarts.load(Ordering::SeqCst))
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // One that does not run has nothing to end.
        let _ = self.shutdown();
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("n", &self.n).field("pids", &self.pids()).finish()
    }
}

impl Shared {
    fn lock_members(&self) -> std::sync::MutexGuard<'_, Vec<Option<Arc<crate::pool::handle::Place>>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The supervisor's thread.
struct Keeper {
    pool: Pool,
    make: Arc<dyn Fn(u32) -> Job<()> + Send + Sync>,
    first: Duration,
    longest: Duration,
    grace: Duration,
    shared: Arc<Shared>,
    logger: Option<Logger>,
}

impl Keeper {
    fn go_on(self, n: u32, began: &Bell) {
        let now = Instant::now();
        let mut members: Vec<Member> = (1..=n)
            .map(|number| Member { number, handle: None, since: now, short: 0, due: Some(now) })
            .collect();
        let mut has_begun = false;
        while !self.shared.stops.load(Ordering::SeqCst) {
            let now = Instant::now();
            for member in &mut members {
                self.look_after(member, now);
            }
            let stands = |member: &Member| {
                member.handle.as_ref().is_none_or(|handle| handle.pid().is_some() || handle.is_ready())
            };
            if !has_begun && members.iter().all(stands) {
                has_begun = true;
                began.ring();
            }
            self.shared.bell.wait(members.iter().filter_map(|member| member.due).min());
        }
        began.ring();
        drop(self.pool.stop(self.grace));
    }

    fn look_after(&self, member: &mut Member, now: Instant) {
        if let Some(ended) = member.handle.as_ref().and_then(JobHandle::try_wait) {
            member.handle = None;
            let pause = self.pause_after(member, now);
            member.due = now.checked_add(pause);
            self.say(member.number, &ended, pause);
        }
        if member.due.is_some_and(|due| due <= now) {
            member.due = None;
            let again = self.shared.lock_members()[member.number as usize - 1].is_some();
            let Ok(handle) = self.pool.submit((self.make)(member.number)) else {
                // psmith itself has failed; the next try is as far off as can be.
                member.due = now.checked_add(self.longest);
                return;
            };
            if again {
                self.shared.restarts.fetch_add(1, Ordering::SeqCst);
            }
            member.since = now;
            self.shared.lock_members()[member.number as usize - 1] = Some(Arc::clone(&handle.place));
            handle.place.tell(Waker::from(Arc::clone(&self.shared.bell)));
            member.handle = Some(handle);
        }
    }

    /// None after a long life and after the first short one; then pauses that double.
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

    fn say(&self, number: u32, ended: &Result<(), Failure>, pause: Duration) {
        let Some(logger) = &self.logger else { return };
        let level = if ended.is_ok() { LogLevel::Info } else { LogLevel::Error };
        let what = ended.as_ref().map_or_else(ToString::to_string, |()| "ended".to_owned());
        if pause.is_zero() {
            logger.log(level, format_args!("worker {number}: {what}; it is started again"));
        } else {
            logger.log(level, format_args!("worker {number}: {what}; it is started again in {pause:?}"));
        }
    }
}
