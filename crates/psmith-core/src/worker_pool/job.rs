//! A dispatcher's job as the pool sees it: one job of the user's, or several short ones.

use alloc::sync::Arc;
use core::ops::Range;

use super::WorkerKey;
use super::event::Placement;
use crate::policy::JobPolicy;
use crate::{SlotId, Time};

/// What the dispatcher knows by one number.
#[derive(Debug)]
pub(super) struct PoolJob {
    /// The jobs it stands for that have no outcome, by index.
    pub(super) jobs: Range<u64>,
    /// It stands for several, or did.
    pub(super) batch: Option<Batch>,
    pub(super) policy: Arc<JobPolicy>,
    pub(super) placement: Placement,
    pub(super) cancelled: bool,
    /// The dispatcher was told that the attempt has a process.
    pub(super) has_process: bool,
    /// How often its worker ended before it called the function.
    pub(super) returns: u32,
    pub(super) slot: SlotId,
    pub(super) worker: Option<WorkerKey>,
}

/// Several jobs, as a worker was given them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    /// The index of the first.
    pub(super) first: u64,
    /// So many results were taken.
    pub(super) results: u32,
    /// When it was given to the worker; `None` once it gave the rest back, or is over.
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

    /// The number by which a worker knows it: that of its first job.
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
