//! What holds for all jobs of a run, the same in every face.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use psmith_core::outcome::Limits;
use psmith_core::policy::{
    Halt, HaltCount, HaltMode, HaltOn, JobPolicy, Leak, Order, RunPolicy, SIGTERM, TermSeq, TermStep, Timeout,
};

use crate::job::retry::Retry;
use crate::observe::observer::Onlooker;
use crate::run::reused::Terms;
use psmith_engine::channel::frame::FRAME_BYTES_MAX;
use psmith_engine::containment::Level;
use psmith_engine::function::registry::Function;
use psmith_engine::limits::ResourceLimits;

/// Whether jobs share processes.
///
/// ```
/// # psmith::init();
/// # // proves: U-1
/// use std::collections::BTreeSet;
///
/// let pids: BTreeSet<u32> = psmith::map(0..5, |_: u32| std::process::id())
///     .isolation(psmith::Isolation::PerJob)
///     .map(Result::unwrap)
///     .collect();
/// assert_eq!(pids.len(), 5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Isolation {
    /// A fresh process for each job: nothing of one is seen by the next.
    PerJob,
    /// Workers that stay, one job after the other: what a job leaves in the program's own memory (statics, threads) is
    /// seen by the next one there. What it changes in the process is not: after each job, or after each batch of short
    /// ones, the working directory, the umask and the signal mask are put back, and where the environment, the niceness,
    /// a resource limit or one of the standard streams is another one, the worker is replaced. What the pool's
    /// [`init`](crate::PoolBuilder::init) or [`worker_setup`](crate::Init::worker_setup) changed stays. A worker is replaced after a crash, a panic, a timeout or a cancel, and where the
    /// settings say so; only the job that it had fails, and no job that has finished is run again for it. C code that
    /// has spoilt memory without crashing may crash a later job: say [`PerJob`](Isolation::PerJob) there.
    #[default]
    Reuse,
}

/// What becomes of the other jobs when one has failed for good.
///
/// ```
/// # psmith::init();
/// use psmith::OnError;
///
/// # // proves: U-21
/// let check = |n: u32| if n == 3 { Err("three") } else { Ok(n) };
/// // One at a time: nothing is started after the failure.
/// let got: Vec<_> = psmith::map(0..100, check).workers(1).on_error(OnError::Stop).collect();
/// assert_eq!(got.len(), 4);
/// assert_eq!(got[3].as_ref().unwrap_err().index, 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// They go on.
    Continue,
    /// No more are started; those that run may finish.
    Stop,
    /// No more are started; those that run are ended.
    Kill,
}

/// Where the standard output and error of jobs go.
///
/// ```
/// # psmith::init();
/// let loud = |_: ()| -> u32 { eprintln!("no idea"); std::process::exit(3) };
/// let quiet = psmith::map([()], loud).output(psmith::Output::Discard);
/// let failure = quiet.last().unwrap().unwrap_err();
/// assert_eq!(failure.stderr_tail, b"no idea\n");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Output {
    /// To those of this program, job by job, when the job's outcome is handed out: the lines of two jobs never mix.
    #[default]
    PassOn,
    /// As [`PassOn`](Output::PassOn), but only of jobs that failed.
    ///
    /// ```
    /// # psmith::init();
    /// let job = |n: u32| { print!("{n} "); if n == 2 { Err("two") } else { Ok(n) } };
    /// // Only "2 " comes out.
    /// let ok = psmith::map(1..=3, job).output(psmith::Output::OnFailure).filter(Result::is_ok).count();
    /// assert_eq!(ok, 2);
    /// ```
    OnFailure,
    /// Nowhere. (The end of standard error is still kept for a failure.)
    Discard,
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) workers: Option<u32>,
    pub(crate) window: Option<u32>,
    pub(crate) isolation: Isolation,
    pub(crate) order: Order,
    pub(crate) on_error: OnError,
    pub(crate) breaker: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) retry: Retry,
    pub(crate) output: Output,
    pub(crate) frame_bytes_max: u64,
    /// In which directory jobs have directories.
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) contain: Option<Level>,
    pub(crate) limits: Option<ResourceLimits>,
    /// Those of them that causes may have to name, once it is known how they are held.
    pub(crate) named: Limits,
    pub(crate) terms: Terms,
    /// What makes and ends the state of a worker.
    pub(crate) state: Option<Function>,
    /// What asks a job to stop.
    pub(crate) stop_signal: i32,
    /// The board of jobs that looks on.
    #[cfg(feature = "board")]
    pub(crate) board: Option<Arc<crate::observe::terminal::Jobs>>,
    /// The web board that looks on.
    #[cfg(feature = "web")]
    pub(crate) web: Option<Arc<psmith_report::web::Feed>>,
}

