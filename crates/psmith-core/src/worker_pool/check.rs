//! Consistency checks of a pool at rest, whatever has happened. Changes nothing.

use alloc::vec::Vec;

use super::{WorkerPool, WorkerStage};
use crate::AttemptId;

impl WorkerPool {
    /// Panics unless the tables agree. For tests: after `settle`, with all actions carried out.
    pub fn check(&self) {
        self.dispatcher.check();
        if !self.events.is_empty() || !self.asked.is_empty() {
            return;
        }
        let mut idle = self.idle.clone();
        idle.sort_unstable();
        idle.dedup();
        assert_eq!(idle.len(), self.idle.len(), "a worker is idle once");
        // Each attempt that has a slot is in one place, and no other attempt is in any.
        let mut places: Vec<AttemptId> = Vec::new();
        let queued = self.alone.iter().flatten().map(|(attempt, _)| *attempt);
        for attempt in self.waiting.iter().map(|(attempt, _)| *attempt).chain(queued) {
            places.push(attempt);
            let job = self.jobs.get(attempt.job).expect("an attempt that waits has a job");
            assert_eq!(job.worker, None, "attempt {attempt} waits, so no worker has it");
        }
        for (id, worker) in self.workers.iter() {
            assert_eq!(
                idle.binary_search(&id).is_ok(),
                matches!(worker.stage, WorkerStage::Idle(_)),
                "idle: {id:?}"
            );
            if let Some(attempt) = worker.attempt() {
                places.push(attempt);
                let job = self.jobs.get(attempt.job).expect("an attempt that is worked at has a job");
                assert_eq!(job.worker, Some(id), "attempt {attempt} knows its worker");
            }
        }
        let mut slots: Vec<AttemptId> = self.dispatcher.running().map(|(attempt, ..)| attempt).collect();
        slots.sort_unstable();
        places.sort_unstable();
        assert_eq!(slots, places, "a slot is taken exactly while its job is in one place");
        if self.finished {
            assert!(self.jobs.is_empty() && self.returned.is_empty(), "no job is left at the end");
            assert!(self.reorder.as_ref().is_none_or(super::Reorder::is_empty), "nor its outcome");
        }
    }
}
