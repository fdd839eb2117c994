//! The timers of a run, in one ordered table. Never reads a clock.
//!
//! The owner of a timer keeps its time, and clears it when it no longer matters: so the table holds at most a few
//! entries for each job that is not over, and the next deadline is always a real one.

use alloc::collections::BTreeSet;

use crate::{AttemptId, JobId, Time};

/// The timers of a run.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Time, Timer)>,
}

/// The kinds of timers. Of two at the same time, the earlier in this list goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The gap since the last start is over.
    Gap,
    /// Refused starts may be tried again.
    Resources,
    /// A job's back-off is over.
    Delay(JobId),
    /// An attempt has run as long as it may.
    Deadline(AttemptId),
    /// An attempt may have gone without a sign of life for as long as it may.
    Idle(AttemptId),
    /// The next step of an attempt's end is due: a step of the ladder, after a grace, or the conclusion that it cannot
    /// be killed. The attempt's state determines which.
    Step(AttemptId),
    /// An attempt may have run for so long that it is to be reported as slow.
    Slow,
}

impl Timers {
    /// Sets `timer` to `at`; `kept` is where its owner keeps the time. A time set before is replaced.
    pub(super) fn set(&mut self, kept: &mut Option<Time>, at: Time, timer: Timer) {
        self.clear(kept, timer);
        *kept = Some(at);
        self.due.insert((at, timer));
    }

    /// Clears `timer`, if it was set.
    pub(super) fn clear(&mut self, kept: &mut Option<Time>, timer: Timer) {
        if let Some(at) = kept.take() {
            let was = self.due.remove(&(at, timer));
            debug_assert!(was, "a timer that its owner knows is in the table");
        }
    }

    /// Takes the next timer that is due by `now`. Its owner must clear its time.
    pub(super) fn pop(&mut self, now: Time) -> Option<Timer> {
        let (at, _) = self.due.first()?;
        if *at > now {
            return None;
        }
        self.due.pop_first().map(|(_, timer)| timer)
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    #[cfg(any(test, feature = "check"))]
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    #[cfg(any(test, feature = "check"))]
    pub(super) fn has(&self, at: Time, timer: Timer) -> bool {
        self.due.contains(&(at, timer))
    }
}
