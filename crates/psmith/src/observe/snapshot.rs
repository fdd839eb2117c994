//! What a board of jobs knows at one moment, as data.

use serde::{Deserialize, Serialize};

/// The jobs that run, and the counts, at one moment: [`JobBoard::snapshot`](crate::board::JobBoard::snapshot).
///
/// Its form as JSON stays: later versions may add fields, and take none away.
///
/// ```
/// use psmith::board::Snapshot;
///
/// let json = r#"{"elapsed_ms":1500,"total":2,"ok":1,"flaky":0,"failed":0,"cancelled":0,"jobs":[]}"#;
/// let snapshot: Snapshot = serde_json::from_str(json).unwrap();
/// assert_eq!((snapshot.ok, snapshot.total), (1, Some(2)));
/// assert_eq!(snapshot.to_json(), json);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Milliseconds since the board was made.
    pub elapsed_ms: u64,
    /// All jobs there will be, if every run on the board knows it.
    pub total: Option<u64>,
    /// Jobs that succeeded at their first try.
    pub ok: u64,
    /// Jobs that succeeded later.
    pub flaky: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that were cut short or never begun.
    pub cancelled: u64,
    /// The jobs that run, the longest running first, and then those that wait for another attempt.
    pub jobs: Vec<JobSnapshot>,
}

impl Snapshot {
    /// As JSON, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Words and numbers: nothing in it can be refused.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A job that has begun and is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobSnapshot {
    /// Its number on the board, from 1, over all runs there.
    pub job: u64,
    /// Its label, or which item it is.
    pub label: String,
    /// What it is doing.
    pub phase: Phase,
    /// Which attempt this is, or was, from 1.
    pub attempt: u32,
    /// The slot in which it runs, from 1.
    pub slot: Option<u32>,
    /// Its process.
    pub pid: Option<u32>,
    /// Milliseconds since the attempt began.
    pub elapsed_ms: Option<u64>,
    /// Resident memory of its processes. `None` if that cannot be seen, or not any more.
    pub memory_bytes: Option<u64>,
    /// Milliseconds of CPU time of its processes. In a process that has served other jobs before, since this one was
    /// first looked at.
    pub cpu_ms: Option<u64>,
    /// How far it says it is, of how much.
    pub progress: Option<(u64, u64)>,
    /// The last line that it wrote, fit to be shown; empty if there is none.
    pub message: String,
}

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Phase {
    /// An attempt has a process.
    Running,
    /// An attempt has failed, and another will follow.
    Waiting,
}
