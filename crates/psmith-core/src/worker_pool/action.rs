//! Everything the pool asks of its driver.

use alloc::boxed::Box;
use core::ops::Range;

use super::WorkerKey;
use crate::outcome::{Cause, Outcome};
use crate::{AttemptId, JobId, SlotId};

/// One thing to do, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum PoolAction {
    // To workers.
    /// There is something to [`pull`](super::WorkerPool::pull), or there never will be again.
    Pull,
    /// Send these jobs to this worker, which is idle. Several are a batch.
    Give {
        /// To whom.
        worker: WorkerKey,
        /// By which attempt of the (first) job.
        attempt: AttemptId,
        /// In which slot.
        slot: SlotId,
        /// Their indices.
        jobs: Range<u64>,
    },
    /// Take from this worker's batch what is not begun, but for one. Answer:
    /// [`PoolEvent::TakenBack`](super::PoolEvent::TakenBack).
    TakeBack(WorkerKey),
    /// Tell this worker that there are no more jobs.
    Leave(WorkerKey),
    /// End this worker by its ladder, or forget that it was to be started.
    Cancel(WorkerKey),
    /// Kill this worker with all that it started.
    Kill(WorkerKey),
    /// Nothing more will be asked of this worker.
    Gone(WorkerKey),

    // About jobs.
    /// An attempt at a single job begins; it may have to wait for a worker.
    Attempt {
        /// Which.
        attempt: AttemptId,
        /// Where.
        slot: SlotId,
    },
    /// What was one of several jobs is now this dispatcher's job alone: at once, or because something befell it in its
    /// batch. Then the worker that had it is named.
    Single {
        /// Its number.
        job: JobId,
        /// Its index.
        index: u64,
        /// Who had it.
        worker: Option<WorkerKey>,
    },
    /// What this worker wrote since its last job is this job's.
    Output {
        /// Whose.
        worker: WorkerKey,
        /// For which job.
        job: JobId,
    },
    /// These jobs have succeeded, by the results that this worker left and that were not taken yet.
    Results {
        /// Whose results.
        worker: WorkerKey,
        /// The jobs' indices.
        jobs: Range<u64>,
    },
    /// The last attempt at this job counts for nothing: drop what it brought.
    Discard(JobId),
    /// There will be another attempt at this job.
    Retry(JobId),
    /// These jobs have their outcome: keep it until `Deliver`.
    End {
        /// The dispatcher's job.
        job: JobId,
        /// The jobs that it stands for.
        jobs: Range<u64>,
        /// How each ended.
        outcome: Box<Outcome>,
    },
    /// Hand these jobs' outcome to the consumer; where the pool keeps the order, not before `HandOut`.
    Deliver {
        /// The dispatcher's job.
        job: JobId,
        /// The jobs that it stands for.
        jobs: Range<u64>,
    },
    /// It is the turn of the outcomes of these jobs, which came by `Results` and `Deliver`. Only where the pool keeps the
    /// order.
    HandOut(Range<u64>),

    // About the run.
    /// So many processes are to have room.
    Room(u32),
    /// Nothing but crashes: no more starts.
    Broken {
        /// So many jobs have crashed in a row.
        jobs: u32,
    },
    /// The run cannot go on: no worker ever comes.
    GiveUp {
        /// So many starts in a row that failed.
        failures: u32,
        /// The last.
        cause: Cause,
    },
    /// Every job has been delivered and there will be no more. Workers leave.
    Finish,
}

/// What the driver is to start next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToStart {
    /// A worker that stays.
    Worker(WorkerKey),
    /// A process for this attempt alone, and its limit of memory.
    Alone {
        /// What it is called.
        worker: WorkerKey,
        /// For what.
        attempt: AttemptId,
        /// In bytes.
        memory_bytes: Option<u64>,
    },
}
