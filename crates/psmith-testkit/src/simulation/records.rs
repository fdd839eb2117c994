//! The judge's records of a job and of an attempt, and what follows from them alone. Sees no other job.

use std::sync::Arc;

use psmith_core::outcome::{Exit, SpawnFailure};
use psmith_core::policy::{JobPolicy, LOST_MAX, Leak, RetryCause, RetryOn, Timeout};
use psmith_core::{AttemptId, Cause, Time};

/// The record of a job.
#[derive(Debug)]
pub(super) struct ReferenceJob {
    pub(super) policy: Arc<JobPolicy>,
    pub(super) starts: u32,
    pub(super) attempts: u32,
    pub(super) charged: u32,
    pub(super) crashes: u32,
    pub(super) memory_bytes: Option<u64>,
    pub(super) lost_in_row: u32,
    pub(super) refused_in_row: u32,
    pub(super) cancelled: bool,
    pub(super) not_before: Time,
    pub(super) last: Option<(Cause, bool)>,
    pub(super) ended: bool,
    pub(super) handed: bool,
    pub(super) delivered: bool,
}

/// The record of an attempt that is not over.
#[derive(Debug, Default)]
pub(super) struct ReferenceAttempt {
    pub(super) id: Option<AttemptId>,
    pub(super) began: Time,
    pub(super) started: bool,
    pub(super) signalled: bool,
    pub(super) killed: bool,
    /// True if psmith ended it before it ended itself.
    pub(super) cut: bool,
    pub(super) preempted: bool,
    pub(super) stuck: bool,
    pub(super) slow: bool,
    pub(super) exit: Option<Exit>,
    pub(super) oom_kills: u64,
    pub(super) start_failed: Option<SpawnFailure>,
    pub(super) leaked: u32,
    pub(super) stopped_reading: bool,
    pub(super) released: bool,
    /// The first report of its worker, and whether that counts for certain: psmith had done nothing to it.
    pub(super) reported: Option<(Result<(), Cause>, bool)>,
}

impl ReferenceJob {
    pub(super) fn new(policy: Arc<JobPolicy>) -> ReferenceJob {
        ReferenceJob {
            memory_bytes: policy.limits.memory_bytes,
            policy,
            starts: 0,
            attempts: 0,
            charged: 0,
            crashes: 0,
            lost_in_row: 0,
            refused_in_row: 0,
            cancelled: false,
            not_before: Time::ZERO,
            last: None,
            ended: false,
            handed: false,
            delivered: false,
        }
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.lost_in_row == LOST_MAX - 1
    }

    /// Returns whether this crash is one too many for another try.
    pub(super) fn is_quarantined(&self, cause: &Cause) -> bool {
        let most = self.policy.crash_tries;
        cause.is_crash() && most != 0 && self.crashes >= most
    }

    pub(super) fn wants_retry(&self, cause: &Cause) -> bool {
        let permanent = matches!(cause, Cause::SpawnFailed(failure) if failure.permanent);
        let named = match &self.policy.retry_on {
            RetryOn::Any => true,
            RetryOn::Only(only) => only.iter().any(|one| match (one, cause) {
                (RetryCause::Kind(kind), cause) => *kind == cause.kind(),
                (RetryCause::ExitCodes(codes), Cause::Exit(code)) => codes.contains(code),
                (RetryCause::ExitCodes(_), _) => false,
            }),
        };
        named && !permanent
    }
}

impl ReferenceAttempt {
    /// Returns whether its end was not observed.
    pub(super) fn is_unobserved(&self) -> bool {
        self.exit.is_none() && self.start_failed.is_none()
    }

    pub(super) fn leaks(&self) -> u32 {
        self.leaked.max(u32::from(self.stopped_reading))
    }

    /// Returns whether this may be a report of its worker that counts.
    pub(super) fn may_have_reported(&self, verdict: &Result<(), Cause>) -> bool {
        self.reported.as_ref().is_some_and(|(reported, _)| reported == verdict)
    }

    /// Returns the report of its worker that counts for certain, whatever became of the process.
    pub(super) fn certain_report(&self) -> Option<&Result<(), Cause>> {
        self.reported.as_ref().filter(|(_, counts)| *counts).map(|(reported, _)| reported)
    }

    pub(super) fn succeeded(&self, record: &ReferenceJob) -> bool {
        let clean = record.policy.leak != Leak::Fail || self.leaks() == 0 || self.killed || record.cancelled;
        let well = !self.cut && self.exit == Some(Exit::Code(0));
        match self.certain_report() {
            Some(word) => word.is_ok() && (clean || self.signalled),
            None => (well || self.may_have_reported(&Ok(()))) && clean,
        }
    }

    /// Returns whether this cause can be true of it.
    pub(super) fn allows(
        &self,
        cause: &Cause,
        record: &ReferenceJob,
        charged: bool,
        ending: bool,
        now: Time,
    ) -> bool {
        let policy = &record.policy;
        let is_leak = matches!(cause, Cause::Leaked(_));
        match self.certain_report() {
            Some(Ok(())) if !is_leak => return false,
            Some(Err(reported)) => return charged && reported == cause,
            Some(Ok(())) | None => {}
        }
        if charged && self.may_have_reported(&Err(cause.clone())) {
            return true;
        }
        let by_itself = !self.cut && charged;
        let by_us = self.cut || self.exit.is_none();
        match cause {
            Cause::Timeout(limit) => {
                let limited = match policy.timeout {
                    Timeout::Never => false,
                    Timeout::After(requested) => requested == *limit,
                    Timeout::PercentOfMedian(_) => true,
                };
                let in_time = by_us || policy.leak == Leak::Wait;
                charged && limited && in_time && now - self.began >= *limit
            }
            Cause::Cancelled => !charged && by_us && (self.preempted || ending || record.cancelled),
            Cause::Lost => {
                !charged && ((self.is_unobserved() && !self.killed) || (self.stuck && self.preempted))
            }
            Cause::SpawnFailed(failure) => charged && self.start_failed.as_ref() == Some(failure),
            Cause::OutOfMemory { limit_bytes, kills } => {
                let failed = by_itself && self.exit.is_some_and(|exit| exit != Exit::Code(0));
                failed && *kills > 0 && *kills == self.oom_kills && *limit_bytes == record.memory_bytes
            }
            Cause::Exit(_) | Cause::Signal { .. } if self.oom_kills > 0 => false,
            Cause::Exit(code) => by_itself && *code != 0 && self.exit == Some(Exit::Code(*code)),
            Cause::Signal { signal, core_dumped } => {
                let exit = Exit::Signal { signal: *signal, core_dumped: *core_dumped };
                by_itself && self.exit == Some(exit)
            }
            Cause::Leaked(leaked) => {
                // Descendants that were killed on request within their grace were no leak; those that hold the output
                // still are.
                let ended = ending || record.cancelled || self.signalled || self.killed;
                let holders = ended && *leaked == u32::from(self.stopped_reading);
                let declared =
                    policy.leak == Leak::Fail && *leaked > 0 && (holders || *leaked == self.leaks());
                let well = by_itself && self.exit == Some(Exit::Code(0));
                declared && (well || (charged && self.may_have_reported(&Ok(()))))
            }
            _ => false,
        }
    }
}
