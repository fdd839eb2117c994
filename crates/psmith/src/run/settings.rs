//! The settings that are the same in every face: each is written, documented and shown once, here. Never applies them.
//!
//! A new one is a method of [`Options`] and a line in the list of [`settings`] below it; a face that cannot serve it
//! lists it in [`face`](crate::run::face).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::job::retry::Retry;
use crate::job::run_summary::LogLevel;
use crate::run::options::{Isolation, Logger, OnError, Options, Output};
use psmith_engine::containment::Containment;
use psmith_engine::function::shared_value::SharedValue;
use psmith_engine::limits::ResourceLimits;

impl Options {
    /// Sets how many jobs run at once. Where the table of [`Options`] says *processors*, the default is one for each
    /// that this process may use, or the number in `PSMITH_WORKERS`; in a job of another run it is that run's workers,
    /// shared with it: all of them together never do more jobs at once than the outermost run has workers. A number
    /// that is set here holds in a job, too.
    ///
    /// 0: inline, in the caller's own thread: no process, no encoding, and so no timeouts, no retries and no isolation.
    /// That is for [`map`](crate::map()), [`each`](crate::each()), [`any`](crate::any()), [`all`](crate::all()) and
    /// [`map_until`](crate::map_until); elsewhere 0 counts as 1.
    ///
    /// ```
    /// # psmith::init();
    /// # // proves: cap-on-workers, run-inline
    /// // For a debugger: the job runs in this very process.
    /// let own = |()| std::process::id();
    /// let here = psmith::map([()], own).workers(0).into_iter().next().unwrap();
    /// assert_eq!(here.unwrap(), std::process::id());
    /// ```
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Limits the inputs that are taken from the source, or the jobs taken in, whose outcomes have not been handed out
    /// (at least 1). The default is 16 more than the workers, or twice as many; [`map`](crate::map()) of very short
    /// jobs takes as many ahead as last for some milliseconds, at most 32,768.
    ///
    /// ```
    /// # psmith::init();
    /// use std::cell::Cell;
    /// let taken = Cell::new(0);
    /// let endless = (0_u32..).inspect(|_| taken.set(taken.get() + 1));
    /// let mut answers = psmith::map(endless, |n: u32| n).workers(1).window(3).into_iter();
    /// assert_eq!(answers.next().unwrap().unwrap(), 0);
    /// // The one that was handed out, and three more at most.
    /// assert!(taken.get() <= 4);
    /// ```
    pub fn window(mut self, jobs: u32) -> Self {
        self.window = Some(jobs.max(1));
        self
    }

    /// Sets whether jobs share processes.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Isolation;
    /// let pids = psmith::map(0..3, |_: u32| std::process::id()).workers(1).isolation(Isolation::PerJob);
    /// let pids: std::collections::BTreeSet<u32> = pids.map(Result::unwrap).collect();
    /// assert_eq!(pids.len(), 3);
    /// ```
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// Replaces each worker after this many jobs (at least 1). Has no effect where each job has a worker of its own.
    ///
    /// ```
    /// # psmith::init();
    /// # // proves: reused-workers
    /// # use std::collections::BTreeSet;
    /// let pid = |_: u32| std::process::id();
    /// let pids = psmith::map(0..6, pid).workers(1).max_jobs(2).map(Result::unwrap);
    /// assert_eq!(pids.collect::<BTreeSet<u32>>().len(), 3);
    /// ```
    pub fn max_jobs(mut self, jobs: u64) -> Self {
        self.recycle.max_jobs = Some(jobs.max(1));
        self
    }

