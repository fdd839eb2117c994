//! Processes on this process's memory, each with a stack of its own: nothing is copied, however much memory there is.
//! Waits for none of them.
//!
//! The caller keeps all signals blocked while it spawns one, so that no handler runs on memory that is not the child's
//! own; and keeps what the child reads until the child has left ([`ChildStack::is_in_use`]).

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::raw;

/// The size of a stack; the deepest call chain of any child takes well under a tenth of it.
const STACK_BYTES: usize = 64 << 10;
/// The size of the guard: an overflow hits it and faults, instead of writing into foreign memory. Holds for pages up
/// to 64 KiB.
const GUARD_BYTES: usize = 64 << 10;

/// A mapped stack with a guard below, for one child at a time.
#[derive(Debug)]
pub(crate) struct ChildStack {
    base: *mut c_void,
    /// The word that is 1 from before the spawn until the kernel clears it, when the child leaves this memory by exec
    /// or exit.
    alive: Box<AtomicI32>,
}

/// The main function of a child; it makes raw system calls only, and never returns.
pub(crate) type ChildMain = extern "C" fn(*mut c_void) -> c_int;

impl ChildStack {
    pub(crate) fn new() -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        // SAFETY: mmap(2) of new anonymous memory at an address that the kernel chooses.
        let base =
            unsafe { libc::mmap(ptr::null_mut(), GUARD_BYTES + STACK_BYTES, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = ChildStack { base, alive: Box::default() };
        // SAFETY: mprotect(2) of the lower part of the mapping just made.
        if unsafe { libc::mprotect(base, GUARD_BYTES, libc::PROT_NONE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// Returns whether a child is still on this memory.
    pub(crate) fn is_in_use(&self) -> bool {
        self.alive.load(Ordering::Acquire) != 0
    }

    /// Spawns a child that runs `main` with `argument` on this stack, with further `flags` of clone(2). Returns its
    /// number and its handle.
    ///
    /// With a group, it is spawned in it. That does not only save the call that joins: to let a process join, the
    /// kernel waits until no other one is between two steps of a fork or an exit, and that for longer than a start
    /// takes.
    ///
    /// # Safety
    /// All signals are blocked in this thread; `main` keeps the terms of [`ChildMain`]; what `argument` points to stays, and
    /// is shared with the child by atomic words only, until the stack is no longer in use.
    pub(crate) unsafe fn spawn(
        &mut self,
        group: Option<RawFd>,
        flags: c_int,
        main: ChildMain,
        argument: *mut c_void,
    ) -> io::Result<(u32, OwnedFd)> {
        self.alive.store(1, Ordering::Release);
        let flags = flags | libc::CLONE_VM | libc::CLONE_PIDFD | libc::CLONE_CHILD_CLEARTID;
        let mut handle: c_int = -1;
        let alive = self.alive.as_ptr();
        let result = if let Some(group) = group {
            let args = libc::clone_args {
                child_tid: alive as u64,
                stack: self.bottom() as u64,
                stack_size: STACK_BYTES as u64,
                ..raw::into_group(group, flags, &raw mut handle)
            };
            let words = [ptr::from_ref(&args) as usize, size_of_val(&args), 0, 0, 0];
            // SAFETY: clone3(2): the stack is mapped, its own, and stays until `alive` is cleared, as does that word; the
            // handle's place is written before the call returns. The caller vouches for the child.
            unsafe { raw::spawn(libc::SYS_clone3, words, main, argument) }
        } else {
            let words = raw::onto_stack(flags, self.top(), &raw mut handle, alive);
            // SAFETY: clone(2), as above.
            unsafe { raw::spawn(libc::SYS_clone, words, main, argument) }
        };
        let pid = raw::check(result).inspect_err(|_| self.alive.store(0, Ordering::Release))?;
        // SAFETY: CLONE_PIDFD has just made this descriptor, so no other value owns it.
        Ok((pid as u32, unsafe { OwnedFd::from_raw_fd(handle) }))
    }

    /// Spawns a child of a child, without a handle: makes one raw system call and nothing else.
    ///
    /// # Safety
    /// As [`ChildStack::spawn`]; and no process is on this stack.
    pub(crate) unsafe fn spawn_below(&self, flags: c_int, main: ChildMain, argument: *mut c_void) -> isize {
        self.alive.store(1, Ordering::Release);
        let flags = flags | libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID;
        let words = raw::onto_stack(flags, self.top(), ptr::null_mut(), self.alive.as_ptr());
        // SAFETY: as in `spawn`.
        let result = unsafe { raw::spawn(libc::SYS_clone, words, main, argument) };
        if result < 0 {
            self.alive.store(0, Ordering::Release);
        }
        result
    }

    /// Returns the lower end of the stack, above the guard.
    fn bottom(&self) -> *mut c_void {
        self.base.wrapping_byte_add(GUARD_BYTES)
    }

    /// Returns the address from which the stack grows down; aligned as both processors require.
    fn top(&self) -> *mut c_void {
        self.base.wrapping_byte_add(GUARD_BYTES + STACK_BYTES)
    }
}

impl Drop for ChildStack {
    fn drop(&mut self) {
        if self.is_in_use() {
            // A child is still running on it: its memory, and the word that the kernel will clear, outlast this value.
            std::mem::forget(std::mem::take(&mut self.alive));
            return;
        }
        // SAFETY: munmap(2) of the whole own mapping, on which no process is.
        unsafe { libc::munmap(self.base, GUARD_BYTES + STACK_BYTES) };
    }
}
