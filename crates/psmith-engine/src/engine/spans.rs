//! Spans of `tracing` for jobs and attempts: a job's from its acceptance to its outcome, an attempt's within it from
//! its start to its end. Behind the feature `tracing`; without it nothing is kept and nothing is done.
//!
//! Subscribes to nothing: the program decides where the spans go.

use psmith_core::outcome::{Cause, Outcome};
use psmith_core::{AttemptId, JobId, SlotId};

/// The spans of one job.
#[cfg(feature = "tracing")]
#[derive(Debug)]
pub(super) struct JobSpans {
    job: tracing::Span,
    attempt: Option<tracing::Span>,
}

/// The spans of one job: none in this build.
#[cfg(not(feature = "tracing"))]
#[derive(Debug)]
pub(super) struct JobSpans;

#[cfg(feature = "tracing")]
impl JobSpans {
    /// Opens the span of an accepted job. Its parent is the span in which the engine runs, if there is one.
    pub(super) fn accepted(job: JobId) -> JobSpans {
        use tracing::field::Empty;
        let span = tracing::info_span!(
            target: "psmith", "job", job = job.0, attempts = Empty, status = Empty, cause = Empty
        );
        JobSpans { job: span, attempt: None }
    }

    /// Opens the span of an attempt that is about to start. One that was refused and is not over has no cause.
    pub(super) fn ordered(&mut self, attempt: AttemptId, slot: SlotId) {
        use tracing::field::Empty;
        self.attempt = Some(tracing::info_span!(
            target: "psmith", parent: &self.job, "attempt", number = attempt.number, slot = slot.0 + 1,
            pid = Empty, cause = Empty
        ));
    }

    /// Records that the attempt's process exists.
    pub(super) fn started(&self, pid: u32) {
        if let Some(attempt) = &self.attempt {
            attempt.record("pid", pid);
        }
    }

    /// Records that the attempt failed, and another will follow.
    pub(super) fn retried(&mut self, cause: &Cause) {
        if let Some(attempt) = self.attempt.take() {
            attempt.record("cause", cause.kind().word());
        }
    }

    /// Records the job's outcome, and closes its span.
    pub(super) fn ended(&mut self, outcome: &Outcome) {
        if let Err(cause) = &outcome.verdict {
            self.retried(cause);
            self.job.record("cause", cause.kind().word());
        }
        self.attempt = None;
        self.job.record("attempts", outcome.attempts);
        self.job.record("status", if outcome.verdict.is_ok() { "ok" } else { "failed" });
        // The span ends here, whenever the outcome is delivered.
        self.job = tracing::Span::none();
    }
}

#[cfg(not(feature = "tracing"))]
impl JobSpans {
    pub(super) fn accepted(_: JobId) -> JobSpans {
        JobSpans
    }

    pub(super) fn ordered(&mut self, _: AttemptId, _: SlotId) {}

    pub(super) fn started(&self, _: u32) {}

    pub(super) fn retried(&mut self, _: &Cause) {}

    pub(super) fn ended(&mut self, _: &Outcome) {}
}