    /// Replaces a worker that, after a job, holds this many bytes more of resident memory than after its first. Has no
    /// effect where each job has a worker of its own.
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
        self.recycle.max_rss_growth = Some(bytes);
        self
    }

    /// Ends a worker that has had no job for this long. By default idle workers stay. Has no effect where each job has
    /// a worker of its own.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).idle(std::time::Duration::from_secs(60)).build().unwrap();
    /// assert_eq!(pool.submit(Job::new(|n: u32| n, 1)).unwrap().wait().unwrap(), 1);
    /// ```
    pub fn idle(mut self, limit: Duration) -> Self {
        self.recycle.idle = Some(limit);
        self
    }

    /// Ends an attempt that runs longer: its process and all that it started. The clock starts with the attempt.
    ///
    /// ```
    /// # psmith::init();
    /// # // proves: timeouts-and-grace
    /// use psmith::Cause;
    /// use std::time::Duration;
    /// let hang = |()| -> () { loop { std::thread::park() } };
    /// let limit = Duration::from_millis(200);
    /// let failure = psmith::map([()], hang).timeout(limit).into_iter().next().unwrap().unwrap_err();
    /// assert!(matches!(failure.cause, Cause::Timeout { .. }));
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Ends an attempt that gives no sign of life for this long ([`Cause::Idle`](crate::Cause::Idle)): its process and
    /// all that it started. Signs of life are output on its standard streams, and calls of [`cx`](crate::cx()):
    /// progress, messages, [`Cx::heartbeat`](crate::Cx::heartbeat). The clock starts with the attempt, and is stopped
    /// while this program does not take the messages and the progress of its jobs.
    ///
    /// ```
    /// # psmith::init();
    /// use std::time::Duration;
    /// # // proves: idle-watchdog
    /// let limit = Duration::from_millis(300);
    /// let hang = |_: ()| -> () { loop { std::thread::park() } };
    /// let failure = psmith::map([()], hang).idle_timeout(limit).into_iter().last().unwrap().unwrap_err();
    /// assert_eq!(failure.cause, psmith::Cause::Idle(limit));
    /// ```
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = Some(limit);
        self
    }

    /// Sets the time between asking a job to stop and killing it; the default is 2 s.
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
    /// let ends = psmith::map([()], tidy).timeout(limit).grace(Duration::from_secs(60));
    /// assert_eq!(ends.into_iter().next().unwrap().unwrap_err().stderr_tail, b"tidied up");
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Ends the run that takes longer than this: jobs that run are asked to stop, jobs that wait are cancelled. A pool,
    /// a scheduler or a process manager counts from its beginning, and takes no more jobs then. Like all clocks, this
    /// one is stopped while the program is suspended by the terminal, if it has a
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
    pub fn total_timeout(mut self, limit: Duration) -> Self {
        self.total_timeout = Some(limit);
        self
    }

    /// Sets how often a failed job is tried again.
    ///
    /// ```
    /// # psmith::init();
    /// let flaky = |_: ()| match psmith::cx().unwrap().attempt() {
    ///     1 => Err("not yet"),
    ///     attempt => Ok(attempt),
    /// };
    /// let ends = psmith::try_map([()], flaky).retry(psmith::Retry::tries(2));
    /// assert_eq!(ends.into_iter().next().unwrap().unwrap(), 2);
    /// ```
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Sets the treatment of the other jobs when one has failed for good.
    ///
    /// ```
    /// # psmith::init();
    /// let fail = |n: u32| if n == 0 { Err("nought") } else { Ok(n) };
    /// let ends = psmith::try_map(0..100, fail).workers(1).on_error(psmith::OnError::Stop);
    /// assert_eq!(ends.count(), 1);
    /// ```
    pub fn on_error(mut self, then: OnError) -> Self {
        self.on_error = Some(then);
        self
    }

    /// Breaks the circuit when this many different jobs have crashed ([`Cause::is_crash`](crate::Cause::is_crash)) and
    /// no attempt ended otherwise meanwhile: then the jobs are not to blame, and no more are started. Jobs that run may
    /// finish; jobs that were not started fail with [`Cause::CircuitBroken`](crate::Cause::CircuitBroken), and a pool
    /// is over: it refuses further jobs as [`Refusal::CircuitBroken`](crate::Refusal::CircuitBroken). By default, or
    /// with 0, the circuit never breaks.
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
        self.breaker = jobs;
        self
    }

    /// Gives all jobs this value to share: a model, a configuration, a dictionary. It is encoded once, at this call, by the
    /// default codec; it reaches each worker once, before its first job, also one that replaces another; and it is lent
    /// to jobs, by [`with_shared`](crate::with_shared), or to a function beside its item ([`map_with`](crate::map_with),
    /// [`Job::lent`](crate::Job::lent)). What a job needs for itself alone is a part of its item.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool, with_shared};
    /// use std::collections::HashMap;
    ///
    /// let prices = HashMap::from([("tea".to_owned(), 3_u32), ("cake".to_owned(), 5)]);
    /// let pool = Pool::builder().workers(2).share(&prices).build().unwrap();
    /// let price = |(name, count): (String, u32)| with_shared(|prices: &HashMap<String, u32>| prices[&name] * count);
    /// let handle = pool.submit(Job::new(price, ("cake".to_owned(), 2))).unwrap();
    /// assert_eq!(handle.wait().unwrap(), Some(10));
    /// ```
    pub fn share(mut self, value: &(impl Serialize + DeserializeOwned + 'static)) -> Self {
        self.shared = Some(SharedValue::new(value));
        self
    }

    /// Sets where the standard output and error of jobs go.
    ///
    /// ```
    /// # psmith::init();
    /// let loud = |n: u32| { println!("not seen"); n };
    /// assert_eq!(psmith::map([1], loud).output(psmith::Output::Discard).into_iter().next().unwrap().unwrap(), 1);
    /// ```
    pub fn output(mut self, output: Output) -> Self {
        (self.output, self.is_output_given) = (output, true);
        self
    }

    /// Limits how much of a job's output is kept until its outcome, in bytes of each stream; the default is 1 GiB. What
    /// a job writes beyond that is lost, and told: on standard error or to the logger, by the job's failure
    /// ([`lost_output`](crate::FailureDetails::lost_output)) and by the [`RunSummary`](crate::RunSummary). The standard
    /// output of a command is its value: for that [`max_message_bytes`](Self::max_message_bytes) counts.
    ///
    /// ```
    /// # psmith::init();
    /// let loud = |_: ()| Err::<(), _>({ eprint!("{}", "x".repeat(1_000)); "failed" });
    /// let ends = psmith::try_map([()], loud).max_output_bytes(100);
    /// assert_eq!(ends.into_iter().next().unwrap().unwrap_err().lost_output.clone().unwrap().stderr_bytes, 900);
    /// ```
    pub fn max_output_bytes(mut self, bytes: u64) -> Self {
        self.output_bytes_max = bytes;
        self
    }

    /// Limits an input, a result or a message, in encoded bytes; the default is 1 GiB. A longer one is the failure of
    /// its job. The result of a command is its standard output.
    ///
    /// ```
    /// # psmith::init();
    /// # // proves: large-values
    /// let twice = |text: String| text.repeat(2);
    /// let texts = ["a".repeat(400), "a".repeat(4_000)];
    /// let ends: Vec<bool> = psmith::map(texts, twice).max_message_bytes(4_096).map(|end| end.is_ok()).collect();
    /// assert_eq!(ends, [true, false]);
    /// ```
    pub fn max_message_bytes(mut self, bytes: u64) -> Self {
        self.frame_bytes_max = bytes;
        self
    }

    /// Lets each attempt have a directory of its own: a function by [`Cx::scratch_dir`](crate::Cx::scratch_dir), a
    /// command by the variable `PSMITH_SCRATCH`. No other user can enter it (mode 0700) or guess its name. It is
    /// removed with all its contents before the outcome is handed out, whatever that is; if this program is killed, the
    /// warden removes it. The directories lie in the system's directory for temporary files (`TMPDIR`); see
    /// [`scratch_dir_in`](Self::scratch_dir_in).
    ///
    /// ```
    /// # psmith::init();
    /// # // proves: scratch-directories
    /// let sort = |lines: String| -> std::io::Result<String> {
    ///     let dir = psmith::cx().expect("inside a job").scratch_dir()?;
    ///     std::fs::write(dir.join("lines"), lines)?;
    ///     let sorted = std::process::Command::new("sort").arg("lines").current_dir(&dir).output()?;
    ///     Ok(String::from_utf8_lossy(&sorted.stdout).into_owned())
    /// };
    /// let sorted = psmith::try_map(["b\na\n".to_owned()], sort).scratch_dir();
    /// assert_eq!(sorted.into_iter().next().unwrap().unwrap(), "a\nb\n");
    /// ```
    pub fn scratch_dir(self) -> Self {
        self.scratch_dir_in(std::env::temp_dir())
    }

    /// Lets each attempt have a directory of its own, as [`scratch_dir`](Self::scratch_dir) does, within this
    /// directory, which must exist.
    ///
    /// ```
    /// # psmith::init();
    /// let parent = |_: ()| psmith::cx().unwrap().scratch_dir().unwrap().parent().unwrap().to_owned();
    /// let got = psmith::map([()], parent).scratch_dir_in(std::env::temp_dir()).into_iter().next().unwrap().unwrap();
    /// assert!(got.starts_with(std::env::temp_dir()));
    /// ```
    pub fn scratch_dir_in(mut self, dir: impl Into<PathBuf>) -> Self {
        self.scratch = Some(dir.into());
        self
    }

    /// Limits each job's memory, CPU time, files and processes. The kernel counts for processes, so each job then has
    /// one of its own; with [`isolation`](Self::isolation) called afterwards, workers may be shared, and the limits are
    /// those of a worker, from its start to its end.
    ///
    /// A limit that cannot be enforced on this machine is an error when the run begins. A single job may have other
    /// limits ([`Job::limits`](crate::Job::limits)).
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::ResourceLimits;
    /// let limits = ResourceLimits::new().open_files(64);
    /// let open = |_: ()| (0..100).map_while(|_| std::fs::File::open("/dev/null").ok()).collect::<Vec<_>>().len();
    /// assert!(psmith::map([()], open).limits(limits).into_iter().next().unwrap().unwrap() < 64);
    /// ```
    pub fn limits(mut self, limits: ResourceLimits) -> Self {
        self.limits = Some(limits);
        self.isolation = Some(Isolation::PerJob);
        self
    }

    /// Shows the jobs of the run on this board. Inline there is nothing to show.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::board::JobBoard;
    /// let jobs = JobBoard::new();
    /// assert_eq!(psmith::map(0..3, |n: u32| n).board(&jobs).into_iter().filter(Result::is_ok).count(), 3);
    /// assert_eq!(jobs.snapshot().ok, 3);
    /// ```
    #[cfg(feature = "board")]
    pub fn board(mut self, board: &crate::observe::job_board::JobBoard) -> Self {
        self.board = Some(board.jobs());
        self
    }

    /// Shows the run on this board in a browser. Inline there is nothing to show.
    #[cfg(feature = "web")]
    pub fn web(mut self, web: &psmith_report::web::Web) -> Self {
        self.web = Some(web.feed());
        self
    }

    /// Demands this level of containment, or a better one: without it the run does not start.
    ///
    /// ```
    /// # psmith::init();
    /// let double = |n: u32| 2 * n;
    /// let got = psmith::map([21], double).contain(psmith::Containment::Group);
    /// assert_eq!(got.into_iter().next().unwrap().unwrap(), 42);
    /// ```
    pub fn contain(mut self, level: Containment) -> Self {
        self.contain = Some(level);
        self
    }

    /// Sets a logger, which receives a line about the end of each job, on a thread of psmith's; also of jobs whose
    /// handle was dropped. A [`Supervisor`](crate::Supervisor) logs the processes that ended, and when they are started
    /// again.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// use std::sync::mpsc;
    /// let (teller, lines) = mpsc::channel();
    /// let logger = move |_, line: std::fmt::Arguments<'_>| teller.send(line.to_string()).unwrap();
    /// let pool = Pool::builder().workers(1).logger(logger).build().unwrap();
    /// let _handle = pool.submit(Job::new(|n: u32| n, 1)).unwrap();
    /// assert_eq!(lines.recv().unwrap(), "job #1 succeeded");
    /// ```
    pub fn logger(mut self, logger: impl FnMut(LogLevel, fmt::Arguments<'_>) + Send + 'static) -> Self {
        self.logger = Some(Logger::new(logger));
        self
    }
}

/// The settings as methods of a face, which keeps its [`Options`] at this path. A face with a logger of another kind
/// has all but that one.
macro_rules! settings {
    ($($path:ident).+) => {
        $crate::run::settings::settings!(but_logger: $($path).+);
        $crate::run::settings::settings!(each: ($($path).+)
            logger(logger: impl FnMut($crate::job::run_summary::LogLevel, std::fmt::Arguments<'_>) + Send + 'static);
        );
    };
    (but_logger: $($path:ident).+) => {
        /// Takes all of these settings, in place of those that were set before. Settings that they leave out are this
        /// face's defaults; see [`Options`](crate::Options).
        pub fn options(mut self, options: $crate::run::options::Options) -> Self {
            self.$($path).+.replace(options);
            self
        }

        $crate::run::settings::settings!(each: ($($path).+)
            workers(workers: u32);
            window(jobs: u32);
            isolation(isolation: $crate::run::options::Isolation);
            max_jobs(jobs: u64);
            max_rss_growth(bytes: u64);
            idle(limit: std::time::Duration);
            timeout(limit: std::time::Duration);
            idle_timeout(limit: std::time::Duration);
            grace(grace: std::time::Duration);
            total_timeout(limit: std::time::Duration);
            retry(retry: $crate::job::retry::Retry);
            on_error(then: $crate::run::options::OnError);
            breaker(jobs: u32);
            share(value: &(impl serde::Serialize + serde::de::DeserializeOwned + 'static));
            output(output: $crate::run::options::Output);
            max_output_bytes(bytes: u64);
            max_message_bytes(bytes: u64);
            scratch_dir();
            scratch_dir_in(dir: impl Into<std::path::PathBuf>);
            limits(limits: psmith_engine::limits::ResourceLimits);
            contain(level: psmith_engine::containment::Containment);
            #[cfg(feature = "board")]
            board(board: &$crate::observe::job_board::JobBoard);
            #[cfg(feature = "web")]
            web(web: &psmith_report::web::Web);
        );
    };
    (each: $path:tt $($(#[$cfg:meta])* $name:ident($($arg:ident: $type:ty)?);)+) => {
        $($crate::run::settings::settings!(one: $path $(#[$cfg])* $name $($arg: $type)?);)+
    };
    (one: ($($path:ident).+) $(#[$cfg:meta])* $name:ident $($arg:ident: $type:ty)?) => {
        #[doc = concat!("See [`Options::", stringify!($name), "`](crate::Options::", stringify!($name), ").")]
        $(#[$cfg])*
        pub fn $name(mut self $(, $arg: $type)?) -> Self {
            let options = std::mem::take(&mut self.$($path).+);
            self.$($path).+ = options.$name($($arg)?);
            self
        }
    };
}
pub(crate) use settings;
