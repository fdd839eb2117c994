//! The ends of children, and the reaping of them.
//!
//! Two steps on purpose: *peek* at any child that ended, look it up, then *reap* by number. Only a process that owns
//! all its children may peek at any; a host with children of its own must not. Nothing here blocks.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use crate::raw;

/// The exit status of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatusRaw {
    /// The process exited with this code (0 to 255).
    Code(i32),
    /// A signal ended the process.
    Signal {
        /// The signal's number.
        signal: i32,
        /// True if a core was dumped.
        core: bool,
    },
}

/// A child that ended and still waits to be reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peeked {
    /// The child's number; it stays taken until [`reap`].
    pub pid: u32,
    /// The exit status.
    pub status: ExitStatusRaw,
}

/// A child that ended, reaped: its number may be given to another process from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    /// The number that the child had.
    pub pid: u32,
    /// The exit status.
    pub status: ExitStatusRaw,
    /// Processor time in user mode, of the child and of all its descendants that were waited for.
    pub user: Duration,
    /// Processor time in the kernel, counted alike.
    pub system: Duration,
    /// The largest resident set of any one of those processes.
    pub max_rss_bytes: u64,
    /// Pages that had to be mapped for any of them, without reading a disk.
    pub faults: u64,
}

/// The change of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildChange {
    /// The child ended, and still waits to be reaped.
    Ended(Peeked),
    /// A signal stopped the child.
    Stopped {
        /// The child's number.
        pid: u32,
        /// The signal.
        signal: i32,
    },
    /// The child goes on after a stop.
    Continued {
        /// The child's number.
        pid: u32,
    },
    /// The child is seized, as [`crate::trace::seize`] asked for, and is stopped until it is released.
    Seized {
        /// The child's number.
        pid: u32,
        /// The signal that it was about to get; 0: none.
        signal: i32,
    },
}

/// Returns the next change of any child of this process, if there is one. An end is left as it is, so it is reported
/// again until the child is reaped; a stop or a continuation is reported once. `None` also without any children.
///
/// # Errors
/// None is expected.
pub fn next_change() -> io::Result<Option<ChildChange>> {
    let stops = libc::WSTOPPED | libc::WCONTINUED;
    loop {
        let seen = match wait_id(libc::P_ALL, 0, libc::WEXITED | stops | libc::WNOWAIT) {
            Ok(Some(seen)) => seen,
            Ok(None) => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !seen.is_stop_or_continuation() {
            return Ok(Some(ChildChange::Ended(Peeked { pid: seen.pid, status: seen.status() })));
        }
        // Taken, or it would be reported for ever. Its present change may be another than the one just seen, or none,
        // if it was killed meanwhile: then its end is reported next.
        let taken = match wait_id(libc::P_PID, seen.pid as usize, stops) {
            Ok(taken) => taken,
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => None,
            Err(error) => return Err(error),
        };
        match taken {
            Some(Waited { pid, code: libc::CLD_CONTINUED, .. }) => {
                return Ok(Some(ChildChange::Continued { pid }));
            }
            Some(Waited { pid, code: libc::CLD_TRAPPED, value, .. }) => {
                // ptrace(2): a stop that was asked for, or one of the whole process, has PTRACE_EVENT_STOP above the
                // signal; all else here is a signal on its way.
                let signal = if value >> 8 == 0 { value } else { 0 };
                return Ok(Some(ChildChange::Seized { pid, signal }));
            }
            Some(Waited { pid, value, .. }) => return Ok(Some(ChildChange::Stopped { pid, signal: value })),
            None => {}
        }
    }
}

/// Returns a child of this process that ended, if any; it is left as it is. `None` also without any children.
///
/// # Errors
/// None is expected.
pub fn peek_any() -> io::Result<Option<Peeked>> {
    match wait_id(libc::P_ALL, 0, libc::WEXITED | libc::WNOWAIT) {
        Ok(ended) => Ok(ended.map(|ended| Peeked { pid: ended.pid, status: ended.status() })),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reaps the child with number `pid`.
///
/// # Errors
/// `ECHILD` if there is no such child (it was reaped elsewhere, or SIGCHLD is ignored), `EAGAIN` if it still runs.
pub fn reap(pid: u32) -> io::Result<Reaped> {
    reaped(wait_id(libc::P_PID, pid as usize, libc::WEXITED)?)
}

/// Reaps the child with this handle.
///
/// # Errors
/// As [`reap`].
pub fn reap_pidfd(fd: impl AsFd) -> io::Result<Reaped> {
    let number = fd.as_fd().as_raw_fd() as usize;
    reaped(wait_id(libc::P_PIDFD, number, libc::WEXITED)?)
}

fn reaped(waited: Option<Waited>) -> io::Result<Reaped> {
    let waited = waited.ok_or_else(|| io::Error::from_raw_os_error(libc::EAGAIN))?;
    Ok(Reaped {
        pid: waited.pid,
        status: waited.status(),
        user: duration(waited.usage.ru_utime),
        system: duration(waited.usage.ru_stime),
        max_rss_bytes: waited.usage.ru_maxrss.unsigned_abs() * 1024,
        faults: waited.usage.ru_minflt.unsigned_abs(),
    })
}

/// The kernel's report about one child.
struct Waited {
    pid: u32,
    code: i32,
    value: i32,
    usage: libc::rusage,
}

impl Waited {
    fn is_stop_or_continuation(&self) -> bool {
        matches!(self.code, libc::CLD_STOPPED | libc::CLD_CONTINUED | libc::CLD_TRAPPED)
    }

    /// Returns the exit status; only for a child that ended.
    fn status(&self) -> ExitStatusRaw {
        match self.code {
            libc::CLD_EXITED => ExitStatusRaw::Code(self.value),
            code => ExitStatusRaw::Signal { signal: self.value, core: code == libc::CLD_DUMPED },
        }
    }
}

/// Waits for what `states` names, without ever blocking.
fn wait_id(kind: libc::idtype_t, id: usize, states: i32) -> io::Result<Option<Waited>> {
    // libc's siginfo and rusage are the kernel's on 64-bit machines; all zeros are valid values of both.
    // SAFETY: siginfo_t is plain data, for which zeros are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: rusage is plain data, for which zeros are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let options = (libc::WNOHANG | states) as usize;
    let places = (std::ptr::from_mut(&mut info) as usize, std::ptr::from_mut(&mut usage) as usize);
    loop {
        // SAFETY: waitid(2), the raw form with a fifth argument: it writes one siginfo_t and one rusage.
        let result =
            unsafe { raw::call(libc::SYS_waitid, [kind as usize, id, places.0, options, places.1, 0]) };
        match raw::check(result) {
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
    Ok(Some(Waited { pid: pid as u32, code: info.si_code, value, usage }))
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
}
