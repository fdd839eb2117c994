//! Changes of the number of workers while the run goes on. Never ends a job.

use psmith_core::Time;
use psmith_core::worker_pool::PoolEvent;

use crate::run::reused::ReusedDriver;

impl ReusedDriver {
    /// Sets the number of workers: slots for jobs here, slots for worker processes in the engine. A job that has a slot
    /// must find a worker, so there are no more than the engine has room for.
    pub(crate) fn resize(&mut self, workers: u32, now: Time) {
        let workers = workers.min(self.room);
        self.handle_event(PoolEvent::Workers(workers), now);
        self.budget.resize(workers);
        if !self.budget.is_shared() {
            self.handle_event(PoolEvent::Slots(workers), now);
        }
    }

    /// Returns whether there is a job, and the budget has no worker for it. (The end of all jobs needs none.)
    pub(crate) fn is_out_of_budget(&self) -> bool {
        self.budget.is_exhausted()
            && !(self.pool.next_returned().is_none() && self.shared.lock().queue.is_empty())
    }

    /// Sets the slots to as many as the budget gives; true if that has changed. Where slots are taken away the workers
    /// stay, idle.
    pub(crate) fn keep_budget(&mut self, now: Time) -> bool {
        if !self.budget.is_shared() {
            return false;
        }
        let counts = self.pool.counts();
        // The driver is notified of the next job although all slots are taken: there may be another token for it.
        if counts.running < u64::from(self.pool.workers_max()) {
            self.shared.on_idle_workers();
        }
        let queue = self.shared.lock().queue.jobs();
        // A job that waits for its back-off begins without the budget being asked again.
        let wanted =
            counts.running + counts.ready + counts.delayed.min(1) + self.pool.returned_jobs() + queue;
        let kept = self.budget.keep(wanted);
        self.asks_again = kept.again;
        kept.slots.map(|slots| self.handle_event(PoolEvent::Slots(slots), now)).is_some()
    }
}