impl Options {
    pub(crate) fn new(order: Order, on_error: OnError) -> Options {
        Options {
            workers: None,
            window: None,
            isolation: Isolation::default(),
            order,
            on_error,
            breaker: 0,
            timeout: None,
            idle_timeout: None,
            grace: psmith_core::policy::GRACE,
            total_timeout: None,
            retry: Retry::default(),
            output: Output::default(),
            frame_bytes_max: FRAME_BYTES_MAX,
            scratch: None,
            contain: None,
            limits: None,
            named: Limits::default(),
            terms: Terms::default(),
            state: None,
            stop_signal: SIGTERM,
            #[cfg(feature = "board")]
            board: None,
            #[cfg(feature = "web")]
            web: None,
        }
    }

    /// Whether somebody looks on who wants to hear of each job.
    #[cfg(feature = "board")]
    pub(crate) fn is_watched(&self) -> bool {
        #[cfg(feature = "web")]
        if self.web.is_some() {
            return true;
        }
        self.board.is_some()
    }

    /// Whether somebody looks on who wants to hear of each job: not without boards.
    #[cfg(not(feature = "board"))]
    #[expect(clippy::unused_self, reason = "as with boards")]
    pub(crate) fn is_watched(&self) -> bool {
        false
    }

    /// Those who look on at a run with so many workers and so many jobs, if that is known. Asked for before the run counts
    /// the descriptors that its jobs may have.
    #[cfg_attr(not(feature = "board"), expect(clippy::unused_self, reason = "there is nobody"))]
    #[cfg_attr(not(feature = "web"), expect(unused_variables, reason = "only the web board asks for it all"))]
    pub(crate) fn onlookers(&self, workers: u32, total: Option<u64>) -> Vec<Box<dyn Onlooker>> {
        #[cfg_attr(not(feature = "board"), expect(unused_mut, reason = "there is nobody"))]
        let mut onlookers: Vec<Box<dyn Onlooker>> = Vec::new();
        #[cfg(feature = "board")]
        onlookers.extend(
            self.board.as_ref().map(|jobs| crate::observe::terminal::look_on(Arc::clone(jobs), total)),
        );
        #[cfg(feature = "web")]
        onlookers.extend(
            self.web.as_ref().map(|feed| crate::observe::web::look_on(Arc::clone(feed), workers, total)),
        );
        onlookers
    }

    /// How many workers: as asked for, by the environment, or one for each processor that this process may use.
    pub(crate) fn workers(&self) -> Result<u32, String> {
        match self.workers {
            Some(workers) => Ok(workers),
            None => crate::run::worker_budget::workers()
                .map_or_else(|| default_workers(std::env::var_os(WORKERS_VARIABLE)), Ok),
        }
    }

    /// How many jobs may be pulled from the source and not handed out.
    pub(crate) fn window(&self, workers: u32) -> u32 {
        self.window.unwrap_or(workers.saturating_mul(2).max(workers.saturating_add(16))).max(1)
    }

    pub(crate) fn run_policy(&self, workers: u32) -> RunPolicy {
        let window = self.window(workers);
        let halt = |mode| Halt::When { what: HaltOn::Fail, count: HaltCount::Number(1), mode };
        RunPolicy {
            slots: workers,
            window,
            order: self.order,
            // What is submitted has been counted against the window already.
            queue_max: window as usize,
            halt: match self.on_error {
                OnError::Continue => Halt::Never,
                OnError::Stop => halt(HaltMode::Soon),
                OnError::Kill => halt(HaltMode::Now),
            },
            breaker: self.breaker,
            start_gap: Duration::ZERO,
            slow: None,
            seed: u64::from(std::process::id()),
        }
    }

