//! The two ends of a helper process: closing inherited descriptors, and leaving. Neither runs code of the program that
//! it was forked from.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::raw;

/// Closes every descriptor from 3 up.
///
/// For a helper process at its first instructions only, while it has opened nothing of its own: descriptors that are
/// open then have leaked from the process that started the program.
///
/// # Errors
/// Without `close_range` (before Linux 5.9) and without `/proc`.
pub fn close_inherited_descriptors() -> io::Result<()> {
    if !crate::forbid::is_forbidden(crate::forbid::KernelFacility::CloseRange)
        && close_range(3, u32::MAX).is_ok()
    {
        return Ok(());
    }
    close_listed(|_| true)
}

/// Closes every descriptor from 3 up but `kept`.
///
/// For a process that has just been forked and never returns to the parent's code: values that still name one of the
/// closed descriptors must not be used or dropped any more.
///
/// # Errors
/// Without `close_range` (before Linux 5.9) and without `/proc`.
pub fn close_all_but(kept: BorrowedFd<'_>) -> io::Result<()> {
    let kept = kept.as_raw_fd();
    if !crate::forbid::is_forbidden(crate::forbid::KernelFacility::CloseRange) {
        let below = if kept > 3 { close_range(3, kept as u32 - 1) } else { Ok(()) };
        if below.and_then(|()| close_range((kept as u32 + 1).max(3), u32::MAX)).is_ok() {
            return Ok(());
        }
    }
    close_listed(|number| number != kept)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: close_range(2) takes numbers only; the callers promise that no code in this process uses one of them any
    // more.
    let result = unsafe { raw::call(libc::SYS_close_range, [first as usize, last as usize, 0, 0, 0, 0]) };
    raw::check(result).map(drop)
}

fn close_listed(chosen: impl Fn(i32) -> bool) -> io::Result<()> {
    let names = std::fs::read_dir("/proc/self/fd")?;
    let open: Vec<i32> = names.flatten().filter_map(|name| name.file_name().to_str()?.parse().ok()).collect();
    for number in open.into_iter().filter(|&number| number >= 3 && chosen(number)) {
        // SAFETY: close(2) takes a number; the callers promise that no code in this process uses it any more.
        unsafe { libc::close(number) };
    }
    Ok(())
}

/// Flushes the C library's output streams: code in other languages prints through them.
pub fn flush_c_streams() {
    // SAFETY: fflush(3) of null flushes every open stream.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// Exits at once: no destructors, no `atexit` functions, which belong to the program that this process was started or
/// forked from.
pub fn now(code: i32) -> ! {
    // SAFETY: _exit(2) takes a number and does not return.
    unsafe { libc::_exit(code) }
}
