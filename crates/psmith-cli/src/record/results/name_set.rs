//! The set of names used in this run, in bounded memory: a hash table in an unlinked file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::super::hash::hash_of;

/// The bytes of a slot, which holds the 128 bits of a name; all zero is a free one.
const SLOT_BYTES: usize = 16;
const SLOTS_AT_FIRST: u64 = 4096;

/// A set of names that only grows.
#[derive(Debug, Default)]
pub(super) struct NameSet {
    table: Option<Table>,
}

#[derive(Debug)]
struct Table {
    file: File,
    slots: u64,
    used: u64,
}

type Slot = [u8; SLOT_BYTES];

impl NameSet {
    /// Adds a name; returns whether it is new.
    pub(super) fn insert(&mut self, name: &[u8]) -> io::Result<bool> {
        let table = match &mut self.table {
            Some(table) => table,
            empty => empty.insert(Table::new(SLOTS_AT_FIRST)?),
        };
        if table.used * 2 >= table.slots {
            *table = table.doubled()?;
        }
        table.insert(slot_of(name))
    }
}

impl Table {
    fn new(slots: u64) -> io::Result<Table> {
        let file = tempfile::tempfile()?;
        file.set_len(slots * SLOT_BYTES as u64)?;
        Ok(Table { file, slots, used: 0 })
    }

    fn insert(&mut self, name: Slot) -> io::Result<bool> {
        let mut place = u64::from_le_bytes(name[..8].try_into().expect("8 of 16 bytes")) % self.slots;
        loop {
            let mut slot = Slot::default();
            let offset = place * SLOT_BYTES as u64;
            self.file.read_exact_at(&mut slot, offset)?;
            if slot == name {
                return Ok(false);
            }
            if slot == Slot::default() {
                self.file.write_all_at(&name, offset)?;
                self.used += 1;
                return Ok(true);
            }
            place = (place + 1) % self.slots;
        }
    }

    fn doubled(&self) -> io::Result<Table> {
        let mut larger = Table::new(self.slots * 2)?;
        let mut chunk = vec![0; SLOTS_AT_FIRST as usize * SLOT_BYTES];
        for start in (0..self.slots).step_by(SLOTS_AT_FIRST as usize) {
            self.file.read_exact_at(&mut chunk, start * SLOT_BYTES as u64)?;
            for slot in chunk.chunks_exact(SLOT_BYTES) {
                let slot: Slot = slot.try_into().expect("chunks of the slot's size");
                if slot != Slot::default() {
                    larger.insert(slot)?;
                }
            }
        }
        Ok(larger)
    }
}

fn slot_of(name: &[u8]) -> Slot {
    let [low, high] = hash_of(name);
    // All zero would be the free slot.
    let both = (u128::from(high) << 64 | u128::from(low)).max(1);
    both.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_new_once_however_many_there_are() {
        let mut names = NameSet::default();
        for number in 0..10_000u32 {
            assert!(names.insert(&number.to_le_bytes()).unwrap());
        }
        for number in 0..10_000u32 {
            assert!(!names.insert(&number.to_le_bytes()).unwrap());
        }
        assert_eq!(names.table.unwrap().used, 10_000);
    }
}
