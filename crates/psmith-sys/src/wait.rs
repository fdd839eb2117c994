//! Learning how children ended, and giving their numbers back.
//!
//! Two steps on purpose: *peek* at any child that ended, look it up, then *reap* by number. Only a process that owns
//! all its children may peek at any; a host with children of its own must not. Nothing here blocks.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use crate::raw;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatusRaw {
    /// It exited with this code (0 to 255).
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// Whether a core was dumped.
        core: bool,
    },
}

/// A child that ended and still waits to be reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peeked {
    /// Its number; it stays taken until [`reap`].
    pub pid: u32,
    /// How it ended.
    pub status: ExitStatusRaw,
}

/// A child that ended, reaped: its number may be given to another process from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    /// The number that it had.
    pub pid: u32,
    /// How it ended.
    pub status: ExitStatusRaw,
    /// Processor time in user mode, of it and of all the descendants that were waited for.
    pub user: Duration,
    /// Processor time in the kernel, counted alike.
    pub system: Duration,
    /// The largest resident set of any one of those processes.
    pub max_rss_bytes: u64,
}

/// A child of this process that ended, if any; it is left as it is. `None` also without any children.
///
/// # Errors
/// None is expected.
pub fn peek_any() -> io::Result<Option<Peeked>> {
    match wait_id(libc::P_ALL, 0, libc::WNOWAIT) {
        Ok(ended) => Ok(ended.map(|ended| Peeked { pid: ended.pid, status: ended.status })),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reaps the child with number `pid`.
///
/// # Errors
/// `ECHILD` if there is no such child (it was reaped elsewhere, or SIGCHLD is ignored), `EAGAIN` if it still runs.
pub fn reap(pid: u32) -> io::Result<Reaped> {
    wait_id(libc::P_PID, pid as usize, 0)?.ok_or_else(|| io::Error::from_raw_os_error(libc::EAGAIN))
}

/// Reaps the child with this handle.
///
/// # Errors
/// As [`reap`].
pub fn reap_pidfd(fd: impl AsFd) -> io::Result<Reaped> {
    let number = fd.as_fd().as_raw_fd() as usize;
    wait_id(libc::P_PIDFD, number, 0)?.ok_or_else(|| io::Error::from_raw_os_error(libc::EAGAIN))
}

fn wait_id(kind: libc::idtype_t, id: usize, more_options: i32) -> io::Result<Option<Reaped>> {
    // libc's siginfo and rusage are the kernel's on 64-bit machines; all zeros are valid values of both.
    // SAFETY: siginfo_t is plain data, for which zeros are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: rusage is plain data, for which zeros are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let options = (libc::WEXITED | libc::WNOHANG | more_options) as usize;
    let places = (std::ptr::from_mut(&mut info) as usize, std::ptr::from_mut(&mut usage) as usize);
    loop {
        // SAFETY: waitid(2), the raw form with a fifth argument: it writes one siginfo_t and one rusage.
        let answer =
            unsafe { raw::call(libc::SYS_waitid, [kind as usize, id, places.0, options, places.1, 0]) };
        match raw::check(answer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    // SAFETY: after a successful waitid these fields are set, or zero when no child was in the wanted state.
    let pid = unsafe { info.si_pid() };
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: set by a successful waitid.
    let value = unsafe { info.si_status() };
    let status = match info.si_code {
        libc::CLD_EXITED => ExitStatusRaw::Code(value),
        code => ExitStatusRaw::Signal { signal: value, core: code == libc::CLD_DUMPED },
    };
    Ok(Some(Reaped {
        pid: pid as u32,
        status,
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
        max_rss_bytes: usage.ru_maxrss.unsigned_abs() * 1024,
    }))
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
}
