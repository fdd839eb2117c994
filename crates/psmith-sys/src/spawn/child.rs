//! The child's steps between `clone` and `execve`.
//!
//! It runs on the parent's memory with the parent's thread-local storage: raw system calls only, no allocation, no
//! panic, no libc, no `errno`. It writes nothing but its own stack and the atomic words of its block.

use std::ffi::c_int;
use std::os::fd::RawFd;

use super::ChildStep;
use super::block::SpawnBlock;
use crate::raw;
use crate::rlimit::{KernelRlimit, Resource};
use crate::signals::KernelSigaction;

/// The exit code of a child whose start failed; the parent reads the block, not this.
const EXIT_FAILED: usize = 127;

/// Takes all steps and executes the program; never returns but by exit.
pub(super) fn run(block: &SpawnBlock) -> c_int {
    if let Err(errno) = steps(block) {
        block.fail(errno);
    }
    loop {
        // SAFETY: exit_group(2) ends this process alone: the child is a process, not a thread of the parent.
        unsafe { raw::call(libc::SYS_exit_group, [EXIT_FAILED, 0, 0, 0, 0, 0]) };
    }
}

/// The errno of the step that failed.
type StepErrno = i32;

fn steps(block: &SpawnBlock) -> Result<(), StepErrno> {
    let Some(plan) = &block.plan else { return Err(libc::EINVAL) };

    block.at(ChildStep::Session);
    match plan.foreground {
        None => drop(plain(libc::SYS_setsid, [0; 3])?),
        Some(tty) => {
            plain(libc::SYS_setpgid, [0, 0, 0])?;
            block.at(ChildStep::Terminal);
            take_foreground(tty)?;
        }
    }

    if let Some(signal) = plan.parent_death {
        block.at(ChildStep::ParentDeath);
        plain(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, signal as usize, 0])?;
        // The parent may have ended before the signal was set; then another process is the parent now.
        if plain(libc::SYS_getppid, [0; 3])? != plan.parent as usize {
            return Err(libc::ESRCH);
        }
    }

    block.at(ChildStep::JoinGroup);
    for group in &block.groups {
        write_zero(*group)?;
    }

    block.at(ChildStep::Limits);
    // The number of descriptors comes after the descriptors: a small one would forbid moving them.
    for (resource, limit) in &block.rlimits {
        if *resource != Resource::OpenFiles {
            set_limit(*resource, limit)?;
        }
    }

    if plan.nice != 0 {
        block.at(ChildStep::Nice);
        add_nice(plan.nice)?;
    }

    block.at(ChildStep::WorkingDirectory);
    if let Some(dir) = plan.dir_fd {
        plain(libc::SYS_fchdir, [dir as usize, 0, 0])?;
    } else if !block.dir.is_null() {
        change_dir(block)?;
    }
    if let Some(umask) = plan.umask {
        plain(libc::SYS_umask, [umask as usize, 0, 0])?;
    }

    block.at(ChildStep::Descriptors);
    arrange(plan.fds)?;
    hide_the_rest(plan.has_close_range)?;

    block.at(ChildStep::Limits);
    for (resource, limit) in &block.rlimits {
        if *resource == Resource::OpenFiles {
            set_limit(*resource, limit)?;
        }
    }

    block.at(ChildStep::Signals);
    for signal in plan.reset.iter() {
        set_default(signal)?;
    }

    if plan.no_new_privs {
        block.at(ChildStep::Privileges);
        plain(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0])?;
    }

    block.at(ChildStep::Signals);
    // Last: from here on signals arrive, and all of them have their default meaning.
    empty_mask()?;

    block.at(ChildStep::Exec);
    let errno = execute(block.program, block.arguments(), block.environment());
    if errno != libc::ENOEXEC {
        return Err(errno);
    }
    // A script without an interpreter line is run by the shell, as every shell and `execvp` do.
    Err(execute(block.shell(), block.arguments_for_shell(), block.environment()))
}

/// Makes a call without pointers.
fn plain(number: libc::c_long, args: [usize; 3]) -> Result<usize, StepErrno> {
    // SAFETY: the callers pass numbers only, for calls that take no pointer.
    result(unsafe { raw::call(number, [args[0], args[1], args[2], 0, 0, 0]) })
}

