//! Everything the pool hears: from the source of jobs, from workers, from their processes, from the user.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::time::Duration;

use super::WorkerKey;
use crate::JobId;
use crate::event::HoldReason;
use crate::outcome::{Cause, Exit, Usage};
use crate::policy::JobPolicy;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum PoolEvent {
    // From the source.
    /// A job that goes by itself. Its number is the pool's [`next_job`](super::WorkerPool::next_job).
    Job {
        /// Its place in the order of submission, from 0.
        index: u64,
        /// What holds for it.
        policy: Arc<JobPolicy>,
        /// Where it runs.
        placement: Placement,
        /// It was cancelled before it came here.
        cancelled: bool,
    },
    /// Short jobs, with indices in a row: as many as should go together become one batch, the others wait here.
    Jobs {
        /// Their indices.
        jobs: Range<u64>,
        /// How many of them, from the first on, one message can carry.
        fit: u64,
        /// How many more wait outside.
        waiting: u64,
        /// What holds for each.
        policy: Arc<JobPolicy>,
    },
    /// The same of the jobs that wait here: the first of [`next_returned`](super::WorkerPool::next_returned).
    Returned {
        /// As in `Jobs`.
        fit: u64,
        /// As in `Jobs`.
        waiting: u64,
    },
    /// Short jobs that nobody will begin, because an end of the run follows: they only need their outcomes.
    LastJobs {
        /// Their indices.
        jobs: Range<u64>,
        /// What holds for each.
        policy: Arc<JobPolicy>,
    },
    /// There will be no more jobs.
    SourceEnded,

    // From the processes of workers.
    /// The process of a worker is known.
    Process {
        /// Which.
        worker: WorkerKey,
        /// Its process id.
        pid: u32,
    },
    /// So much memory a worker holds, with its answer. Only where growth is limited.
    Resident {
        /// Which.
        worker: WorkerKey,
        /// In bytes.
        bytes: u64,
    },
    /// What was taken back from a batch: the answer to [`PoolAction::TakeBack`](super::PoolAction::TakeBack).
    TakenBack {
        /// Whose.
        worker: WorkerKey,
        /// How many jobs of the batch stay the worker's.
        stay: u32,
        /// What it had finished by then.
        results: u32,
    },
    /// The process of a worker is no more, and all it said has been heard.
    Ended {
        /// Which.
        worker: WorkerKey,
        /// How, as far as its process and its channel tell.
        verdict: Result<(), Cause>,
        /// How, as the kernel tells; `None`: nobody saw it.
        exit: Option<Exit>,
        /// What it used.
        usage: Usage,
        /// How far it was.
        found: BatchProgress,
    },
    /// The warden that had forked a worker is no more, nor is the worker.
    Lost {
        /// Which.
        worker: WorkerKey,
        /// How far it was.
        found: BatchProgress,
    },

    // From the user and the machine.
    /// Start no more, let the running finish.
    Drain,
    /// Start no more, end the running by their ladder.
    Stop,
    /// Start no more, kill the running now.
    Kill,
    /// End this job, wherever it is.
    Cancel(JobId),
    /// End this job now, with the worker that has it.
    KillNow(JobId),
    /// So many workers from now on.
    Workers(u32),
    /// So many jobs at once from now on, however many workers there are.
    Slots(u32),
    /// A reason to hold new starts begins or ends.
    Hold {
        /// Why.
        reason: HoldReason,
        /// Whether it begins.
        on: bool,
    },
}

/// Where a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In some worker that stays.
    Shared,
    /// In a process of its own: a command, or a function with limits of its own.
    Alone,
    /// Nowhere: it cannot be begun. Its own cause is the driver's to tell.
    Refused,
}

/// How far a worker was in what it was given, as found in the memory that it shared. A worker without such memory
/// leaves zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchProgress {
    /// Jobs begun.
    pub begun: u32,
    /// Results that are whole, of the first jobs on.
    pub results: u32,
}

/// What a worker says about the jobs that it was given. Jobs are named by number: index plus 1.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerReport {
    /// The function of this job is called now.
    Began {
        /// Which.
        job: u64,
    },
    /// The job is over.
    Done {
        /// Which.
        job: u64,
        /// How.
        verdict: Result<(), Cause>,
        /// What its value means for the run.
        ends: Option<RunEnd>,
    },
    /// The batch is over.
    BatchDone {
        /// Its first job.
        job: u64,
        /// How many results it claims to have left.
        values: u32,
        /// How many of these are whole.
        whole: u32,
        /// The job after them, if that ended the batch.
        then: Option<Result<(), Cause>>,
        /// How long all of it took.
        spent: Duration,
    },
}

/// An end of the run that a job's value decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// No more starts.
    Drain,
    /// No more starts, and an end to what runs.
    Kill,
}

/// What becomes of a report that may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is dealt with in the next turn.
    Kept,
    /// The worker had this one job: its process's end will be the attempt's.
    Final,
}

/// A protocol violation: a report that its worker may not make. Whoever makes one is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It began a job that it was not given.
    NotItsToBegin(u64),
    /// It answered for a job that it was not given.
    NotItsToAnswer(u64),
    /// It answered for a batch again.
    Twice(u64),
    /// It answered for a batch that it was not given.
    NotItsBatch(u64),
    /// It answered for more jobs than its batch has.
    TooMany(u32),
    /// Not all results that it claims are there.
    NotWhole {
        /// So many it claims.
        values: u32,
        /// So many are.
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
