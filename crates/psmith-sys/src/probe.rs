//! What this kernel, this user and this seccomp profile allow, found out by doing it.
//!
//! What could disturb the asking process is done in a short-lived copy of it: this process never becomes a subreaper,
//! and closes nothing. The copy shares the table of descriptors instead of having one of its own, or a file that is
//! closed meanwhile would stay open, and locked, for as long as the copy lives. A version number is never asked, because containers, profiles and back-ports make it lie.
//! Control groups have their own questions ([`crate::cgroup::probe_kill`], [`crate::cgroup::probe_limit`]).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::forbid::{Facility, is_forbidden};
use crate::{pidfd, proc_tree, raw, wait};

/// A copy that does not answer for so long never will.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a helper process can adopt the orphans below it, and whether `/proc` lists a process's children: the two
/// things by which strays are found.
///
/// # Errors
/// What was refused, as text; `EPERM` where a test forbids it.
pub fn adoption() -> io::Result<()> {
    if is_forbidden(Facility::Subreaper) {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let mut handle = -1_i32;
    let flags = (libc::CLONE_PIDFD | libc::CLONE_FILES | libc::SIGCHLD) as usize;
    let place = std::ptr::from_mut(&mut handle) as usize;
    // SAFETY: clone(2) without shared memory and on a copy of this stack: a fork. It writes the handle in the
    // parent; the child goes on to `adopt` alone, which closes nothing.
    let answer = unsafe { raw::call(libc::SYS_clone, [flags, 0, place, 0, 0, 0]) };
    if answer == 0 {
        adopt(writer.as_raw_fd());
    }
    let pid = raw::check(answer)? as u32;
    // SAFETY: CLONE_PIDFD has just made this descriptor, so nobody else owns it.
    let child = unsafe { OwnedFd::from_raw_fd(handle) };
    let found = listed_and_adopting(pid, reader.as_fd());
    if found.is_err() {
        // Somebody may still write to this number, so it is given up rather than given to another file.
        std::mem::forget(writer);
    }
    // It ends by itself once its orphan has; killing comes after the wait, or that orphan would be a stranger's.
    if !is_ready(child.as_fd()).unwrap_or(false) {
        let _ = pidfd::signal(&child, libc::SIGKILL);
        let _ = is_ready(child.as_fd());
    }
    let _ = wait::reap_pidfd(&child);
    found
}

/// Whether descriptors can be closed, and marked to be closed at exec, by range.
///
/// # Errors
/// `ENOSYS` before Linux 5.9, `EINVAL` before 5.11, `EPERM` from a seccomp profile.
pub fn close_range() -> io::Result<()> {
    if is_forbidden(Facility::CloseRange) {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    // The highest number there is: no descriptor ever has it, so the call does nothing.
    let highest = u32::MAX as usize;
    let flags = libc::CLOSE_RANGE_CLOEXEC as usize;
    // SAFETY: close_range(2) takes numbers only, and with this flag it closes nothing now.
    let answer = unsafe { raw::call(libc::SYS_close_range, [highest, highest, flags, 0, 0, 0]) };
    raw::check(answer).map(drop)
}

fn listed_and_adopting(pid: u32, answer: BorrowedFd<'_>) -> io::Result<()> {
    if !proc_tree::children(std::process::id())?.contains(&pid) {
        return Err(io::Error::other("/proc does not list the children of a process"));
    }
    let mut errno = [0; 4];
    if !is_ready(answer)? || rustix::io::retry_on_intr(|| rustix::io::read(answer, &mut errno))? != 4 {
        return Err(io::Error::other("an orphan was born and not heard of again"));
    }
    match i32::from_ne_bytes(errno) {
        0 => Ok(()),
        libc::ECHILD => Err(io::Error::other("an orphan was not adopted")),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// The copy's life: it becomes a subreaper, has a child whose child is orphaned, and leaves when both are gone. Raw
/// system calls only, because the copied process may have had threads.
fn adopt(answer: i32) -> ! {
    plain(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize, 0, 0]);
    let became = plain(libc::SYS_prctl, [libc::PR_SET_CHILD_SUBREAPER as usize, 1, 0, 0]);
    if became < 0 {
        say(answer, -became as i32);
    }
    let own = plain(libc::SYS_getpid, [0; 4]);
    if copy() == 0 {
        let parent = plain(libc::SYS_getpid, [0; 4]);
        // The orphan-to-be is born, then its parent ends.
        if copy() == 0 {
            while plain(libc::SYS_getppid, [0; 4]) == parent {
                nap();
            }
            let is_adopted = plain(libc::SYS_getppid, [0; 4]) == own;
            say(answer, if is_adopted { 0 } else { libc::ECHILD });
        }
        leave();
    }
    while wait_for(libc::P_ALL, 0) >= 0 {}
    leave();
}

fn wait_for(kind: libc::idtype_t, id: usize) -> isize {
    loop {
        let ended = plain(libc::SYS_waitid, [kind as usize, id, 0, libc::WEXITED as usize]);
        if ended != -libc::EINTR as isize {
            return ended;
        }
    }
}

/// A fork, but for the descriptors: 0 in the new process.
fn copy() -> isize {
    plain(libc::SYS_clone, [(libc::CLONE_FILES | libc::SIGCHLD) as usize, 0, 0, 0])
}

/// A millisecond. Nothing tells an orphan of its adoption: the kernel closes a dying parent's files before it hands
/// the children on, so an end of file would come too early.
fn nap() {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    let place = std::ptr::from_ref(&pause) as usize;
    // SAFETY: ppoll(2) of nothing reads the one timespec.
    unsafe { raw::call(libc::SYS_ppoll, [0, 0, place, 0, 0, 0]) };
}

fn say(answer: i32, errno: i32) -> ! {
    let place = std::ptr::from_ref(&errno) as usize;
    // SAFETY: write(2) reads the four bytes of the number.
    unsafe { raw::call(libc::SYS_write, [answer as usize, place, 4, 0, 0, 0]) };
    leave();
}

fn leave() -> ! {
    loop {
        plain(libc::SYS_exit_group, [0; 4]);
    }
}

/// A call whose arguments are numbers, or null where the manual takes null.
fn plain(number: libc::c_long, args: [usize; 4]) -> isize {
    // SAFETY: the callers pass no address, and each of their calls takes null for the pointers that it has.
    unsafe { raw::call(number, [args[0], args[1], args[2], args[3], 0, 0]) }
}

fn is_ready(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let limit = Timespec { tv_sec: ANSWER_TIMEOUT.as_secs() as i64, tv_nsec: 0 };
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, Some(&limit)))? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orphans_are_adopted_by_a_copy_and_the_asker_adopts_nobody() {
        let mut before = 0_i32;
        let place = std::ptr::from_mut(&mut before) as usize;
        adoption().unwrap();
        // SAFETY: PR_GET_CHILD_SUBREAPER writes one number.
        let answer =
            unsafe { raw::call(libc::SYS_prctl, [libc::PR_GET_CHILD_SUBREAPER as usize, place, 0, 0, 0, 0]) };
        raw::check(answer).unwrap();
        assert_eq!(before, 0, "this process is no subreaper");
    }

    #[test]
    fn closing_by_range_closes_nothing_while_it_is_asked_for() {
        let (reader, _writer) = crate::pipe::pipe().unwrap();
        let _ = close_range();
        rustix::fs::fstat(&reader).unwrap();
    }
}
