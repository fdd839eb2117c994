//! Bytes that a program writes to its terminal when it ends without having taken its rows away: by a signal that nobody
//! handles, or by `exit`.
//!
//! Between two frames the cursor stands above the rows; where nothing of the program can act any more, a shell's prompt
//! would be written into them. So the cursor is put below them first. A signal that somebody else handles, or that is
//! ignored, is left alone.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crate::raw;
use crate::signal_handler::{self, HandledSignal};

/// The signals that end a program by default, and that a person or a program sends it, or it itself.
const ENDING: [i32; 5] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGABRT];

/// The terminal; -1 without one.
static TERMINAL: AtomicI32 = AtomicI32::new(-1);

/// The number of rows below the cursor.
static ROWS: AtomicUsize = AtomicUsize::new(0);

/// The process that draws them: a forked copy writes nothing in its place.
static PROCESS: AtomicI32 = AtomicI32::new(0);

/// The one at a time that has rows.
static HELD: Mutex<bool> = Mutex::new(false);

/// The right to have rows on a terminal that are left well; dropping it gives it back.
#[derive(Debug)]
pub struct TerminalRows {
    _terminal: OwnedFd,
    _signals: Vec<HandledSignal>,
}

impl TerminalRows {
    /// Takes the signals; there are no rows yet. `None` while somebody else has rows: there is one cursor only.
    ///
    /// # Errors
    /// None is expected.
    pub fn begin(terminal: OwnedFd) -> io::Result<Option<TerminalRows>> {
        static AT_EXIT: Once = Once::new();
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if *held {
            return Ok(None);
        }
        let mut signals = Vec::new();
        for signal in ENDING {
            signals.extend(signal_handler::take_to_end(signal)?);
        }
        AT_EXIT.call_once(|| {
            // SAFETY: atexit(3) keeps the address of a function that lives as long as the program.
            let _ = unsafe { libc::atexit(at_exit) };
        });
        ROWS.store(0, Ordering::SeqCst);
        PROCESS.store(std::process::id() as i32, Ordering::SeqCst);
        TERMINAL.store(terminal.as_raw_fd(), Ordering::SeqCst);
        *held = true;
        Ok(Some(TerminalRows { _terminal: terminal, _signals: signals }))
    }

    /// Notes how many rows are below the cursor.
    pub fn set(&self, rows: usize) {
        ROWS.store(rows, Ordering::SeqCst);
    }
}

impl Drop for TerminalRows {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        TERMINAL.store(-1, Ordering::SeqCst);
        ROWS.store(0, Ordering::SeqCst);
        *held = false;
    }
}

extern "C" fn at_exit() {
    say();
}

/// Puts the cursor below the rows, if there are some. May interrupt anything at any place: it makes raw calls only.
pub fn say() {
    let (terminal, rows) = (TERMINAL.load(Ordering::SeqCst), ROWS.swap(0, Ordering::SeqCst));
    if terminal < 0 || rows == 0 || PROCESS.load(Ordering::SeqCst) != std::process::id() as i32 {
        return;
    }
    // Down to the last row, and to the line behind it; a count of 0 would be taken for 1.
    let mut bytes = [0_u8; 32];
    let mut length = 0;
    let mut put = |part: &[u8]| {
        bytes[length..length + part.len()].copy_from_slice(part);
        length += part.len();
    };
    if rows > 1 {
        let mut digits = [0_u8; 8];
        let (mut left, mut at) = ((rows - 1).min(99_999), digits.len());
        while left > 0 {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        put(b"\x1b[");
        put(&digits[at..]);
        put(b"B");
    }
    put(b"\r\n");
    // SAFETY: write(2) reads so many bytes of this array. What a terminal that is gone does not take is lost.
    unsafe { raw::call(libc::SYS_write, [terminal as usize, bytes.as_ptr() as usize, length, 0, 0, 0]) };
}
