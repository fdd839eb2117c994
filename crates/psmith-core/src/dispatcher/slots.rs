//! The table of taken slots. Hands out numbers; has no access to attempts.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use crate::SlotId;

/// The slots of a run. A slot is a number from 0; the lowest free one is given first.
#[derive(Debug)]
pub(super) struct SlotTable {
    /// The maximum number taken at once.
    limit: u32,
    /// The number of slots taken, which may be above a lowered limit.
    taken: u32,
    /// Numbers below `ever` that came free.
    free: BinaryHeap<Reverse<u32>>,
    /// The number of slots that were ever given.
    ever: u32,
}

impl SlotTable {
    pub(super) fn new(limit: u32) -> SlotTable {
        SlotTable { limit: limit.max(1), taken: 0, free: BinaryHeap::new(), ever: 0 }
    }

    pub(super) fn has_free(&self) -> bool {
        self.taken < self.limit
    }

    pub(super) fn take(&mut self) -> SlotId {
        debug_assert!(self.has_free(), "a slot is taken only when one is free");
        self.taken += 1;
        if let Some(Reverse(number)) = self.free.pop() {
            return SlotId(number);
        }
        self.ever += 1;
        SlotId(self.ever - 1)
    }

    pub(super) fn give_back(&mut self, slot: SlotId) {
        debug_assert!(
            slot.0 < self.ever && self.taken > 0,
            "a slot comes free once for each time it was taken"
        );
        self.taken = self.taken.saturating_sub(1);
        self.free.push(Reverse(slot.0));
    }

    /// Changes the limit, which is at least 1; returns whether that was a change.
    pub(super) fn set_limit(&mut self, limit: u32) -> bool {
        let before = core::mem::replace(&mut self.limit, limit.max(1));
        before != self.limit
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    #[cfg(any(test, feature = "check"))]
    pub(super) fn taken(&self) -> u32 {
        self.taken
    }

    /// Panics unless the tables agree.
    #[cfg(any(test, feature = "check"))]
    pub(super) fn check(&self) {
        assert_eq!(self.taken as usize + self.free.len(), self.ever as usize, "each slot is taken or free");
    }
}
