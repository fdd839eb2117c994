//! The settings that hold for all jobs of a run, the same in every face. Never starts anything.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use psmith_core::outcome::Limits;
use psmith_core::policy::{
    Halt, HaltCount, HaltMode, HaltOn, JobPolicy, Leak, Order, RunPolicy, SIGTERM, TermSeq, TermStep, Timeout,
};

use crate::job::retry::Retry;
use crate::job::run_summary::LogLevel;
use crate::observe::observer::Observer;
use crate::run::face;
use crate::run::face::Face;
use crate::run::listening::Listening;
use psmith_engine::EngineError;
use psmith_engine::channel::frame::FRAME_BYTES_MAX;
use psmith_engine::containment::Containment;
use psmith_engine::function::first_call::FirstCall;
use psmith_engine::function::shared_value::SharedValue;
use psmith_engine::limits::ResourceLimits;

/// Sharing of processes between jobs.
///
/// ```
/// # psmith::init();
/// # // proves: process-a-job
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
    /// A fresh process for each job: nothing of a job is seen by the next. It has the environment and the working directory
    /// that this program had when the job was handed in, as a command has.
    PerJob,
    /// Reused workers, which do one job after the other, each with the environment and the working directory that this
    /// program had when it was started: what a job leaves in the program's own memory (statics,
    /// threads) is seen by the next one there. A change in the process is not: after each job, or after each
    /// batch of short ones, the working directory, the umask and the signal mask are restored, and where the
    /// environment, the niceness, a resource limit or one of the standard streams has changed, the worker is replaced.
    /// Changes by the pool's [`init`](crate::PoolBuilder::init) or [`worker_setup`](crate::Init::worker_setup) stay. A
    /// worker is replaced after a crash, a panic, a timeout or a cancel, and where the settings ask for it; only the
    /// job that it had fails, and no job that has finished is run again for it. C code that has spoilt memory without
    /// crashing may crash a later job: use [`PerJob`](Isolation::PerJob) there.
    #[default]
    Reuse,
}

/// Treatment of the other jobs when one has failed for good.
///
/// ```
/// # psmith::init();
/// use psmith::OnError;
///
/// # // proves: policy-at-failure
/// let check = |n: u32| if n == 3 { Err("three") } else { Ok(n) };
/// // One at a time: nothing is started after the failure.
/// let got: Vec<_> = psmith::try_map(0..100, check).workers(1).on_error(OnError::Stop).collect();
/// assert_eq!(got.len(), 4);
/// assert_eq!(got[3].as_ref().unwrap_err().index, 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Goes on with the other jobs.
    Continue,
    /// Starts no more jobs; those that run may finish.
    Stop,
    /// Starts no more jobs; those that run are killed.
    Kill,
}

/// Destination of the standard output and error of jobs.
///
/// The standard output of a command is its value, wherever else its output goes; where the command failed it is output
/// like any other. Output that could not be kept or passed on is told ([`LostOutput`](crate::LostOutput)).
///
/// ```
/// # psmith::init();
/// let loud = |_: ()| -> u32 { eprintln!("no idea"); std::process::exit(3) };
/// let quiet = psmith::map([()], loud).output(psmith::Output::Discard);
/// let failure = quiet.into_iter().last().unwrap().unwrap_err();
/// assert_eq!(failure.stderr_tail, b"no idea\n");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Output {
    /// Passes output on to the streams of this program, job by job, when the job's outcome is handed out: the lines of
    /// two jobs never mix. Until then it is kept, up to [`max_output_bytes`](Options::max_output_bytes).
    #[default]
    Whole,
    /// Passes output on while jobs run, line by line, each after the job's name (`worker 1: `, `item 3: `). Output of an
    /// attempt that is tried again is passed on, too. A job's last line is written before its outcome is handed out.
    ///
    /// ```
    /// # psmith::init();
    /// let step = |n: u32| { println!("done"); n };
    /// // Prints "item 0: done" as soon as that is so.
    /// assert_eq!(psmith::map([5], step).output(psmith::Output::Lines).into_iter().next().unwrap().unwrap(), 5);
    /// ```
    Lines,
    /// Passes output on as [`Whole`](Output::Whole) does, but only that of jobs that failed.
    ///
    /// ```
    /// # psmith::init();
    /// let job = |n: u32| { print!("{n} "); if n == 2 { Err("two") } else { Ok(n) } };
    /// // Only "2 " comes out.
    /// let ends = psmith::try_map(1..=3, job).output(psmith::Output::OnFailure);
    /// let ok = ends.into_iter().filter(Result::is_ok).count();
    /// assert_eq!(ok, 2);
    /// ```
    OnFailure,
    /// Gives jobs the streams of this program themselves: terminals stay terminals, and nothing of it is seen or kept,
    /// not even the end of standard error.
    ///
    /// ```
    /// # psmith::init();
    /// use std::io::IsTerminal;
    /// let ask = |_: ()| std::io::stdout().is_terminal();
    /// let same = psmith::map([()], ask).output(psmith::Output::Inherit).into_iter().next().unwrap().unwrap();
    /// assert_eq!(same, std::io::stdout().is_terminal());
    /// ```
    Inherit,
    /// Keeps the last so many bytes of each stream for a failure
    /// ([`stdout_tail`](crate::FailureDetails::stdout_tail), [`stderr_tail`](crate::FailureDetails::stderr_tail)), and
    /// passes nothing on.
    ///
    /// ```
    /// # psmith::init();
    /// let loud = |_: ()| Err::<(), _>({ println!("one two"); "failed" });
    /// let failure = psmith::try_map([()], loud).output(psmith::Output::Keep(4)).into_iter().next().unwrap().unwrap_err();
    /// assert_eq!(failure.stdout_tail, b"two\n");
    /// ```
    Keep(usize),
    /// Discards output. (The end of standard error is still kept for a failure.)
    Discard,
}

