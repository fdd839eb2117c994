//! Who drives an engine: its own thread, or whoever waits for the only job there is.
//!
//! A thread that hands in one job and waits for it would wake the engine's thread, which wakes the worker, which wakes
//! the engine's thread, which wakes the listener, which wakes the one that waits. So the one that waits may take the turn
//! instead, and only the worker is woken. It never takes it *from* anybody: the engine's own thread steps aside when it
//! has told the end of a job that somebody waited for in vain to drive, and comes back by itself when nobody has driven for
//! `HANDBACK_AFTER`. So whatever callers do or leave undone, the engine stands still no longer than that.
//!
//! Knows nothing of jobs. The lock of the engine is held by whoever drives, also while there is nothing to do.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use psmith_engine::handler::Handler;
use psmith_engine::{Engine, EngineError};

/// The engine is left alone for so long before its own thread comes back.
const HANDBACK_AFTER: Duration = Duration::from_micros(500);

/// Whoever has driven for so long says when he leaves: then the engine's thread need not look.
const LONG_TURN: Duration = Duration::from_millis(1);

/// What can be driven.
pub(crate) trait Drive: Send {
    /// Whoever has jobs is to be asked again.
    fn has_more(&mut self);

    /// Does all that can be done now; false when there will be nothing more to do.
    fn advance(&mut self) -> bool;

    /// Waits until something happens, or for so long.
    fn wait(&mut self, limit: Option<Duration>);

    /// Leaves nothing behind.
    fn close(self: Box<Self>) -> Result<(), EngineError>;
}

impl<H: Handler + Send> Drive for Engine<H>
where
    H::Job: Send,
{
    fn has_more(&mut self) {
        Engine::has_more(self);
    }

    fn advance(&mut self) -> bool {
        Engine::advance(self)
    }

    fn wait(&mut self, limit: Option<Duration>) {
        Engine::wait(self, limit);
    }

    fn close(self: Box<Self>) -> Result<(), EngineError> {
        Engine::close(*self).1
    }
}

/// One engine, and whose turn it is.
#[derive(Default)]
pub(crate) struct EngineDriver {
    /// There from the beginning of the run to its end.
    engine: Mutex<Option<Driven>>,
    turns: Mutex<Turns>,
    changed: Condvar,
    /// Nobody drives: the engine's thread has stepped aside, and no caller drives.
    free: AtomicBool,
    /// Somebody waits for the only job, and would rather drive.
    wanted: AtomicBool,
    /// A job has ended since.
    served: AtomicBool,
}

struct Driven {
    engine: Box<dyn Drive>,
    /// It has done all that could be done, and has not waited since.
    is_done: bool,
}

#[derive(Debug, Default)]
struct Turns {
    /// So often callers have driven.
    turns_taken: u64,
    /// One does, since then.
    since: Option<Instant>,
    /// The engine's thread is to come back at once.
    back: bool,
}

/// A caller's turn at the engine.
pub(crate) struct DriverTurn<'l> {
    driver: &'l EngineDriver,
    engine: MutexGuard<'l, Option<Driven>>,
    since: Instant,
}

impl fmt::Debug for EngineDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineDriver").finish_non_exhaustive()
    }
}

impl EngineDriver {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn engine(&self) -> MutexGuard<'_, Option<Driven>> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine's own thread: drives it to its end, with pauses in which callers may.
    pub(crate) fn work(&self, engine: impl Drive + 'static) -> Result<(), EngineError> {
        *self.engine() = Some(Driven { engine: Box::new(engine), is_done: false });
        loop {
            let mut guard = self.engine();
            self.free.store(false, Ordering::SeqCst);
            let Some(driven) = guard.as_mut() else {
                return Err(EngineError::Kernel(io::Error::other("the engine panicked")));
            };
            while driven.engine.advance() {
                if self.served.swap(false, Ordering::Relaxed) {
                    driven.is_done = true;
                    self.free.store(true, Ordering::SeqCst);
                    break;
                }
                driven.engine.wait(None);
            }
            if !self.free.load(Ordering::SeqCst) {
                let over = guard.take();
                drop(guard);
                return over.map_or(Ok(()), |over| over.engine.close());
            }
            drop(guard);
            self.wait_while_callers_drive();
        }
    }

