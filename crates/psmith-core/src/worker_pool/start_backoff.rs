//! The back-off for workers that never come: their start fails, or they end before they introduce themselves. No job
//! is to blame, and none is notified: jobs wait for the workers that do come. Where none comes, the run ends with a
//! reason, instead of going through its queue job by job.

use core::time::Duration;

use super::worker::WorkerStage;
use super::{PoolAction, WorkerPool};
use crate::Time;
use crate::outcome::Cause;

/// The number of starts that failed in a row, with no worker alive, after which the run ends.
const START_FAILURES_MAX: u32 = 5;

/// The pause after the first failed start, doubled with each further one up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The count of failed starts in a row.
#[derive(Debug, Default)]
pub(super) struct StartBackoff {
    failures: u32,
    /// The time before which nothing is started.
    pause_until: Option<Time>,
}

impl StartBackoff {
    /// Records that a worker has introduced itself.
    pub(super) fn on_success(&mut self) {
        *self = StartBackoff::default();
    }

    /// Records a worker that never came. Workers that were started together with one that failed before count with it.
    fn on_failure(&mut self, now: Time) {
        if self.pause_until.is_none_or(|until| until <= now) {
            let doubled = PAUSE_FIRST.saturating_mul(1 << self.failures.min(16));
            self.failures += 1;
            self.pause_until = Some(now + doubled.min(PAUSE_MAX));
        }
    }

    /// Returns the maximum number of starts at once: after a failure one alone, and none in the pause.
    fn most_at_once(&self, now: Time) -> usize {
        match self.pause_until {
            None => usize::MAX,
            Some(until) if until <= now => 1,
            Some(_) => 0,
        }
    }
}

impl WorkerPool {
    /// Records that a wanted worker never came.
    pub(super) fn on_start_failed(&mut self, cause: Cause, now: Time) {
        self.backoff.on_failure(now);
        let is_alone = self
            .workers
            .values()
            .all(|worker| matches!(worker.stage, WorkerStage::Starting | WorkerStage::Leaving(_)));
        if is_alone && self.backoff.failures >= START_FAILURES_MAX {
            self.out.push(PoolAction::GiveUp { failures: self.backoff.failures, cause });
        }
    }

    /// Requests as many workers as attempts wait for one, and no more; returns when it is to be called again.
    pub(super) fn want_workers(&mut self, now: Time) -> Option<Time> {
        let is_coming =
            |worker: &&super::Worker| worker.stage == WorkerStage::Starting && !worker.terminating;
        let coming = self.workers.values().filter(is_coming).count();
        let wanted = self.waiting.len().min(self.backoff.most_at_once(now)).saturating_sub(coming);
        let wanted = wanted.min(self.room_for_workers());
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        if wanted > self.wanted {
            self.out.push(PoolAction::Pull);
        }
        self.wanted = wanted;
        self.backoff.pause_until.filter(|until| *until > now && !self.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    // proves: F-59
    #[test]
    fn failed_starts_are_followed_by_longer_and_longer_pauses_until_one_succeeds() {
        let mut backoff = StartBackoff::default();
        let mut now = Time::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            backoff.on_failure(now);
            // A worker that was being started at the same time.
            backoff.on_failure(now);
            assert_eq!(backoff.most_at_once(now), 0);
            let until = backoff.pause_until.unwrap();
            pauses.push(until.since(now).as_millis());
            now = until;
            assert_eq!(backoff.most_at_once(now), 1);
        }
        assert_eq!(pauses[..4], [20, 40, 80, 160]);
        assert_eq!(pauses[9..], [10_000; 3]);
        assert_eq!(backoff.failures, 12);
        backoff.on_success();
        assert_eq!(backoff.most_at_once(now), usize::MAX);
    }
}
