//! The rate at which jobs end, over the last thirty seconds. Reads no clock.

use core::time::Duration;

use crate::Time;

/// The length of the window in seconds.
const RATE_SECONDS: u64 = 30;

/// The number of jobs that end in a second, over the last thirty.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    ended: [u64; RATE_SECONDS as usize],
    /// The second in which the last end was counted.
    second: u64,
}

impl Rate {
    /// Counts the end of a job.
    pub fn on_end(&mut self, now: Time) {
        self.forget(now);
        self.ended[(self.second % RATE_SECONDS) as usize] += 1;
    }

    /// Returns the jobs that end in a second.
    pub fn per_second(&mut self, now: Time) -> f64 {
        self.forget(now);
        let in_second = f64::from(now.0.subsec_nanos()) / 1e9;
        let whole = now.0.as_secs().min(RATE_SECONDS - 1);
        // The first second counts as whole: a rate by three jobs in two milliseconds would promise too much.
        self.ended.iter().sum::<u64>() as f64 / (whole as f64 + in_second).max(1.0)
    }

    /// Returns the time that `left` jobs will take at this rate; `None` while no job ends.
    pub fn eta(&mut self, left: u64, now: Time) -> Option<Duration> {
        let per_second = self.per_second(now);
        let seconds = if per_second > 0.0 { left as f64 / per_second } else { return None };
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn forget(&mut self, now: Time) {
        let second = now.0.as_secs();
        for passed in (self.second + 1..=second).take(RATE_SECONDS as usize) {
            // The seconds that passed or, after a long pause, all of them.
            self.ended[(passed % RATE_SECONDS) as usize] = 0;
        }
        self.second = self.second.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time(Duration::from_millis(milliseconds))
    }

    #[test]
    fn the_rate_is_that_of_the_last_thirty_seconds() {
        let mut rate = Rate::default();
        for _ in 0..3 {
            rate.on_end(at(2));
        }
        assert_eq!(rate.per_second(at(2)), 3.0);
        assert_eq!(rate.per_second(at(2_000)), 1.5);
        for second in 1..100 {
            for _ in 0..10 {
                rate.on_end(at(second * 1000));
            }
        }
        assert_eq!(rate.per_second(at(100_000)), 10.0);
        assert_eq!(rate.per_second(at(115_000)), 14.0 * 10.0 / 29.0);
        assert_eq!(rate.per_second(at(130_000)), 0.0);
        rate.on_end(at(1_000_000));
        assert!(rate.per_second(at(1_000_000)) > 0.0);
    }

    #[test]
    fn what_is_left_takes_as_long_as_the_rate_says() {
        let mut rate = Rate::default();
        assert_eq!(rate.eta(5, at(0)), None);
        for _ in 0..4 {
            rate.on_end(at(1_000));
        }
        assert_eq!(rate.eta(8, at(2_000)), Some(Duration::from_secs(4)));
        assert_eq!(rate.eta(u64::MAX, at(40_000)), None);
    }
}
