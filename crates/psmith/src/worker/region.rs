//! What a worker and its host share beside the channel: how far the worker is in a batch, and the results it has, where
//! they survive its death.
//!
//! The host says how many jobs of the batch may be begun, and may lower that at any time; the worker begins one at a
//! time, in one step with the look at that limit, so each job is either begun or the host's again, never both. A result
//! is written before it is counted, with a checksum of its own: what died while writing left nothing that counts. The
//! host copies before it checks, and believes nothing else.

use std::sync::atomic::{AtomicU64, Ordering};

use psmith_sys::shared::Shared;

/// The size of a region; most of it is never touched where results are short.
pub(crate) const REGION_WORDS: usize = 256 * 1024 / 8;

/// Begun jobs (low half) and how many may be begun.
const CLAIM: usize = 0;
/// Results (low half) and how many words they fill. A line of the cache of its own, as the next.
const DONE: usize = 8;
/// The host has read what the worker wrote, or is about to.
const READ: usize = 16;
const RESULTS: usize = 24;

/// A worker's region, from either side.
#[derive(Debug)]
pub(crate) struct Region(Shared);

/// How far results have been taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) results: u32,
    words: u32,
}

/// Results, back to back, with where each ends.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: Vec<u32>,
}

fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

fn word(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

impl Region {
    pub(crate) fn new(shared: Shared) -> Region {
        Region(shared)
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

    /// Makes ready for a batch of so many jobs, before the worker hears of it.
    pub(crate) fn prepare(&self, jobs: u32) {
        self.set(DONE, 0);
        self.set(READ, 0);
        self.set(CLAIM, word(0, jobs));
    }

    /// How many jobs of the batch were begun.
    pub(crate) fn begun(&self) -> u32 {
        halves(self.get(CLAIM)).0
    }

    /// Takes back what is not begun, but for the first `least` jobs; gives how many stay the worker's.
    pub(crate) fn take_back(&self, least: u32) -> u32 {
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

    /// What the worker wrote to its streams is about to be read: said before, so that it cannot miss it.
    pub(crate) fn reads_output(&self) {
        self.set(READ, 1);
    }

    /// The results since `mark`, of at most `most` jobs of the batch, and the mark after them. Ends at the first that
    /// does not hold what was written.
    pub(crate) fn results(&self, mark: Mark, most: u32) -> (Values, Mark) {
        let (count, filled) = halves(self.get(DONE));
        let (count, mut now) = (count.min(most), mark);
        let room = self.0.words().len().saturating_sub(RESULTS);
        let filled = (filled as usize).min(room);
        let mut values = Values::default();
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
            let mut found = Sum::of(length);
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

    /// Begins the next job: its place in the batch; `None` if there is none, or no longer.
    pub(crate) fn begin_next(&self) -> Option<u32> {
        let claim = self.at(CLAIM)?;
        let mut old = claim.load(Ordering::Acquire);
        loop {
            let (begun, most) = halves(old);
            if begun >= most {
                return None;
            }
            match claim.compare_exchange_weak(old, word(begun + 1, most), Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some(begun),
                Err(now) => old = now,
            }
        }
    }

    /// Adds the result of the job that was begun last; false if there is no room.
    pub(crate) fn put(&self, value: &[u8]) -> bool {
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
        let mut sum = Sum::of(length);
        let (whole, rest) = value.as_chunks::<8>();
        let last = (!rest.is_empty()).then(|| last_word(rest));
        let all = whole.iter().map(|bytes| u64::from_le_bytes(*bytes)).chain(last);
        for (place, word) in room.iter().zip(all) {
            sum.add(word);
            place.store(word, Ordering::Relaxed);
        }
        head.store(word(length, sum.end()), Ordering::Relaxed);
        // After all of it: who sees the count sees the result.
        self.set(DONE, word(count + 1, filled + 1 + words as u32));
        true
    }

    /// Whether the host has read something that was written since the batch began.
    pub(crate) fn output_was_read(&self) -> bool {
        self.get(READ) != 0
    }
}

/// Fewer than 8 bytes as a word: by shifts, because a copy of unknown length costs more than all else here.
fn last_word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// A quick sum against accidents: a wild write of a job that is about to crash.
struct Sum(u64);

impl Sum {
    fn of(length: u32) -> Sum {
        Sum(0x9e37_79b9_7f4a_7c15 ^ u64::from(length))
    }

    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn end(&self) -> u32 {
        (self.0 >> 32) as u32
    }
}

#[cfg(test)]
#[path = "region_tests.rs"]
mod tests;
