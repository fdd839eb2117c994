//! More or fewer workers while the run goes on. Ends no job.

use psmith_core::{Event, Time};

use crate::run::reused::{Stage, WarmDesk};
use psmith_engine::channel::frame::Body;
use psmith_engine::channel::messages::ToWorker;
use psmith_engine::handler::{EngineCommand, MessagesToWorker};

impl WarmDesk {
    /// So many workers from now on: slots for jobs here, slots for lives in the engine.
    pub(crate) fn resize(&mut self, workers: u32, orders: &mut Vec<EngineCommand>) {
        self.lives_max = workers;
        orders.push(EngineCommand::Width(self.width()));
        self.budget.resize(workers);
        if !self.budget.is_shared() {
            self.set_slots(workers);
        }
    }

    fn set_slots(&mut self, slots: u32) {
        self.slots = slots;
        self.events.push_back(Event::Width(slots));
    }

    /// Whether there is a job, and no worker to be had for it. (The end of all jobs needs none.)
    pub(crate) fn is_out_of_budget(&self) -> bool {
        self.budget.is_exhausted() && !(self.returned.is_empty() && self.shared.lock().incoming.is_empty())
    }

    /// Has as many slots as the budget gives; true if that has changed. Workers stay where slots go: they are idle then.
    pub(crate) fn keep_budget(&mut self) -> bool {
        if !self.budget.is_shared() {
            return false;
        }
        let counts = self.dispatcher.counts();
        let returned: u64 = self.returned.iter().map(|block| block.len() as u64).sum();
        // The next job is heard of although all slots are taken: there may be another token for it.
        if counts.running < u64::from(self.lives_max) {
            self.shared.on_hunger();
        }
        let incoming = self.shared.lock().incoming.jobs();
        // A job that waits for its back-off is begun without a further look at the budget.
        let wanted = counts.running + counts.ready + counts.delayed.min(1) + returned + incoming;
        let kept = self.budget.keep(wanted);
        self.asks_again = kept.again;
        kept.width.map(|slots| self.set_slots(slots)).is_some()
    }

    /// Lets workers go that have nothing to do and are more than there may be.
    pub(crate) fn dismiss_surplus(&mut self, now: Time, orders: &mut Vec<EngineCommand>) {
        let workers = self.lives.values().filter(|life| life.command.is_none());
        let staying = workers.filter(|life| !matches!(life.stage, Stage::Leaving(_))).count();
        self.dismiss(staying.saturating_sub(self.lives_max as usize), now, orders);
    }

    /// Lets so many idle workers go, if there are so many, who has been idle longest first.
    pub(crate) fn dismiss(&mut self, workers: usize, now: Time, orders: &mut Vec<EngineCommand>) {
        for id in self.idle.drain(..workers.min(self.idle.len())) {
            if let Some(life) = self.lives.get_mut(&id) {
                life.stage = Stage::Leaving(now + self.grace);
                orders.push(EngineCommand::Send(id, MessagesToWorker(vec![(ToWorker::Leave, Body::None)])));
            }
        }
    }
}
