//! Consistency checks of a pool at rest, whatever has happened. Changes nothing.

use alloc::collections::BTreeSet;

use super::{WorkerPool, WorkerStage};
use crate::AttemptId;

impl WorkerPool {
    /// Panics unless the tables agree. For tests: after `settle`, with all actions carried out.
    pub fn check(&self) {
        self.dispatcher.check();
        if !self.events.is_empty() || !self.asked.is_empty() {
            return;
        }
        let idle: BTreeSet<_> = self.idle.iter().copied().collect();
        assert_eq!(idle.len(), self.idle.len(), "a worker is idle once");
        // Each attempt that has a slot is in one place, and no other attempt is in any.
        let mut places: BTreeSet<AttemptId> = BTreeSet::new();
        let queued = self.alone.iter().flatten().map(|(attempt, _)| *attempt);
        for attempt in self.waiting.iter().map(|(attempt, _)| *attempt).chain(queued) {
            assert!(places.insert(attempt), "attempt {attempt} waits once");
            let job = self.jobs.get(&attempt.job).expect("an attempt that waits has a job");
            assert_eq!(job.worker, None, "attempt {attempt} waits, so no worker has it");
        }
        for (id, worker) in &self.workers {
            assert_eq!(idle.contains(id), matches!(worker.stage, WorkerStage::Idle(_)), "idle: {id:?}");
            if let Some(attempt) = worker.attempt() {
                assert!(places.insert(attempt), "attempt {attempt} is in one place");
                let job = self.jobs.get(&attempt.job).expect("an attempt that is worked at has a job");
                assert_eq!(job.worker, Some(*id), "attempt {attempt} knows its worker");
            }
        }
        let slots: BTreeSet<AttemptId> = self.dispatcher.running().map(|(attempt, ..)| attempt).collect();
        assert_eq!(slots, places, "a slot is taken exactly while its job is somewhere");
        if self.finished {
            assert!(self.jobs.is_empty() && self.returned.is_empty(), "no job is left at the end");
            assert!(self.reorder.as_ref().is_none_or(super::Reorder::is_empty), "nor its outcome");
        }
    }
}
