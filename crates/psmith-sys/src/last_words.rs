//! The last message of a process that dies of a signal, sent by the signal's handler.
//!
//! The handler may interrupt anything, so the message must be ready, and is sent only while no other thread is in the
//! middle of one: from then on no other thread begins one.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::raw;

/// The socket, and the process that sends there.
struct Listener {
    descriptor: i32,
    /// A forked copy must not send in its place.
    process: u32,
}

static LISTENER: OnceLock<Listener> = OnceLock::new();

/// The number of threads that are sending a message of their own.
static SPEAKERS: AtomicUsize = AtomicUsize::new(0);

/// True once a handler sends, or has sent, the last message of this process.
static IS_DYING: AtomicBool = AtomicBool::new(false);

/// Sets the socket of this process. It stays open until the process ends.
pub(crate) fn listen(socket: BorrowedFd<'_>) {
    // Not by the C library, whose code for it would have to be mapped into each new child.
    let process = rustix::process::getpid().as_raw_pid().unsigned_abs();
    let _ = LISTENER.set(Listener { descriptor: socket.as_raw_fd(), process });
}

/// Runs `speak`, during which no last message is sent.
pub fn speaks<T>(speak: impl FnOnce() -> T) -> T {
    SPEAKERS.fetch_add(1, Ordering::SeqCst);
    if IS_DYING.load(Ordering::SeqCst) {
        // The bytes of two messages must not mix, and the process ends before this one would be read.
        loop {
            std::thread::park();
        }
    }
    let said = speak();
    SPEAKERS.fetch_sub(1, Ordering::SeqCst);
    said
}

/// Sends the last message, from a handler; returns whether it was sent. Makes raw calls only, and touches no lock and no
/// heap.
pub(crate) fn say(mut words: &[u8]) -> bool {
    let Some(Listener { descriptor, process }) = LISTENER.get() else { return false };
    if std::process::id() != *process || IS_DYING.swap(true, Ordering::SeqCst) {
        return false;
    }
    if SPEAKERS.load(Ordering::SeqCst) > 0 {
        return false;
    }
    while !words.is_empty() {
        let (address, flags) = (words.as_ptr() as usize, libc::MSG_NOSIGNAL as usize);
        // SAFETY: sendto(2) reads so many bytes, which are borrowed meanwhile; there is no address.
        let sent =
            unsafe { raw::call(libc::SYS_sendto, [*descriptor as usize, address, words.len(), flags, 0, 0]) };
        match usize::try_from(sent) {
            Ok(sent) => words = &words[sent.min(words.len())..],
            Err(_) if sent == -(libc::EINTR as isize) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Sends this thread a signal that ends the process, from the signal's own handler: it comes when that returns.
pub(crate) fn die_of(signal: i32) {
    let _ = crate::signals::default(signal);
    let thread = rustix::thread::gettid().as_raw_nonzero().get() as usize;
    let process = std::process::id() as usize;
    // SAFETY: tgkill(2) takes no pointer; the signal is blocked until the handler returns.
    unsafe { raw::call(libc::SYS_tgkill, [process, thread, signal as usize, 0, 0, 0]) };
}

/// Handler of a signal with its description and context.
pub(crate) type SignalAction = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// Installs a handler that runs on the thread's alternate stack, if it has one.
pub(crate) fn handle(signal: i32, handler: SignalAction) -> io::Result<()> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zeroes are a valid action: the default one, with an empty mask.
    let action = unsafe { action.assume_init_mut() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: sigaction(2) reads one action; its handler does only what a handler may.
    let result = unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
