//! More or fewer workers while the run goes on. Ends no job.

use psmith_core::{Event, Time};

use super::{Stage, WarmDesk};
use crate::engine::handler::{Letters, Order};
use crate::worker::frame::Body;
use crate::worker::letters::ToWorker;

impl WarmDesk {
    /// So many workers from now on: slots for jobs here, slots for lives in the engine.
    pub(super) fn resize(&mut self, workers: u32, orders: &mut Vec<Order>) {
        self.slots = workers;
        self.events.push_back(Event::Width(workers));
        orders.push(Order::Width(workers));
    }

    /// Lets workers go that have nothing to do and are more than there may be; who has been idle longest goes first.
    pub(super) fn dismiss_surplus(&mut self, now: Time, orders: &mut Vec<Order>) {
        let staying = self.lives.values().filter(|life| !matches!(life.stage, Stage::Leaving(_))).count();
        let surplus = staying.saturating_sub(self.slots as usize).min(self.idle.len());
        for id in self.idle.drain(..surplus) {
            if let Some(life) = self.lives.get_mut(&id) {
                life.stage = Stage::Leaving(now + self.grace);
                orders.push(Order::Tell(id, Letters(vec![(ToWorker::Leave, Body::None)])));
            }
        }
    }
}
