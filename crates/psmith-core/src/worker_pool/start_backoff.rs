//! Workers that never come: whose start fails, or that end before they introduce themselves. No job is to blame, and
//! none is told of it: jobs wait for those workers that do come. Where none comes, the run ends with a reason, instead of
//! going through its queue job by job.

use core::time::Duration;

use super::worker::WorkerStage;
use super::{PoolAction, WorkerPool};
use crate::Time;
use crate::outcome::Cause;

/// So many starts in a row that failed, with no worker alive, end the run.
const START_FAILURES_MAX: u32 = 5;

/// The pause after the first failed start, doubled with each further one up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Failed starts in a row.
#[derive(Debug, Default)]
pub(super) struct StartBackoff {
    failures: u32,
    /// No start before this.
    pause_until: Option<Time>,
}

impl StartBackoff {
    /// A worker has introduced itself.
    pub(super) fn on_success(&mut self) {
        *self = StartBackoff::default();
    }

    /// One never came. Those that were started together with one that failed before count with it.
    fn on_failure(&mut self, now: Time) {
        if self.pause_until.is_none_or(|until| until <= now) {
            let doubled = PAUSE_FIRST.saturating_mul(1 << self.failures.min(16));
            self.failures += 1;
            self.pause_until = Some(now + doubled.min(PAUSE_MAX));
        }
    }

    /// How many may be on their way at once: after a failure one alone, and none in the pause.
    fn most_at_once(&self, now: Time) -> usize {
        match self.pause_until {
            None => usize::MAX,
            Some(until) if until <= now => 1,
            Some(_) => 0,
        }
    }
}

impl WorkerPool {
    /// A worker that was wanted never came.
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

    /// Wants as many workers as attempts wait for one, and no more; gives when it is to be asked again.
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
            // One that was on its way with it.
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
