//! The entry of an accepted job that has no outcome yet. Decides nothing.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::attempt::Attempt;
use super::queue::QueuePosition;
use crate::Time;
use crate::outcome::{ATTEMPT_HISTORY_MAX, AttemptReport, AttemptSummary, Cause, Limits, Outcome};
use crate::policy::{JobPolicy, LOST_MAX};

/// A job between its acceptance and its outcome.
#[derive(Debug)]
pub(super) struct JobEntry {
    pub(super) policy: Arc<JobPolicy>,
    pub(super) state: JobState,
    /// The number of the last start.
    pub(super) number: u32,
    /// The number of attempts that are over, refused starts left out.
    pub(super) attempts: u32,
    /// The number of attempts that were charged.
    pub(super) tries: u32,
    /// The number of charged attempts that ended in a crash.
    pub(super) crashes: u32,
    /// The row of crashes in which it was counted last.
    pub(super) crashed_in: u64,
    /// The memory limit of its next attempt.
    pub(super) memory_bytes: Option<u64>,
    /// True if it had tries left when it was given up.
    pub(super) quarantined: bool,
    pub(super) lost_in_row: u32,
    pub(super) refused_in_row: u32,
    /// True if it was asked to end: it will not be tried again.
    pub(super) cancelled: bool,
    last: Option<Last>,
    earlier: Vec<AttemptSummary>,
}

/// The place of a job.
#[derive(Debug)]
pub(super) enum JobState {
    /// The job is in the queue.
    Ready(QueuePosition),
    /// The job waits for its back-off until this time.
    Delayed(Option<Time>),
    /// The job has a slot.
    Live(Box<Attempt>),
}

/// The last attempt that is over.
#[derive(Debug)]
struct Last {
    report: AttemptReport,
    cause: Option<Cause>,
    charged: bool,
}

impl JobEntry {
    pub(super) fn new(policy: Arc<JobPolicy>, place: QueuePosition) -> JobEntry {
        JobEntry {
            memory_bytes: policy.limits.memory_bytes,
            policy,
            state: JobState::Ready(place),
            number: 0,
            attempts: 0,
            tries: 0,
            crashes: 0,
            crashed_in: 0,
            quarantined: false,
            lost_in_row: 0,
            refused_in_row: 0,
            cancelled: false,
            last: None,
            earlier: Vec::new(),
        }
    }

    /// Returns whether it was running each time the warden was lost, and is taken for the cause at the next loss. A
    /// suspect runs alone, so that no other job pays for it, nor it for another.
    pub(super) fn is_suspect(&self) -> bool {
        self.lost_in_row + 1 >= LOST_MAX
    }

    /// Returns the limits of an attempt, at present.
    pub(super) fn limits(&self) -> Limits {
        Limits { memory_bytes: self.memory_bytes, ..self.policy.limits }
    }

    /// Raises the memory limit, if that was asked for: the job ran out of memory, and will be tried again.
    pub(super) fn grow_memory(&mut self) {
        let percent = u128::from(self.policy.grow_memory_percent.max(100));
        let grown = |bytes: u64| u64::try_from(u128::from(bytes) * percent / 100).unwrap_or(u64::MAX);
        self.memory_bytes = self.memory_bytes.map(grown);
    }

    /// Records an attempt that is over.
    pub(super) fn record(&mut self, report: AttemptReport, cause: Option<Cause>, charged: bool) {
        self.attempts = self.attempts.saturating_add(1);
        self.tries = self.tries.saturating_add(u32::from(charged));
        let crashed = charged && cause.as_ref().is_some_and(Cause::is_crash);
        self.crashes = self.crashes.saturating_add(u32::from(crashed));
        if let Some(Last { report, cause, charged }) = self.last.replace(Last { report, cause, charged }) {
            if self.earlier.len() == ATTEMPT_HISTORY_MAX {
                self.earlier.remove(0);
            }
            self.earlier.push(AttemptSummary { number: report.number, cause, wall: report.wall, charged });
        }
    }

    /// Returns the verdict if it is not started any more: the failure for which it was to be tried again remains; a
    /// job that never ran, or whose last attempt was forgiven, ends for the `reason` given.
    pub(super) fn verdict_unstarted(&self, reason: Cause) -> Result<(), Cause> {
        match &self.last {
            Some(Last { cause: Some(cause), charged: true, .. }) => Err(cause.clone()),
            Some(_) | None => Err(reason),
        }
    }

    pub(super) fn into_outcome(self, verdict: Result<(), Cause>) -> Outcome {
        Outcome {
            verdict,
            attempts: self.attempts,
            tries: self.tries,
            quarantined: self.quarantined,
            last: self.last.map(|last| last.report),
            earlier: self.earlier,
        }
    }
}
