//! Settings of retries: how often, when and after which failures a job is tried again. Never retries a job itself: the
//! dispatcher does.

use std::time::Duration;

use psmith_core::outcome::CauseKind;
use psmith_core::policy::{Backoff, JobPolicy, RetryCause, RetryOn};

/// Settings of the retries of a failed job.
///
/// ```
/// # psmith::init();
/// use psmith::Retry;
/// use std::time::Duration;
///
/// # // proves: retries-apart
/// // Fails twice. A fresh process each time has no memory of that, but it knows which attempt it is.
/// let flaky = |_: ()| match psmith::cx().unwrap().attempt() {
///     3 => Ok("done".to_owned()),
///     attempt => Err(format!("attempt {attempt} failed")),
/// };
/// let retry = Retry::tries(3).backoff(Duration::from_millis(1), None);
/// let result = psmith::try_map([()], flaky).retry(retry).into_iter().next().unwrap();
/// assert_eq!(result.unwrap(), "done");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    tries: u32,
    crash_tries: u32,
    grow_memory_percent: u32,
    backoff: Backoff,
    on: RetryOn,
}

impl Retry {
    /// Allows this many tries in total: 1 is no retry. An attempt that was lost through no fault of the job is no try.
    ///
    /// ```
    /// # psmith::init();
    /// let flaky = |_: ()| if psmith::cx().unwrap().attempt() < 3 { Err("not yet") } else { Ok(()) };
    /// assert!(psmith::try_map([()], flaky).retry(psmith::Retry::tries(3)).into_iter().next().unwrap().is_ok());
    /// ```
    ///
    /// # Panics
    /// If `tries` is 0.
    #[must_use]
    pub fn tries(tries: u32) -> Retry {
        assert!(tries > 0, "a job that has no try cannot run: 1 is no retry");
        Retry {
            tries,
            crash_tries: 0,
            grow_memory_percent: 0,
            backoff: Backoff { first: Duration::ZERO, max: None },
            on: RetryOn::Any,
        }
    }

    /// Limits the tries that may end in a crash of the process ([`Cause::is_crash`](crate::Cause::is_crash)): a job
    /// that kills its worker is given up sooner than one that returns an error, and its failure records that it was
    /// given up though it had tries left ([`FailureDetails::quarantined`](crate::FailureDetails)). By default crashes
    /// count as errors do. A process that was lost through no fault of the job uses up neither.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Retry;
    ///
    /// let crash = |_: ()| -> u32 { std::process::abort() };
    /// let retry = Retry::tries(5).crash_tries(2);
    /// let failure = psmith::map([()], crash).retry(retry).into_iter().next().unwrap().unwrap_err();
    /// assert_eq!((failure.attempts, failure.quarantined), (2, true));
    /// ```
    ///
    /// # Panics
    /// If `tries` is 0.
    #[must_use]
    pub fn crash_tries(mut self, tries: u32) -> Retry {
        assert!(tries > 0, "a job must be allowed to crash once: 1 is no retry after a crash");
        self.crash_tries = tries;
        self
    }

    /// Multiplies the memory limit by this factor, such as 2.0, after an attempt that ran out of memory
    /// ([`Cause::OutOfMemory`](crate::Cause::OutOfMemory)). Takes effect where [`limits`](crate::Map::limits) bound
    /// memory, a control group enforces them, and each attempt has a process of its own; elsewhere the limit stays.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{ResourceLimits, Retry};
    ///
    /// let fill = |mib: usize| std::hint::black_box(vec![1_u8; mib << 20]).len();
    /// let limits = ResourceLimits::new().memory(64 << 20);
    /// let retry = Retry::tries(4).grow_memory(2.0);
    /// let filled = psmith::map([100], fill).limits(limits).retry(retry).into_iter().next().unwrap();
    /// # // Without control groups no limit grows.
    /// # let filled = filled.or_else(|end| matches!(end.cause, psmith::Cause::OutOfMemory { .. }).then_some(0).map_or(Ok(100 << 20), |_| Err(end)));
    /// assert!(filled.is_ok_and(|bytes| bytes == 100 << 20));
    /// ```
    ///
    /// # Panics
    /// If `factor` is less than 1 or more than 1,000.
    #[must_use]
    pub fn grow_memory(mut self, factor: f64) -> Retry {
        assert!(
            (1.0..=1000.0).contains(&factor),
            "a retry has as much memory, or more: {factor} times cannot be"
        );
        // Rounded and in range, so the cast only drops a zero fraction.
        self.grow_memory_percent = (factor * 100.0).round() as u32;
        self
    }

    /// Waits before each retry: `first`, and with a `max` doubled each time up to it, with some jitter. A job that
    /// waits holds no slot.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Retry;
    /// use std::time::{Duration, Instant};
    ///
    /// let fail = |_: ()| -> Result<(), &str> { Err("still not") };
    /// let pause = Duration::from_millis(20);
    /// let began = Instant::now();
    /// let retry = Retry::tries(3).backoff(pause, Some(pause));
    /// assert_eq!(psmith::try_map([()], fail).retry(retry).into_iter().next().unwrap().unwrap_err().attempts, 3);
    /// // Jitter only adds to a pause.
    /// assert!(began.elapsed() >= 2 * pause);
    /// ```
    #[must_use]
    pub fn backoff(mut self, first: Duration, max: Option<Duration>) -> Retry {
        self.backoff = Backoff { first, max };
        self
    }

    /// Restricts retries to failures of these kinds.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{CauseKind, Retry};
    ///
    /// let fail = |_: ()| -> Result<(), &str> { Err("wrong by itself") };
    /// let retry = Retry::tries(5).only_on(&[CauseKind::Signal, CauseKind::Timeout]);
    /// assert_eq!(psmith::try_map([()], fail).retry(retry).into_iter().next().unwrap().unwrap_err().attempts, 1);
    /// ```
    #[must_use]
    pub fn only_on(mut self, kinds: &[CauseKind]) -> Retry {
        self.on = RetryOn::Only(kinds.iter().map(|kind| RetryCause::Kind(*kind)).collect());
        self
    }

    /// The number of tries that a job has.
    pub(crate) fn number(&self) -> u32 {
        self.tries
    }

    pub(crate) fn set_in(&self, policy: &mut JobPolicy) {
        policy.tries = self.tries;
        policy.crash_tries = self.crash_tries;
        policy.grow_memory_percent = self.grow_memory_percent;
        policy.backoff = self.backoff;
        policy.retry_on = self.on.clone();
    }
}

impl Default for Retry {
    fn default() -> Retry {
        Retry::tries(1)
    }
}
