//! The report of a stack overflow, sent before the process dies of it.
//!
//! The kernel signals an overflow as it does any wild pointer, by SEGV, and it can do so only on another stack. For
//! the one thread that asks for it, the handler here compares the address of the access with the stack pointer: one
//! near the other is an overflow, because accesses within the stack do not fault. Then it sends the words that it was
//! given, and in any case lets the signal take its default effect.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::raw;

/// The size of the handler's stack, with room for the registers that the kernel saves there (some 11 KiB on large
/// machines).
const STACK_BYTES: usize = 64 * 1024;

/// The distance that counts as near: a frame is entered page by page, so the access that fails is near the stack
/// pointer.
const NEAR_BYTES: usize = 64 * 1024;

/// The message, and the socket for it.
struct OverflowMessage {
    descriptor: i32,
    words: Vec<u8>,
    /// The process that prepared it: a forked copy must not send in its place.
    process: u32,
}

static WORDS: OnceLock<OverflowMessage> = OnceLock::new();

/// The number of threads that are sending a message of their own.
static SPEAKERS: AtomicUsize = AtomicUsize::new(0);

/// Makes an overflow of this thread's stack send `words` to this socket from now on, once, and only while no thread
/// [`speaks`]. For a process that is this code's own, once, before it has other handlers of SEGV; the socket stays
/// open until the process ends.
///
/// # Errors
/// Those of [`prepare`].
pub fn watch(socket: BorrowedFd<'_>, words: Vec<u8>) -> io::Result<()> {
    // Not by the C library, whose code for it would have to be mapped into each new child.
    let process = rustix::process::getpid().as_raw_pid().unsigned_abs();
    let _ = WORDS.set(OverflowMessage { descriptor: socket.as_raw_fd(), words, process });
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
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zeroes are a valid action: the default one, with an empty mask.
    let action = unsafe { action.assume_init_mut() };
    action.sa_sigaction = on_fault as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: sigaction(2) reads one action; its handler does only what a handler may.
    let result = unsafe { libc::sigaction(libc::SIGSEGV, action, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Runs `speak`, during which no overflow message is sent.
pub fn speaks<T>(speak: impl FnOnce() -> T) -> T {
    SPEAKERS.fetch_add(1, Ordering::SeqCst);
    let said = speak();
    SPEAKERS.fetch_sub(1, Ordering::SeqCst);
    said
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
        && let Some(OverflowMessage { descriptor, words, process }) = WORDS.get()
        && SPEAKERS.load(Ordering::SeqCst) == 0
        && std::process::id() == *process
    {
        let flags = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as usize;
        // SAFETY: sendto(2) reads so many bytes, which last as long as the process; there is no address.
        unsafe {
            raw::call(
                libc::SYS_sendto,
                [*descriptor as usize, words.as_ptr() as usize, words.len(), flags, 0, 0],
            )
        };
    }
    let _ = crate::signals::default(signal);
    // The access is made again when this returns, and ends the process as it would have without the handler. A signal
    // that was sent has to be sent again.
    if !is_fault {
        let thread = rustix::thread::gettid().as_raw_nonzero().get() as usize;
        let process = std::process::id() as usize;
        // SAFETY: tgkill(2) takes no pointer; the signal is blocked until this returns.
        unsafe { raw::call(libc::SYS_tgkill, [process, thread, signal as usize, 0, 0, 0]) };
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