    fn term_seq(&self) -> TermSeq {
        TermSeq::new(vec![TermStep { signal: self.stop_signal, wait: self.grace }])
    }

    pub(crate) fn job_policy(&self) -> Arc<JobPolicy> {
        let mut policy = JobPolicy {
            timeout: self.timeout.map_or(Timeout::Never, Timeout::After),
            idle: self.idle_timeout,
            term_seq: self.term_seq(),
            leak: Leak::Kill,
            limits: self.named,
            ..JobPolicy::default()
        };
        self.retry.set_in(&mut policy);
        Arc::new(policy)
    }
}

/// The environment variable that says how many workers there are where the program does not.
pub(crate) const WORKERS_VARIABLE: &str = "PSMITH_WORKERS";

fn default_workers(asked: Option<std::ffi::OsString>) -> Result<u32, String> {
    let Some(asked) = asked else {
        // Knows the process's affinity and the quota of its control group.
        let found = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        return Ok(u32::try_from(found).unwrap_or(u32::MAX));
    };
    let number = asked.to_str().and_then(|text| text.trim().parse::<u32>().ok()).filter(|number| *number > 0);
    number.ok_or_else(|| {
        format!("{WORKERS_VARIABLE}={} is no number of workers (1 or more)", asked.to_string_lossy())
    })
}

