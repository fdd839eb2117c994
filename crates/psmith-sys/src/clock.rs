//! The monotonic clock as plain numbers, which can be sent to another process of the same machine and compared there.
//!
//! Never the time of day: that one jumps.

use std::time::Duration;

/// Time since an arbitrary point of this boot, the same for all processes (`CLOCK_MONOTONIC`; it stands still while
/// the machine sleeps).
#[must_use]
pub fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}
