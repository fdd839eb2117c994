//! What a run looks at from time to time, and when it is to be looked at again.

use std::time::Duration;

use psmith_engine::handler::{EngineCommand, View};

use super::handler::{RunHandler, Telling};
use crate::config::Slots;
use crate::plan;

/// From the start of a run to the question whether anybody is typing.
const WAITING_AFTER: Duration = Duration::from_secs(1);

impl RunHandler {
    /// Says once what is awaited, if somebody would have to type it.
    pub(super) fn tick_waiting(&mut self) -> Option<Duration> {
        if self.said_waiting || !self.plan.waits_for_terminal() {
            return None;
        }
        let left = WAITING_AFTER.saturating_sub(self.began.elapsed());
        if left.is_zero() {
            self.said_waiting = true;
            self.say(format!("psmith: {}\n", plan::WAITING));
            return None;
        }
        Some(left)
    }

    pub(super) fn tick_progress(&mut self, view: &View<'_>) -> Option<Duration> {
        match self.telling {
            Telling::Failures => None,
            Telling::Plain => {
                let standing = self.standing(view);
                if let Some(line) = self.counts.line(view.now, &standing, &mut self.rate) {
                    self.say(line);
                }
                Some(self.counts.next_line().since(view.now))
            }
            Telling::Board => self.tick_board(view),
        }
    }

    /// A file of slots is read again at each end of a job.
    pub(super) fn tick_width(
        &mut self,
        view: &View<'_>,
        orders: &mut Vec<EngineCommand>,
    ) -> Option<Duration> {
        if let Slots::File(_) = &self.config.pace.slots {
            let ended = view.dispatcher.counts().ended;
            if self.ended_seen != ended {
                self.ended_seen = ended;
                let cpus = plan::cpus();
                match self.config.pace.slots.resolve(cpus, super::slots_most()) {
                    Ok(slots) if slots != self.width => {
                        self.width = slots;
                        self.width_by_key = false;
                        orders.push(EngineCommand::Slots(slots));
                    }
                    // A file that is being written just now, or is gone: the width stays as it is.
                    Ok(_) | Err(_) => {}
                }
            }
        }
        None
    }
}
