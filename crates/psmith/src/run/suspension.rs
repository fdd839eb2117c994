//! All runs of a program stand still together: each says that its jobs do, and goes on when it is told to. Stops nobody
//! itself.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::run::shared::RunShared;
use psmith_engine::handler::EngineCommand;

/// How often it is looked whether a run has ended instead of standing still: nobody tells.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A time in which all runs stand still.
#[derive(Debug, Default)]
pub(crate) struct Suspension {
    state: Mutex<SuspensionState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct SuspensionState {
    suspended_runs: usize,
    over: bool,
}

/// How long a run has stood still.
#[derive(Debug, Default)]
pub(crate) struct SuspendedTime {
    /// It does, since then.
    since: Option<Instant>,
    /// It did for so long before.
    before: Duration,
}

impl SuspendedTime {
    /// When a deadline comes that was set without standstills; not while there is one, whose end is told.
    pub(crate) fn put_off(&self, deadline: Option<Instant>) -> Option<Instant> {
        deadline.filter(|_| self.since.is_none()).map(|deadline| deadline + self.before)
    }

    /// Whether it has come: there may have been a standstill since it was waited for.
    pub(crate) fn is_due(&self, deadline: Option<Instant>) -> bool {
        self.put_off(deadline).is_some_and(|deadline| Instant::now() >= deadline)
    }
}

impl Suspension {
    fn lock(&self) -> MutexGuard<'_, SuspensionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has these runs stand still, and waits until they do; at most so long.
    pub(crate) fn begin(runs: &[Arc<RunShared>], limit: Duration) -> Arc<Suspension> {
        let suspension = Arc::new(Suspension::default());
        for run in runs {
            let mut state = run.lock();
            state.suspension = Some(Arc::clone(&suspension));
            state.orders.push(EngineCommand::Suspend);
            drop(state);
            run.waker.wake();
        }
        let deadline = Instant::now() + limit;
        let mut state = suspension.lock();
        while Instant::now() < deadline
            && state.suspended_runs < runs.iter().filter(|run| !run.is_over()).count()
        {
            state =
                suspension.changed.wait_timeout(state, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        suspension
    }

    /// All go on.
    pub(crate) fn end(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }

    fn wait_for_end(&self) {
        let mut state = self.lock();
        state.suspended_runs += 1;
        self.changed.notify_all();
        while !state.over {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl RunShared {
    /// The engine's thread: its jobs and its clock stand still. Returns when they are to go on.
    pub(crate) fn wait_out_suspension(&self) {
        let mut state = self.lock();
        let Some(suspension) = state.suspension.take() else { return };
        let began = Instant::now();
        state.suspended_time.since = Some(began);
        drop(state);
        suspension.wait_for_end();
        let mut state = self.lock();
        state.suspended_time.since = None;
        state.suspended_time.before += began.elapsed();
        drop(state);
        // Whoever waits until a point in time has to wait longer.
        self.events_changed.notify_all();
    }

    fn is_over(&self) -> bool {
        self.lock().over.is_some()
    }
}
