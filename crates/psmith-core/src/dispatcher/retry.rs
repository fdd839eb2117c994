//! Whether a failed attempt is tried again, and after which pause. Pure questions; changes nothing.

use core::time::Duration;

use super::random::Random;
use crate::outcome::{Cause, CauseKind};
use crate::policy::{Backoff, JobPolicy, RetryCause, RetryOn};

/// Whether a job that has used `tries` tries, `crashes` of them ended by a crash and the last one by `cause`, has another.
pub(super) fn is_due(policy: &JobPolicy, cause: &Cause, tries: u32, crashes: u32) -> bool {
    if cause.is_crash() && policy.crash_tries != 0 && crashes >= policy.crash_tries {
        return false;
    }
    let may_change = match cause {
        Cause::SpawnFailed(failure) => !failure.permanent,
        Cause::Cancelled => false,
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

/// The pause after the `failures`-th charged failure.
pub(super) fn pause(backoff: &Backoff, failures: u32, random: &mut Random) -> Duration {
    match backoff.max {
        None => backoff.first,
        // The jitter comes after the bound: at the bound, too, what failed together must not return together.
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
