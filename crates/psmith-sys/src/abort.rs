//! The report of a panic that ends the process: of one that cannot unwind, and of every one in a program that is built
//! to abort.
//!
//! A panic that is caught leaves its report behind, but no trace in the thread: a later `abort` without a panic is not
//! taken for one.

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use crate::last_words;

/// The message of a panic, and its text for people.
#[derive(Debug)]
struct PanicWords {
    message: Vec<u8>,
    text: String,
}

thread_local! {
    static WORDS: RefCell<PanicWords> =
        const { RefCell::new(PanicWords { message: Vec::new(), text: String::new() }) };
}

/// Makes an abort in a panic send the message of [`prepare_words`] to this socket from now on; while another thread is
/// sending there, the text goes to standard error instead. For a process that is this code's own, once; the socket stays open until the process ends.
///
/// # Errors
/// Those of [`prepare`].
pub fn watch(socket: BorrowedFd<'_>) -> io::Result<()> {
    last_words::listen(socket);
    prepare()
}

/// Prepares the part of [`watch`] that a forked child inherits. Until there are words, an abort ends the process as
/// usual.
///
/// # Errors
/// None is expected.
pub fn prepare() -> io::Result<()> {
    static PREPARED: OnceLock<Result<(), i32>> = OnceLock::new();
    let done = PREPARED.get_or_init(|| {
        last_words::handle(libc::SIGABRT, on_abort).map_err(|error| error.raw_os_error().unwrap_or(0))
    });
    done.map_err(io::Error::from_raw_os_error)
}

/// Sets the message for an abort in the panic of this thread that has just begun, and its text for people.
pub fn prepare_words(message: Vec<u8>, text: String) {
    WORDS.set(PanicWords { message, text });
}

/// Handles ABRT.
extern "C" fn on_abort(signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // A panic hook has set the words of a thread that panics: they are there, and reading them initializes nothing.
    if std::thread::panicking() {
        let _ = WORDS.try_with(|words| {
            let Ok(words) = words.try_borrow() else { return };
            if !last_words::say(&words.message) {
                let _ = rustix::io::write(rustix::stdio::stderr(), words.text.as_bytes());
            }
        });
    }
    last_words::die_of(signal);
}
