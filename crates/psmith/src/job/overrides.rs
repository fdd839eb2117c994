//! Settings of one job in place of those of its run. Never applies them: the dispatcher does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use psmith_core::JobPolicy;
use psmith_core::policy::Timeout;

use crate::job::retry::Retry;
use psmith_engine::limits::{LimitRefused, LimitsInForce, ResourceLimits};

/// Settings of a job that differ from its run's; `None` is the run's.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobOverrides {
    pub(crate) timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) retry: Option<Retry>,
    pub(crate) limits: Option<ResourceLimits>,
    /// The limits as they are enforced, with the run's where the job sets none: once the run is known.
    pub(crate) in_force: Option<Arc<LimitsInForce>>,
}

/// A run's limits, and the last own limits of a job in it: to find out how limits can be enforced takes a process.
#[derive(Debug, Default)]
pub(crate) struct LimitsCache {
    run: ResourceLimits,
    last: Mutex<Option<(ResourceLimits, Arc<LimitsInForce>)>>,
}

impl LimitsCache {
    pub(crate) fn new(run: Option<ResourceLimits>) -> LimitsCache {
        LimitsCache { run: run.unwrap_or_default(), last: Mutex::default() }
    }

    /// Finds out how a job's own limits are enforced.
    pub(crate) fn resolve(&self, overrides: &mut JobOverrides) -> Result<(), LimitRefused> {
        let Some(limits) = overrides.limits else { return Ok(()) };
        let wanted = limits.or(self.run);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let in_force = match &*last {
            Some((limits, in_force)) if *limits == wanted => Arc::clone(in_force),
            Some(_) | None => Arc::new(wanted.in_force()?),
        };
        *last = Some((wanted, Arc::clone(&in_force)));
        overrides.in_force = Some(in_force);
        Ok(())
    }
}

impl JobOverrides {
    /// Returns the policy of a job in a run with the policy `run`.
    pub(crate) fn policy(&self, run: &JobPolicy) -> Arc<JobPolicy> {
        let mut policy = JobPolicy::clone(run);
        policy.timeout = self.timeout.map_or(policy.timeout, Timeout::After);
        policy.idle = self.idle_timeout.or(policy.idle);
        if let Some(retry) = &self.retry {
            retry.set_in(&mut policy);
        }
        if let Some(limits) = &self.in_force {
            policy.limits = limits.named;
        }
        Arc::new(policy)
    }
}
