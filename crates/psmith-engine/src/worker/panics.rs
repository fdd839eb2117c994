//! Where a panic was and what it said, kept for the outcome instead of printed.
//!
//! Installed in workers only, where psmith owns the process. A panic of another thread than the job's is the job's own
//! affair: it goes to standard error as ever.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::sync::Once;

/// What is known of a panic.
#[derive(Debug, Default)]
pub struct Panicked {
    pub(super) message: String,
    pub(super) location: String,
    pub(super) backtrace: String,
}

thread_local! {
    static IS_JOBS: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<Panicked>> = const { RefCell::new(None) };
}

/// Keeps the panics of this thread from here on.
pub(super) fn install() {
    prepare();
    IS_JOBS.set(true);
}

/// Does of [`install`] what a forked child inherits; here nothing changes.
pub(super) fn prepare() {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(hook);
}

fn hook() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !IS_JOBS.get() {
            return before(info);
        }
        // Only where RUST_BACKTRACE asks for it: naming the calls takes tens of milliseconds.
        let backtrace = Backtrace::capture();
        let named = backtrace.status() == BacktraceStatus::Captured;
        let panicked = Panicked {
            message: message(info.payload()),
            location: info.location().map(ToString::to_string).unwrap_or_default(),
            backtrace: if named { backtrace.to_string() } else { String::new() },
        };
        // A panic within a panic aborts, and one in a program built to abort does, too: then standard error is the only
        // place from which the text can still be told.
        let first = LAST.take();
        if first.is_some() || cfg!(panic = "abort") {
            for panicked in first.iter().chain([&panicked]) {
                let _ = writeln!(io::stderr(), "panicked at {}: {}", panicked.location, panicked.message);
            }
        }
        LAST.set(Some(panicked));
    }));
}

/// The panic that ended with this payload.
pub(super) fn taken(payload: &(dyn Any + Send)) -> Panicked {
    // `resume_unwind` runs no hook.
    LAST.take().unwrap_or_else(|| Panicked { message: message(payload), ..Panicked::default() })
}

/// What a panic's payload says.
pub fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is no text".to_owned()
    }
}
