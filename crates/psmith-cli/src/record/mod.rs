//! What a run leaves behind for programs to read: joblog, events, results; and what a later run reads back.
//!
//! Everything here is told of a job when it has ended and writes it down. Nothing here decides how a job ends,
//! starts a thread, or keeps memory for each job ([`resume`] excepted, which says so). Every failure to write
//! carries the path and ends the run with 125.

pub mod error;
pub mod events;
pub mod joblog;
pub mod json;
pub mod results;
pub mod resume;

pub(crate) mod trace;
pub(crate) mod whole_file;

mod cut;
mod exitval;
mod hash;
mod row;
mod stream;

#[cfg(test)]
pub(crate) mod sample;

use std::io::{Read, Seek};

use psmith::core::outcome::Outcome;

pub use error::{RecordError, RecordErrorKind};
pub use exitval::{Exitval, exitval};

/// All that any record says of one job that has ended.
#[derive(Clone, Copy, Debug)]
pub struct JobRecord<'a> {
    /// Its number, from 1.
    pub job: u64,
    /// How it ended.
    pub outcome: &'a Outcome,
    /// How it counts: as its outcome says, but for a success after a retry under `--flaky fail`.
    pub status: Status,
    /// The command as `--dry-run` prints it, so without TAB and newline.
    pub command: &'a [u8],
    /// The words it was started with.
    pub argv: &'a [Vec<u8>],
    /// The inputs that went into it.
    pub inputs: &'a [&'a [u8]],
    /// When its last try began, in seconds since 1970.
    pub started_epoch: f64,
    /// Its slot, from 1.
    pub slot: u32,
    /// How much it wrote to stdout.
    pub stdout_bytes: u64,
    /// How much it wrote to stderr.
    pub stderr_bytes: u64,
    /// The end of its stderr.
    pub stderr_tail: &'a [u8],
}

/// How a job counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It succeeded.
    Ok,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It was never to run, because something it depends on failed.
    Skipped,
}

impl Status {
    /// How this outcome counts.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Status {
        match &outcome.verdict {
            Ok(()) => Status::Ok,
            Err(psmith::core::Cause::Cancelled) => Status::Cancelled,
            Err(_) => Status::Failed,
        }
    }

    /// The one word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::Skipped => "skipped",
        }
    }
}

/// Where what a job wrote can be read, from the beginning and more than once.
pub trait Stream: Read + Seek {}
impl<T: Read + Seek> Stream for T {}

/// What a job wrote. Records rewind each stream before they read it and never hold it in memory whole.
pub struct JobStreams<'a> {
    /// Its stdout.
    pub stdout: &'a mut dyn Stream,
    /// Its stderr.
    pub stderr: &'a mut dyn Stream,
}
