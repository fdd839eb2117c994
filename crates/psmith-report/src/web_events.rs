//! Events of a run for the web board, in owned values that can be sent to another thread. They are defined here, beside
//! the records that they are made of, so that a run can report them in a build without the web board.

use std::time::Duration;

use psmith_core::event::HoldReason;
use psmith_core::outcome::Outcome;

use crate::history::EndedAttempt;
use crate::{JobRecord, Status};

/// An event of a run.
#[derive(Debug)]
pub enum WebEvent {
    /// The run begins.
    Run(Box<RunFacts>),
    /// An attempt has a process.
    Started { job: u64, attempt: u32, slot: u32, pid: u32, began: Duration, text: String },
    /// A job wrote output.
    Output { job: u64, bytes: Vec<u8> },
    /// A job reports its progress.
    Progress { job: u64, done: u64, target: u64 },
    /// A job runs longer than it should.
    Slow { job: u64 },
    /// An attempt is over.
    Attempt(EndedAttempt),
    /// A job has its outcome.
    Ended(Box<JobEnded>),
    /// Starts are held, or no longer.
    Held(Option<HoldReason>, Duration),
    /// The number of slots changed.
    Slots(u32, Duration),
    /// The number of all jobs is known.
    Total(u64),
}

/// The facts that are known at the start. Texts are safe to show.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    pub run: String,
    pub command: String,
    pub cwd: String,
    pub contain: &'static str,
    pub slots: u32,
    pub total: Option<u64>,
    pub began_epoch: f64,
    /// Limits of each job, as the user gave them: name and value.
    pub limits: Vec<(&'static str, String)>,
}

/// A job's end, as a [`JobRecord`] without its borrows.
#[derive(Debug)]
pub struct JobEnded {
    job: u64,
    pub at: Duration,
    outcome: Outcome,
    status: Status,
    command: Vec<u8>,
    program: Vec<Vec<u8>>,
    started_epoch: f64,
    slot: u32,
    bytes: [u64; 2],
    stderr_tail: Vec<u8>,
}

impl JobEnded {
    pub fn of(record: &JobRecord<'_>, at: Duration) -> JobEnded {
        JobEnded {
            job: record.job,
            at,
            outcome: record.outcome.clone(),
            status: record.status,
            command: record.command.to_vec(),
            program: record.argv.first().cloned().into_iter().collect(),
            started_epoch: record.started_epoch,
            slot: record.slot,
            bytes: [record.stdout_bytes, record.stderr_bytes],
            stderr_tail: record.stderr_tail.to_vec(),
        }
    }

    pub fn record(&self) -> JobRecord<'_> {
        JobRecord {
            job: self.job,
            outcome: &self.outcome,
            status: self.status,
            command: &self.command,
            argv: &self.program,
            inputs: &[],
            started_epoch: self.started_epoch,
            slot: self.slot,
            stdout_bytes: self.bytes[0],
            stderr_bytes: self.bytes[1],
            stderr_tail: &self.stderr_tail,
        }
    }
}
