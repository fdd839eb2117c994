//! The state of a board of jobs at one moment, as data. Never collects it.

use serde::{Deserialize, Serialize};

/// The jobs that run, and the counts, at one moment: [`JobBoard::snapshot`](crate::board::JobBoard::snapshot).
///
/// Its form as JSON is stable: later versions may add fields, and remove none.
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
    /// The number of jobs there will be, if every run on the board knows it.
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
    /// Returns the snapshot as JSON, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Text and numbers alone: nothing in it can be refused.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A job that has begun and is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobSnapshot {
    /// The number of the job on the board, from 1, over all runs there.
    pub job: u64,
    /// The label of the job, or its item.
    pub label: String,
    /// The phase that the job is in.
    pub phase: Phase,
    /// The number of the current or last attempt, from 1.
    pub attempt: u32,
    /// The slot in which it runs, from 1.
    pub slot: Option<u32>,
    /// The process of the attempt.
    pub pid: Option<u32>,
    /// Milliseconds since the attempt began.
    pub elapsed_ms: Option<u64>,
    /// Resident memory of its processes. `None` if that cannot be read, or no longer.
    pub memory_bytes: Option<u64>,
    /// Milliseconds of CPU time of its processes. In a process that has served other jobs before they are counted since
    /// this job was sampled first.
    pub cpu_ms: Option<u64>,
    /// The progress that the job has reported: how much is done, of how much.
    pub progress: Option<(u64, u64)>,
    /// The last line that it wrote, escaped for display; empty if there is none.
    pub message: String,
}

/// Phase of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Phase {
    /// An attempt has a process.
    Running,
    /// An attempt has failed, and another will follow.
    Waiting,
}
