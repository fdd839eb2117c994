//! Strategies: the rules by which a scheduler may start another process. Start none themselves.

use std::fmt;

/// Decides whether a [`Scheduler`](crate::Scheduler) starts another job, given how many it has running. Asked when a
/// job is handed in and when one has ended; it must not block, and not use the scheduler. One that refuses while
/// nothing runs is not asked again before the next job is handed in; [`JobHandle::explain`](crate::JobHandle::explain)
/// shows that.
///
/// ```
/// # psmith::init();
/// # // proves: start-strategies
/// use psmith::{Job, Scheduler, SpawnStrategy};
///
/// #[derive(Debug)]
/// struct OneAtATime;
/// impl SpawnStrategy for OneAtATime {
///     fn should_spawn(&self, running: usize) -> bool { running == 0 }
/// }
/// let scheduler = Scheduler::with_strategy(OneAtATime);
/// let handles = [1, 2, 3].map(|n| scheduler.schedule(Job::new(|n: u32| n + 1, n)).unwrap());
/// assert_eq!(handles.map(|handle| handle.wait().unwrap()), [2, 3, 4]);
/// ```
pub trait SpawnStrategy: fmt::Debug + Send + Sync + 'static {
    /// Returns whether another job may be started while this number of jobs run.
    fn should_spawn(&self, running: usize) -> bool;

    /// Called when a job was started; `running` counts it.
    fn on_spawn(&self, running: usize) {
        let _ = running;
    }

    /// Called when a job has ended; `running` is the number of those that still run.
    fn on_exit(&self, running: usize) {
        let _ = running;
    }
}

/// Runs at most this number of jobs at once; 0 counts as 1. With `usize::MAX` all are started at once, within what the
/// machine's descriptors allow.
///
/// ```
/// use psmith::{SpawnStrategy, Throttled};
/// assert!(Throttled(4).should_spawn(3) && !Throttled(4).should_spawn(4));
/// assert!(Throttled(usize::MAX).should_spawn(1_000_000));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Throttled(pub usize);

impl SpawnStrategy for Throttled {
    fn should_spawn(&self, running: usize) -> bool {
        running < self.0.max(1)
    }
}

/// Runs at most this number of jobs for each processor that this process may use, and at least one in all.
///
/// ```
/// use psmith::{PerCore, SpawnStrategy};
/// assert!(PerCore(0.5).limit() >= 1 && PerCore(3.0).limit() >= 3);
/// assert!(!PerCore(3.0).should_spawn(PerCore(3.0).limit()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PerCore(pub f64);

impl PerCore {
    /// Returns the number of jobs in all.
    ///
    /// ```
    /// use psmith::PerCore;
    /// assert!(PerCore(2.0).limit() >= 2);
    /// assert_eq!(PerCore(0.0).limit(), 1, "one at least");
    /// ```
    #[must_use]
    pub fn limit(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // A conversion from a float saturates, and gives 0 for what is no number.
        ((cores as f64 * self.0) as usize).max(1)
    }
}

impl Default for PerCore {
    fn default() -> PerCore {
        PerCore(3.0)
    }
}

impl SpawnStrategy for PerCore {
    fn should_spawn(&self, running: usize) -> bool {
        running < self.limit()
    }
}
