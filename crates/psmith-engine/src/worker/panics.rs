//! The place and text of a panic, kept for the outcome instead of printed. Never ends a process.
//!
//! Installed in workers only, where psmith owns the process. A panic of another thread than the job's is printed to
//! standard error, as without psmith. Of any thread's, a panic that aborts is reported by the handler of that signal.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::sync::Once;

use psmith_sys::abort;

use crate::channel::frame::beginning;
use crate::channel::messages::{FromWorker, cut_text, written};
use crate::worker::context;

/// The most bytes of a text in the report of an abort: it is sent at once, whatever else the host has to do.
const ABORT_TEXT_BYTES_MAX: usize = 16 * 1024;

/// The number of panics of a thread that are kept: of those before the newest it may be unwinding still.
const KEPT_MAX: usize = 3;

/// A panic's message, place and backtrace.
#[derive(Clone, Debug, Default)]
pub struct Panicked {
    pub(super) message: String,
    pub(super) location: String,
    pub(super) backtrace: String,
}

thread_local! {
    static IS_JOBS: Cell<bool> = const { Cell::new(false) };
    /// The newest panics of this thread, the oldest first, and the job in which they were.
    static KEPT: RefCell<(Option<u64>, Vec<Panicked>)> = const { RefCell::new((None, Vec::new())) };
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
            before(info);
        }
        // Only where RUST_BACKTRACE asks for it: naming the calls takes tens of milliseconds.
        let backtrace = Backtrace::capture();
        let named = backtrace.status() == BacktraceStatus::Captured;
        let panicked = Panicked {
            message: message(info.payload()),
            location: info.location().map(ToString::to_string).unwrap_or_default(),
            backtrace: if named { backtrace.to_string() } else { String::new() },
        };
        let job = context::job_now();
        let (kept_of, mut kept) = KEPT.take();
        if kept_of != job {
            kept.clear();
        }
        kept.push(panicked);
        if kept.len() > KEPT_MAX {
            kept.remove(0);
        }
        prepare_for_abort(&kept);
        KEPT.set((job, kept));
    }));
}

/// Prepares the report of an abort: a panic within a panic aborts, as does one in a program that is built to abort.
fn prepare_for_abort(kept: &[Panicked]) {
    let Some((first, later)) = kept.split_first() else { return };
    let mut all = first.clone();
    for panicked in later {
        all.message.push_str(&format!("; then panicked at {}: {}", panicked.location, panicked.message));
    }
    let Panicked { message, location, backtrace } = all;
    let text = if IS_JOBS.get() { format!("panicked at {location}: {message}\n") } else { String::new() };
    let [message, backtrace] = [message, backtrace].map(|text| cut_text(text, ABORT_TEXT_BYTES_MAX));
    let words = written(&FromWorker::Panicked { message, location, backtrace });
    abort::prepare_words(beginning(&words, &[]), text);
}

/// Returns the panic that ended with this payload.
pub(super) fn taken(payload: &(dyn Any + Send)) -> Panicked {
    // `resume_unwind` runs no hook.
    let newest = KEPT.take().1.pop();
    newest.unwrap_or_else(|| Panicked { message: message(payload), ..Panicked::default() })
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
