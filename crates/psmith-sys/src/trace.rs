//! A sample of a child that is seized for a moment: its registers, and the bytes of its stack.
//!
//! Changes nothing in it. [`seize`] asks it to stop; the stop is reported as [`crate::wait::ChildChange::Seized`],
//! sooner or later (not while it is frozen or within a call that nothing interrupts), and then it is stopped until
//! [`release`]. To the child it is like a stop and a continuation: calls go on, but for the few that such a stop
//! interrupts (signal(7)). Only the thread that seized it may read and release it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::raw;

/// The registers by which a stack is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// The address of the next instruction.
    pub instruction: u64,
    /// The stack pointer.
    pub stack: u64,
    /// The frame pointer, where the code keeps one.
    pub frame: u64,
    /// The return address, where that is in a register; otherwise 0.
    pub link: u64,
}

/// Asks a child to stop for a sample.
///
/// # Errors
/// `ESRCH` if it is gone, `EPERM` if it may not be read or a debugger has it.
pub fn seize(pid: u32) -> io::Result<()> {
    // SAFETY: ptrace(2): PTRACE_SEIZE takes no pointer; without options nothing is changed in the child.
    let seized = unsafe { request(libc::PTRACE_SEIZE as usize, pid, 0, 0) };
    raw::check(seized)?;
    // SAFETY: ptrace(2): PTRACE_INTERRUPT takes no pointer.
    let interrupted = unsafe { request(libc::PTRACE_INTERRUPT as usize, pid, 0, 0) };
    raw::check(interrupted).map(|_| ())
}

/// Releases a child that was reported as [`crate::wait::ChildChange::Seized`], with the signal that it was about to
/// get.
///
/// # Errors
/// `ESRCH` if it is gone: it was killed.
pub fn release(pid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: ptrace(2): PTRACE_DETACH takes the number of a signal, or 0, and no pointer.
    let detached = unsafe { request(libc::PTRACE_DETACH as usize, pid, 0, signal as usize) };
    raw::check(detached).map(|_| ())
}

/// Returns the registers of a child that is seized.
///
/// # Errors
/// `ESRCH` if it is not seized, or was killed.
pub fn registers(pid: u32) -> io::Result<Registers> {
    // SAFETY: user_regs_struct is plain data, for which zeros are valid.
    let mut all: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    let mut place = libc::iovec {
        iov_base: std::ptr::from_mut(&mut all).cast(),
        iov_len: size_of::<libc::user_regs_struct>(),
    };
    let place = std::ptr::from_mut(&mut place) as usize;
    // SAFETY: ptrace(2): PTRACE_GETREGSET writes at most `iov_len` bytes there, of general registers.
    let got = unsafe { request(libc::PTRACE_GETREGSET as usize, pid, libc::NT_PRSTATUS as usize, place) };
    raw::check(got)?;
    Ok(of(&all))
}

#[cfg(target_arch = "x86_64")]
fn of(all: &libc::user_regs_struct) -> Registers {
    Registers { instruction: all.rip, stack: all.rsp, frame: all.rbp, link: 0 }
}

#[cfg(target_arch = "aarch64")]
fn of(all: &libc::user_regs_struct) -> Registers {
    Registers { instruction: all.pc, stack: all.sp, frame: all.regs[29], link: all.regs[30] }
}

/// Returns the bytes of a seized child's memory from this address on, at most `bytes_max`; less where no more is
/// mapped.
///
/// # Errors
/// If nothing can be read there.
pub fn memory(pid: u32, from: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let file = File::open(format!("/proc/{pid}/mem"))?;
    let mut bytes = vec![0; bytes_max];
    let mut length = 0;
    while length < bytes_max {
        match file.read_at(&mut bytes[length..], from + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if length > 0 => break,
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Makes a call of ptrace(2), the raw form.
///
/// # Safety
/// The last two arguments must be what the manual asks for at this request.
unsafe fn request(request: usize, pid: u32, address: usize, data: usize) -> isize {
    // SAFETY: the caller vouches for the arguments.
    unsafe { raw::call(libc::SYS_ptrace, [request, pid as usize, address, data, 0, 0]) }
}
