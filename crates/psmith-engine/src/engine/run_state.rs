//! The state of the run: whether the producer has more, whether it is over, what went wrong.
//!
//! Never acts on it, and notifies no one.

use std::time::Duration;

use crate::engine::EngineError;

/// The state that the loop checks before each turn.
pub(super) struct RunState {
    source: Source,
    /// The time until the handler's next deadline.
    tick: Option<Duration>,
    fatal: Option<EngineError>,
    finished: bool,
    leaving: bool,
}

/// The state of the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The producer is to be asked.
    Ask,
    /// A wake-up is awaited: the producer returned [`Pull::Later`](crate::engine::handler::Pull::Later).
    Waiting,
    /// The producer is asked no more.
    Ended,
}

impl RunState {
    /// Returns the state of a run that has not begun.
    pub(super) fn new() -> RunState {
        RunState { source: Source::Ask, tick: None, fatal: None, finished: false, leaving: false }
    }

    /// Returns whether the producer is to be asked.
    pub(super) fn asks_source(&self) -> bool {
        self.source == Source::Ask
    }

    pub(super) fn source_has_ended(&self) -> bool {
        self.source == Source::Ended
    }

    /// Asks a producer again that had no job before.
    pub(super) fn wake_source(&mut self) {
        if self.source == Source::Waiting {
            self.source = Source::Ask;
        }
    }

    /// Waits for a wake-up of the producer, which has nothing now.
    pub(super) fn await_source(&mut self) {
        self.source = Source::Waiting;
    }

    /// Asks the producer no more; returns false if it had ended before.
    pub(super) fn end_source(&mut self) -> bool {
        std::mem::replace(&mut self.source, Source::Ended) != Source::Ended
    }

    pub(super) fn tick(&self) -> Option<Duration> {
        self.tick
    }

    pub(super) fn set_tick(&mut self, tick: Option<Duration>) {
        self.tick = tick;
    }

    /// Returns whether no turn is to follow.
    pub(super) fn is_over(&self) -> bool {
        self.finished || self.leaving
    }

    /// Ends the run: all is delivered, or nothing can be done any more.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    /// Ends the run at once, with whatever still runs left to the warden.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Notes why the run cannot go on; returns false if there was a reason before, which stays.
    pub(super) fn fail(&mut self, error: EngineError) -> bool {
        let is_first = self.fatal.is_none();
        self.fatal.get_or_insert(error);
        is_first
    }

    pub(super) fn into_result(self) -> Result<(), EngineError> {
        self.fatal.map_or(Ok(()), Err)
    }
}
