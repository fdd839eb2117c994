//! The foreground process group of a terminal: reading it, taking it, and handing it on.
//!
//! A group that was made outside of this PID namespace has no number here: the kernel returns 0 (a container's first
//! process, `docker exec`, `unshare --pid`). Such a group is reported as an error instead of as a number that means
//! "every process of mine" elsewhere.

use std::io;
use std::os::fd::AsFd;

use rustix::process::Pid;

use crate::raw;

/// Returns whether this process's group is in the foreground of `terminal`.
///
/// # Errors
/// `ENOTTY` if it is not this process's controlling terminal; `EOPNOTSUPP` if the foreground group, or this process's
/// own, is outside of this PID namespace.
pub fn is_foreground(terminal: impl AsFd) -> io::Result<bool> {
    Ok(rustix::termios::tcgetpgrp(terminal)? == own_group()?)
}

/// Returns the group that has the foreground of `terminal`; it may have ended already.
///
/// # Errors
/// As for [`is_foreground`].
pub fn foreground_group(terminal: impl AsFd) -> io::Result<u32> {
    Ok(rustix::termios::tcgetpgrp(terminal)?.as_raw_nonzero().get().cast_unsigned())
}

/// Puts another group of this session into the foreground of `terminal`. For a call from the background, the kernel
/// sends `SIGTTOU`: block it before.
///
/// # Errors
/// `EPERM` if there is no such group in this session (any more); else as for [`is_foreground`].
pub fn give_foreground(terminal: impl AsFd, group: u32) -> io::Result<()> {
    let group = Pid::from_raw(group.cast_signed()).ok_or(rustix::io::Errno::PERM)?;
    Ok(rustix::termios::tcsetpgrp(terminal, group)?)
}

/// Puts this process's group into the foreground of `terminal`. For a call from the background, the kernel sends
/// `SIGTTOU`: block it before.
///
/// # Errors
/// As for [`is_foreground`].
pub fn take_foreground(terminal: impl AsFd) -> io::Result<()> {
    Ok(rustix::termios::tcsetpgrp(terminal, own_group()?)?)
}

/// Returns this process's group. rustix's `getpgrp` assumes that the result is not 0.
fn own_group() -> io::Result<Pid> {
    // SAFETY: getpgid(2) takes a process number, 0 for the caller, and no pointer.
    let result = unsafe { raw::call(libc::SYS_getpgid, [0; 6]) };
    Pid::from_raw(result as i32).ok_or_else(|| io::Error::from_raw_os_error(libc::EOPNOTSUPP))
}
