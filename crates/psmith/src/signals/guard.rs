//! The guard: a handler that counts, and a thread that ends the runs of the program, step by step. Ends no process
//! itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

use psmith_sys::{signal_handler, signals};

use crate::run::live_runs::{StopStep, program, runs_of};

/// Ends the jobs of this program when one of its signals comes, until it is dropped; made by [`guard`].
#[derive(Debug)]
#[must_use = "dropped, it guards nothing"]
pub struct Guard {
    shared: Arc<SignalState>,
    thread: Option<JoinHandle<()>>,
    taken: Vec<signal_handler::HandledSignal>,
    /// The process that made it: a forked copy of the program has neither the thread nor the right to end it.
    process: u32,
}

#[derive(Debug)]
struct SignalState {
    number: u32,
    /// The signals, and the number of times that each had come before.
    signals: Vec<(i32, u32)>,
    kill_is_first: AtomicBool,
    drain_is_first: AtomicBool,
    asked: AtomicU32,
    over: AtomicBool,
}

/// Guards all pools, maps, servers and other runs of this program, those that begin later too, against these signals.
///
/// The first signal stops every run: no more jobs are started, those that run are asked to stop and killed after their
/// grace. The second kills them, now. The third ends this program by that signal, and the warden kills what is left.
/// Jobs that were not done end as [`Cause::Cancelled`](crate::Cause::Cancelled), and spend no retry; outcomes are
/// handed out as ever, so the program ends in its own way. A run with a source asks that no more, and hands back what it
/// had taken and not begun ([`Map::on_left`](crate::Map::on_left), [`Server::on_left`](crate::Server::on_left)). A run that begins after the first signal, while the guard
/// lives, ends at once.
///
/// Other signals are left alone, as are those of the list that are ignored (`nohup`). A handler that the program has
/// installed itself is called, too. When the last guard of a signal is dropped, the signal's handling is as it was
/// before. Several guards may exist side by side; each acts on its own signals.
///
/// ```
/// # psmith::init();
/// # // proves: interrupt-guard-for-programs
/// use psmith::signals::{self, INT, TERM};
///
/// let guard = signals::guard([INT, TERM]).unwrap();
/// let squares: Result<Vec<u32>, _> = psmith::map(0..4, |n: u32| n * n).collect();
/// assert_eq!(squares.unwrap(), [0, 1, 4, 9]);
/// assert_eq!(guard.asked(), 0);
/// ```
///
/// # Errors
/// A signal that cannot be taken (KILL, STOP, no such number), or no thread.
pub fn guard(signals: impl IntoIterator<Item = i32>) -> io::Result<Guard> {
    let mut taken = Vec::new();
    let mut watched = Vec::new();
    for signal in signals {
        let before = signal_handler::arrived(signal);
        if let Some(one) = signal_handler::take(signal)? {
            watched.push((signal, before));
            taken.push(one);
        }
    }
    let number = {
        let mut program = program();
        program.guards += 1;
        program.guards
    };
    let shared = Arc::new(SignalState {
        number,
        signals: watched,
        kill_is_first: AtomicBool::new(false),
        drain_is_first: AtomicBool::new(false),
        asked: AtomicU32::new(0),
        over: AtomicBool::new(false),
    });
    let side = Arc::clone(&shared);
    let thread = std::thread::Builder::new().name("psmith-signals".into()).spawn(move || side.watch())?;
    Ok(Guard { shared, thread: Some(thread), taken, process: std::process::id() })
}

impl Guard {
    /// Makes the first signal kill, and the second end the program.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::signals::{self, INT, TERM};
    /// let _guard = signals::guard([INT, TERM]).unwrap().at_once();
    /// assert_eq!(psmith::map([20], |n: u32| n + 1).into_iter().next().unwrap().unwrap(), 21);
    /// ```
    pub fn at_once(self) -> Guard {
        self.shared.kill_is_first.store(true, Ordering::SeqCst);
        self
    }

    /// Makes the first signal let the jobs that run finish and start no more; the second kills.
    ///
    /// This is less than the `drain` of a [`Pool`](crate::Pool), which also runs the jobs that wait: here a job that
    /// was taken and has not begun, or that waits for another attempt, ends at once as
    /// [`Cause::Cancelled`](crate::Cause::Cancelled), or as the failure of its last attempt. No more jobs are taken
    /// from a source.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::signals::{self, INT};
    /// let _guard = signals::guard([INT]).unwrap().drain_first();
    /// assert_eq!(psmith::map([20], |n: u32| n + 1).into_iter().next().unwrap().unwrap(), 21);
    /// ```
    pub fn drain_first(self) -> Guard {
        self.shared.drain_is_first.store(true, Ordering::SeqCst);
        self
    }

    /// Returns the number of signals that have come so far. A program that begins one run after the other checks it
    /// between them.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::signals::{self, INT};
    /// let guard = signals::guard([INT]).unwrap();
    /// for step in [1, 2, 3] {
    ///     if guard.asked() > 0 {
    ///         break;
    ///     }
    ///     psmith::map([step], |n: u32| n).for_each(drop);
    /// }
    /// ```
    #[must_use]
    pub fn asked(&self) -> u32 {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl SignalState {
    /// The guard's thread.
    fn watch(&self) {
        // Signals are delivered to the program's own threads, not to this one.
        signals::block_all();
        loop {
            let count_before = signal_handler::arrivals();
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let counts = self
                .signals
                .iter()
                .map(|(signal, before)| (signal, signal_handler::arrived(*signal).wrapping_sub(*before)));
            let asked: u32 = counts.clone().map(|(_, count)| count).sum();
            let last = counts.filter(|(_, count)| *count > 0).map(|(signal, _)| *signal).next_back();
            let handled = self.asked.load(Ordering::SeqCst);
            match last {
                // Each step has its turn, also where several signals came at once.
                Some(signal) if asked > handled => self.on_signal(handled + 1, signal),
                Some(_) | None => signal_handler::wait(count_before),
            }
        }
    }

    fn on_signal(&self, asked: u32, signal: i32) {
        let step = self.step(asked);
        self.asked.store(asked, Ordering::SeqCst);
        if step == StopStep::Leave {
            // The warden kills what is left when its host is gone.
            psmith_sys::farewell::say();
            signals::raise_default(signal);
            psmith_sys::exit::now(128 + signal);
        }
        let mut program = program();
        program.requested.retain(|(guard, _)| *guard != self.number);
        program.requested.push((self.number, step));
        let runs = runs_of(&program);
        drop(program);
        runs.iter().for_each(|run| run.end(step.order()));
    }

    fn step(&self, asked: u32) -> StopStep {
        let first = if self.kill_is_first.load(Ordering::SeqCst) {
            StopStep::Kill
        } else if self.drain_is_first.load(Ordering::SeqCst) {
            StopStep::Drain
        } else {
            StopStep::Stop
        };
        match (asked, first) {
            (0 | 1, first) => first,
            (2, StopStep::Drain | StopStep::Stop) => StopStep::Kill,
            (_, _) => StopStep::Leave,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // The thread is another process's. The handling of the signals is this copy's to restore.
            std::mem::forget(self.thread.take());
            return;
        }
        self.taken.clear();
        self.shared.over.store(true, Ordering::SeqCst);
        signal_handler::nudge();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        program().requested.retain(|(guard, _)| *guard != self.shared.number);
    }
}
