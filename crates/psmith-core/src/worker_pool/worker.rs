//! One worker, as the pool sees it: passive, told what happened, decides nothing.

use core::time::Duration;

use super::PoolPolicy;
use super::event::RunEnd;
use crate::outcome::Cause;
use crate::{AttemptId, Time};

/// A worker between its start and its end.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) stage: WorkerStage,
    /// 0: news of its process have not come.
    pub(super) pid: u32,
    /// Jobs that it has been given.
    pub(super) jobs: u64,
    /// It can be given batches.
    pub(super) batches: bool,
    /// It is there for one attempt alone.
    pub(super) alone: bool,
    /// Its resident memory after its first job, and after its last.
    pub(super) resident_first: Option<u64>,
    pub(super) resident: Option<u64>,
    /// It is being ended: no further job for it.
    pub(super) terminating: bool,
    /// An earlier job of it has broken the protocol: the one that it has now goes with it, and is not to blame.
    pub(super) violated: bool,
    /// When it was given the job, or batch, that it had last.
    pub(super) given: Time,
    /// It has answered for what it has; that is dealt with in the next turn.
    pub(super) answer: Option<Reply>,
}

/// What a worker is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerStage {
    /// It has not introduced itself.
    Starting,
    /// It waits for a job, since then.
    Idle(Time),
    /// It was given a job. `began`: it has said that it calls the function.
    Busy { attempt: AttemptId, began: bool },
    /// It was told that there are no more jobs; by then it must be gone.
    Leaving(Time),
}

/// An answer that has been checked.
#[derive(Debug)]
pub(super) enum Reply {
    Single {
        verdict: Result<(), Cause>,
        ends: Option<RunEnd>,
    },
    Batch {
        /// How many jobs have results, with those that were taken before.
        results: u32,
        /// Nothing of it was taken back.
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
            answer: None,
        }
    }

    /// The attempt that it was given, if there is one.
    pub(super) fn attempt(&self) -> Option<AttemptId> {
        match self.stage {
            WorkerStage::Busy { attempt, .. } => Some(attempt),
            WorkerStage::Starting | WorkerStage::Idle(_) | WorkerStage::Leaving(_) => None,
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.stage, WorkerStage::Leaving(_))
    }

    /// Whether it has done enough, and another is to take its place.
    pub(super) fn is_spent(&mut self, policy: &PoolPolicy) -> bool {
        let has_grown = match (policy.max_rss_growth, self.resident) {
            (Some(most), Some(now)) => now > self.resident_first.get_or_insert(now).saturating_add(most),
            // What cannot be told is no reason.
            (Some(_), None) | (None, _) => false,
        };
        has_grown || policy.max_jobs.is_some_and(|most| self.jobs >= most)
    }
}
