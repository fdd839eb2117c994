//! The reason for which a job of a pool or scheduler does not run. Reads the state, and changes nothing.

use std::fmt;

use crate::pool::completion::CompletionSlot;
use crate::pool::handle::JobHandle;
use crate::pool::shared::{PoolShared, PoolState};

/// The state of a job and, if it does not run, the reason: returned by [`JobHandle::explain`]. As text it is a
/// sentence's end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PendingReason {
    /// The job has its outcome.
    Ended,
    /// The job's process was started: this one, the last if there were several.
    Started {
        /// The process.
        pid: u32,
    },
    /// The [`SpawnStrategy`](crate::SpawnStrategy) let nothing more start when it was asked last.
    Refused {
        /// The strategy, as its `Debug` shows it.
        strategy: String,
        /// The number of jobs that run. With none, it is not asked again before another job is handed in.
        running: usize,
        /// The number of jobs that were handed in before it and wait, too.
        ahead: usize,
    },
    /// The pool is paused ([`Pool::pause`](crate::Pool::pause)).
    Paused {
        /// The number of jobs that were handed in before it and wait, too.
        ahead: usize,
    },
    /// The job waits for its turn: for a worker, or for the back-off after a failed attempt.
    Waiting {
        /// The number of jobs that run.
        running: usize,
        /// The number of jobs that were handed in before it and wait, too.
        ahead: usize,
    },
}

impl fmt::Display for PendingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PendingReason::Ended => write!(f, "has ended"),
            PendingReason::Started { pid } => write!(f, "was started as process {pid}"),
            PendingReason::Refused { strategy, running: 0, ahead } => write!(
                f,
                "waits behind {ahead}: the strategy {strategy} lets none start although none runs; it is asked again \
                 when another job is handed in"
            ),
            PendingReason::Refused { strategy, running, ahead } => {
                write!(
                    f,
                    "waits behind {ahead}: the strategy {strategy} lets none start beside the {running} running"
                )
            }
            PendingReason::Paused { ahead } => write!(f, "waits behind {ahead}: starts are paused"),
            PendingReason::Waiting { running, ahead } => {
                write!(f, "waits behind {ahead} for its turn: {running} running")
            }
        }
    }
}

impl<R> JobHandle<R> {
    /// Returns the state of the job just now and, if it does not run, the reason. Takes time in proportion to the
    /// number of jobs that wait.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Scheduler, SpawnStrategy, PendingReason};
    ///
    /// #[derive(Debug)]
    /// struct Never;
    /// impl SpawnStrategy for Never {
    ///     fn should_spawn(&self, _running: usize) -> bool { false }
    /// }
    /// let scheduler = Scheduler::with_strategy(Never);
    /// let job = scheduler.schedule(Job::new(|n: u32| n, 1)).unwrap();
    /// let why = job.explain();
    /// assert_eq!(why, PendingReason::Refused { strategy: "Never".into(), running: 0, ahead: 0 });
    /// assert!(why.to_string().contains("the strategy Never lets none start although none runs"));
    /// # drop(scheduler.stop());
    /// ```
    #[must_use]
    pub fn explain(&self) -> PendingReason {
        self.shared.explain(&self.completion)
    }
}

impl PoolShared {
    fn explain(&self, completion: &CompletionSlot) -> PendingReason {
        if !self.is_ours() || completion.is_filled() {
            return PendingReason::Ended;
        }
        if let Some(pid) = completion.pid() {
            return PendingReason::Started { pid };
        }
        let state = self.lock();
        let running = state.running();
        let kept = state.held_back.iter().position(|(index, _)| *index == completion.index);
        let before = state.completions.iter().take_while(|(index, _)| *index < completion.index);
        let ahead = before.filter(|(_, before)| before.pid().is_none()).count();
        match (kept, &self.strategy) {
            _ if state.paused => PendingReason::Paused { ahead },
            (Some(_), Some(strategy)) if state.refused => {
                PendingReason::Refused { strategy: format!("{strategy:?}"), running, ahead }
            }
            _ => PendingReason::Waiting { running, ahead },
        }
    }
}

impl PoolState {
    fn running(&self) -> usize {
        self.completions.values().filter(|completion| completion.pid().is_some()).count()
    }
}
