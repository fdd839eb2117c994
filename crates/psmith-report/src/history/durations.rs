//! The distribution of durations: counted in buckets that grow by a fifth of a decade, exact in count, sum and bounds.

use std::time::Duration;

/// The buckets of a decade. Their bounds are rounded so that people can read them.
const BOUNDS_OF_DECADE: [u64; 5] = [10, 16, 25, 40, 63];
/// The number of decades: from 1 ms up to 10^7 s.
const DECADES: usize = 10;
const BUCKETS: usize = DECADES * BOUNDS_OF_DECADE.len() + 2;

/// Counts of durations.
#[derive(Clone, Debug)]
pub struct DurationCounts {
    counts: [u64; BUCKETS],
    count: u64,
    sum: Duration,
    shortest: Option<Duration>,
    longest: Duration,
}

impl Default for DurationCounts {
    fn default() -> DurationCounts {
        DurationCounts {
            counts: [0; BUCKETS],
            count: 0,
            sum: Duration::ZERO,
            shortest: None,
            longest: Duration::ZERO,
        }
    }
}

/// A bucket: the number of durations that were at least `from` and below `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub from: Duration,
    /// The upper bound; `None`: without end.
    pub to: Option<Duration>,
    pub count: u64,
}

impl DurationCounts {
    pub(super) fn add(&mut self, duration: Duration) {
        let bucket = (0..BUCKETS - 1).find(|&index| duration < upper(index)).unwrap_or(BUCKETS - 1);
        self.counts[bucket] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(duration);
        self.shortest = Some(self.shortest.map_or(duration, |shortest| shortest.min(duration)));
        self.longest = self.longest.max(duration);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn sum(&self) -> Duration {
        self.sum
    }

    pub fn shortest(&self) -> Duration {
        self.shortest.unwrap_or_default()
    }

    pub fn longest(&self) -> Duration {
        self.longest
    }

    pub fn mean(&self) -> Duration {
        let nanos = self.sum.as_nanos().checked_div(u128::from(self.count)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Returns the buckets from the first to the last that is not empty.
    pub fn buckets(&self) -> Vec<Bucket> {
        let first = self.counts.iter().position(|&count| count > 0).unwrap_or(0);
        let last = self.counts.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        (first..last).map(|index| self.bucket(index)).collect()
    }

    /// Returns all buckets, for a histogram whose bounds must not change between two reads.
    #[cfg(feature = "web")]
    pub fn all(&self) -> impl Iterator<Item = Bucket> + '_ {
        (0..BUCKETS).map(|index| self.bucket(index))
    }

    /// Returns the bucket in which the `part`th of all durations lies, such as 0.5 for the median: as exact as a bucket
    /// is narrow.
    pub fn quantile(&self, part: f64) -> Option<Bucket> {
        let rank = (self.count as f64 * part).ceil().max(1.0) as u64;
        let mut below = 0;
        (self.count > 0).then(|| {
            let index = self.counts.iter().position(|count| {
                below += count;
                below >= rank
            });
            self.bucket(index.unwrap_or(BUCKETS - 1))
        })
    }

    fn bucket(&self, index: usize) -> Bucket {
        Bucket {
            from: index.checked_sub(1).map_or(Duration::ZERO, upper),
            to: (index < BUCKETS - 1).then(|| upper(index)),
            count: self.counts[index],
        }
    }
}

/// Returns the upper bound of the bucket: 1 ms, 1.6 ms, 2.5 ms, 4 ms, 6.3 ms, 10 ms, ...
fn upper(index: usize) -> Duration {
    let steps = BOUNDS_OF_DECADE.len();
    let decade = u32::try_from(index / steps).unwrap_or(u32::MAX);
    Duration::from_micros(BOUNDS_OF_DECADE[index % steps] * 100 * 10_u64.pow(decade))
}
