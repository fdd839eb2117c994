//! Ctrl-Z for programs: their jobs, and the clocks of these, are suspended with them. Ends nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use psmith_sys::signals::SignalSet;
use psmith_sys::{signal_handler, signals};

use crate::run::live_runs::{program, runs_of};
use crate::run::suspension::Suspension;

/// The stop from the keyboard, Ctrl-Z.
const TSTP: i32 = 20;

/// The longest time that runs may take to be suspended before the program stops all the same.
const SUSPEND_MAX: Duration = Duration::from_secs(2);

/// True while there is a guard. There is one at most: of two, the first to stop the program would stop the other's
/// thread with it.
static IS_HELD: AtomicBool = AtomicBool::new(false);

/// Stops the jobs of this program together with it, until it is dropped; made by [`suspend_guard`].
#[derive(Debug)]
#[must_use = "dropped, it suspends nothing"]
pub struct SuspendGuard {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    process: u32,
}

/// Makes Ctrl-Z (`SIGTSTP`) stop the jobs of all pools, maps, servers and other runs of this program, with all that
/// they started, before it stops the program itself. Their clocks stop meanwhile: no timeout (`total_timeout` among
/// them), grace or back-off counts the time until the shell's `fg` (`SIGCONT`), by which everything goes on. Without it
/// Ctrl-Z stops the program alone, since its jobs have process groups of their own.
///
/// Where the signal is ignored it is left alone, and the guard does nothing. When it is dropped, the signal is as it
/// was.
///
/// ```
/// # psmith::init();
/// let _guard = psmith::signals::suspend_guard().unwrap();
/// let squares: Result<Vec<u32>, _> = psmith::map(0..4, |n: u32| n * n).collect();
/// assert_eq!(squares.unwrap(), [0, 1, 4, 9]);
/// ```
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if there is a guard, or the program has a handler for this signal: then it must
/// stop itself. Also an error if no thread can be started.
pub fn suspend_guard() -> io::Result<SuspendGuard> {
    if IS_HELD.swap(true, Ordering::SeqCst) {
        let text = "there is a suspend guard already, and one is all that a program can have";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    // Clears `IS_HELD` when it is dropped, however this ends.
    let mut guard = SuspendGuard { over: Arc::default(), thread: None, process: std::process::id() };
    let Some(taken) = signal_handler::take(TSTP)? else { return Ok(guard) };
    if !signal_handler::was_default(TSTP) {
        let text = "this program handles SIGTSTP itself, so it alone can stop its jobs before it stops";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    let (over, before) = (Arc::clone(&guard.over), signal_handler::arrived(TSTP));
    let thread = std::thread::Builder::new().name("psmith-suspend".into());
    guard.thread = Some(thread.spawn(move || watch(&over, taken, before))?);
    Ok(guard)
}

fn watch(over: &AtomicBool, taken: signal_handler::HandledSignal, before: u32) {
    // Signals are delivered to the program's own threads, not to this one.
    signals::block_all();
    let (mut taken, mut before) = (Some(taken), before);
    loop {
        let count_before = signal_handler::arrivals();
        if over.load(Ordering::SeqCst) {
            return;
        }
        if signal_handler::arrived(TSTP) == before {
            signal_handler::wait(count_before);
            continue;
        }
        // Not under the lock: a run that begins now takes it.
        let runs = runs_of(&program());
        let suspension = Suspension::begin(&runs, SUSPEND_MAX);
        // The default handling is what stops a program; this thread stops with it, here.
        drop(taken.take());
        signals::raise_default(TSTP);
        signals::block(SignalSet::of(&[TSTP]));
        taken = signal_handler::take(TSTP).ok().flatten();
        before = signal_handler::arrived(TSTP);
        suspension.end();
    }
}

impl Drop for SuspendGuard {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // The thread is another process's; this copy has none.
            std::mem::forget(self.thread.take());
            return;
        }
        self.over.store(true, Ordering::SeqCst);
        signal_handler::nudge();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        IS_HELD.store(false, Ordering::SeqCst);
    }
}
