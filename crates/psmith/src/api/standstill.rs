//! All runs of a program stand still together: each says that its jobs do, and goes on when it is told to. Stops nobody
//! itself.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::run::Shared;
use crate::engine::handler::Order;

/// How often it is looked whether a run has ended instead of standing still: nobody tells.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A time in which all runs stand still.
#[derive(Debug, Default)]
pub(crate) struct Standstill {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    standing: usize,
    over: bool,
}

impl Standstill {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has these runs stand still, and waits until they do; at most so long.
    pub(crate) fn begin(runs: &[Arc<Shared>], limit: Duration) -> Arc<Standstill> {
        let standstill = Arc::new(Standstill::default());
        for run in runs {
            let mut state = run.lock();
            state.standstill = Some(Arc::clone(&standstill));
            state.orders.push(Order::Suspend);
            drop(state);
            run.waker.wake();
        }
        let deadline = Instant::now() + limit;
        let mut state = standstill.lock();
        while Instant::now() < deadline && state.standing < runs.iter().filter(|run| !run.is_over()).count() {
            state =
                standstill.changed.wait_timeout(state, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        standstill
    }

    /// All go on.
    pub(crate) fn end(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }

    fn stand(&self) {
        let mut state = self.lock();
        state.standing += 1;
        self.changed.notify_all();
        while !state.over {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    /// The engine's thread: its jobs and its clock stand still. Returns when they are to go on.
    pub(super) fn stand_still(&self) {
        let standstill = self.lock().standstill.take();
        if let Some(standstill) = standstill {
            standstill.stand();
        }
    }

    fn is_over(&self) -> bool {
        self.lock().over.is_some()
    }
}
