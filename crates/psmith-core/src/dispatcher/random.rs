//! The dispatcher's own generator: splitmix64 from the run's seed, for jitter alone. Never reads random numbers from
//! the system.

use core::time::Duration;

/// A seeded generator.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// Returns `duration`, lengthened or shortened by up to a quarter, so that jobs that failed together are not
    /// retried together.
    pub(crate) fn jitter(&mut self, duration: Duration) -> Duration {
        let permille = 750 + self.next() % 501;
        let nanos = duration.as_nanos().saturating_mul(u128::from(permille)) / 1000;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
