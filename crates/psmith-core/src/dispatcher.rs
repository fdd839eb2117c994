//! The dispatcher.

use alloc::vec::Vec;
use core::time::Duration;

use crate::{Action, AttemptId, Event, JobId, RunPolicy, SlotId, Time};

/// STUB: replaced by the state machine.
#[derive(Debug)]
pub struct Dispatcher {}

impl Dispatcher {
    /// A dispatcher that has heard nothing yet.
    #[must_use]
    pub fn new(_policy: RunPolicy) -> Dispatcher {
        Dispatcher {}
    }
    /// Takes in what happened at `now`; what is to be done is appended to `actions`.
    pub fn handle(&mut self, _event: Event, _now: Time, _actions: &mut Vec<Action>) {}
    /// Does what has fallen due by `now` (deadlines, back-offs, gaps between starts).
    pub fn handle_timers(&mut self, _now: Time, _actions: &mut Vec<Action>) {}
    /// When `handle_timers` must be called at the latest; `None`: not before the next event.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }
    /// Whether the producer may be asked for another job.
    #[must_use]
    pub fn wants_job(&self) -> bool {
        false
    }
    /// The number that the next accepted job must have.
    #[must_use]
    pub fn next_job(&self) -> JobId {
        JobId(1)
    }
    /// Attempts that live, longest running first, with their start.
    pub fn running(&self) -> impl Iterator<Item = (AttemptId, SlotId, Time)> {
        core::iter::empty()
    }
    /// Counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::default()
    }
}

/// Counts of a run, for the progress line and the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs accepted.
    pub accepted: u64,
    /// Jobs with an outcome: the sum of the next three.
    pub ended: u64,
    /// Succeeded.
    pub ok: u64,
    /// Failed.
    pub failed: u64,
    /// Cancelled, or never started.
    pub cancelled: u64,
    /// Succeeded after at least one charged failure.
    pub flaky: u64,
    /// Jobs that leaked descendants.
    pub leaked: u64,
    /// Attempts alive now.
    pub running: u64,
    /// Jobs waiting for a slot.
    pub ready: u64,
    /// Jobs waiting for a back-off.
    pub delayed: u64,
    /// Ended, not yet delivered.
    pub undelivered: u64,
    /// Total, if known.
    pub total: Option<u64>,
    /// Time of the last attempts of all ended jobs, added up.
    pub busy: Duration,
}
