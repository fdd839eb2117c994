//! The events that the pool receives: from the source of jobs, from workers, from their processes, from the user.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::time::Duration;

use super::WorkerKey;
use crate::JobId;
use crate::event::HoldReason;
use crate::outcome::{Cause, Exit, Usage};
use crate::policy::JobPolicy;

/// An event that the driver reports to the pool.
#[derive(Clone, Debug)]
pub enum PoolEvent {
    // From the source.
    /// A single job. Its number is the pool's [`next_job`](super::WorkerPool::next_job).
    Job {
        /// The position in the order of submission, from 0.
        index: u64,
        /// The policy that applies to it.
        policy: Arc<JobPolicy>,
        /// The place where it runs.
        placement: Placement,
        /// True if it was cancelled before it came here.
        cancelled: bool,
    },
    /// Short jobs, with indices in a row: as many as should go together become one batch, the others are queued here.
    Jobs {
        /// The jobs' indices.
        jobs: Range<u64>,
        /// The number of them, from the first on, that one message can carry.
        fit: u64,
        /// The number of jobs that wait outside.
        waiting: u64,
        /// The policy that applies to each.
        policy: Arc<JobPolicy>,
    },
    /// A request to accept jobs that are queued here: the first of
    /// [`next_returned`](super::WorkerPool::next_returned).
    Returned {
        /// The number of jobs that one message can carry, as in `Jobs`.
        fit: u64,
        /// The number of jobs that wait outside, as in `Jobs`.
        waiting: u64,
    },
    /// Short jobs that will not be begun, because an end of the run follows: they only need their outcomes.
    LastJobs {
        /// The jobs' indices.
        jobs: Range<u64>,
        /// The policy that applies to each.
        policy: Arc<JobPolicy>,
    },
    /// The source has no more jobs.
    SourceEnded,

    // From the processes of workers.
    /// The process of a worker is known.
    Process {
        /// The worker.
        worker: WorkerKey,
        /// The process id.
        pid: u32,
    },
    /// The resident memory of a worker, reported with its reply. Only where growth is limited.
    Resident {
        /// The worker.
        worker: WorkerKey,
        /// The size in bytes.
        bytes: u64,
    },
    /// The result of taking jobs back from a batch: the reply to
    /// [`PoolAction::TakeBack`](super::PoolAction::TakeBack).
    TakenBack {
        /// The worker.
        worker: WorkerKey,
        /// The number of jobs of the batch that the worker keeps.
        stay: u32,
        /// The number of results that it had finished by then.
        results: u32,
    },
    /// The process of a worker has ended, and all its messages have been received.
    Ended {
        /// The worker.
        worker: WorkerKey,
        /// The verdict that its process and its channel allow.
        verdict: Result<(), Cause>,
        /// The exit status, as the kernel reports it; `None`: it was not observed.
        exit: Option<Exit>,
        /// The resources used.
        usage: Usage,
        /// The progress of its batch.
        found: BatchProgress,
    },
    /// The warden that had forked a worker is gone, and so is the worker.
    Lost {
        /// The worker.
        worker: WorkerKey,
        /// The progress of its batch.
        found: BatchProgress,
    },

    // From the user and the machine.
    /// Starts nothing more, and lets the running jobs finish.
    Drain,
    /// Starts nothing more, and ends the running jobs by their ladder.
    Stop,
    /// Starts nothing more, and kills the running jobs now.
    Kill,
    /// Ends this job, wherever it is.
    Cancel(JobId),
    /// Ends this job now, with the worker that has it.
    KillNow(JobId),
    /// The number of workers from now on.
    Workers(u32),
    /// The number of jobs at once from now on, however many workers there are.
    Slots(u32),
    /// A reason to hold new starts begins or ends.
    Hold {
        /// The reason.
        reason: HoldReason,
        /// True if the reason begins, false if it ends.
        on: bool,
    },
}

/// The place where a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A worker for any number of jobs.
    Shared,
    /// A process of its own: a command, or a function with limits of its own.
    Alone,
    /// Refused: the job cannot be started. The driver itself reports the cause.
    Refused,
}

/// The progress of a worker in its batch, as found in the memory that it shared. Zeros for a worker without such
/// memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchProgress {
    /// Jobs begun.
    pub begun: u32,
    /// Results that are complete, from the first job on.
    pub results: u32,
}

/// A report of a worker about the jobs that it was given. Jobs are named by number: index plus 1.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerReport {
    /// The function of this job is called now.
    Began {
        /// The job's number.
        job: u64,
    },
    /// The job is over.
    Done {
        /// The job's number.
        job: u64,
        /// The verdict.
        verdict: Result<(), Cause>,
        /// The end of the run that its value requests, if any.
        ends: Option<RunEnd>,
    },
    /// The batch is over.
    BatchDone {
        /// The number of its first job.
        job: u64,
        /// The number of results that it claims to have left.
        values: u32,
        /// The number of these that are complete.
        whole: u32,
        /// The verdict on the job after them, if that job ended the batch.
        then: Option<Result<(), Cause>>,
        /// The time that all of it took.
        spent: Duration,
    },
}

/// An end of the run that a job's value decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// Starts nothing more.
    Drain,
    /// Starts nothing more, and ends the running jobs.
    Kill,
}

/// The treatment of a report that its worker may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The report is handled in the next turn.
    Kept,
    /// The worker was for this one job: the end of its process will be the attempt's.
    Final,
}

/// A protocol violation: a report that its worker may not make. A worker that makes one is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The worker began a job that it was not given.
    NotItsToBegin(u64),
    /// The worker replied for a job that it was not given.
    NotItsToAnswer(u64),
    /// The worker replied for a batch again.
    Twice(u64),
    /// The worker replied for a batch that it was not given.
    NotItsBatch(u64),
    /// The worker replied for more jobs than its batch has.
    TooMany(u32),
    /// Results that the worker claims are missing.
    NotWhole {
        /// The number of results that it claims.
        values: u32,
        /// The number of results that are complete.
        whole: u32,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::NotItsToBegin(job) => write!(f, "it began job {job}, which it was not given"),
            Violation::NotItsToAnswer(job) => write!(f, "it answered for job {job}, which it was not given"),
            Violation::Twice(job) => write!(f, "it answered for a batch from job {job} on twice"),
            Violation::NotItsBatch(job) => {
                write!(f, "it answered for a batch from job {job} on, which it was not given")
            }
            Violation::TooMany(values) => {
                write!(f, "it answered for {values} jobs of a batch, and had others")
            }
            Violation::NotWhole { values, whole } => {
                write!(f, "of {values} values in its memory {whole} are whole")
            }
        }
    }
}