fn result(returned: isize) -> Result<usize, StepErrno> {
    if returned < 0 { Err(-returned as i32) } else { Ok(returned as usize) }
}

fn take_foreground(tty: RawFd) -> Result<(), StepErrno> {
    let group = plain(libc::SYS_getpid, [0; 3])? as i32;
    let place = std::ptr::from_ref(&group) as usize;
    // From the background this call would stop its caller by SIGTTOU; that is blocked here, as all signals are.
    // SAFETY: TIOCSPGRP reads one pid_t.
    result(unsafe { raw::call(libc::SYS_ioctl, [tty as usize, libc::TIOCSPGRP as usize, place, 0, 0, 0]) })
        .map(drop)
}

fn write_zero(file: RawFd) -> Result<(), StepErrno> {
    let zero = b"0";
    loop {
        // SAFETY: write(2) reads one byte.
        match result(unsafe {
            raw::call(libc::SYS_write, [file as usize, zero.as_ptr() as usize, 1, 0, 0, 0])
        }) {
            Err(libc::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

fn set_limit(resource: Resource, limit: &KernelRlimit) -> Result<(), StepErrno> {
    let place = std::ptr::from_ref(limit) as usize;
    // SAFETY: prlimit64(2) on the caller reads one limit.
    result(unsafe { raw::call(libc::SYS_prlimit64, [0, resource as usize, place, 0, 0, 0]) }).map(drop)
}

fn add_nice(added: i32) -> Result<(), StepErrno> {
    // The raw call returns 20 - nice, so that it is never negative.
    let now = 20 - plain(libc::SYS_getpriority, [libc::PRIO_PROCESS as usize, 0, 0])? as i32;
    let wanted = now.saturating_add(added).clamp(-20, 19);
    plain(libc::SYS_setpriority, [libc::PRIO_PROCESS as usize, 0, wanted as usize]).map(drop)
}

fn change_dir(block: &SpawnBlock) -> Result<(), StepErrno> {
    // SAFETY: chdir(2) reads the NUL-ended path, which is in the block.
    result(unsafe { raw::call(libc::SYS_chdir, [block.dir as usize, 0, 0, 0, 0, 0]) }).map(drop)
}

/// Puts the three sources on 0, 1 and 2.
fn arrange(sources: [RawFd; 3]) -> Result<(), StepErrno> {
    let [zero, one, two] = sources;
    // A source that is itself 0, 1 or 2 would be overwritten by its neighbour's turn, so it is moved away first.
    let sources = [moved_away(zero, 0)?, moved_away(one, 1)?, moved_away(two, 2)?];
    for (target, source) in sources.into_iter().enumerate() {
        if source as usize == target {
            // Copying a descriptor onto itself would leave it close-on-exec.
            plain(libc::SYS_fcntl, [target, libc::F_SETFD as usize, 0])?;
        } else {
            plain(libc::SYS_dup3, [source as usize, target, 0])?;
        }
    }
    Ok(())
}

fn moved_away(source: RawFd, target: RawFd) -> Result<RawFd, StepErrno> {
    if source == target || source > 2 {
        return Ok(source);
    }
    let moved = plain(libc::SYS_fcntl, [source as usize, libc::F_DUPFD_CLOEXEC as usize, 3])?;
    Ok(moved as RawFd)
}

/// Hides every descriptor from 3 on from the program. Nothing is closed here where the kernel allows that: the program
/// may be named through a descriptor (`/proc/self/fd/7`), and the last close of a file on a dead mount can hang.
fn hide_the_rest(has_close_range: bool) -> Result<(), StepErrno> {
    if has_close_range {
        let all = u32::MAX as usize;
        if plain(libc::SYS_close_range, [3, all, libc::CLOSE_RANGE_CLOEXEC as usize]).is_ok() {
            return Ok(());
        }
        // 5.9 and 5.10 know the call but not this flag; that is an error of its argument.
    }
    hide_listed()
}

/// Marks the descriptors that `/proc/self/fd` lists.
fn hide_listed() -> Result<(), StepErrno> {
    let flags = (libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) as usize;
    let path = c"/proc/self/fd".as_ptr() as usize;
    // SAFETY: openat(2) reads the NUL-ended path.
    let opened =
        result(unsafe { raw::call(libc::SYS_openat, [libc::AT_FDCWD as usize, path, flags, 0, 0, 0]) });
    let Ok(dir) = opened else { return hide_counted() };
    let mut records = DirRecords([0; 2048]);
    loop {
        let place = records.0.as_mut_ptr() as usize;
        let room = records.0.len();
        // SAFETY: getdents64(2) writes at most `room` bytes.
        let filled = result(unsafe { raw::call(libc::SYS_getdents64, [dir, place, room, 0, 0, 0]) })?;
        if filled == 0 {
            break;
        }
        let mut at = 0;
        // A record: inode (8), offset (8), its length (2), type (1), the name.
        while let Some(record) = records.0.get(at..filled) {
            let (Some(low), Some(high)) = (record.get(16), record.get(17)) else { break };
            if let Some(number) = record.get(19..).and_then(leading_number)
                && number > 2
            {
                hide(number)?;
            }
            let length = usize::from(*low) | usize::from(*high) << 8;
            if length == 0 {
                break;
            }
            at += length;
        }
    }
    // It is the child's own copy and close-on-exec itself, so it may as well stay open.
    Ok(())
}

#[repr(align(8))]
struct DirRecords([u8; 2048]);

/// Marks every number that may be open, where there is no `/proc`.
fn hide_counted() -> Result<(), StepErrno> {
    const NUMBERS_MAX: usize = 65_536;
    let mut limit = KernelRlimit { soft: 0, hard: 0 };
    let place = std::ptr::from_mut(&mut limit) as usize;
    // SAFETY: prlimit64(2) on the caller with a null new limit writes the old one.
    result(unsafe { raw::call(libc::SYS_prlimit64, [0, Resource::OpenFiles as usize, 0, place, 0, 0]) })?;
    let mut number = 3;
    while number < NUMBERS_MAX && (number as u64) < limit.soft {
        match hide(number) {
            Ok(()) | Err(libc::EBADF) => number += 1,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn hide(number: usize) -> Result<(), StepErrno> {
    plain(libc::SYS_fcntl, [number, libc::F_SETFD as usize, libc::FD_CLOEXEC as usize]).map(drop)
}

fn leading_number(name: &[u8]) -> Option<usize> {
    let mut number: Option<usize> = None;
    for byte in name {
        if !byte.is_ascii_digit() {
            break;
        }
        number = Some(number.unwrap_or(0).wrapping_mul(10).wrapping_add(usize::from(*byte & 0x0f)));
    }
    number
}

fn set_default(signal: i32) -> Result<(), StepErrno> {
    let action = KernelSigaction { handler: 0, flags: 0, restorer: 0, mask: 0 };
    let place = std::ptr::from_ref(&action) as usize;
    // SAFETY: rt_sigaction(2) reads one action with a mask of 8 bytes; the child has dispositions of its own.
    result(unsafe { raw::call(libc::SYS_rt_sigaction, [signal as usize, place, 0, 8, 0, 0]) }).map(drop)
}

fn empty_mask() -> Result<(), StepErrno> {
    let mask = 0_u64;
    let place = std::ptr::from_ref(&mask) as usize;
    // SAFETY: rt_sigprocmask(2) reads one mask of 8 bytes.
    result(unsafe { raw::call(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as usize, place, 0, 8, 0, 0]) })
        .map(drop)
}

/// Executes the program; returns the error if that failed.
fn execute(
    program: *const std::ffi::c_char,
    arguments: *const std::sync::atomic::AtomicPtr<std::ffi::c_char>,
    environment: *const *const std::ffi::c_char,
) -> StepErrno {
    let places = [program as usize, arguments as usize, environment as usize, 0, 0, 0];
    // SAFETY: execve(2) reads a NUL-ended path and two null-ended arrays of NUL-ended words, all in the block; an
    // `AtomicPtr` has the representation of a pointer.
    let returned = unsafe { raw::call(libc::SYS_execve, places) };
    -returned as i32
}