    /// Waits until no caller has driven for a while, or the engine is not to wait for that.
    fn wait_while_callers_drive(&self) {
        let mut turns = self.turns();
        loop {
            let before = turns.turns_taken;
            turns = if turns.since.is_some_and(|since| since.elapsed() >= LONG_TURN) {
                self.changed.wait(turns).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.changed.wait_timeout(turns, HANDBACK_AFTER).unwrap_or_else(PoisonError::into_inner).0
            };
            if std::mem::take(&mut turns.back) || (turns.since.is_none() && turns.turns_taken == before) {
                return;
            }
        }
    }

    /// A job has ended, and was told.
    pub(crate) fn on_end(&self) {
        // A look first: to write costs more, and most often there is nothing to write.
        if self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::Relaxed) {
            self.served.store(true, Ordering::Relaxed);
        }
    }

    /// Somebody waits who would have driven.
    pub(crate) fn request_drive(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether nobody drives: then there is nobody who would hear a wake-up.
    pub(crate) fn is_free(&self) -> bool {
        self.free.load(Ordering::SeqCst)
    }

    /// The engine's thread is to drive again, now.
    pub(crate) fn call_back(&self) {
        self.turns().back = true;
        self.changed.notify_one();
    }

    /// Takes the turn, if nobody has it.
    pub(crate) fn try_drive(&self) -> Option<DriverTurn<'_>> {
        if !self.is_free() {
            return None;
        }
        let engine = match self.engine.try_lock() {
            Ok(engine) => engine,
            Err(TryLockError::WouldBlock) => return None,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        };
        // Between the look and the lock the engine's thread may have come back, and gone to its end.
        if !self.is_free() || engine.is_none() {
            return None;
        }
        self.free.store(false, Ordering::SeqCst);
        let since = Instant::now();
        let mut turns = self.turns();
        turns.turns_taken += 1;
        turns.since = Some(since);
        drop(turns);
        Some(DriverTurn { driver: self, engine, since })
    }
}

impl DriverTurn<'_> {
    /// Does all that can be done now; false if the engine's thread is to see to the rest: the run is over.
    pub(crate) fn advance(&mut self) -> bool {
        let Some(driven) = self.engine.as_mut() else { return false };
        if driven.is_done {
            return true;
        }
        // What panics on the engine's thread ends the run, and not the program; so it does here.
        let advanced = catch_unwind(AssertUnwindSafe(|| driven.engine.advance()));
        match advanced {
            Ok(goes_on) => driven.is_done = goes_on,
            Err(_) => *self.engine = None,
        }
        self.engine.as_ref().is_some_and(|driven| driven.is_done)
    }

    /// There is something new to be done.
    pub(crate) fn has_more(&mut self) {
        if let Some(driven) = self.engine.as_mut() {
            driven.engine.has_more();
            driven.is_done = false;
        }
    }

    /// Waits until something happens, or for so long.
    pub(crate) fn wait(&mut self, limit: Option<Duration>) {
        let Some(driven) = self.engine.as_mut() else { return };
        driven.is_done = false;
        if catch_unwind(AssertUnwindSafe(|| driven.engine.wait(limit))).is_err() {
            *self.engine = None;
        }
    }

    /// Gives the turn up: to whoever comes next, or at once to the engine's thread.
    pub(crate) fn leave(self, at_once: bool) {
        let mut turns = self.driver.turns();
        turns.since = None;
        let goes_on = self.engine.as_ref().is_some_and(|driven| driven.is_done);
        let calls = at_once || !goes_on || self.since.elapsed() >= LONG_TURN;
        turns.back |= calls;
        drop(turns);
        self.driver.free.store(true, Ordering::SeqCst);
        drop(self.engine);
        if calls {
            self.driver.changed.notify_one();
        }
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
