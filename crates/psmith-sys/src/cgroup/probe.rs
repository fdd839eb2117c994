//! Probes of control groups, which try each operation with a short-lived child.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::{CgroupError, CgroupLimits, Controller, LimitSites, RunGroup, run_name};
use crate::forbid::{KernelFacility, is_forbidden};
use crate::stack::ChildStack;
use crate::{pidfd, raw, signals, wait};

/// The time after which a child that has not answered never will.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Timespec = Timespec { tv_sec: ANSWER_TIMEOUT.as_secs() as i64, tv_nsec: 0 };

/// Checks that a group can be made, joined, killed and removed here.
///
/// # Errors
/// What was refused.
pub fn probe_kill() -> Result<(), CgroupError> {
    let run = RunGroup::create(&run_name())?;
    let result = kill_in(&run);
    clean_up(&run, result)
}

/// Checks that `controller` can limit a tree here: makes a group, sets a limit, and lets a child join it.
///
/// # Errors
/// What was refused.
pub fn probe_limit(controller: Controller) -> Result<(), CgroupError> {
    let name = run_name();
    let run = RunGroup::create_with(&name, &[controller]).ok();
    let sites = LimitSites::prepare(run.as_ref(), &name, &[controller]);
    let mut result = limit_in(&sites, controller);
    if let Err(error) = sites.remove() {
        result = result.and(Err(CgroupError::new("remove", Path::new(&name), &error)));
    }
    match run {
        Some(run) => clean_up(&run, result),
        None => result,
    }
}

fn kill_in(run: &RunGroup) -> Result<(), CgroupError> {
    let group = run.slot("probe")?;
    let refused = |doing: &str, error: &io::Error| CgroupError::new(doing, group.path(), error);
    // To let a process join, the kernel waits for several milliseconds; to be spawned there costs nothing.
    let child = ProbeChild::spawned_in(group.dir())
        .or_else(|_| ProbeChild::joining(&[group.procs_file()]))
        .map_err(|error| refused("join", &error))?;
    let is_inside = group.populated().map_err(|error| refused("read", &error))?;
    group.kill().map_err(|error| refused("kill", &error))?;
    let has_ended = child.wait().map_err(|error| refused("wait for", &error))?;
    let is_empty = group.wait_empty(ANSWER_TIMEOUT).map_err(|error| refused("read", &error))?;
    if !(is_inside && has_ended && is_empty) {
        return Err(CgroupError::missing("kill (without effect)", group.path(), libc::ETIMEDOUT));
    }
    group.remove().map_err(|error| refused("remove", &error))
}

fn limit_in(sites: &LimitSites, controller: Controller) -> Result<(), CgroupError> {
    let limits = match controller {
        Controller::Memory => CgroupLimits { memory_bytes_max: Some(64 << 20), ..CgroupLimits::default() },
        Controller::Pids => CgroupLimits { pids_max: Some(16), ..CgroupLimits::default() },
        Controller::Cpu => CgroupLimits { cpus_thousandths_max: Some(1000), ..CgroupLimits::default() },
    };
    let group = sites.create("probe", &limits)?;
    let files: Vec<BorrowedFd<'_>> = group.join_files().collect();
    let at = Path::new(controller.name());
    let joined =
        ProbeChild::joining(&files).map_err(|error| CgroupError::new("join a group for", at, &error));
    // The child is killed and reaped by its drop, before its group is removed.
    drop(joined?);
    group.remove().map_err(|error| CgroupError::new("remove the group for", at, &error))
}

fn clean_up(run: &RunGroup, result: Result<(), CgroupError>) -> Result<(), CgroupError> {
    match (result, run.remove()) {
        (Ok(()), Err(error)) => Err(CgroupError::new("remove", run.group().path(), &error)),
        (result, _) => result,
    }
}

/// A process on this one's memory that joins groups, reports that, and sleeps. It makes raw system calls only: so it
/// is sound in a process with threads, too; and a host pays nothing for all the memory that it has.
struct ProbeChild {
    handle: OwnedFd,
    /// The stack that it runs on, and the task that it reads.
    memory: Option<(ChildStack, Box<ProbeTask>)>,
}

/// The task of the child.
struct ProbeTask {
    files: Vec<i32>,
    pipe: i32,
    parent: u32,
}

