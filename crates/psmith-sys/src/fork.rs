//! Forking this process, where that is sound.

use std::io;
use std::os::fd::OwnedFd;

/// Which side of a fork this is.
#[derive(Debug)]
pub enum ForkResult {
    /// The old process, with the child's number and handle.
    Parent(u32, OwnedFd),
    /// The new one.
    Child,
}

/// Forks. Both sides go on from here with copies of everything; the child is the caller's to reap.
///
/// # Errors
/// `EDEADLK` if this process has more than one thread: the child would have only this one, and hang on the first
/// lock that another one held. `EAGAIN`, `ENOMEM`; `EMFILE` or `ENFILE` without a descriptor for the handle (the
/// child, if it was born, is killed and reaped).
pub fn fork_single() -> io::Result<ForkResult> {
    if threads_count()? != 1 {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    // SAFETY: fork(2); this is the only thread, so no lock is held by one that the child lacks.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(ForkResult::Child),
        pid => {
            let pid = pid as u32;
            match crate::pidfd::open(pid) {
                Ok(handle) => Ok(ForkResult::Parent(pid, handle)),
                Err(error) => {
                    abandon(pid);
                    Err(error)
                }
            }
        }
    }
}

/// How many threads this process has.
///
/// # Errors
/// Without `/proc`.
pub fn threads_count() -> io::Result<usize> {
    // A directory has two links of its own and one for each thread.
    let links = rustix::fs::stat("/proc/self/task")?.st_nlink;
    Ok((links as usize).saturating_sub(2))
}

fn abandon(pid: u32) {
    // SAFETY: kill(2) takes no pointer; the number is that of an own child that is not reaped.
    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
    // SAFETY: waitpid(2) with a null status writes nothing.
    unsafe { libc::waitpid(pid as i32, std::ptr::null_mut(), 0) };
}