/// The default of [`Options::max_output_bytes`].
const OUTPUT_BYTES_MAX: u64 = 1 << 30;

type Log = dyn FnMut(LogLevel, fmt::Arguments<'_>) + Send;

/// Receiver of log lines, which several threads may write.
#[derive(Clone)]
pub(crate) struct Logger(Arc<Mutex<Log>>);

impl Logger {
    pub(crate) fn new(log: impl FnMut(LogLevel, fmt::Arguments<'_>) + Send + 'static) -> Logger {
        Logger(Arc::new(Mutex::new(log)))
    }

    pub(crate) fn log(&self, level: LogLevel, line: fmt::Arguments<'_>) {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))(level, line);
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logger")
    }
}

/// Limits at which a worker is replaced although nothing is wrong with it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecyclePolicy {
    pub(crate) max_jobs: Option<u64>,
    pub(crate) max_rss_growth: Option<u64>,
    pub(crate) idle: Option<Duration>,
}

/// Settings for all jobs of a run, which every face takes by the same names, as one value.
///
/// A face takes it whole by its method `options`, or each setting by itself. A setting that is not given is the face's
/// own default:
///
/// | face | workers | window | isolation | after a failure | does not serve |
/// |---|---|---|---|---|---|
/// | `map` | processors | twice the workers, or 16 more | `Reuse` | `Continue` | `logger` |
/// | `run_jobs` | processors | twice the workers, or 16 more | `Reuse` | `Continue` | `logger` |
/// | `each`, `any`, `all`, `map_until` | processors | twice the workers, or 16 more | `Reuse` | `Stop` | `logger` |
/// | `Server` | 4 | twice the workers, or 16 more | `PerJob` | `Continue` | nothing |
/// | `Pool` | processors | twice the workers, or 16 more | `Reuse` | `Continue` | nothing |
/// | `run_workers` | given with it | one for each | `PerJob` | `Continue` | `workers`, `window`, `isolation`, `logger` |
/// | `Scheduler` | as its strategy lets | no bound | `PerJob` | `Continue` | `workers`, `window`, `isolation` |
/// | `ProcessManager` | no bound | no bound | `PerJob` | `Continue` | `workers`, `window`, `isolation` |
/// | `Supervisor` | given with it | no bound | `PerJob` | `Continue` | `workers`, `window`, `isolation`, `total_timeout`, `retry`, `on_error`, `breaker` |
///
/// The others are the same everywhere: a grace of 2 s, output passed on job by job (of `Supervisor` and `run_workers`
/// line by line), 1 GiB for a value and for the output of a job, one try, no limits, no breaker. A setting that a face does not serve is an [`EngineError::Setting`] when the face begins;
/// [`Isolation::PerJob`] is not refused where each job has a process of its own anyway. The tasks of `run_tasks` are of
/// this process, begin at the call, and take no settings.
///
/// ```
/// # psmith::init();
/// use psmith::{Job, Options, Output, Pool, Retry};
/// use std::time::Duration;
///
/// let strict = Options::new().timeout(Duration::from_secs(10)).retry(Retry::tries(2)).output(Output::Discard);
/// let doubled = psmith::map([1, 2], |n: u32| n * 2).options(strict.clone()).workers(1);
/// assert_eq!(doubled.map(Result::unwrap).sum::<u32>(), 6);
/// let pool = Pool::builder().options(strict).build().unwrap();
/// assert_eq!(pool.submit(Job::new(|n: u32| n + 1, 1)).unwrap().wait().unwrap(), 2);
/// ```
#[derive(Clone, Debug)]
#[must_use = "settings do nothing before a face has them"]
pub struct Options {
    pub(crate) workers: Option<u32>,
    pub(crate) window: Option<u32>,
    pub(crate) isolation: Option<Isolation>,
    pub(crate) order: Order,
    pub(crate) on_error: Option<OnError>,
    pub(crate) breaker: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) retry: Option<Retry>,
    pub(crate) output: Output,
    /// False: it is the face's own default.
    pub(crate) is_output_given: bool,
    /// The most bytes of each stream of a job that are kept until its outcome.
    pub(crate) output_bytes_max: u64,
    pub(crate) frame_bytes_max: u64,
    /// The directory in which jobs have directories.
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) contain: Option<Containment>,
    pub(crate) limits: Option<ResourceLimits>,
    /// The limits among them that causes may have to name, once it is known how they are enforced.
    pub(crate) named: Limits,
    pub(crate) recycle: RecyclePolicy,
    /// The functions that make and end the state of a worker.
    pub(crate) state: Vec<FirstCall>,
    /// The value that all jobs share, or why there is none.
    pub(crate) shared: Option<Result<SharedValue, String>>,
    /// The signal that asks a job to stop.
    pub(crate) stop_signal: i32,
    pub(crate) logger: Option<Logger>,
    /// The functions that receive what running jobs say, of faces that have handles.
    pub(crate) listening: Listening,
    /// The board of jobs that observes.
    #[cfg(feature = "board")]
    pub(crate) board: Option<Arc<crate::observe::terminal::BoardJobs>>,
    /// The web board that observes.
    #[cfg(feature = "web")]
    pub(crate) web: Option<Arc<psmith_report::web::Feed>>,
    /// The face that these settings are for.
    pub(crate) face: Face,
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

