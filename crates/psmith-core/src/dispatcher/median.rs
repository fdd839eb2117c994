//! The median time of successes, in bounded memory. Has no access to jobs.
//!
//! Times are counted in buckets on a scale of powers of two, each cut into 64 equal parts: a bucket is at most
//! 1/64 of its value wide and stands for its middle, so the median is true to within 0.8 %. Below 64 us a
//! bucket is about 1 us wide; beyond 200 days everything falls into the last one. The table takes 19 KiB and is
//! made only for a run that has a relative timeout.

use alloc::boxed::Box;
use alloc::vec;
use core::time::Duration;

/// The number of successes from which on there is a median.
pub(super) const SUCCESSES_MIN: u64 = 3;

const PARTS: usize = 64;
const PARTS_LOG2: u32 = 6;
/// Powers of two above the linear part.
const OCTAVES: usize = 38;
/// The size of a unit: 1,024 ns.
const UNIT_LOG2: u32 = 10;

/// A histogram that keeps the position of its median.
#[derive(Debug)]
pub(super) struct Median {
    buckets: Box<[u64]>,
    count: u64,
    /// The bucket in which the median lies, and the number of times in lower ones.
    middle: usize,
    below: u64,
}

impl Median {
    pub(super) fn new() -> Median {
        Median { buckets: vec![0; PARTS * (OCTAVES + 1)].into_boxed_slice(), count: 0, middle: 0, below: 0 }
    }

    /// Counts a time. The position moves by a bucket or so, amortized over all times.
    pub(super) fn add(&mut self, time: Duration) {
        let bucket = bucket_of(time);
        self.buckets[bucket] += 1;
        self.count += 1;
        if bucket < self.middle {
            self.below += 1;
        }
        // The median is the element with this many before it (the lower one of an even count).
        let before = (self.count - 1) / 2;
        while self.below > before {
            self.middle -= 1;
            self.below -= self.buckets[self.middle];
        }
        while self.below + self.buckets[self.middle] <= before {
            self.below += self.buckets[self.middle];
            self.middle += 1;
        }
    }

    /// Returns the median, once there are enough times.
    pub(super) fn get(&self) -> Option<Duration> {
        (self.count >= SUCCESSES_MIN).then(|| middle_of(self.middle))
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

fn bucket_of(time: Duration) -> usize {
    let units = u64::try_from(time.as_nanos() >> UNIT_LOG2).unwrap_or(u64::MAX);
    if units < PARTS as u64 {
        return units as usize;
    }
    let octave = units.ilog2() - PARTS_LOG2;
    let part = (units >> octave) as usize - PARTS;
    let bucket = PARTS * (octave as usize + 1) + part;
    bucket.min(PARTS * (OCTAVES + 1) - 1)
}

fn middle_of(bucket: usize) -> Duration {
    let (low, width) = if bucket < PARTS {
        (bucket as u64, 1)
    } else {
        let octave = bucket / PARTS - 1;
        (((PARTS + bucket % PARTS) as u64) << octave, 1u64 << octave)
    };
    Duration::from_nanos((low << UNIT_LOG2) + ((width << UNIT_LOG2) >> 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn the_median_is_true_to_within_one_percent() {
        let mut state = 7u64;
        let mut median = Median::new();
        let mut times = Vec::new();
        for round in 0..5_000u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round | 1);
            let nanos = 1_000_000 + (state >> 20) % (1 << (21 + (state >> 60)));
            times.push(nanos);
            median.add(Duration::from_nanos(nanos));
            if times.len() < 3 {
                assert_eq!(median.get(), None);
                continue;
            }
            if round % 97 == 0 || times.len() < 20 {
                let mut sorted = times.clone();
                sorted.sort_unstable();
                let exact = sorted[(sorted.len() - 1) / 2] as f64;
                let estimate = median.get().unwrap().as_nanos() as f64;
                assert!((estimate / exact - 1.0).abs() < 0.01, "{estimate} for {exact}");
            }
        }
    }

    #[test]
    fn any_time_has_a_bucket() {
        for time in
            [Duration::ZERO, Duration::MAX, Duration::from_secs(86_400 * 365), Duration::from_nanos(65_535)]
        {
            assert!(bucket_of(time) < PARTS * (OCTAVES + 1));
        }
        let mut last = 0;
        for exponent in 0..54 {
            for part in 0..8u64 {
                let bucket = bucket_of(Duration::from_nanos((8 + part) << exponent));
                assert!(bucket >= last, "buckets are in the order of their times");
                last = bucket;
            }
        }
    }
}
