//! Names of things: jobs, attempts, slots, and the run's own time.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

use crate::TableKey;

/// A unit of work, numbered from 1 in submission order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl TableKey for JobId {
    fn from_number(number: u64) -> JobId {
        JobId(number)
    }

    fn number(self) -> u64 {
        self.0
    }
}

/// An execution of a job. Attempts of a job are numbered from 1.
///
/// Each start gets a number of its own, also a start that is later forgiven (the warden was lost, memory ran
/// short) or refused, so that a late report of an old attempt can never be taken for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The job this is an attempt of.
    pub job: JobId,
    /// The attempt's number, from 1.
    pub number: u32,
}

/// Permission to run one attempt, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u32);

/// A point on the run's own clock, measured from the beginning of the run.
///
/// The driver's clock is monotonic and is suspended while the whole run is stopped (Ctrl-Z), so a deadline never
/// counts time in which its job could not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Duration);

impl Time {
    /// The beginning of the run.
    pub const ZERO: Time = Time(Duration::ZERO);

    /// The time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, after: Duration) -> Time {
        Time(self.0.saturating_add(after))
    }
}

impl Sub<Time> for Time {
    type Output = Duration;
    fn sub(self, earlier: Time) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job.0, self.number)
    }
}
