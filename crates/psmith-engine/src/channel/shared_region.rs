//! The memory that a worker and its host share beside the channel: how many jobs of a batch were begun, and their
//! results, which survive the worker's death.
//!
//! The host says how many jobs of the batch may be begun, and may lower that at any time; the worker begins one at a
//! time. Both change one word, in one step with the look at it, so each job is either begun or the host's again, never
//! both (race "begun or taken back"). A result is written before it is counted, with a checksum of its own: a worker
//! that dies while writing leaves nothing that counts. The host copies before it checks, and trusts nothing else.

use std::sync::atomic::{AtomicU64, Ordering};

use psmith_sys::shared::SharedMapping;

use crate::channel::messages::CallUsage;
use crate::function::packed;

/// The size of a region; most of it is never touched where results are short.
pub const REGION_WORDS: usize = 256 * 1024 / 8;

/// Index of the number of jobs that were begun (low half), and of the number that may be.
const CLAIM: usize = 0;
/// Index of the number of results (low half) and of the words they fill. On a cache line of its own, as the next.
const DONE: usize = 8;
/// Index of the flag that the host has read what the worker wrote, or is about to.
const READ: usize = 16;
/// Index of what the worker had used before its job or batch: CPU time in user mode and in the kernel, in microseconds,
/// each with one added (0: it is not known).
const USED: usize = 17;
const RESULTS: usize = 24;

/// A worker's region, as seen from either side.
#[derive(Debug)]
pub struct SharedRegion(SharedMapping);

/// The position up to which results have been taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResultCursor {
    /// The number of results before it.
    pub results: u32,
    words: u32,
}

/// Results, back to back, and the end of each.
#[derive(Debug, Default)]
pub struct ResultValues {
    /// The bytes of all, one after the other.
    pub bytes: Vec<u8>,
    /// The end of each value in `bytes`.
    pub ends: Vec<u32>,
}

fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

