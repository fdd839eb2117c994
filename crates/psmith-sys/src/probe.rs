//! Probes of what this kernel, this user and this seccomp profile allow, by doing it.
//!
//! Operations that could disturb the calling process are done in short-lived processes beside it: the caller never
//! becomes a subreaper, and closes nothing. They share its memory, so that a caller with much memory does not pay for
//! a copy; and its table of descriptors, or a file that is closed meanwhile would stay open, and locked, until they
//! end. A version number is never queried, because containers, profiles and back-ports make it unreliable. Control
//! groups have their own probes ([`crate::cgroup::probe_kill`], [`crate::cgroup::probe_limit`]).

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::forbid::{KernelFacility, is_forbidden};
use crate::stack::ChildStack;
use crate::{pidfd, proc_tree, raw, signals, wait};

/// The time after which a copy that has not answered never will.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns whether a filter refuses clone3(2) by another error than that there is no such call: the C library, which has
/// a way around a missing one only, then starts neither processes nor threads.
#[must_use]
pub fn refuses_clone3() -> bool {
    // SAFETY: clone3(2) of no arguments is refused, by EINVAL where the call is allowed.
    let refused = unsafe { raw::call(libc::SYS_clone3, [0; 6]) };
    refused == -(libc::EPERM as isize) || refused == -(libc::EACCES as isize)
}

/// Returns the calls that this kernel or a filter refuses and without which no job runs, each with its error: found by
/// calling each with arguments that are refused for what they are where the call is allowed.
#[must_use]
pub fn refused_calls() -> Vec<(&'static str, io::Error)> {
    const NONE: usize = usize::MAX;
    let calls = [
        ("pidfd_open", libc::SYS_pidfd_open, [0, NONE, 0, 0, 0, 0]),
        ("pidfd_send_signal", libc::SYS_pidfd_send_signal, [NONE, 0, 0, 0, 0, 0]),
        ("signalfd4", libc::SYS_signalfd4, [NONE, 0, 0, 0, 0, 0]),
        ("epoll_create1", libc::SYS_epoll_create1, [NONE, 0, 0, 0, 0, 0]),
        ("eventfd2", libc::SYS_eventfd2, [0, NONE, 0, 0, 0, 0]),
        ("socketpair", libc::SYS_socketpair, [NONE, 0, 0, 0, 0, 0]),
        ("prctl", libc::SYS_prctl, [NONE, 0, 0, 0, 0, 0]),
    ];
    let mut refused: Vec<_> = calls
        .into_iter()
        .filter_map(|(name, number, args)| {
            // SAFETY: each of these calls refuses these arguments: no descriptor, no flags or no option of these numbers.
            let error = raw::check(unsafe { raw::call(number, args) }).err()?;
            let says_no =
                [libc::ENOSYS, libc::EPERM, libc::EACCES].iter().any(|no| error.raw_os_error() == Some(*no));
            says_no.then_some((name, error))
        })
        .collect();
    if refuses_clone3() {
        refused.push(("clone3", io::Error::from_raw_os_error(libc::EPERM)));
    }
    refused
}

