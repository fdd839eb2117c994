//! System calls without libc: nothing here touches `errno`, thread-local storage, locks or the heap.
//!
//! A child that shares its parent's memory shares the parent's `errno` too, so between `clone` and `execve` only
//! these calls are made. Elsewhere they serve calls that neither libc nor rustix wraps. This module interprets
//! nothing: it hands back what the kernel said.

use std::io;

/// One system call; the answer is the kernel's own, so an error is `-errno`.
///
/// # Safety
/// The arguments must be what the manual of call `number` asks for: pointers valid for as long and as wide as the
/// kernel uses them, descriptors that this process may use in this way.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) unsafe fn call(number: libc::c_long, args: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the x86-64 system call convention: number in rax, arguments in rdi, rsi, rdx, r10, r8, r9; rcx and
    // r11 are clobbered, all else is kept. The caller vouches for the call itself.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
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
    answer
}

/// One system call; the answer is the kernel's own, so an error is `-errno`.
///
/// # Safety
/// The arguments must be what the manual of call `number` asks for: pointers valid for as long and as wide as the
/// kernel uses them, descriptors that this process may use in this way.
#[cfg(target_arch = "aarch64")]
#[inline]
pub(crate) unsafe fn call(number: libc::c_long, args: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the AArch64 system call convention: number in x8, arguments in x0 to x5, answer in x0; all other
    // registers are kept. The caller vouches for the call itself.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number as isize,
            inlateout("x0") args[0] as isize => answer,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            in("x5") args[5],
            options(nostack),
        );
    }
    answer
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("psmith-sys has no system call convention for this processor yet");

/// The kernel's answer as a `Result`.
#[inline]
pub(crate) fn check(answer: isize) -> io::Result<usize> {
    if answer < 0 { Err(io::Error::from_raw_os_error(-answer as i32)) } else { Ok(answer as usize) }
}
