//! Suspension of all runs of a program together: each run reports that its jobs are suspended, and resumes when the
//! suspension ends. Never stops a process itself: the engine does.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::run::shared::RunShared;
use psmith_engine::handler::EngineCommand;

/// Interval of checks whether a run has ended instead of being suspended: there is no notification of that.
const CHECK_EVERY: Duration = Duration::from_millis(20);

/// A period in which all runs are suspended.
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

/// Time for which a run was suspended.
#[derive(Debug, Default)]
pub(crate) struct SuspendedTime {
    /// Begin of the current suspension, if there is one.
    since: Option<Instant>,
    /// Length of all suspensions before.
    before: Duration,
}

impl SuspendedTime {
    /// Moves a deadline by the time for which the run was suspended. `None` while it is suspended: the end of the
    /// suspension is notified.
    pub(crate) fn put_off(&self, deadline: Option<Instant>) -> Option<Instant> {
        deadline.filter(|_| self.since.is_none()).map(|deadline| deadline + self.before)
    }

    /// Returns whether a deadline has passed: the run may have been suspended since somebody began to wait for it.
    pub(crate) fn is_due(&self, deadline: Option<Instant>) -> bool {
        self.put_off(deadline).is_some_and(|deadline| Instant::now() >= deadline)
    }
}

impl Suspension {
    fn lock(&self) -> MutexGuard<'_, SuspensionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Suspends these runs, and waits until they are, for at most `limit`.
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
                suspension.changed.wait_timeout(state, CHECK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        suspension
    }

    /// Resumes all runs.
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
    /// Waits on the engine's thread, whose jobs and clock are stopped, until the suspension ends.
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
        // A thread that waits for a deadline has to wait longer.
        self.events_changed.notify_all();
    }

    fn is_over(&self) -> bool {
        self.lock().over.is_some()
    }
}
