//! The pool's entry of a dispatcher's job: one job of the user's, or several short ones. Decides nothing.

use alloc::sync::Arc;
use core::ops::Range;

use super::WorkerKey;
use super::event::Placement;
use crate::policy::JobPolicy;
use crate::{SlotId, Time};

/// The jobs of the user's that the dispatcher knows by one number.
#[derive(Debug)]
pub(super) struct PoolJob {
    /// The jobs that it stands for and that have no outcome, by index.
    pub(super) jobs: Range<u64>,
    /// The batch, if it stands for several jobs, or did.
    pub(super) batch: Option<Batch>,
    pub(super) policy: Arc<JobPolicy>,
    pub(super) placement: Placement,
    pub(super) cancelled: bool,
    /// True once the dispatcher was notified that the attempt has a process.
    pub(super) has_process: bool,
    /// The number of times that its worker ended before it called the function.
    pub(super) returns: u32,
    pub(super) slot: SlotId,
    pub(super) worker: Option<WorkerKey>,
}

/// The batch of jobs that was given to a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    /// The index of the first.
    pub(super) first: u64,
    /// The number of results that were taken.
    pub(super) results: u32,
    /// The time at which it was given to the worker; `None` once the rest was given back, or it is over.
    pub(super) given: Option<Time>,
}

impl Batch {
    pub(super) fn new(jobs: &Range<u64>) -> Batch {
        Batch { first: jobs.start, results: 0, given: None }
    }
}

impl PoolJob {
    pub(super) fn new(jobs: Range<u64>, policy: Arc<JobPolicy>, placement: Placement) -> PoolJob {
        PoolJob {
            batch: (length(&jobs) > 1).then(|| Batch::new(&jobs)),
            jobs,
            policy,
            placement,
            cancelled: false,
            has_process: false,
            returns: 0,
            slot: SlotId(0),
            worker: None,
        }
    }

    /// Returns the number by which a worker knows it: that of its first job.
    pub(super) fn number(&self) -> u64 {
        self.batch.map_or(self.jobs.start, |batch| batch.first) + 1
    }
}

pub(super) fn length(jobs: &Range<u64>) -> u64 {
    jobs.end - jobs.start
}

/// Takes the first `count` of them away (all, if there are fewer).
pub(super) fn split_to(jobs: &mut Range<u64>, count: u64) -> Range<u64> {
    let at = jobs.end.min(jobs.start.saturating_add(count));
    let first = jobs.start..at;
    jobs.start = at;
    first
}

/// Leaves the first `count` of them (all, if there are fewer) and takes the others.
pub(super) fn split_off(jobs: &mut Range<u64>, count: u64) -> Range<u64> {
    let first = split_to(jobs, count);
    core::mem::replace(jobs, first)
}
