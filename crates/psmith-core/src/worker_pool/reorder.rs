//! Outcomes in the order of their jobs. How many may wait here is the window's affair, which the caller keeps.

use alloc::collections::BTreeMap;
use core::ops::Range;

/// Holds outcomes back until those before them have been handed out.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    next: u64,
    /// Those that wait: index of the first, and behind the last.
    waiting: BTreeMap<u64, u64>,
}

impl Reorder {
    /// Takes in outcomes; gives those whose turn that makes it.
    pub(super) fn push(&mut self, jobs: Range<u64>) -> Option<Range<u64>> {
        debug_assert!(jobs.start >= self.next, "a job has one outcome");
        if jobs.start != self.next {
            self.waiting.insert(jobs.start, jobs.end);
            return None;
        }
        self.next = jobs.end;
        while let Some(end) = self.waiting.remove(&self.next) {
            self.next = end;
        }
        Some(jobs.start..self.next)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
