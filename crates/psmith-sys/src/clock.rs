//! The monotonic clock as plain numbers, which can be sent to another process of the same machine and compared there.
//!
//! Never the time of day: that one jumps.

use std::time::Duration;

/// Returns the time since an arbitrary point of this boot, the same for all processes (`CLOCK_MONOTONIC`; it does not
/// advance while the machine sleeps).
#[must_use]
pub fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// Returns a counter that runs on while this processor does, for comparing very short spans: in units of its own,
/// cheap, and never going back on one processor. Spans are compared with spans, never with time.
#[must_use]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: RDTSC reads a counter and touches nothing; every x86_64 processor has it.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        u64::try_from(monotonic().as_nanos()).unwrap_or(u64::MAX)
    }
}
