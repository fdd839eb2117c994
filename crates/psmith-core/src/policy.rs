//! What the user asked for, as the core needs to know it.

use alloc::vec::Vec;
use core::time::Duration;

use crate::outcome::{CauseKind, Limits};

/// How long descendants may outlive their job, and its output stay open, before that is a leak.
pub const LEAK_GRACE: Duration = Duration::from_millis(100);

/// From the kill to the conclusion that a process cannot be killed.
pub const UNKILLABLE_AFTER: Duration = Duration::from_secs(10);

/// This many attempts in a row that were lost end a job as lost.
pub const LOST_MAX: u32 = 3;

/// A job whose start is refused this many times in a row, with nothing else running, could not be started.
pub const REFUSED_MAX: u32 = 8;

/// The hard limit of CPU time, where the kernel kills, lies this far beyond the soft one, where it says `SIGXCPU`.
pub const CPU_TIME_HARD_AFTER: Duration = Duration::from_secs(1);

/// Grace between terminate and kill where nothing else was asked for.
pub const GRACE: Duration = Duration::from_secs(2);

/// What holds for the whole run.
#[derive(Clone, Debug)]
pub struct RunPolicy {
    /// How many attempts may live at once; at least 1.
    pub slots: u32,
    /// At most so many jobs ended but not delivered; then starts are held. Also the most jobs that may wait for
    /// a back-off before the producer is no longer asked, so that failing jobs do not pile up without end.
    pub window: u32,
    /// In which order outcomes are delivered.
    pub order: Order,
    /// How many accepted jobs may wait without a slot before the producer is no longer asked.
    pub queue_max: usize,
    /// When to stop early.
    pub halt: Halt,
    /// When so many different jobs have crashed ([`Cause::is_crash`](crate::Cause::is_crash)) and no attempt came to any
    /// other end of its own meanwhile, no more are started: whatever is run here crashes. 0: never.
    pub breaker: u32,
    /// At least this much time between two starts (`--delay`, or the reciprocal of `--rate`).
    pub start_gap: Duration,
    /// A job that runs longer than this is named slow, once an attempt.
    pub slow: Option<Duration>,
    /// Seed of the jitter.
    pub seed: u64,
}

/// The two orders of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As jobs end.
    Completion,
    /// As jobs were accepted.
    Submission,
}

/// When a run stops early.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Halt {
    /// Never.
    Never,
    /// As soon as `count` of `what` is reached.
    When {
        /// What is counted, of final outcomes.
        what: HaltOn,
        /// How many.
        count: HaltCount,
        /// And what is done then.
        mode: HaltMode,
    },
}

/// What a halt policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HaltOn {
    /// Failed jobs.
    Fail,
    /// Jobs that succeeded.
    Success,
    /// Jobs with an outcome.
    Done,
}

/// How many it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HaltCount {
    /// This many.
    Number(u64),
    /// This share (0 to 100) of the total if it is known, else of the finished, from three on.
    Percent(f64),
}

/// What a halt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HaltMode {
    /// Start no more, let the running finish.
    Soon,
    /// Start no more, terminate the running.
    Now,
}

/// What holds for a job. Jobs of a run usually share one.
#[derive(Clone, Debug)]
pub struct JobPolicy {
    /// How long an attempt may run.
    pub timeout: Timeout,
    /// How long an attempt may give no sign of life; `None`: as long as it likes. Its clock starts with the attempt, and
    /// anew with each [`Event::Beat`](crate::Event::Beat).
    pub idle: Option<Duration>,
    /// Total tries: 1 is no retry, 0 is for ever.
    pub tries: u32,
    /// At most so many of the tries may end in a crash ([`Cause::is_crash`](crate::Cause::is_crash)); 0: as many as there are tries.
    pub crash_tries: u32,
    /// A try after one that ran out of memory has so many percent of its limit; up to 100: the same limit.
    pub grow_memory_percent: u32,
    /// Pause before a retry.
    pub backoff: Backoff,
    /// Which failures are tried again.
    pub retry_on: RetryOn,
    /// How an attempt is ended.
    pub term_seq: TermSeq,
    /// What becomes of descendants that outlive their job.
    pub leak: Leak,
    /// Limits in force, which a cause may have to name.
    pub limits: Limits,
}

