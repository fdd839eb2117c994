//! The two ends of a helper process's life: what it must not have inherited, and how it leaves.

use std::io;

use crate::raw;

/// Closes every descriptor from 3 up.
///
/// For a helper process at its first instructions only, while it has opened nothing of its own: whatever is open
/// then leaked into it from whoever started the program.
///
/// # Errors
/// Without `close_range` (before Linux 5.9) and without `/proc`.
pub fn close_inherited_descriptors() -> io::Result<()> {
    if !crate::forbid::is_forbidden(crate::forbid::Facility::CloseRange) {
        // SAFETY: close_range(2) takes numbers only; nothing in this process owns one of them yet (see above).
        let answer = unsafe { raw::call(libc::SYS_close_range, [3, u32::MAX as usize, 0, 0, 0, 0]) };
        if raw::check(answer).is_ok() {
            return Ok(());
        }
    }
    let names = std::fs::read_dir("/proc/self/fd")?;
    let open: Vec<i32> = names.flatten().filter_map(|name| name.file_name().to_str()?.parse().ok()).collect();
    for number in open.into_iter().filter(|&number| number >= 3) {
        // SAFETY: close(2) takes a number; nothing in this process owns it yet (see above).
        unsafe { libc::close(number) };
    }
    Ok(())
}

/// Leaves at once: no destructors, no `atexit` functions, which belong to the program that this process was
/// started or forked from.
pub fn now(code: i32) -> ! {
    // SAFETY: _exit(2) takes a number and does not return.
    unsafe { libc::_exit(code) }
}
