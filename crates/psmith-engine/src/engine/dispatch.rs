//! The dispatcher with its clock and its queues: events go in, actions come out, in the order in which they are to be
//! carried out.
//!
//! Never carries an action out, and never calls the kernel or the handler.

use std::collections::VecDeque;
use std::time::Duration;

use psmith_core::{Action, Dispatcher, Event, JobId, RunPolicy};

use crate::engine::clock::Clock;
use crate::engine::handler::View;

/// The dispatcher of a run, with the queues of events before it and of actions behind it.
pub(super) struct Dispatch {
    dispatcher: Dispatcher,
    clock: Clock,
    events: VecDeque<Event>,
    actions: Vec<Action>,
    slots_max: u32,
    /// The number of slots for which the descriptors suffice.
    room: u32,
}

impl Dispatch {
    /// Returns a dispatcher with as many slots as the policy asks for, but at most `room`. The clock starts.
    pub(super) fn new(mut policy: RunPolicy, room: u32) -> Dispatch {
        policy.slots = policy.slots.clamp(1, room);
        Dispatch {
            slots_max: policy.slots,
            room,
            dispatcher: Dispatcher::new(policy),
            clock: Clock::start(),
            events: VecDeque::new(),
            actions: Vec::new(),
        }
    }

    /// Returns the number of slots at the beginning of the run.
    pub(super) fn slots(&self) -> u32 {
        self.slots_max
    }

    /// Returns the run as the handler may see it.
    pub(super) fn view(&self) -> View<'_> {
        View { dispatcher: &self.dispatcher, now: self.clock.now() }
    }

    pub(super) fn next_job(&self) -> JobId {
        self.dispatcher.next_job()
    }

    pub(super) fn wants_job(&self) -> bool {
        self.dispatcher.wants_job()
    }

    pub(super) fn has_running(&self) -> bool {
        self.dispatcher.counts().running > 0
    }

    /// Returns the time until the next deadline of a job, an attempt or the run.
    pub(super) fn until_deadline(&self) -> Option<Duration> {
        let now = self.clock.now();
        self.dispatcher.next_deadline().map(|deadline| deadline.since(now))
    }

    /// Queues an event for the next [`Dispatch::take_actions`].
    pub(super) fn push(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Queues a change of the number of slots, as far as there is room for them.
    pub(super) fn set_slots(&mut self, slots: u32) {
        self.events.push_back(Event::Slots(slots.min(self.room)));
    }

    pub(super) fn handle_timers(&mut self) {
        self.dispatcher.handle_timers(self.clock.now(), &mut self.actions);
    }

    /// Feeds all queued events to the dispatcher; returns the actions that it asks for, empty if there are none. The
    /// vector must be returned, empty, by [`Dispatch::reuse`].
    pub(super) fn take_actions(&mut self) -> Vec<Action> {
        while let Some(event) = self.events.pop_front() {
            self.dispatcher.handle(event, self.clock.now(), &mut self.actions);
        }
        // A start comes before the delivery of the job that made room for it: the consumer's time is not the slot's.
        // The head of the line changes with the deliveries, so `Head` keeps its place among them.
        let mut actions = std::mem::take(&mut self.actions);
        // The sort is stable: within both groups the dispatcher's order holds.
        actions.sort_by_key(|action| {
            matches!(action, Action::Deliver { .. } | Action::Head { .. } | Action::Finish)
        });
        actions
    }

    /// Keeps the vector's memory for the next actions, unless new ones were added meanwhile.
    pub(super) fn reuse(&mut self, actions: Vec<Action>) {
        if self.actions.is_empty() {
            self.actions = actions;
        }
    }

    /// Stops the run's clock, until [`Dispatch::restart_clock`].
    pub(super) fn stop_clock(&mut self) {
        self.clock.stop();
    }

    pub(super) fn restart_clock(&mut self) {
        self.clock.restart();
    }
}
