//! What was asked for one job alone, over what holds for its run. Decides nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use psmith_core::JobPolicy;
use psmith_core::policy::Timeout;

use crate::job::retry::Retry;
use psmith_engine::limits::{LimitRefused, LimitsInForce, ResourceLimits};

/// What differs from the run's settings; the rest is theirs.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobOverrides {
    pub(crate) timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) retry: Option<Retry>,
    pub(crate) limits: Option<ResourceLimits>,
    /// Those, with the run's where it says nothing, as they are held here: once the run is known.
    pub(crate) held: Option<Arc<LimitsInForce>>,
}

/// A run's limits, and the last that a job of it had for itself: to find out how they are held takes a process.
#[derive(Debug, Default)]
pub(crate) struct LimitsCache {
    run: ResourceLimits,
    last: Mutex<Option<(ResourceLimits, Arc<LimitsInForce>)>>,
}

impl LimitsCache {
    pub(crate) fn new(run: Option<ResourceLimits>) -> LimitsCache {
        LimitsCache { run: run.unwrap_or_default(), last: Mutex::default() }
    }

    /// Finds out how the limits of a job's own are held.
    pub(crate) fn hold(&self, overrides: &mut JobOverrides) -> Result<(), LimitRefused> {
        let Some(limits) = overrides.limits else { return Ok(()) };
        let wanted = limits.or(self.run);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let held = match &*last {
            Some((limits, held)) if *limits == wanted => Arc::clone(held),
            Some(_) | None => Arc::new(wanted.in_force()?),
        };
        *last = Some((wanted, Arc::clone(&held)));
        overrides.held = Some(held);
        Ok(())
    }
}

impl JobOverrides {
    /// The policy of a job in a run of which this is the policy.
    pub(crate) fn policy(&self, run: &JobPolicy) -> Arc<JobPolicy> {
        let mut policy = JobPolicy::clone(run);
        policy.timeout = self.timeout.map_or(policy.timeout, Timeout::After);
        policy.idle = self.idle_timeout.or(policy.idle);
        if let Some(retry) = &self.retry {
            retry.set_in(&mut policy);
        }
        if let Some(held) = &self.held {
            policy.limits = held.named;
        }
        Arc::new(policy)
    }
}
