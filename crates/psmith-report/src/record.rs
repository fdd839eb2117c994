//! One job that has ended, as every record and every page tells of it.

use psmith_core::board::RowEnding;
use psmith_core::outcome::Outcome;

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
            Err(psmith_core::Cause::Cancelled) => Status::Cancelled,
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

/// Whether a job succeeded, but not at its first try. Tries that were forgiven do not make it flaky.
#[must_use]
pub fn is_flaky(outcome: &Outcome) -> bool {
    RowEnding::of(outcome) == RowEnding::Flaky
}
