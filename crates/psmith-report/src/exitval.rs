//! The columns `Exitval` and `Signal`, with the same rules in joblog and results.

use psmith_core::outcome::{Cause, Exit, SpawnFailure, SpawnStep};
use rustix::io::Errno;

use crate::{JobRecord, Status};

/// The columns `Exitval` and `Signal` of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exitval {
    /// The exit code; 0 if a signal ended the job, -1 if psmith or a limit did or a success counts as failed, 126 or
    /// 127 if it never started.
    pub exitval: i32,
    /// The signal that ended the job, or 0.
    pub signal: i32,
}

/// Returns the columns of this job; `None` if psmith cancelled it, then it has no row.
#[must_use]
pub fn exitval(record: &JobRecord<'_>) -> Option<Exitval> {
    let outcome = record.outcome;
    let last_signal = match outcome.last.as_ref().and_then(|last| last.exit) {
        Some(Exit::Signal { signal, .. }) => signal,
        Some(Exit::Code(_)) | None => 0,
    };
    let (exitval, signal) = match &outcome.verdict {
        // A job that counts as failed is run again by `--resume-failed`, which reads this column alone.
        Ok(()) if record.status == Status::Failed => (-1, 0),
        Ok(()) => (0, 0),
        Err(Cause::Cancelled) => return None,
        Err(Cause::Exit(code)) => (*code, 0),
        Err(Cause::Signal { signal, .. }) => (0, *signal),
        Err(Cause::SpawnFailed(failure)) => (spawn_code(failure), 0),
        // Ended by psmith or by a limit, or vanished: `--resume-failed` must never take it for a success, not even if
        // the process itself exited with 0.
        Err(_) => (-1, last_signal),
    };
    Some(Exitval { exitval, signal })
}

/// Returns the code that a shell would return: 127 if there is no such program, 126 if it cannot be started.
fn spawn_code(failure: &SpawnFailure) -> i32 {
    // Numbers are compared as they are: 0 means none, and `Errno` takes no 0.
    let missing = [Errno::NOENT, Errno::NOTDIR].iter().any(|errno| errno.raw_os_error() == failure.errno);
    match failure.step {
        SpawnStep::Lookup if failure.errno == 0 || missing => 127,
        SpawnStep::Exec if missing => 127,
        _ => 126,
    }
}
