//! The pool's entry of a worker: passive, updated by the pool, decides nothing.

use core::time::Duration;

use super::PoolPolicy;
use super::event::RunEnd;
use crate::outcome::Cause;
use crate::{AttemptId, Time};

/// A worker between its start and its end.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) stage: WorkerStage,
    /// The process id; 0: the event of its process has not come.
    pub(super) pid: u32,
    /// The number of jobs that it has been given.
    pub(super) jobs: u64,
    /// True if it can be given batches.
    pub(super) batches: bool,
    /// True if it serves one attempt alone.
    pub(super) alone: bool,
    /// The resident memory after its first job, and after its last.
    pub(super) resident_first: Option<u64>,
    pub(super) resident: Option<u64>,
    /// True if it is being ended: it gets no further job.
    pub(super) terminating: bool,
    /// True if an earlier job of it has broken the protocol: the job that it has now ends with it, and is not to
    /// blame.
    pub(super) violated: bool,
    /// The time at which it was given the job, or batch, that it had last.
    pub(super) given: Time,
    /// The reply for what it has; it is handled in the next turn.
    pub(super) reply: Option<Reply>,
}

/// The stage of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerStage {
    /// The worker has not introduced itself.
    Starting,
    /// The worker has been waiting for a job since this time.
    Idle(Time),
    /// The worker was given a job. `began`: it has reported that it calls the function.
    Busy { attempt: AttemptId, began: bool },
    /// The worker was asked to leave; it must be gone by this time.
    Leaving(Time),
}

/// A reply that has been checked.
#[derive(Debug)]
pub(super) enum Reply {
    Single {
        verdict: Result<(), Cause>,
        ends: Option<RunEnd>,
    },
    Batch {
        /// The number of jobs that have results, with those that were taken before.
        results: u32,
        /// True if no job of it was taken back.
        is_whole: bool,
        then: Option<Result<(), Cause>>,
        spent: Duration,
    },
}

impl Worker {
    pub(super) fn new(stage: WorkerStage) -> Worker {
        Worker {
            stage,
            pid: 0,
            jobs: 0,
            batches: false,
            alone: false,
            resident_first: None,
            resident: None,
            terminating: false,
            violated: false,
            given: Time::ZERO,
            reply: None,
        }
    }

    /// Returns the attempt that it was given, if there is one.
    pub(super) fn attempt(&self) -> Option<AttemptId> {
        match self.stage {
            WorkerStage::Busy { attempt, .. } => Some(attempt),
            WorkerStage::Starting | WorkerStage::Idle(_) | WorkerStage::Leaving(_) => None,
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.stage, WorkerStage::Leaving(_))
    }

    /// Returns whether it has done enough, and another is to take its place.
    pub(super) fn is_spent(&mut self, policy: &PoolPolicy) -> bool {
        let has_grown = match (policy.max_rss_growth, self.resident) {
            (Some(most), Some(now)) => now > self.resident_first.get_or_insert(now).saturating_add(most),
            // A figure that is not known is no reason.
            (Some(_), None) | (None, _) => false,
        };
        has_grown || policy.max_jobs.is_some_and(|most| self.jobs >= most)
    }
}
