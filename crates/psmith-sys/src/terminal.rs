//! Whether this process's group has the foreground of a terminal, and taking it.
//!
//! A group that was made outside of this PID namespace has no number here: the kernel answers 0 (a container's
//! first process, `docker exec`, `unshare --pid`). Such a group is told as an error instead of as a number that
//! means "every process of mine" elsewhere.

use std::io;
use std::os::fd::AsFd;

use rustix::process::Pid;

use crate::raw;

/// Whether this process's group is in the foreground of `terminal`.
///
/// # Errors
/// `ENOTTY` if it is not this process's controlling terminal; `EOPNOTSUPP` if the foreground group, or this
/// process's own, lives outside of this PID namespace.
pub fn is_foreground(terminal: impl AsFd) -> io::Result<bool> {
    Ok(rustix::termios::tcgetpgrp(terminal)? == own_group()?)
}

/// Puts this process's group into the foreground of `terminal`. Called from the background, the kernel answers with
/// `SIGTTOU`: block it before.
///
/// # Errors
/// As for [`is_foreground`].
pub fn take_foreground(terminal: impl AsFd) -> io::Result<()> {
    Ok(rustix::termios::tcsetpgrp(terminal, own_group()?)?)
}

/// rustix's `getpgrp` takes it for granted that the answer is not 0.
fn own_group() -> io::Result<Pid> {
    // SAFETY: getpgid(2) takes a process number, 0 for the caller, and no pointer.
    let answer = unsafe { raw::call(libc::SYS_getpgid, [0; 6]) };
    Pid::from_raw(answer as i32).ok_or_else(|| io::Error::from_raw_os_error(libc::EOPNOTSUPP))
}
