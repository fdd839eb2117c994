//! Reasons to hold starts. Starts nothing itself.

use core::time::Duration;

use super::random::Random;
use super::timers::{Timer, Timers};
use crate::event::HoldReason;
use crate::{AttemptId, Time};

/// The first pause after a refused start, and the longest.
const REFUSED_WAIT_FIRST: Duration = Duration::from_millis(10);
const REFUSED_WAIT_MAX: Duration = Duration::from_secs(1);

/// The reasons that are in force.
#[derive(Debug, Default)]
pub(super) struct Holds {
    paused: bool,
    events: bool,
    load: bool,
    memory: bool,
    /// True while the driver itself reports that the machine has no resources to give.
    resources: bool,
    /// The state that refused starts left behind.
    pub(super) refusal: StartRefusals,
}

/// The state after refused starts: nothing is started for a while, then one attempt alone as a probe; only when that
/// has a process do starts go on as before. So an exhausted machine is asked once per pause, not once per slot.
#[derive(Debug, Default)]
pub(super) struct StartRefusals {
    state: ProbeState,
    timer: Option<Time>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ProbeState {
    /// Unrestricted starts.
    #[default]
    Freely,
    /// Starts wait for the timer, or for the end of an attempt.
    Waiting { wait: Duration },
    /// A single attempt may be started.
    MayProbe { wait: Duration },
    /// The probe was started; nothing else is until it is answered.
    Probing { wait: Duration, probe: AttemptId },
}

impl Holds {
    pub(super) fn set(&mut self, reason: HoldReason, on: bool) {
        match reason {
            HoldReason::Paused => self.paused = on,
            HoldReason::Events => self.events = on,
            HoldReason::Load => self.load = on,
            HoldReason::Memory => self.memory = on,
            HoldReason::Resources => self.resources = on,
            HoldReason::Window => debug_assert!(false, "the dispatcher itself sees when the window is full"),
        }
    }

    /// Returns the reason to report, the strongest of several; `window_full` is the dispatcher's own.
    pub(super) fn reason(&self, window_full: bool) -> Option<HoldReason> {
        if self.paused {
            Some(HoldReason::Paused)
        } else if self.events {
            Some(HoldReason::Events)
        } else if self.resources || self.refusal.state != ProbeState::Freely {
            Some(HoldReason::Resources)
        } else if self.memory {
            Some(HoldReason::Memory)
        } else if self.load {
            Some(HoldReason::Load)
        } else if window_full {
            Some(HoldReason::Window)
        } else {
            None
        }
    }

    /// Returns whether an attempt may start beside `live` others, as far as these reasons go.
    pub(super) fn allows_start(&self, live: usize) -> bool {
        let held_softly = self.load || self.memory || self.resources;
        let may_ask = match self.refusal.state {
            ProbeState::Freely | ProbeState::MayProbe { .. } => true,
            ProbeState::Waiting { .. } | ProbeState::Probing { .. } => false,
        };
        !self.paused && !self.events && may_ask && (!held_softly || live == 0)
    }
}

impl StartRefusals {
    pub(super) fn on_start(&mut self, attempt: AttemptId) {
        self.state = match self.state {
            ProbeState::MayProbe { wait } => ProbeState::Probing { wait, probe: attempt },
            ProbeState::Freely => ProbeState::Freely,
            ProbeState::Waiting { .. } | ProbeState::Probing { .. } => {
                debug_assert!(false, "nothing is started while refused starts are waited out");
                self.state
            }
        };
    }

    /// Records that a start was granted, or failed for reasons of its own, or will never be answered.
    pub(super) fn on_concluded(&mut self, attempt: AttemptId) {
        if let ProbeState::Probing { probe, .. } = self.state
            && probe == attempt
        {
            self.state = ProbeState::Freely;
        }
    }

    pub(super) fn on_refused(
        &mut self,
        attempt: AttemptId,
        now: Time,
        timers: &mut Timers,
        random: &mut Random,
    ) {
        let wait = match self.state {
            ProbeState::Freely => REFUSED_WAIT_FIRST,
            ProbeState::Probing { wait, probe } if probe == attempt => {
                wait.saturating_mul(2).min(REFUSED_WAIT_MAX)
            }
            // Requested before the first refusal came back: nothing new is learned.
            ProbeState::Waiting { .. } | ProbeState::MayProbe { .. } | ProbeState::Probing { .. } => return,
        };
        self.state = ProbeState::Waiting { wait };
        timers.set(&mut self.timer, now + random.jitter(wait), Timer::Resources);
    }

    /// Allows another try, because resources came free.
    pub(super) fn on_room(&mut self, timers: &mut Timers) {
        if let ProbeState::Waiting { wait } = self.state {
            self.state = ProbeState::MayProbe { wait };
            timers.clear(&mut self.timer, Timer::Resources);
        }
    }

    pub(super) fn on_timer(&mut self) {
        self.timer = None;
        match self.state {
            ProbeState::Waiting { wait } => self.state = ProbeState::MayProbe { wait },
            ProbeState::Freely | ProbeState::MayProbe { .. } | ProbeState::Probing { .. } => {
                debug_assert!(false, "the timer runs only while refused starts are waited out");
            }
        }
    }

    #[cfg(any(test, feature = "check"))]
    pub(super) fn timer(&self) -> Option<Time> {
        self.timer
    }

    /// Clears the pause: nothing will be started any more.
    pub(super) fn end(&mut self, timers: &mut Timers) {
        timers.clear(&mut self.timer, Timer::Resources);
        self.state = ProbeState::Freely;
    }
}
