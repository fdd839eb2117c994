//! The user's settings, as the core needs to know them.

use alloc::vec::Vec;
use core::time::Duration;

use crate::outcome::{CauseKind, Limits};

/// The time for which descendants may outlive their job, and its output stay open, before that is a leak.
pub const LEAK_GRACE: Duration = Duration::from_millis(100);

/// The time from the kill to the conclusion that a process cannot be killed.
pub const UNKILLABLE_AFTER: Duration = Duration::from_secs(10);

/// The number of attempts lost in a row after which a job ends as lost.
pub const LOST_MAX: u32 = 3;

/// The number of starts refused in a row, with nothing else running, after which a job ends because its start fails.
pub const REFUSED_MAX: u32 = 8;

/// The distance of the hard limit of CPU time, at which the kernel kills, from the soft one, at which it sends
/// `SIGXCPU`.
pub const CPU_TIME_HARD_AFTER: Duration = Duration::from_secs(1);

/// The wait between terminate and kill where nothing else was asked for.
pub const GRACE: Duration = Duration::from_secs(2);

/// The policy of the whole run.
#[derive(Clone, Debug)]
pub struct RunPolicy {
    /// The maximum number of attempts that run at once; at least 1.
    pub slots: u32,
    /// The maximum number of jobs that are ended but not delivered; beyond it starts are held. Also the maximum number
    /// of jobs that may wait for a back-off before the source is no longer read, so that failing jobs do not pile up
    /// without end.
    pub window: u32,
    /// The order in which outcomes are delivered.
    pub order: Order,
    /// The maximum number of accepted jobs that wait without a slot before the source is no longer read.
    pub queue_max: usize,
    /// The condition to stop early.
    pub halt: Halt,
    /// The number of different jobs that must have crashed ([`Cause::is_crash`](crate::Cause::is_crash)), without an
    /// attempt that came to any other end of its own meanwhile, before no more are started: whatever is run here
    /// crashes. 0: never.
    pub breaker: u32,
    /// The minimum time between two starts (`--delay`, or the reciprocal of `--rate`).
    pub start_gap: Duration,
    /// The time after which a running job is reported as slow, once an attempt.
    pub slow: Option<Duration>,
    /// Seed of the jitter.
    pub seed: u64,
}

/// The two orders of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Delivery in the order in which jobs end.
    Completion,
    /// Delivery in the order in which jobs were accepted.
    Submission,
}

/// The condition on which a run stops early.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Halt {
    /// Never.
    Never,
    /// Halts as soon as `count` of `what` is reached.
    When {
        /// The kind of final outcome that is counted.
        what: HaltOn,
        /// The count that halts the run.
        count: HaltCount,
        /// The reaction to it.
        mode: HaltMode,
    },
}

/// The kind of outcome that a halt policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HaltOn {
    /// Failed jobs.
    Fail,
    /// Jobs that succeeded.
    Success,
    /// Jobs with an outcome.
    Done,
}

/// The count that halts a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HaltCount {
    /// The number of outcomes.
    Number(u64),
    /// The share (0 to 100) of the total if it is known, else of the finished, from three on.
    Percent(f64),
}

/// The effect of a halt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HaltMode {
    /// Starts nothing more, and lets the running attempts finish.
    Soon,
    /// Starts nothing more, and terminates the running attempts.
    Now,
}

/// The policy of a job. Jobs of a run usually share one.
#[derive(Clone, Debug)]
pub struct JobPolicy {
    /// The time that an attempt may run.
    pub timeout: Timeout,
    /// The time that an attempt may go without a sign of life; `None`: no limit. Its clock starts with the attempt,
    /// and anew with each [`Event::Beat`](crate::Event::Beat).
    pub idle: Option<Duration>,
    /// Total tries: 1 is no retry, 0 is no limit.
    pub tries: u32,
    /// The maximum number of tries that end in a crash ([`Cause::is_crash`](crate::Cause::is_crash)); 0: as many as
    /// there are tries.
    pub crash_tries: u32,
    /// The memory limit of a try after one that ran out of memory, in percent of that one's limit; up to 100: the same
    /// limit.
    pub grow_memory_percent: u32,
    /// Pause before a retry.
    pub backoff: Backoff,
    /// The failures that are tried again.
    pub retry_on: RetryOn,
    /// The ladder by which an attempt is ended.
    pub term_seq: TermSeq,
    /// The treatment of descendants that outlive their job.
    pub leak: Leak,
    /// Limits in force, which a cause may have to report.
    pub limits: Limits,
}

/// The time that an attempt may run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Timeout {
    /// Unlimited.
    Never,
    /// The maximum time.
    After(Duration),
    /// A percentage of the median time of successful attempts, from the third success on: computed when an attempt
    /// starts, and, for attempts that are running at the third success, then.
    PercentOfMedian(f64),
}

/// The pause before a retry: `first`, doubled each time up to `max`, with a jitter of a quarter if `max` is given.
///
/// The jitter is added after the bound, so a pause may be up to a quarter longer than `max`: without it, jobs that
/// failed together would be retried together again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause; `None`: the pause is never doubled, and has no jitter.
    pub max: Option<Duration>,
}

/// The failures that are tried again. `Lost` always is, and is not charged; a permanent spawn failure never is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// Any failure but `Cancelled`.
    Any,
    /// The listed causes only.
    Only(Vec<RetryCause>),
}

/// An entry of `--retry-on`.
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

/// A step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermStep {
    /// The signal's number.
    pub signal: i32,
    /// The time to wait for the end before the next step.
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
    /// Creates a ladder of these steps; a kill is added if it does not end in one.
    #[must_use]
    pub fn new(mut steps: Vec<TermStep>) -> TermSeq {
        if steps.last().is_none_or(|step| step.signal != SIGKILL) {
            steps.push(TermStep { signal: SIGKILL, wait: Duration::from_millis(25) });
        }
        TermSeq { steps }
    }

    /// Creates the ladder: terminate, wait for `grace`, kill.
    #[must_use]
    pub fn with_grace(grace: Duration) -> TermSeq {
        TermSeq::new(alloc::vec![TermStep { signal: SIGTERM, wait: grace }])
    }

    /// Returns the steps, the last of which kills.
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

/// The treatment of descendants that are alive [`LEAK_GRACE`] after their job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// Kills them; the job keeps its outcome.
    Kill,
    /// Kills them, and the job fails as leaked (unless it had failed anyway).
    Fail,
    /// Waits for them: the job ends when the last of them does.
    Wait,
    /// Releases them: they no longer belong to the job, but still to the run, at whose end they are killed.
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
