//! The actions that the pool asks its driver to carry out.

use alloc::boxed::Box;
use core::ops::Range;

use super::WorkerKey;
use crate::outcome::{Cause, Outcome};
use crate::{AttemptId, JobId, SlotId};

/// An action for the driver; actions are carried out in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum PoolAction {
    // To workers.
    /// Calls [`pull`](super::WorkerPool::pull): there is something to start, or there never will be again.
    Pull,
    /// Sends these jobs to this worker, which is idle. Several jobs are a batch.
    Give {
        /// The worker.
        worker: WorkerKey,
        /// The attempt of the (first) job.
        attempt: AttemptId,
        /// The slot.
        slot: SlotId,
        /// The jobs' indices.
        jobs: Range<u64>,
    },
    /// Takes from this worker's batch the jobs that are not begun, but for one. Reply:
    /// [`PoolEvent::TakenBack`](super::PoolEvent::TakenBack).
    TakeBack(WorkerKey),
    /// Tells this worker that there are no more jobs.
    Leave(WorkerKey),
    /// Ends this worker by its ladder, or drops the request to start it.
    Cancel(WorkerKey),
    /// Kills this worker with all that it started.
    Kill(WorkerKey),
    /// Releases this worker: no further action concerns it.
    Gone(WorkerKey),

    // About jobs.
    /// An attempt at a single job begins; it may have to wait for a worker.
    Attempt {
        /// The attempt.
        attempt: AttemptId,
        /// The slot.
        slot: SlotId,
    },
    /// A job that was one of several is now this dispatcher's job alone: at once, or because it did not plainly
    /// succeed in its batch. In the latter case the worker that had it is named.
    Single {
        /// The dispatcher's job.
        job: JobId,
        /// The job's index.
        index: u64,
        /// The worker that had it.
        worker: Option<WorkerKey>,
    },
    /// Assigns to this job the output that this worker wrote since its last job.
    Output {
        /// The worker.
        worker: WorkerKey,
        /// The job.
        job: JobId,
    },
    /// Takes the results that this worker left and that were not taken yet: these jobs have succeeded.
    Results {
        /// The worker.
        worker: WorkerKey,
        /// The jobs' indices.
        jobs: Range<u64>,
    },
    /// Drops the results and the output of this job's last attempt: it does not count.
    Discard(JobId),
    /// Another attempt at this job will follow.
    Retry(JobId),
    /// Gives these jobs their outcome, which the driver keeps until `Deliver`.
    End {
        /// The dispatcher's job.
        job: JobId,
        /// The jobs that it stands for.
        jobs: Range<u64>,
        /// The outcome of each of them.
        outcome: Box<Outcome>,
    },
    /// Hands these jobs' outcome to the consumer; where the pool keeps the order, not before `HandOut`.
    Deliver {
        /// The dispatcher's job.
        job: JobId,
        /// The jobs that it stands for.
        jobs: Range<u64>,
    },
    /// Hands out the outcomes of these jobs, which came by `Results` and `Deliver`: it is their turn. Only where the
    /// pool keeps the order.
    HandOut(Range<u64>),

    // About the run.
    /// Makes room for this number of processes.
    Room(u32),
    /// The circuit is broken, because there is nothing but crashes: nothing more is started.
    Broken {
        /// The number of jobs that have crashed in a row.
        jobs: u32,
    },
    /// The run cannot go on, because no worker ever comes.
    GiveUp {
        /// The number of starts that failed in a row.
        failures: u32,
        /// The cause of the last failure.
        cause: Cause,
    },
    /// Finishes the run: every job has been delivered and there will be no more. Workers leave.
    Finish,
}

/// The process that the driver is to start next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToStart {
    /// A worker for any number of jobs.
    Worker(WorkerKey),
    /// A process for this attempt alone, with its memory limit.
    Alone {
        /// The worker's key.
        worker: WorkerKey,
        /// The attempt.
        attempt: AttemptId,
        /// The memory limit in bytes.
        memory_bytes: Option<u64>,
    },
}