impl ProbeChild {
    fn spawned_in(group: BorrowedFd<'_>) -> io::Result<Self> {
        if is_forbidden(KernelFacility::CgroupBirth) {
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        ProbeChild::make(Some(group), &[])
    }

    fn joining(files: &[BorrowedFd<'_>]) -> io::Result<Self> {
        ProbeChild::make(None, files)
    }

    fn make(group: Option<BorrowedFd<'_>>, files: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let mut task = Box::new(ProbeTask {
            files: files.iter().map(AsRawFd::as_raw_fd).collect(),
            pipe: writer.as_raw_fd(),
            parent: std::process::id(),
        });
        let mut stack = ChildStack::new()?;
        let argument = std::ptr::from_mut(&mut *task).cast();
        let mask = signals::block_all();
        // One table of descriptors for both: a file that is closed here meanwhile must not stay open, and locked.
        // SAFETY: all signals are blocked; `sleep_in` makes raw system calls only and never returns; the task is kept
        // until the child has ended, and only read.
        let spawned = unsafe {
            stack.spawn(group.map(|group| group.as_raw_fd()), libc::CLONE_FILES, sleep_in, argument)
        };
        signals::restore(mask);
        let (_, handle) = spawned?;
        let child = ProbeChild { handle, memory: Some((stack, task)) };
        let mut errno = [0; 4];
        // The child may also be killed at its start, and never answer; the pipe does not report that, for both share
        // its ends.
        let mut either = [PollFd::new(&reader, PollFlags::IN), PollFd::new(&child.handle, PollFlags::IN)];
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut either, Some(&ANSWER_LIMIT)))?;
        if either[0].revents().is_empty() || rustix::io::read(&reader, &mut errno)? != 4 {
            return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
        }
        // Kept until now: it is the same descriptor that the child writes to.
        drop(writer);
        match i32::from_ne_bytes(errno) {
            0 => Ok(child),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn wait(&self) -> io::Result<bool> {
        is_ready(self.handle.as_fd(), ANSWER_TIMEOUT)
    }
}

impl Drop for ProbeChild {
    fn drop(&mut self) {
        // It may be dead already, and is reaped in either case.
        let _ = pidfd::signal(&self.handle, libc::SIGKILL);
        if self.wait().unwrap_or(false) {
            let _ = wait::reap_pidfd(&self.handle);
        } else {
            // The child is still running on this.
            std::mem::forget(self.memory.take());
        }
    }
}

/// Runs the child. Raw system calls only.
extern "C" fn sleep_in(task: *mut c_void) -> c_int {
    // SAFETY: the task that `ProbeChild::make` passed; both sides only read it.
    let ProbeTask { files, pipe, parent } = unsafe { &*task.cast::<ProbeTask>() };
    let mut errno = 0_i32;
    // SAFETY: prctl(2) with numbers only.
    unsafe {
        raw::call(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize, 0, 0, 0, 0])
    };
    // SAFETY: getppid(2) takes nothing.
    if unsafe { raw::call(libc::SYS_getppid, [0; 6]) } != *parent as isize {
        // The parent was killed before the signal was set: no other process will ever end this one.
        // SAFETY: exit_group(2) takes a number.
        unsafe { raw::call(libc::SYS_exit_group, [1, 0, 0, 0, 0, 0]) };
    }
    for file in files {
        // SAFETY: write(2) reads one byte.
        let written =
            unsafe { raw::call(libc::SYS_write, [*file as usize, b"0".as_ptr() as usize, 1, 0, 0, 0]) };
        if written < 0 {
            errno = -written as i32;
        }
    }
    let place = std::ptr::from_ref(&errno) as usize;
    // SAFETY: write(2) reads the four bytes of the number.
    unsafe { raw::call(libc::SYS_write, [*pipe as usize, place, 4, 0, 0, 0]) };
    loop {
        // SAFETY: ppoll(2) of nothing, without a timeout and with the mask left alone: sleeps until killed.
        unsafe { raw::call(libc::SYS_ppoll, [0, 0, 0, 0, 0, 0]) };
    }
}

fn is_ready(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let limit = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: 0 };
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, Some(&limit)))? > 0)
}
