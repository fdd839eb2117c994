//! The reorder buffer: outcomes in the order of their jobs. The number that may wait here is limited by the window,
//! which the caller keeps.

use core::ops::Range;

use crate::Table;

/// A buffer that holds outcomes back until those before them have been handed out.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    next: u64,
    /// The ranges that wait: index of the first, and behind the last.
    waiting: Table<u64, u64>,
}

impl Reorder {
    /// Adds outcomes; returns those whose turn that makes it.
    pub(super) fn push(&mut self, jobs: Range<u64>) -> Option<Range<u64>> {
        debug_assert!(jobs.start >= self.next, "a job has one outcome");
        if jobs.start != self.next {
            self.waiting.insert(jobs.start, jobs.end);
            return None;
        }
        self.next = jobs.end;
        while let Some(end) = self.waiting.remove(self.next) {
            self.next = end;
        }
        Some(jobs.start..self.next)
    }

    #[cfg(any(test, feature = "check"))]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
