//! The terminal of a run, as it was found: put back by the warden when a host is gone that could not do it itself.
//!
//! A host that takes keys has the terminal without echo, and a job that was given it may leave it in any state. Never
//! touches a terminal that is in the hands of any group but the host's and its jobs'.

use std::os::fd::OwnedFd;

use psmith_sys::terminal::{self, TerminalModes};

/// A terminal and its modes before the host changed them.
pub(super) struct FoundTerminal {
    terminal: OwnedFd,
    modes: TerminalModes,
    /// The host's group, which had the foreground.
    group: u32,
}

impl FoundTerminal {
    pub(super) fn new(terminal: OwnedFd, modes: TerminalModes, group: u32) -> FoundTerminal {
        FoundTerminal { terminal, modes, group }
    }

    /// Puts the terminal back as it was found, if it is still the host's, or that of one of these `jobs`, which have
    /// ended. All signals are blocked here, so a call from the background is allowed.
    pub(super) fn put_back(&self, jobs: &[u32]) {
        let Ok(holder) = terminal::foreground_group(&self.terminal) else { return };
        if jobs.contains(&holder) {
            // What shares the host's group, a script for example, could not read any more. Where nothing is left of the
            // group there is nothing to give the terminal to, and its shell takes it.
            let _ = terminal::give_foreground(&self.terminal, self.group);
        } else if holder != self.group {
            return;
        }
        // A terminal that is gone has no modes.
        if TerminalModes::of(&self.terminal).is_ok_and(|now| now != self.modes) {
            let _ = self.modes.set(&self.terminal);
        }
    }
}
