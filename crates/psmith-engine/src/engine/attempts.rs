//! The running attempts, by slot, and those of them that wait for a reaction.
//!
//! Never starts, signals or ends one: it stores them, and tells late reports about an earlier attempt in a slot from
//! those about the present one.

use crate::engine::attempt::Running;
use crate::engine::channels::WorkerChannel;
use crate::warden::link::Link;

/// A slot, and the generation of the attempt in it.
pub(super) type SlotGeneration = (u32, u32);

/// Owns all running attempts.
#[derive(Default)]
pub(super) struct Attempts {
    slots: Vec<Option<Running>>,
    generation: u32,
    /// Attempts whose start was just reported.
    begun: Vec<SlotGeneration>,
    /// Attempts whose process groups outlive them, at level `group`.
    orphaned_groups: Vec<SlotGeneration>,
    /// The links to keepers of attempts whose trees were released: they stay with what is left of those.
    released_keepers: Vec<Link>,
}

impl Attempts {
    /// Returns the generation of the next attempt, for any slot.
    pub(super) fn next_generation(&mut self) -> u32 {
        self.generation = (self.generation + 1) & 0xff_ffff;
        self.generation
    }

    /// Puts an attempt in its slot, which is free.
    pub(super) fn insert(&mut self, running: Running) {
        let slot = running.slot.0 as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        debug_assert!(self.slots[slot].is_none(), "a slot is free when an attempt starts in it");
        self.slots[slot] = Some(running);
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Running> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Running> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Returns the channel of the worker in this slot.
    pub(super) fn channel_mut(&mut self, slot: u32) -> Option<&mut WorkerChannel> {
        self.get_mut(slot)?.channel.as_mut()
    }

    /// Takes the attempt out of its slot.
    pub(super) fn take(&mut self, slot: u32) -> Option<Running> {
        self.slots.get_mut(slot as usize)?.take()
    }

    /// Returns the attempt of this generation, if it still is in this slot.
    pub(super) fn current(&self, slot: u32, generation: u32) -> Option<&Running> {
        self.get(slot).filter(|running| running.generation == generation)
    }

    pub(super) fn is_current(&self, slot: u32, generation: u32) -> bool {
        self.current(slot, generation).is_some()
    }

    /// Returns the slots that ever held an attempt.
    pub(super) fn slots(&self) -> std::ops::Range<u32> {
        0..self.slots.len() as u32
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Running> {
        self.slots.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Running> {
        self.slots.iter_mut().flatten()
    }

    /// Notes that an attempt runs now, for [`Attempts::take_begun`].
    pub(super) fn note_begun(&mut self, slot_generation: SlotGeneration) {
        self.begun.push(slot_generation);
    }

    /// Returns the attempts that have begun since the last call.
    pub(super) fn take_begun(&mut self) -> Vec<SlotGeneration> {
        std::mem::take(&mut self.begun)
    }

    /// Notes that the process group of this attempt outlives its leader.
    pub(super) fn note_orphaned_group(&mut self, slot_generation: SlotGeneration) {
        self.orphaned_groups.push(slot_generation);
    }

    pub(super) fn has_orphaned_groups(&self) -> bool {
        !self.orphaned_groups.is_empty()
    }

    pub(super) fn take_orphaned_groups(&mut self) -> Vec<SlotGeneration> {
        std::mem::take(&mut self.orphaned_groups)
    }

    /// Keeps open the socket of a keeper that stays with what its attempt has left behind: closing it would end that.
    pub(super) fn retain_keeper(&mut self, keeper: Link) {
        self.released_keepers.push(keeper);
    }

    pub(super) fn forget_keepers(&mut self) {
        self.released_keepers.clear();
    }

    /// Drops all attempts, and with them the descriptors that this process holds for them.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.released_keepers.clear();
    }
}
