//! The controls of a run: signals and keys, the number of slots, the machine's load, and the terminal that a job may
//! have. They turn requests from outside into commands to the engine.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use psmith_core::event::HoldReason;
use psmith_engine::handler::EngineCommand;
use psmith_sys::eventfd::Waker;

use super::keys::{KeyCommand, Keys};
use super::pressure::Pressure;
use super::signal_requests::Signals;
use super::tty::JobTerminal;
use crate::config::SlotsSpec;
use crate::plan;

/// The sources of requests from outside.
pub(super) struct Controls {
    /// The waker of the loop, for the run's other threads.
    pub(super) wake: Arc<Waker>,
    pub(super) signals: Signals,
    pub(super) keys: Option<Keys>,
    pub(super) pressure: Pressure,
    pub(super) slots: SlotControl,
    pub(super) tty: Option<JobTerminal>,
    is_paused: bool,
}

impl Controls {
    pub(super) fn new(
        wake: Arc<Waker>,
        signals: Signals,
        keys: Option<Keys>,
        pressure: Pressure,
        slots: SlotControl,
        tty: Option<JobTerminal>,
    ) -> Controls {
        Controls { wake, signals, keys, pressure, slots, tty, is_paused: false }
    }

    pub(super) fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.wake.as_fd(), self.signals.fd().as_fd()]
    }

    /// Returns the keys that have been pressed since the last call.
    pub(super) fn pressed(&self) -> Vec<KeyCommand> {
        self.keys.as_ref().map(Keys::pressed).unwrap_or_default()
    }

    /// Holds starts, or releases them. Returns whether they are held.
    pub(super) fn toggle_pause(&mut self, commands: &mut Vec<EngineCommand>) -> bool {
        self.is_paused = !self.is_paused;
        commands.push(EngineCommand::Hold(HoldReason::Paused, self.is_paused));
        self.is_paused
    }

    /// Adds the commands that the machine, the terminal and the file of slots make necessary. Returns the time of the
    /// next call.
    pub(super) fn tick(&mut self, ended: u64, commands: &mut Vec<EngineCommand>) -> Option<Duration> {
        if self.tty.as_ref().is_some_and(|tty| tty.job_stopped) {
            commands.push(EngineCommand::Suspend);
        }
        self.slots.tick(ended, commands);
        self.pressure.tick(commands)
    }

    /// Stops this process, as the terminal requested; returns when it continues.
    pub(super) fn stop_here(&mut self) {
        match &mut self.tty {
            Some(tty) => tty.stop_here(),
            None => Signals::stop_here(),
        }
    }
}

/// The number of slots, and the source of that number.
pub(super) struct SlotControl {
    asked: SlotsSpec,
    now: u32,
    by_key: bool,
    /// The number of jobs that had ended when the file of slots was last read.
    ended_seen: u64,
}

impl SlotControl {
    pub(super) fn new(asked: SlotsSpec, now: u32) -> SlotControl {
        SlotControl { asked, now, by_key: false, ended_seen: 0 }
    }

    pub(super) fn now(&self) -> u32 {
        self.now
    }

    /// Returns the source of the present number, in the word of the events.
    pub(super) fn set_by(&self) -> &'static str {
        match self.asked {
            _ if self.by_key => "key",
            SlotsSpec::File(_) => "file",
            _ => "machine",
        }
    }

    /// Sets the number by a key.
    pub(super) fn set(&mut self, slots: u32, commands: &mut Vec<EngineCommand>) {
        if self.now != slots {
            self.now = slots;
            self.by_key = true;
            commands.push(EngineCommand::Slots(slots));
        }
    }

    /// Reads a file of slots again, at each end of a job.
    fn tick(&mut self, ended: u64, commands: &mut Vec<EngineCommand>) {
        if !matches!(self.asked, SlotsSpec::File(_)) || self.ended_seen == ended {
            return;
        }
        self.ended_seen = ended;
        match self.asked.resolve(plan::cpus(), super::setup::slots_most()) {
            Ok(slots) if slots != self.now => {
                self.now = slots;
                self.by_key = false;
                commands.push(EngineCommand::Slots(slots));
            }
            // If the file is just being written, or is gone, the number stays as it is.
            Ok(_) | Err(_) => {}
        }
    }
}
