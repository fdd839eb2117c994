//! System calls without libc: nothing here touches `errno`, thread-local storage, locks or the heap.
//!
//! A child that shares its parent's memory shares the parent's `errno` too, so between `clone` and `execve` only these
//! calls are made. Elsewhere they serve calls that neither libc nor rustix wraps. This module interprets nothing: it
//! returns the kernel's result.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::RawFd;

/// Makes a system call; the result is the kernel's own, so an error is `-errno`.
///
/// # Safety
/// The arguments must be what the manual of call `number` asks for: pointers valid for as long and as wide as the
/// kernel uses them, descriptors that this process may use in this way.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) unsafe fn call(number: libc::c_long, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the x86-64 system call convention: number in rax, arguments in rdi, rsi, rdx, r10, r8, r9; rcx and
    // r11 are clobbered, all else is kept. The caller vouches for the call itself.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Makes a system call; the result is the kernel's own, so an error is `-errno`.
///
/// # Safety
/// The arguments must be what the manual of call `number` asks for: pointers valid for as long and as wide as the
/// kernel uses them, descriptors that this process may use in this way.
#[cfg(target_arch = "aarch64")]
#[inline]
pub(crate) unsafe fn call(number: libc::c_long, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the AArch64 system call convention: number in x8, arguments in x0 to x5, result in x0; all other
    // registers are kept. The caller vouches for the call itself.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number as isize,
            inlateout("x0") args[0] as isize => result,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            in("x5") args[5],
            options(nostack),
        );
    }
    result
}

/// The flag of `linux/sched.h`; the constant of the libc crate is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Returns the arguments of clone3(2) for a child that is spawned in a group: a fork, unless the caller gives it a
/// stack.
pub(crate) fn into_group(group: RawFd, flags: c_int, pidfd: *mut c_int) -> libc::clone_args {
    libc::clone_args {
        flags: flags as u64 | CLONE_INTO_CGROUP,
        pidfd: pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: group as u64,
    }
}

/// Returns the arguments of clone(2) for a child on the stack that ends at `top`; the handle's place is that of the
/// parent's number. The two last ones differ in order from processor to processor.
pub(crate) fn onto_stack(
    flags: c_int,
    top: *mut c_void,
    handle: *mut c_int,
    child: *mut c_int,
) -> [usize; 5] {
    let (flags, top) = ((flags | libc::SIGCHLD) as usize, top as usize);
    if cfg!(target_arch = "x86_64") {
        [flags, top, handle as usize, child as usize, 0]
    } else {
        [flags, top, handle as usize, 0, child as usize]
    }
}

/// Makes a call of clone(2) or clone3(2), whose child continues in `run` on a stack of its own; the result is the
/// parent's.
///
/// # Safety
/// The manual's terms for `args`; its stack must be mapped, unused, and stay so for as long as the child is on it, as
/// must what `argument` points to. `run` never returns.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn spawn(
    number: libc::c_long,
    args: [usize; 5],
    run: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> isize {
    let result: isize;
    // SAFETY: as `call`. The child has the same registers but another stack, so it touches nothing of this frame; it
    // clears the frame pointer, where stack walks end, and calls away for good. The caller vouches for the rest.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") number as isize => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r12") argument,
            in("r13") run,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// Makes a call of clone(2) or clone3(2), whose child continues in `run` on a stack of its own; the result is the
/// parent's.
///
/// # Safety
/// The manual's terms for `args`; its stack must be mapped, unused, and stay so for as long as the child is on it, as
/// must what `argument` points to. `run` never returns.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn spawn(
    number: libc::c_long,
    args: [usize; 5],
    run: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> isize {
    let result: isize;
    // SAFETY: as `call`. The child has the same registers but another stack, so it touches nothing of this frame; it
    // clears frame pointer and link, where stack walks end, and calls away for good. The caller vouches for the rest.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            in("x8") number as isize,
            inlateout("x0") args[0] => result,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            in("x20") argument,
            in("x21") run,
        );
    }
    result
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("psmith-sys has no system call convention for this processor yet");

/// Converts the kernel's result to a `Result`.
#[inline]
pub(crate) fn check(result: isize) -> io::Result<usize> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result as i32)) } else { Ok(result as usize) }
}