/// The settings that all builders share, by the same names.
macro_rules! common_settings {
    ($($options:ident).+) => {
        /// So many jobs run at once. 0: inline, in the caller's own thread: no process, no encoding, and so no timeouts,
        /// no retries and no isolation. The default is one for each processor that this process may use, or what
        /// `PSMITH_WORKERS` says; in a job of another run it is that run's workers, shared with it: all of them together
        /// never do more jobs at once than the outermost run has workers. Whoever says a number has it, in a job too.
        ///
        /// ```
        /// # psmith::init();
        /// # // proves: U-3, U-5
        /// // For a debugger: the job runs in this very process.
        /// let own = |()| std::process::id();
        /// let here = psmith::map([()], own).workers(0).next().unwrap();
        /// assert_eq!(here.unwrap(), std::process::id());
        /// ```
        pub fn workers(mut self, workers: u32) -> Self {
            self.$($options).+.workers = Some(workers);
            self
        }

        /// At most so many inputs are taken from the source whose outcomes have not been handed out (at least 1). Without it
        /// they are 16 more than the workers, or twice as many; [`map`](crate::map()) of very short jobs takes as many
        /// ahead as last for some milliseconds, at most 32,768.
        ///
        /// ```
        /// # psmith::init();
        /// use std::cell::Cell;
        /// let taken = Cell::new(0);
        /// let endless = (0_u32..).inspect(|_| taken.set(taken.get() + 1));
        /// let mut answers = psmith::map(endless, |n: u32| n).workers(1).window(3);
        /// assert_eq!(answers.next().unwrap().unwrap(), 0);
        /// // The one that was handed out, and three more at most.
        /// assert!(taken.get() <= 4);
        /// ```
        pub fn window(mut self, jobs: u32) -> Self {
            self.$($options).+.window = Some(jobs.max(1));
            self
        }

        /// Whether jobs share processes.
        ///
        /// ```
        /// # psmith::init();
        /// use psmith::Isolation;
        /// let pids = psmith::map(0..3, |_: u32| std::process::id()).workers(1).isolation(Isolation::PerJob);
        /// let pids: std::collections::BTreeSet<u32> = pids.map(Result::unwrap).collect();
        /// assert_eq!(pids.len(), 3);
        /// ```
        pub fn isolation(mut self, isolation: $crate::Isolation) -> Self {
            self.$($options).+.isolation = isolation;
            self
        }

        /// Replaces each worker after so many jobs (at least 1). Says nothing where each job has a worker of its own.
        ///
        /// ```
        /// # psmith::init();
        /// # // proves: U-2
        /// # use std::collections::BTreeSet;
        /// let pid = |_: u32| std::process::id();
        /// let pids = psmith::map(0..6, pid).workers(1).max_jobs(2).map(Result::unwrap);
        /// assert_eq!(pids.collect::<BTreeSet<u32>>().len(), 3);
        /// ```
        pub fn max_jobs(mut self, jobs: u64) -> Self {
            self.$($options).+.terms.max_jobs = Some(jobs.max(1));
            self
        }

        /// Replaces a worker that, after a job, holds so many bytes more of resident memory than after its first. Says
        /// nothing where each job has a worker of its own.
        ///
        /// ```
        /// # psmith::init();
        /// # use std::collections::BTreeSet;
        /// let hoard = |_: u32| {
        ///     std::mem::forget(std::hint::black_box(vec![1_u8; 32 << 20]));
        ///     std::process::id()
        /// };
        /// let pids = psmith::map(0..4, hoard).workers(1).max_rss_growth(16 << 20).map(Result::unwrap);
        /// assert!(pids.collect::<BTreeSet<u32>>().len() > 1);
        /// ```
        pub fn max_rss_growth(mut self, bytes: u64) -> Self {
            self.$($options).+.terms.max_rss_growth = Some(bytes);
            self
        }

        /// Ends an attempt that runs longer: its process and all that it started. The clock starts with the attempt.
        ///
        /// ```
        /// # psmith::init();
        /// # // proves: U-23
        /// use psmith::Cause;
        /// use std::time::Duration;
        /// let hang = |()| -> () { loop { std::thread::park() } };
        /// let limit = Duration::from_millis(200);
        /// let failure = psmith::map([()], hang).timeout(limit).next().unwrap().unwrap_err();
        /// assert!(matches!(failure.cause, Cause::Timeout { .. }));
        /// ```
        pub fn timeout(mut self, limit: std::time::Duration) -> Self {
            self.$($options).+.timeout = Some(limit);
            self
        }

        /// Ends an attempt that gives no sign of life for so long ([`Cause::Idle`](crate::Cause::Idle)): its process and all
        /// that it started. Signs of life are what it writes to its standard streams and what it says by
        /// [`cx`](crate::cx()): progress, messages, [`Cx::heartbeat`](crate::Cx::heartbeat). The clock starts with the attempt,
        /// and stands still while this program does not take what its jobs say.
        ///
        /// ```
        /// # psmith::init();
        /// use std::time::Duration;
        /// # // proves: U-31
        /// let limit = Duration::from_millis(300);
        /// let hang = |_: ()| -> () { loop { std::thread::park() } };
        /// let failure = psmith::map([()], hang).idle_timeout(limit).last().unwrap().unwrap_err();
        /// assert_eq!(failure.cause, psmith::Cause::Idle(limit));
        /// ```
        pub fn idle_timeout(mut self, limit: std::time::Duration) -> Self {
            self.$($options).+.idle_timeout = Some(limit);
            self
        }

        /// The time between asking a job to stop and killing it.
        ///
        /// ```
        /// # psmith::init();
        /// use std::time::Duration;
        /// let tidy = |_: ()| -> () {
        ///     while !psmith::cx().unwrap().cancelled() {
        ///         std::thread::sleep(Duration::from_millis(1));
        ///     }
        ///     eprint!("tidied up");
        /// };
        /// let limit = Duration::from_millis(200);
        /// let mut ends = psmith::map([()], tidy).timeout(limit).grace(Duration::from_secs(60));
        /// assert_eq!(ends.next().unwrap().unwrap_err().stderr_tail, b"tidied up");
        /// ```
        pub fn grace(mut self, grace: std::time::Duration) -> Self {
            self.$($options).+.grace = grace;
            self
        }

        /// Ends the run that takes longer than this: what runs is asked to stop, what waits is cancelled. As all clocks, this
        /// one stands still while the program is stopped by the terminal, if it has a
        /// [`suspend_guard`](crate::signals::suspend_guard).
        ///
        /// ```
        /// # psmith::init();
        /// use std::time::Duration;
        /// let hang = |_: u32| -> () { loop { std::thread::park() } };
        /// // Endless, but for the limit.
        /// let limit = Duration::from_millis(200);
        /// let ends = psmith::map(0.., hang).workers(2).total_timeout(limit).grace(Duration::ZERO);
        /// assert!(ends.map(Result::unwrap_err).all(|end| end.cause == psmith::Cause::Cancelled));
        /// ```
        pub fn total_timeout(mut self, limit: std::time::Duration) -> Self {
            self.$($options).+.total_timeout = Some(limit);
            self
        }

        /// How often a failed job is tried again.
        ///
        /// ```
        /// # psmith::init();
        /// let flaky = |_: ()| match psmith::cx().unwrap().attempt() {
        ///     1 => Err("not yet"),
        ///     attempt => Ok(attempt),
        /// };
        /// let mut ends = psmith::map([()], flaky).retry(psmith::Retry::tries(2));
        /// assert_eq!(ends.next().unwrap().unwrap(), 2);
        /// ```
        pub fn retry(mut self, retry: $crate::Retry) -> Self {
            self.$($options).+.retry = retry;
            self
        }

        /// What becomes of the other jobs when one has failed for good.
        ///
        /// ```
        /// # psmith::init();
        /// let fail = |n: u32| if n == 0 { Err("nought") } else { Ok(n) };
        /// let ends = psmith::map(0..100, fail).workers(1).on_error(psmith::OnError::Stop);
        /// assert_eq!(ends.count(), 1);
        /// ```
        pub fn on_error(mut self, then: $crate::OnError) -> Self {
            self.$($options).+.on_error = then;
            self
        }

        /// Breaks the circuit when so many different jobs have crashed ([`Cause::is_crash`](crate::Cause::is_crash)) and no
        /// attempt came to any other end meanwhile: then it is not the jobs, and no more are started. What runs may finish;
        /// jobs that were not started fail with [`Cause::CircuitBroken`](crate::Cause::CircuitBroken), and a pool is
        /// over: it refuses further jobs as [`Refusal::CircuitBroken`](crate::Refusal::CircuitBroken). Without it, or with
        /// 0, the circuit never breaks.
        ///
        /// ```
        /// # psmith::init();
        /// use psmith::Cause;
        /// let crash = |_: u32| -> u32 { std::process::abort() };
        /// // Endless, but after three crashes no more is taken.
        /// let ends: Vec<Cause> =
        ///     psmith::map(0.., crash).workers(1).breaker(3).map(|end| end.unwrap_err().into_cause()).collect();
        /// assert!(ends[..3].iter().all(Cause::is_crash));
        /// assert!(ends[3..].iter().all(|cause| *cause == Cause::CircuitBroken(3)));
        /// ```
        pub fn breaker(mut self, jobs: u32) -> Self {
            self.$($options).+.breaker = jobs;
            self
        }

        /// Where the standard output and error of jobs go.
        ///
        /// ```
        /// # psmith::init();
        /// let loud = |n: u32| { println!("not seen"); n };
        /// assert_eq!(psmith::map([1], loud).output(psmith::Output::Discard).next().unwrap().unwrap(), 1);
        /// ```
        pub fn output(mut self, output: $crate::Output) -> Self {
            self.$($options).+.output = output;
            self
        }

        /// The longest input, result or message, in bytes as it travels; the default is 1 GiB. A longer one is the
        /// failure of its job. The result of a command is what it writes to its standard output.
        ///
        /// ```
        /// # psmith::init();
        /// # // proves: U-17
        /// let twice = |text: String| text.repeat(2);
        /// let texts = ["a".repeat(400), "a".repeat(4_000)];
        /// let ends: Vec<bool> = psmith::map(texts, twice).max_frame(4_096).map(|end| end.is_ok()).collect();
        /// assert_eq!(ends, [true, false]);
        /// ```
        pub fn max_frame(mut self, bytes: u64) -> Self {
            self.$($options).+.frame_bytes_max = bytes;
            self
        }

        /// Each attempt may have a directory of its own: a function by [`Cx::scratch_dir`](crate::Cx::scratch_dir), a command
        /// by the variable `PSMITH_SCRATCH`. Nobody else can enter it (mode 0700) or guess its name. It is removed with all
        /// that is in it before the outcome is handed out, whatever that is; if this program is killed, by its warden. They
        /// lie in the system's directory for temporary files (`TMPDIR`); see [`scratch_dir_in`](Self::scratch_dir_in).
        ///
        /// ```
        /// # psmith::init();
        /// # // proves: U-45
        /// let sort = |lines: String| -> std::io::Result<String> {
        ///     let dir = psmith::cx().expect("inside a job").scratch_dir()?;
        ///     std::fs::write(dir.join("lines"), lines)?;
        ///     let sorted = std::process::Command::new("sort").arg("lines").current_dir(&dir).output()?;
        ///     Ok(String::from_utf8_lossy(&sorted.stdout).into_owned())
        /// };
        /// let mut sorted = psmith::map(["b\na\n".to_owned()], sort).scratch_dir();
        /// assert_eq!(sorted.next().unwrap().unwrap(), "a\nb\n");
        /// ```
        pub fn scratch_dir(self) -> Self {
            self.scratch_dir_in(std::env::temp_dir())
        }

        /// The same within this directory, which must exist.
        ///
        /// ```
        /// # psmith::init();
        /// let parent = |_: ()| psmith::cx().unwrap().scratch_dir().unwrap().parent().unwrap().to_owned();
        /// let got = psmith::map([()], parent).scratch_dir_in(std::env::temp_dir()).next().unwrap().unwrap();
        /// assert!(got.starts_with(std::env::temp_dir()));
        /// ```
        pub fn scratch_dir_in(mut self, dir: impl Into<std::path::PathBuf>) -> Self {
            self.$($options).+.scratch = Some(dir.into());
            self
        }

        /// Limits of each job's memory, CPU time, files and processes. The kernel counts for processes, so each job then
        /// has one of its own; with [`isolation`](Self::isolation) called afterwards, workers may be shared, and the
        /// limits are of a worker, from its start to its end.
        ///
        /// What cannot be held here is an error when the run begins. A single job may have other limits
        /// ([`Job::limits`](crate::Job::limits)).
        ///
        /// ```
        /// # psmith::init();
        /// use psmith::ResourceLimits;
        /// let limits = ResourceLimits::new().open_files(64);
        /// let open = |_: ()| (0..100).map_while(|_| std::fs::File::open("/dev/null").ok()).collect::<Vec<_>>().len();
        /// assert!(psmith::map([()], open).limits(limits).next().unwrap().unwrap() < 64);
        /// ```
        pub fn limits(mut self, limits: $crate::ResourceLimits) -> Self {
            self.$($options).+.limits = Some(limits);
            self.$($options).+.isolation = $crate::Isolation::PerJob;
            self
        }

        /// Has this board show what the jobs of the run are at. Inline there is nothing to be seen.
        ///
        /// ```
        /// # psmith::init();
        /// use psmith::board::JobBoard;
        /// let jobs = JobBoard::new();
        /// assert_eq!(psmith::map(0..3, |n: u32| n).board(&jobs).filter(Result::is_ok).count(), 3);
        /// assert_eq!(jobs.snapshot().ok, 3);
        /// ```
        #[cfg(feature = "board")]
        pub fn board(mut self, board: &$crate::board::JobBoard) -> Self {
            self.$($options).+.board = Some(board.jobs());
            self
        }

        /// Has this board show the run in a browser. Inline there is nothing to be seen.
        #[cfg(feature = "web")]
        pub fn web(mut self, web: &$crate::web::Web) -> Self {
            self.$($options).+.web = Some(web.feed());
            self
        }

        /// Demands this level of containment, or a better one: without it the run does not start.
        ///
        /// ```
        /// # psmith::init();
        /// let double = |n: u32| 2 * n;
        /// let mut got = psmith::map([21], double).contain(psmith::Level::Group);
        /// assert_eq!(got.next().unwrap().unwrap(), 42);
        /// ```
        pub fn contain(mut self, level: $crate::Level) -> Self {
            self.$($options).+.contain = Some(level);
            self
        }
    };
}
pub(crate) use common_settings;

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