/// Checks that a helper process can adopt the orphans below it, and that `/proc` lists a process's children: the two
/// things by which orphans are found.
///
/// # Errors
/// What was refused, as text; `EPERM` where a test forbids it.
pub fn adoption() -> io::Result<()> {
    if is_forbidden(KernelFacility::Subreaper) {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let below = [ChildStack::new()?, ChildStack::new()?];
    let (pipe, adopter, parent) = (writer.as_raw_fd(), AtomicIsize::new(0), AtomicIsize::new(0));
    let mut shared = Box::new(ProbeShared { pipe, adopter, parent, below });
    let mut stack = ChildStack::new()?;
    let argument = std::ptr::from_mut(&mut *shared).cast();
    let mask = signals::block_all();
    // SAFETY: all signals are blocked; `adopt` makes raw system calls only and never returns; the shared memory is
    // kept until all of its processes have ended, and shared by atomic words only.
    let spawned = unsafe { stack.spawn(None, libc::CLONE_FILES, adopt, argument) };
    signals::restore(mask);
    let (pid, child) = spawned?;
    let found = listed_and_adopting(pid, reader.as_fd());
    if found.is_err() {
        // The child may still write to this number, so it is leaked rather than given to another file.
        std::mem::forget(writer);
    }
    // It ends by itself once its orphan has; killing comes after the wait, or that orphan would be a stranger's.
    if !is_ready(child.as_fd()).unwrap_or(false) {
        let _ = pidfd::signal(&child, libc::SIGKILL);
        let _ = is_ready(child.as_fd());
    }
    let _ = wait::reap_pidfd(&child);
    if stack.is_in_use() || shared.below.iter().any(ChildStack::is_in_use) {
        // A process is still running on this.
        std::mem::forget(shared);
    }
    found
}

/// The memory that the three processes share.
struct ProbeShared {
    pipe: i32,
    /// The process numbers of the first two.
    adopter: AtomicIsize,
    parent: AtomicIsize,
    /// The stacks of the last two.
    below: [ChildStack; 2],
}

/// Checks that descriptors can be closed, and marked to be closed at exec, by range.
///
/// # Errors
/// `ENOSYS` before Linux 5.9, `EINVAL` before 5.11, `EPERM` from a seccomp profile.
pub fn close_range() -> io::Result<()> {
    if is_forbidden(KernelFacility::CloseRange) {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    // The highest number there is: no descriptor ever has it, so the call does nothing.
    let highest = u32::MAX as usize;
    let flags = libc::CLOSE_RANGE_CLOEXEC as usize;
    // SAFETY: close_range(2) takes numbers only, and with this flag it closes nothing now.
    let result = unsafe { raw::call(libc::SYS_close_range, [highest, highest, flags, 0, 0, 0]) };
    raw::check(result).map(drop)
}

fn listed_and_adopting(pid: u32, pipe: BorrowedFd<'_>) -> io::Result<()> {
    if !proc_tree::children(std::process::id())?.contains(&pid) {
        return Err(io::Error::other("/proc does not list the children of a process"));
    }
    let mut errno = [0; 4];
    if !is_ready(pipe)? || rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut errno))? != 4 {
        return Err(io::Error::other("an orphan was spawned and not heard of again"));
    }
    match i32::from_ne_bytes(errno) {
        0 => Ok(()),
        libc::ECHILD => Err(io::Error::other("an orphan was not adopted")),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// The main function of the first process: it becomes a subreaper, has a child whose child is orphaned, and leaves
/// when both are gone. Raw system calls only, because it runs on the memory of a process that may have threads.
extern "C" fn adopt(shared: *mut c_void) -> c_int {
    // SAFETY: the shared that `adoption` passed.
    let all = unsafe { &*shared.cast::<ProbeShared>() };
    plain(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize, 0, 0]);
    let became = plain(libc::SYS_prctl, [libc::PR_SET_CHILD_SUBREAPER as usize, 1, 0, 0]);
    if became < 0 {
        say(all.pipe, -became as i32);
    }
    all.adopter.store(plain(libc::SYS_getpid, [0; 4]), Ordering::Relaxed);
    // SAFETY: signals are blocked here, too; no process is on that stack, and the shared memory is kept.
    unsafe { all.below[0].spawn_below(libc::CLONE_FILES, orphan, shared) };
    while wait_for(libc::P_ALL, 0) >= 0 {}
    leave();
}

/// The main function of the second process: its child is spawned, then it ends.
extern "C" fn orphan(shared: *mut c_void) -> c_int {
    // SAFETY: as in `adopt`.
    let all = unsafe { &*shared.cast::<ProbeShared>() };
    all.parent.store(plain(libc::SYS_getpid, [0; 4]), Ordering::Relaxed);
    // SAFETY: as in `adopt`.
    unsafe { all.below[1].spawn_below(libc::CLONE_FILES, be_orphaned, shared) };
    leave();
}

/// The main function of the third process: it waits until its parent has ended, and checks which process is its parent
/// then.
extern "C" fn be_orphaned(shared: *mut c_void) -> c_int {
    // SAFETY: as in `adopt`.
    let all = unsafe { &*shared.cast::<ProbeShared>() };
    while plain(libc::SYS_getppid, [0; 4]) == all.parent.load(Ordering::Relaxed) {
        nap();
    }
    let is_adopted = plain(libc::SYS_getppid, [0; 4]) == all.adopter.load(Ordering::Relaxed);
    say(all.pipe, if is_adopted { 0 } else { libc::ECHILD });
}

fn wait_for(kind: libc::idtype_t, id: usize) -> isize {
    loop {
        let ended = plain(libc::SYS_waitid, [kind as usize, id, 0, libc::WEXITED as usize]);
        if ended != -libc::EINTR as isize {
            return ended;
        }
    }
}

/// Sleeps for a millisecond. An orphan is not notified of its adoption: the kernel closes a dying parent's files
/// before it hands the children on, so an end of file would come too early.
fn nap() {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    let place = std::ptr::from_ref(&pause) as usize;
    // SAFETY: ppoll(2) of nothing reads the one timespec.
    unsafe { raw::call(libc::SYS_ppoll, [0, 0, place, 0, 0, 0]) };
}

fn say(pipe: i32, errno: i32) -> ! {
    let place = std::ptr::from_ref(&errno) as usize;
    // SAFETY: write(2) reads the four bytes of the number.
    unsafe { raw::call(libc::SYS_write, [pipe as usize, place, 4, 0, 0, 0]) };
    leave();
}

fn leave() -> ! {
    loop {
        plain(libc::SYS_exit_group, [0; 4]);
    }
}

/// Makes a call whose arguments are numbers, or null where the manual takes null.
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
    fn orphans_are_adopted_by_a_copy_and_the_caller_adopts_none() {
        let mut before = 0_i32;
        let place = std::ptr::from_mut(&mut before) as usize;
        adoption().unwrap();
        // SAFETY: PR_GET_CHILD_SUBREAPER writes one number.
        let result =
            unsafe { raw::call(libc::SYS_prctl, [libc::PR_GET_CHILD_SUBREAPER as usize, place, 0, 0, 0, 0]) };
        raw::check(result).unwrap();
        assert_eq!(before, 0, "this process is no subreaper");
    }

    /// Checks that no probe forks the calling process: such a probe takes the longer the more memory the caller has:
    /// of a host with 4 GiB it took more time than a thousand jobs. Every page of it is written anew, by a fault,
    /// after a fork.
    #[test]
    fn no_probe_copies_the_memory_of_its_caller() {
        const PAGES: usize = 4096;
        let mut held = vec![1_u8; (PAGES + 1) * 4096];
        let place = held.as_mut_ptr().map_addr(|address| address.next_multiple_of(4096)).cast();
        // SAFETY: madvise(2) of whole pages of an own allocation; it changes nothing that they hold.
        let advised = unsafe { libc::madvise(place, PAGES * 4096, libc::MADV_NOHUGEPAGE) };
        let mut touch = |with: u8| held.iter_mut().step_by(4096).for_each(|byte| *byte = with);
        touch(2);
        adoption().unwrap();
        // Where there are no groups it has nothing to do.
        let _ = crate::cgroup::probe_kill();
        let before = faults();
        touch(3);
        let faults = faults() - before;
        assert!(advised != 0 || faults < PAGES as u64 / 4, "{faults} faults for {PAGES} pages");
    }

    fn faults() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        after_name.split_whitespace().nth(7).unwrap().parse().unwrap()
    }

    #[test]
    fn closing_by_range_closes_nothing_while_it_is_asked_for() {
        let (reader, _writer) = crate::pipe::pipe().unwrap();
        let _ = close_range();
        rustix::fs::fstat(&reader).unwrap();
    }
}