/// How long an attempt may run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Timeout {
    /// As long as it likes.
    Never,
    /// At most this long.
    After(Duration),
    /// This percentage of the median time of successful attempts, from the third success on: computed when an
    /// attempt starts, and, for those that run at the third success, then.
    PercentOfMedian(f64),
}

/// The pause before a retry: `first`, doubled each time up to `max`, with a jitter of a quarter if `max` is given.
///
/// The jitter is added after the bound, so a pause may be up to a quarter longer than `max`: without it, jobs
/// that failed together would return together for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest one; `None`: it is never doubled, and has no jitter.
    pub max: Option<Duration>,
}

/// Which failures are tried again. `Lost` always is, and spends nothing; a permanent spawn failure never is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// Any failure but `Cancelled`.
    Any,
    /// Only these.
    Only(Vec<RetryCause>),
}

/// One entry of `--retry-on`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryCause {
    /// Any failure of this kind.
    Kind(CauseKind),
    /// Exits with one of these codes.
    ExitCodes(Vec<i32>),
}

/// The cancel ladder: signals to the whole tree, each followed by a wait. The last step is always a kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermSeq {
    steps: Vec<TermStep>,
}

/// One step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermStep {
    /// The signal's number.
    pub signal: i32,
    /// How long to wait for the end before the next step.
    pub wait: Duration,
}

/// The kernel's number of `SIGKILL`, the same on every Linux.
pub const SIGKILL: i32 = 9;
/// The kernel's number of `SIGTERM`, the same on every Linux.
pub const SIGTERM: i32 = 15;
/// The kernel's number of `SIGXCPU`, the same on every machine that psmith runs on.
pub(crate) const SIGXCPU: i32 = 24;
/// The kernel's number of `SIGXFSZ`, the same on every machine that psmith runs on.
pub(crate) const SIGXFSZ: i32 = 25;

impl TermSeq {
    /// A ladder of these steps; a kill is added if it does not end in one.
    #[must_use]
    pub fn new(mut steps: Vec<TermStep>) -> TermSeq {
        if steps.last().is_none_or(|step| step.signal != SIGKILL) {
            steps.push(TermStep { signal: SIGKILL, wait: Duration::from_millis(25) });
        }
        TermSeq { steps }
    }

    /// Terminate, wait for `grace`, kill.
    #[must_use]
    pub fn with_grace(grace: Duration) -> TermSeq {
        TermSeq::new(alloc::vec![TermStep { signal: SIGTERM, wait: grace }])
    }

    /// The steps, the last of which kills.
    #[must_use]
    pub fn steps(&self) -> &[TermStep] {
        &self.steps
    }
}

impl Default for TermSeq {
    fn default() -> TermSeq {
        TermSeq::with_grace(GRACE)
    }
}

/// What becomes of descendants that are alive [`LEAK_GRACE`] after their job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// They are killed; the job keeps its outcome.
    Kill,
    /// They are killed, and the job fails as leaked (unless it had failed anyway).
    Fail,
    /// The job ends when the last of them does.
    Wait,
    /// They are let go: no longer the job's, but still the run's.
    Allow,
}

impl Default for JobPolicy {
    fn default() -> JobPolicy {
        JobPolicy {
            timeout: Timeout::Never,
            idle: None,
            tries: 1,
            crash_tries: 0,
            grow_memory_percent: 0,
            backoff: Backoff { first: Duration::ZERO, max: None },
            retry_on: RetryOn::Any,
            term_seq: TermSeq::default(),
            leak: Leak::Kill,
            limits: Limits::default(),
        }
    }
}
