//! Pidfds, the handles of processes: unlike a number, a handle never comes to mean another process.
//!
//! A signal through it fails once the process is reaped, so no late kill hits a stranger.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags};

use crate::forbid::{KernelFacility, is_forbidden};
use crate::raw;

/// `PIDFD_SIGNAL_PROCESS_GROUP` (Linux 6.9).
const SIGNAL_PROCESS_GROUP: usize = 1 << 2;

/// Opens a handle of the process with number `pid`. Free of races only for an own child that is not reaped yet;
/// for any other process check its identity after opening.
///
/// # Errors
/// `ESRCH` if there is none, `EMFILE`, `ENFILE`, `ENOSYS`.
pub fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Sends `signal` to the process (0 only checks whether it could).
///
/// # Errors
/// `ESRCH` once it has been reaped, `EPERM`, `EINVAL` for a signal that does not exist.
pub fn signal(fd: impl AsFd, signal: i32) -> io::Result<()> {
    send(fd, signal, 0)
}

/// Sends `signal` to the whole process group of the process (Linux 6.9).
///
/// # Errors
/// `EINVAL` where the kernel cannot (see [`is_unsupported`]), `ESRCH`, `EPERM`.
pub fn signal_group(fd: impl AsFd, signal: i32) -> io::Result<()> {
    if is_forbidden(KernelFacility::PidfdGroup) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    send(fd, signal, SIGNAL_PROCESS_GROUP)
}

/// Returns whether an error of [`signal_group`] means that this kernel cannot do it, rather than that it went wrong.
#[must_use]
pub fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS))
}

/// Returns whether the process has ended (reaped or not).
///
/// # Errors
/// None is expected of a pidfd.
pub fn has_ended(fd: impl AsFd) -> io::Result<bool> {
    let mut polled = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
    let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, Some(&at_once)))? > 0)
}

fn send(fd: impl AsFd, signal: i32, flags: usize) -> io::Result<()> {
    let number = fd.as_fd().as_raw_fd() as usize;
    // SAFETY: pidfd_send_signal(2) with a null siginfo reads no memory.
    let result = unsafe { raw::call(libc::SYS_pidfd_send_signal, [number, signal as usize, 0, flags, 0, 0]) };
    raw::check(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_handle_signals_its_process_and_nobody_after_the_reaping() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let handle = open(child.id()).unwrap();
        assert!(!has_ended(&handle).unwrap());
        signal(&handle, 0).unwrap();
        signal(&handle, libc::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(has_ended(&handle).unwrap());
        assert_eq!(signal(&handle, 0).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        assert_eq!(open(0).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn a_group_signal_reaches_the_group_or_says_that_the_kernel_cannot() {
        use std::os::unix::process::{CommandExt, ExitStatusExt};
        let mut leader = Command::new("cat").stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        let group = leader.id() as i32;
        let mut member = Command::new("cat").stdin(Stdio::piped()).process_group(group).spawn().unwrap();
        match signal_group(open(leader.id()).unwrap(), libc::SIGKILL) {
            Ok(()) => assert_eq!(member.wait().unwrap().signal(), Some(libc::SIGKILL)),
            Err(error) => {
                assert!(is_unsupported(&error));
                member.kill().unwrap();
                member.wait().unwrap();
                leader.kill().unwrap();
            }
        }
        leader.wait().unwrap();
    }
}
