//! The run's own clock: monotonic, and stopped while the whole run is suspended. Never sleeps.

use std::time::{Duration, Instant};

use psmith_core::Time;

/// A clock that measures the time since it was made.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    stopped: Duration,
    stopped_since: Option<Instant>,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { origin: Instant::now(), stopped: Duration::ZERO, stopped_since: None }
    }

    pub(crate) fn now(&self) -> Time {
        let until = self.stopped_since.unwrap_or_else(Instant::now);
        Time(until.saturating_duration_since(self.origin).saturating_sub(self.stopped))
    }

    /// Stops the clock until [`Clock::restart`]. Stopping a stopped clock changes nothing.
    pub(crate) fn stop(&mut self) {
        self.stopped_since.get_or_insert_with(Instant::now);
    }

    pub(crate) fn restart(&mut self) {
        if let Some(since) = self.stopped_since.take() {
            self.stopped += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_keeps_its_time_and_continues_from_it() {
        let mut clock = Clock::start();
        clock.stop();
        let stopped_at = clock.now();
        clock.stop();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(3) {
            std::hint::spin_loop();
        }
        assert_eq!(clock.now(), stopped_at);
        clock.restart();
        assert!(clock.now() >= stopped_at);
        assert!(
            clock.now().since(stopped_at) < Duration::from_millis(3)
                || clock.stopped >= Duration::from_millis(3)
        );
        assert!(clock.stopped >= Duration::from_millis(3));
    }
}
