//! The resources that this process has used so far, and the children that it has waited for.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use crate::raw;

/// The resources used by a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnUsage {
    /// CPU time in user mode, with that of waited-for children.
    pub user: Duration,
    /// CPU time in the kernel, with that of waited-for children.
    pub system: Duration,
    /// Peak resident memory of the process itself in bytes, since its start or [`reset_peak`].
    pub peak_bytes: u64,
    /// The largest peak of a waited-for child, in bytes.
    pub children_peak_bytes: u64,
}

/// Returns what this process has used.
///
/// # Errors
/// None is expected.
pub fn own() -> io::Result<OwnUsage> {
    let (own, children) = (usage_of(libc::RUSAGE_SELF)?, usage_of(libc::RUSAGE_CHILDREN)?);
    let peak = |usage: &libc::rusage| u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    Ok(OwnUsage {
        user: duration(own.ru_utime) + duration(children.ru_utime),
        system: duration(own.ru_stime) + duration(children.ru_stime),
        peak_bytes: peak(&own),
        children_peak_bytes: peak(&children),
    })
}

/// Begins a new peak of this process's resident memory, from what it is now.
///
/// # Errors
/// A kernel without this facility, or no `/proc`.
pub fn reset_peak() -> io::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5")
}

fn usage_of(whose: libc::c_int) -> io::Result<libc::rusage> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage(2) fills one structure of this type.
    let result =
        unsafe { raw::call(libc::SYS_getrusage, [whose as usize, usage.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    raw::check(result)?;
    // SAFETY: zeroes are a valid value, and the kernel has filled them in.
    Ok(unsafe { usage.assume_init() })
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}
