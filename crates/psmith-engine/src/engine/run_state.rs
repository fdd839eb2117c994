//! How far the run is: whether the producer has more, whether it is over, what went wrong.
//!
//! Never acts on it, and tells nobody.

use std::time::Duration;

use crate::engine::EngineError;

/// Owns what the loop asks before each turn.
pub(super) struct RunState {
    source: Source,
    /// Time until the handler has something due.
    tick: Option<Duration>,
    fatal: Option<EngineError>,
    finished: bool,
    leaving: bool,
}

/// Whether the producer has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Ask it.
    Ask,
    /// Wait for a wake-up: it said "later".
    Waiting,
    /// Ask it no more.
    Ended,
}

impl RunState {
    /// A run that has not begun.
    pub(super) fn new() -> RunState {
        RunState { source: Source::Ask, tick: None, fatal: None, finished: false, leaving: false }
    }

    /// Whether the producer is to be asked.
    pub(super) fn asks_source(&self) -> bool {
        self.source == Source::Ask
    }

    pub(super) fn source_has_ended(&self) -> bool {
        self.source == Source::Ended
    }

    /// Asks a producer again that said "later".
    pub(super) fn wake_source(&mut self) {
        if self.source == Source::Waiting {
            self.source = Source::Ask;
        }
    }

    /// Waits for a wake-up of the producer, which has nothing now.
    pub(super) fn await_source(&mut self) {
        self.source = Source::Waiting;
    }

    /// Asks the producer no more; false if it had ended before.
    pub(super) fn end_source(&mut self) -> bool {
        std::mem::replace(&mut self.source, Source::Ended) != Source::Ended
    }

    pub(super) fn tick(&self) -> Option<Duration> {
        self.tick
    }

    pub(super) fn set_tick(&mut self, tick: Option<Duration>) {
        self.tick = tick;
    }

    /// Whether no turn is to follow.
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

    /// Notes why the run cannot go on; false if there was a reason before, which stays.
    pub(super) fn fail(&mut self, error: EngineError) -> bool {
        let is_first = self.fatal.is_none();
        self.fatal.get_or_insert(error);
        is_first
    }

    pub(super) fn into_result(self) -> Result<(), EngineError> {
        self.fatal.map_or(Ok(()), Err)
    }
}
