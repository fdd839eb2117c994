//! The decision if a failed attempt is tried again, and after which pause. Pure functions; changes nothing.

use core::time::Duration;

use super::random::Random;
use crate::outcome::{Cause, CauseKind};
use crate::policy::{Backoff, JobPolicy, RetryCause, RetryOn};

/// The decision about a job whose attempt has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryDecision {
    /// The job is tried again.
    Again,
    /// The job has crashed as often as it may: it is not tried again, though it had tries left.
    Quarantine,
    /// The job has no try left, or such a failure is not tried again.
    Over,
}

/// Returns the decision about a job that has used `tries` tries, `crashes` of them ended by a crash and the last one
/// by `cause`.
pub(super) fn next(policy: &JobPolicy, cause: &Cause, tries: u32, crashes: u32) -> RetryDecision {
    if !has_tries(policy, cause, tries) {
        RetryDecision::Over
    } else if cause.is_crash() && policy.crash_tries != 0 && crashes >= policy.crash_tries {
        RetryDecision::Quarantine
    } else {
        RetryDecision::Again
    }
}

fn has_tries(policy: &JobPolicy, cause: &Cause, tries: u32) -> bool {
    let may_change = match cause {
        Cause::SpawnFailed(failure) => !failure.permanent,
        Cause::Cancelled | Cause::CircuitBroken(_) => false,
        Cause::Error(_)
        | Cause::Panic { .. }
        | Cause::Exit(_)
        | Cause::Signal { .. }
        | Cause::StackOverflow
        | Cause::Timeout(_)
        | Cause::Idle(_)
        | Cause::Limit(_)
        | Cause::OutOfMemory { .. }
        | Cause::Lost
        | Cause::Leaked(_)
        | Cause::Undecodable(_)
        | Cause::Protocol(_) => true,
    };
    may_change && (policy.tries == 0 || tries < policy.tries) && is_named(&policy.retry_on, cause)
}

/// Returns the pause after the `failures`-th charged failure.
pub(super) fn pause(backoff: &Backoff, failures: u32, random: &mut Random) -> Duration {
    match backoff.max {
        None => backoff.first,
        // The jitter comes after the bound: at the bound, too, jobs that failed together must not be retried together.
        Some(max) => {
            let doubled = backoff.first.saturating_mul(1 << failures.saturating_sub(1).min(31));
            random.jitter(doubled.min(max))
        }
    }
}

fn is_named(retry_on: &RetryOn, cause: &Cause) -> bool {
    match retry_on {
        RetryOn::Any => true,
        RetryOn::Only(causes) => causes.iter().any(|named| match named {
            RetryCause::Kind(kind) => *kind == cause.kind(),
            RetryCause::ExitCodes(codes) => match cause {
                Cause::Exit(code) => codes.contains(code),
                other => {
                    debug_assert!(other.kind() != CauseKind::Exit, "an exit has a code");
                    false
                }
            },
        }),
    }
}