impl Options {
    /// Makes settings of which none is given: all are their face's defaults.
    ///
    /// ```
    /// # psmith::init();
    /// let numbers = psmith::map(0..3, |n: u32| n).options(psmith::Options::new());
    /// assert_eq!(numbers.count(), 3);
    /// ```
    pub fn new() -> Options {
        Options::of(face::MAP)
    }

    /// Makes the settings of a face, of which none is given yet.
    pub(crate) fn of(face: Face) -> Options {
        Options {
            workers: None,
            window: None,
            isolation: None,
            order: face.order,
            on_error: None,
            breaker: 0,
            timeout: None,
            idle_timeout: None,
            grace: psmith_core::policy::GRACE,
            total_timeout: None,
            retry: None,
            output: face.output,
            is_output_given: false,
            output_bytes_max: OUTPUT_BYTES_MAX,
            frame_bytes_max: FRAME_BYTES_MAX,
            scratch: None,
            contain: None,
            limits: None,
            named: Limits::default(),
            recycle: RecyclePolicy::default(),
            state: Vec::new(),
            shared: None,
            stop_signal: SIGTERM,
            logger: None,
            listening: Listening::default(),
            #[cfg(feature = "board")]
            board: None,
            #[cfg(feature = "web")]
            web: None,
            face,
        }
    }

    /// Replaces the settings by these. Settings that a face sets itself, or takes by methods of its own, stay.
    pub(crate) fn replace(&mut self, options: Options) {
        let Options { order, state, stop_signal, listening, face, shared, .. } = std::mem::take(self);
        // That of `map_with` stays where the settings have none.
        let shared = options.shared.clone().or(shared);
        let output = if options.is_output_given { options.output } else { face.output };
        *self = Options { order, state, stop_signal, listening, face, shared, output, ..options };
    }

    /// Returns what each worker calls before its first job.
    pub(crate) fn first_calls(&self) -> Result<Vec<FirstCall>, EngineError> {
        let refused = |of: &str, reason: &str| Err(EngineError::Setting(format!("{of}: {reason}")));
        let mut calls = Vec::new();
        match psmith_engine::entry::set_up() {
            None => {}
            Some(Ok(call)) => calls.push(call),
            Some(Err(reason)) => return refused("worker_setup", &reason),
        }
        match &self.shared {
            None => {}
            Some(Ok(shared)) => calls.push(shared.call.clone()),
            Some(Err(reason)) => return refused("the value that jobs share", reason),
        }
        calls.extend(self.state.iter().cloned());
        // The head of the frame takes some bytes, too.
        let bytes_max = self.frame_bytes_max.saturating_sub(256);
        match calls.iter().map(FirstCall::bytes).find(|bytes| *bytes > bytes_max) {
            None => Ok(calls),
            Some(bytes) => refused(
                "a value that workers are given at their start",
                &format!(
                    "{bytes} bytes are more than the limit of {} (max_message_bytes)",
                    self.frame_bytes_max
                ),
            ),
        }
    }