fn word(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

impl SharedRegion {
    /// Wraps this memory as a region.
    pub fn new(shared: SharedMapping) -> SharedRegion {
        SharedRegion(shared)
    }

    fn at(&self, place: usize) -> Option<&AtomicU64> {
        self.0.words().get(place)
    }

    fn get(&self, place: usize) -> u64 {
        self.at(place).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn set(&self, place: usize, value: u64) {
        if let Some(word) = self.at(place) {
            word.store(value, Ordering::Release);
        }
    }

    // The host's side.

    /// Prepares the region for a batch of this many jobs, before the worker is sent the batch.
    pub fn prepare(&self, jobs: u32) {
        self.set(DONE, 0);
        self.set(READ, 0);
        self.set(CLAIM, word(0, jobs));
    }

    /// Returns how many jobs of the batch were begun.
    pub fn begun(&self) -> u32 {
        halves(self.get(CLAIM)).0
    }

    /// Returns what the worker had used before it began its job or batch, if it has told.
    pub fn used_before(&self) -> Option<CallUsage> {
        let user_us = self.get(USED).checked_sub(1)?;
        let system_us = self.get(USED + 1).checked_sub(1)?;
        Some(CallUsage { user_us, system_us, max_rss_bytes: 0 })
    }

    /// Takes back the jobs that are not begun, but for the first `least`; returns how many stay the worker's.
    pub fn take_back(&self, least: u32) -> u32 {
        let Some(claim) = self.at(CLAIM) else { return 0 };
        let mut old = claim.load(Ordering::Acquire);
        loop {
            let (begun, most) = halves(old);
            let stay = begun.max(least).min(most);
            match claim.compare_exchange(old, word(begun, stay), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return stay,
                Err(now) => old = now,
            }
        }
    }

    /// Notes that the host is about to read what the worker wrote to its streams: set before the read, so that the
    /// worker cannot miss it.
    pub fn reads_output(&self) {
        self.set(READ, 1);
    }

    /// Returns the results since `mark`, of at most `most` jobs of the batch, and the mark after them. Stops at the
    /// first that does not hold what was written.
    pub fn results(&self, mark: ResultCursor, most: u32) -> (ResultValues, ResultCursor) {
        let (count, filled) = halves(self.get(DONE));
        let (count, mut now) = (count.min(most), mark);
        let room = self.0.words().len().saturating_sub(RESULTS);
        let filled = (filled as usize).min(room);
        let mut values = ResultValues::default();
        values.ends.reserve(count.saturating_sub(mark.results) as usize);
        while now.results < count {
            let at = now.words as usize;
            if at >= filled {
                break;
            }
            let (length, sum) = halves(self.get(RESULTS + at));
            let words = (length as usize).div_ceil(8);
            if words > filled - at - 1 {
                break;
            }
            let before = values.bytes.len();
            let mut found = Checksum::of(length);
            for place in RESULTS + at + 1..RESULTS + at + 1 + words {
                let word = self.at(place).map_or(0, |word| word.load(Ordering::Relaxed));
                found.add(word);
                values.bytes.extend_from_slice(&word.to_le_bytes());
            }
            if found.end() != sum {
                values.bytes.truncate(before);
                break;
            }
            values.bytes.truncate(before + length as usize);
            values.ends.push(values.bytes.len() as u32);
            now.words += 1 + words as u32;
            now.results += 1;
        }
        (values, now)
    }

    // The worker's side.

    /// Notes what the worker has used before a job or batch that it is about to begin.
    pub fn set_used_before(&self, usage: CallUsage) {
        self.set(USED, usage.user_us.saturating_add(1));
        self.set(USED + 1, usage.system_us.saturating_add(1));
    }

    /// Begins the next job and returns its place in the batch; `None` if there is none, or no longer.
    #[inline]
    pub fn begin_next(&self) -> Option<u32> {
        let claim = self.at(CLAIM)?;
        let mut old = claim.load(Ordering::Acquire);
        loop {
            let (next, most) = halves(old);
            if next >= most {
                return None;
            }
            match claim.compare_exchange_weak(old, word(next + 1, most), Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some(next),
                Err(now) => old = now,
            }
        }
    }

    /// Returns whether no job of the batch comes after this one.
    pub fn is_last(&self, place: u32) -> bool {
        halves(self.get(CLAIM)).1 <= place + 1
    }

    /// Adds the result of the job that was begun last; false if there is no room.
    pub fn put(&self, value: &[u8]) -> bool {
        let (count, filled) = halves(self.get(DONE));
        let words = value.len().div_ceil(8);
        let begin = RESULTS + filled as usize;
        let Some(room) = self.0.words().get(begin..) else { return false };
        let (Some((head, room)), Ok(length)) = (room.split_first(), u32::try_from(value.len())) else {
            return false;
        };
        if words > room.len() {
            return false;
        }
        let mut sum = Checksum::of(length);
        let (whole, rest) = value.as_chunks::<8>();
        let last = (!rest.is_empty()).then(|| packed::word(rest));
        let all = whole.iter().map(|bytes| u64::from_le_bytes(*bytes)).chain(last);
        for (place, word) in room.iter().zip(all) {
            sum.add(word);
            place.store(word, Ordering::Relaxed);
        }
        head.store(word(length, sum.end()), Ordering::Relaxed);
        // Stored after all of it: a reader that sees the count sees the result.
        self.set(DONE, word(count + 1, filled + 1 + words as u32));
        true
    }

    /// Returns whether the host has read something that was written since the batch began.
    pub fn output_was_read(&self) -> bool {
        self.get(READ) != 0
    }
}

/// A fast checksum against accidents: a wild write of a job that is about to crash.
struct Checksum(u64);

impl Checksum {
    fn of(length: u32) -> Checksum {
        Checksum(0x9e37_79b9_7f4a_7c15 ^ u64::from(length))
    }

    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn end(&self) -> u32 {
        (self.0 >> 32) as u32
    }
}

#[cfg(test)]
#[path = "shared_region_tests.rs"]
mod tests;
