//! The place and text of a panic, kept for the outcome instead of printed. Never ends a process.
//!
//! Installed in workers only, where psmith owns the process. A panic of another thread than the job's is printed to
//! standard error, as without psmith.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::sync::Once;

/// A panic's message, place and backtrace.
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

/// Installs a hook that keeps the panics of this thread.
pub(super) fn install() {
    prepare();
    IS_JOBS.set(true);
}

/// Does the part of [`install`] that a forked child inherits; in this process nothing changes.
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
        // place to which the text can still be written.
        let first = LAST.take();
        if first.is_some() || cfg!(panic = "abort") {
            for panicked in first.iter().chain([&panicked]) {
                let _ = writeln!(io::stderr(), "panicked at {}: {}", panicked.location, panicked.message);
            }
        }
        LAST.set(Some(panicked));
    }));
}

/// Returns the panic that ended with this payload.
pub(super) fn taken(payload: &(dyn Any + Send)) -> Panicked {
    // `resume_unwind` runs no hook.
    LAST.take().unwrap_or_else(|| Panicked { message: message(payload), ..Panicked::default() })
}

/// Returns the text of a panic's payload.
pub fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is no text".to_owned()
    }
}
