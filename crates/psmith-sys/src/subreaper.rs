//! Settings of a helper process about itself: it adopts orphans, and dies with its parent.
//!
//! Both are for the helper only: in the program that uses psmith they would disturb others.

use std::io;

use crate::raw;

/// Sets whether orphaned descendants become children of this process instead of init's. Process-wide.
///
/// # Errors
/// None is expected.
pub fn set_subreaper(adopts: bool) -> io::Result<()> {
    control(libc::PR_SET_CHILD_SUBREAPER, usize::from(adopts))
}

/// Sets the `signal` (0: none) that the kernel sends when the *thread* that created this process ends. Compare the
/// parent's number afterwards: it may have ended before.
///
/// # Errors
/// `EINVAL` for a signal that does not exist.
pub fn set_parent_death_signal(signal: i32) -> io::Result<()> {
    control(libc::PR_SET_PDEATHSIG, signal as usize)
}

/// Returns the number of the parent; 0 if it is outside of this PID namespace.
#[must_use]
pub fn parent() -> u32 {
    // SAFETY: getppid(2) takes nothing and cannot fail.
    let result = unsafe { raw::call(libc::SYS_getppid, [0; 6]) };
    result as u32
}

fn control(operation: i32, value: usize) -> io::Result<()> {
    // SAFETY: prctl(2) takes a number, no pointer, for each of the operations above.
    let result = unsafe { raw::call(libc::SYS_prctl, [operation as usize, value, 0, 0, 0, 0]) };
    raw::check(result).map(drop)
}
