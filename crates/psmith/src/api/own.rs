//! What was asked for one job alone, over what holds for its run. Decides nothing.

use std::sync::Arc;
use std::time::Duration;

use psmith_core::JobPolicy;
use psmith_core::policy::Timeout;

use super::retry::Retry;

/// What differs from the run's settings; the rest is theirs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    pub(super) timeout: Option<Duration>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) retry: Option<Retry>,
}

impl Own {
    /// The policy of a job in a run of which this is the policy.
    pub(super) fn policy(&self, run: &JobPolicy) -> Arc<JobPolicy> {
        let mut policy = JobPolicy::clone(run);
        policy.timeout = self.timeout.map_or(policy.timeout, Timeout::After);
        policy.idle = self.idle_timeout.or(policy.idle);
        if let Some(retry) = &self.retry {
            retry.set_in(&mut policy);
        }
        Arc::new(policy)
    }
}
