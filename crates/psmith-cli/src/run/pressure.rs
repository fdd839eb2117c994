//! Pressure on the machine, for `--load` and `--memfree`: starts are held while it is too high. Never ends a job.

use std::time::{Duration, Instant};

use psmith_core::event::HoldReason;
use psmith_engine::handler::EngineCommand;

use crate::config::Load;

/// The time between two readings.
const EVERY: Duration = Duration::from_secs(1);

/// A watch on load and free memory, if requested.
#[derive(Debug)]
pub(super) struct Pressure {
    load: Option<f64>,
    memfree: Option<u64>,
    held: [bool; 2],
    asked: Option<Instant>,
}

impl Pressure {
    pub(super) fn new(load: Option<Load>, memfree: Option<u64>, cpus: u32) -> Pressure {
        Pressure { load: load.map(|load| load.bound(cpus)), memfree, held: [false; 2], asked: None }
    }

    /// Reads the machine's values if it is time to; returns the time of the next call.
    pub(super) fn tick(&mut self, commands: &mut Vec<EngineCommand>) -> Option<Duration> {
        if self.load.is_none() && self.memfree.is_none() {
            return None;
        }
        if let Some(left) = self.asked.and_then(|asked| EVERY.checked_sub(asked.elapsed())) {
            return Some(left);
        }
        self.asked = Some(Instant::now());
        if let Some(bound) = self.load {
            let over = load_average().is_some_and(|load| load > bound);
            self.hold(0, HoldReason::Load, over, commands);
        }
        if let Some(bound) = self.memfree
            && let Some(free) = memory_available()
        {
            self.hold(1, HoldReason::Memory, free < bound, commands);
            if free < bound / 2 {
                commands.push(EngineCommand::Preempt);
            }
        }
        Some(EVERY)
    }

    fn hold(&mut self, which: usize, reason: HoldReason, on: bool, commands: &mut Vec<EngineCommand>) {
        if std::mem::replace(&mut self.held[which], on) != on {
            commands.push(EngineCommand::Hold(reason, on));
        }
    }
}

/// Returns the load average of the last minute.
fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns the memory that is available without swapping, in bytes.
fn memory_available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_answers_and_nothing_is_asked_of_it_unasked() {
        assert!(load_average().is_some());
        assert!(memory_available().is_some_and(|free| free > 1 << 20));
        assert_eq!(Pressure::new(None, None, 2).tick(&mut Vec::new()), None);
    }

    #[test]
    fn a_bound_that_is_exceeded_holds_starts_once_and_a_deep_one_preempts() {
        let mut commands = Vec::new();
        let mut pressure = Pressure::new(None, Some(u64::MAX), 2);
        assert_eq!(pressure.tick(&mut commands), Some(EVERY));
        assert!(matches!(
            commands[..],
            [EngineCommand::Hold(HoldReason::Memory, true), EngineCommand::Preempt]
        ));
        assert!(pressure.tick(&mut commands).is_some_and(|left| left <= EVERY));
        assert_eq!(commands.len(), 2, "not asked again within the second");
    }
}