    /// Refuses a setting that the face does not serve.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        let face = self.face;
        let is_asked_for = |setting: &str| match setting {
            "workers" => self.workers.is_some(),
            "window" => self.window.is_some(),
            // The other one is the face's own isolation.
            "isolation" => self.isolation.is_some_and(|isolation| isolation != face.isolation),
            "total_timeout" => self.total_timeout.is_some(),
            "retry" => self.retry.is_some(),
            "on_error" => self.on_error.is_some(),
            "breaker" => self.breaker > 0,
            "logger" => self.logger.is_some(),
            _ => true,
        };
        match face.unserved.iter().find(|setting| is_asked_for(setting)) {
            Some(setting) => Err(EngineError::Setting(format!("{} does not serve `{setting}`", face.name))),
            None => Ok(()),
        }
    }

    /// Returns the number of workers that the caller, or the face, asked for.
    pub(crate) fn asked_workers(&self) -> Option<u32> {
        self.workers.or(self.face.workers)
    }

    pub(crate) fn isolation_in_force(&self) -> Isolation {
        self.isolation.unwrap_or(self.face.isolation)
    }

    pub(crate) fn after_error(&self) -> OnError {
        self.on_error.unwrap_or(self.face.on_error)
    }

    /// Returns whether each job is told by itself: an observer wants its events, or its output is passed on at once.
    pub(crate) fn is_watched(&self) -> bool {
        #[cfg(feature = "board")]
        if self.board.is_some() {
            return true;
        }
        #[cfg(feature = "web")]
        if self.web.is_some() {
            return true;
        }
        self.output == Output::Lines
    }

    /// Makes the observers of a run with this many workers, and this many jobs if that is known. Called before the run
    /// counts the descriptors that its jobs may have.
    #[cfg_attr(not(feature = "board"), expect(clippy::unused_self, reason = "there is nobody"))]
    #[cfg_attr(not(feature = "web"), expect(unused_variables, reason = "only the web board asks for it all"))]
    pub(crate) fn observers(&self, workers: u32, total: Option<u64>) -> Vec<Box<dyn Observer>> {
        #[cfg_attr(not(feature = "board"), expect(unused_mut, reason = "there is nobody"))]
        let mut observers: Vec<Box<dyn Observer>> = Vec::new();
        #[cfg(feature = "board")]
        observers.extend(
            self.board.as_ref().map(|jobs| crate::observe::terminal::observe_board(Arc::clone(jobs), total)),
        );
        #[cfg(feature = "web")]
        observers.extend(
            self.web.as_ref().map(|feed| crate::observe::web::observe_web(Arc::clone(feed), workers, total)),
        );
        observers
    }

    /// Returns the number of workers: as asked for, by the environment, or one for each processor that this process may
    /// use.
    pub(crate) fn workers_in_force(&self) -> Result<u32, String> {
        match self.asked_workers() {
            Some(workers) => Ok(workers),
            None => crate::run::worker_budget::workers()
                .map_or_else(|| default_workers(std::env::var_os(WORKERS_VARIABLE)), Ok),
        }
    }

    /// Returns how many jobs may be pulled from the source and not handed out.
    pub(crate) fn window_in_force(&self, workers: u32) -> u32 {
        self.window
            .or(self.face.window)
            .unwrap_or(workers.saturating_mul(2).max(workers.saturating_add(16)))
            .max(1)
    }

    pub(crate) fn run_policy(&self, workers: u32) -> RunPolicy {
        let window = self.window_in_force(workers);
        let halt = |mode| Halt::When { what: HaltOn::Fail, count: HaltCount::Number(1), mode };
        RunPolicy {
            slots: workers,
            window,
            order: self.order,
            // Submitted jobs have been counted against the window already.
            queue_max: window as usize,
            halt: match self.after_error() {
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
        self.retry.clone().unwrap_or_default().set_in(&mut policy);
        Arc::new(policy)
    }
}

/// The environment variable with the number of workers where the program gives none.
pub(crate) const WORKERS_VARIABLE: &str = "PSMITH_WORKERS";

fn default_workers(asked: Option<std::ffi::OsString>) -> Result<u32, String> {
    let Some(asked) = asked else {
        // This counts the process's affinity and the quota of its control group.
        let found = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        return Ok(u32::try_from(found).unwrap_or(u32::MAX));
    };
    let number = asked.to_str().and_then(|text| text.trim().parse::<u32>().ok()).filter(|number| *number > 0);
    number.ok_or_else(|| {
        format!("{WORKERS_VARIABLE}={} is no number of workers (1 or more)", asked.to_string_lossy())
    })
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
