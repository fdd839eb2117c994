//! More or fewer workers while the run goes on. Ends no job.

use psmith_core::Time;
use psmith_core::worker_pool::PoolEvent;

use crate::run::reused::ReusedDriver;

impl ReusedDriver {
    /// So many workers from now on: slots for jobs here, slots for lives in the engine.
    pub(crate) fn resize(&mut self, workers: u32, now: Time) {
        self.happens(PoolEvent::Workers(workers), now);
        self.budget.resize(workers);
        if !self.budget.is_shared() {
            self.happens(PoolEvent::Slots(workers), now);
        }
    }

    /// Whether there is a job, and no worker to be had for it. (The end of all jobs needs none.)
    pub(crate) fn is_out_of_budget(&self) -> bool {
        self.budget.is_exhausted()
            && !(self.pool.next_returned().is_none() && self.shared.lock().queue.is_empty())
    }

    /// Has as many slots as the budget gives; true if that has changed. Workers stay where slots go: they are idle then.
    pub(crate) fn keep_budget(&mut self, now: Time) -> bool {
        if !self.budget.is_shared() {
            return false;
        }
        let counts = self.pool.counts();
        // The next job is heard of although all slots are taken: there may be another token for it.
        if counts.running < u64::from(self.pool.workers_max()) {
            self.shared.on_idle_workers();
        }
        let queue = self.shared.lock().queue.jobs();
        // A job that waits for its back-off is begun without a further look at the budget.
        let wanted =
            counts.running + counts.ready + counts.delayed.min(1) + self.pool.returned_jobs() + queue;
        let kept = self.budget.keep(wanted);
        self.asks_again = kept.again;
        kept.slots.map(|slots| self.happens(PoolEvent::Slots(slots), now)).is_some()
    }
}
