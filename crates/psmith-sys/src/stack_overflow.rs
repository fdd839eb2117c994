//! The report of a stack overflow, sent before the process dies of it.
//!
//! The kernel signals an overflow as it does any wild pointer, by SEGV, and it can do so only on another stack. For
//! the one thread that asks for it, the handler here compares the address of the access with the stack pointer: one
//! near the other is an overflow, because accesses within the stack do not fault. Then it sends the words that it was
//! given, and in any case lets the signal take its default effect.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use crate::last_words;

/// The size of the handler's stack, with room for the registers that the kernel saves there (some 11 KiB on large
/// machines).
const STACK_BYTES: usize = 64 * 1024;

/// The distance that counts as near: a frame is entered page by page, so the access that fails is near the stack
/// pointer.
const NEAR_BYTES: usize = 64 * 1024;

static WORDS: OnceLock<Vec<u8>> = OnceLock::new();

/// Makes an overflow of this thread's stack send `words` to this socket from now on, once, and only while no thread
/// [`speaks`](last_words::speaks). For a process that is this code's own, once, before it has other handlers of SEGV; the socket stays
/// open until the process ends.
///
/// # Errors
/// Those of [`prepare`].
pub fn watch(socket: BorrowedFd<'_>, words: Vec<u8>) -> io::Result<()> {
    last_words::listen(socket);
    let _ = WORDS.set(words);
    prepare()
}

/// Prepares the part of [`watch`] that a forked child inherits. Until there are words, a fault ends the process as
/// usual.
///
/// # Errors
/// None is expected.
pub fn prepare() -> io::Result<()> {
    static PREPARED: OnceLock<Result<(), i32>> = OnceLock::new();
    let done = PREPARED.get_or_init(|| install().map_err(|error| error.raw_os_error().unwrap_or(0)));
    done.map_err(io::Error::from_raw_os_error)
}

fn install() -> io::Result<()> {
    // Never given back: the thread has it until the process ends.
    let stack: &'static mut [MaybeUninit<u8>] = Box::leak(Box::new_uninit_slice(STACK_BYTES));
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
    // SAFETY: sigaltstack(2) reads one description; the memory that it names is this thread's for ever.
    let result = unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    last_words::handle(libc::SIGSEGV, on_fault)
}

/// Handles SEGV, on its own stack. Makes raw calls only, and touches no lock and no heap.
extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: sigaction(2): with SA_SIGINFO the kernel hands over a valid description of the fault.
    let info = unsafe { &*info };
    // SAFETY: sigaction(2): a SEGV of the kernel's has an address; of one that was sent this word is something else, and
    // it is not used.
    let address = unsafe { info.si_addr() } as usize;
    let is_fault = info.si_code > 0;
    // SAFETY: sigaction(2): with SA_SIGINFO the third argument is a ucontext_t.
    let pointer = stack_pointer(unsafe { &*context.cast::<libc::ucontext_t>() });
    if is_fault
        && address.abs_diff(pointer) <= NEAR_BYTES
        && let Some(words) = WORDS.get()
    {
        last_words::say(words);
    }
    // The access is made again when this returns, and ends the process as it would have without the handler. A signal
    // that was sent has to be sent again.
    if is_fault {
        let _ = crate::signals::default(signal);
    } else {
        last_words::die_of(signal);
    }
}

#[cfg(target_arch = "x86_64")]
fn stack_pointer(context: &libc::ucontext_t) -> usize {
    context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize
}

#[cfg(target_arch = "aarch64")]
fn stack_pointer(context: &libc::ucontext_t) -> usize {
    context.uc_mcontext.sp as usize
}
