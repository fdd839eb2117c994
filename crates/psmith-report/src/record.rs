//! Record of a job that has ended, the source of every record and every page. Never judges the job.

use psmith_core::board::RowEnding;
use psmith_core::outcome::Outcome;

/// The facts of a job that has ended, for every kind of record.
#[derive(Clone, Copy, Debug)]
pub struct JobRecord<'a> {
    /// The job's number, from 1.
    pub job: u64,
    /// The job's outcome.
    pub outcome: &'a Outcome,
    /// The status that counts: the outcome's, except for a success after a retry under `--flaky fail`.
    pub status: Status,
    /// The command as `--dry-run` prints it, so without TAB and newline.
    pub command: &'a [u8],
    /// The words of the command that was started.
    pub argv: &'a [Vec<u8>],
    /// The inputs from which the command was made.
    pub inputs: &'a [&'a [u8]],
    /// The time at which its last try began, in seconds since 1970.
    pub started_epoch: f64,
    /// The slot, from 1.
    pub slot: u32,
    /// The number of bytes on stdout.
    pub stdout_bytes: u64,
    /// The number of bytes on stderr.
    pub stderr_bytes: u64,
    /// The end of its stderr.
    pub stderr_tail: &'a [u8],
}

/// The status of a job in the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Success.
    Ok,
    /// Failure.
    Failed,
    /// Cancelled.
    Cancelled,
    /// Never run, because a job it depends on failed.
    Skipped,
}

impl Status {
    /// Returns the status of this outcome.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Status {
        match &outcome.verdict {
            Ok(()) => Status::Ok,
            Err(psmith_core::Cause::Cancelled) => Status::Cancelled,
            Err(_) => Status::Failed,
        }
    }

    /// Returns the word for it.
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

/// Returns whether a job succeeded, but not at its first try. Forgiven tries do not make it flaky.
#[must_use]
pub fn is_flaky(outcome: &Outcome) -> bool {
    RowEnding::of(outcome) == RowEnding::Flaky
}
