//! The place where the outcome of one job arrives, and the wake-up of those who wait for it. Knows no pool and no run.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

use psmith_engine::condition::Condition;

use crate::job::failure::Failure;
use crate::job::mailbox::JobMailbox;

/// The outcome of a job: the encoded value, or the failure.
pub(crate) type JobResult = Result<Arc<Vec<u8>>, Failure>;

/// The place where the outcome of one job arrives.
#[derive(Debug)]
pub(crate) struct CompletionSlot {
    pub(crate) index: u64,
    pub(crate) label: Option<String>,
    pub(crate) mailbox: Arc<JobMailbox>,
    pub(super) state: Mutex<CompletionState>,
    pub(super) arrived: Condition,
}

/// A function that is called with the outcome of a job.
pub(crate) type OnOutcome = Box<dyn FnOnce(JobResult) + Send>;

/// Calls to be made once no lock is held: they are the program's own code.
#[derive(Default)]
pub(crate) struct Calls(Vec<(OnOutcome, JobResult)>);

impl Calls {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, others: Calls) {
        self.0.extend(others.0);
    }

    /// Makes the calls. One that panics has printed its panic, and does not keep the others from being made.
    pub(crate) fn make(self) {
        for (call, result) in self.0 {
            let _ = catch_unwind(AssertUnwindSafe(|| call(result)));
        }
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls", self.0.len())
    }
}

#[derive(Default)]
pub(super) struct CompletionState {
    pub(super) result: Option<JobResult>,
    on_outcome: Vec<OnOutcome>,
    pub(super) pid: u32,
    pub(super) wakers: Vec<Waker>,
}

impl fmt::Debug for CompletionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionState")
            .field("result", &self.result)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl CompletionSlot {
    pub(crate) fn new(index: u64, label: Option<String>, mailbox: Arc<JobMailbox>) -> CompletionSlot {
        CompletionSlot { index, label, mailbox, state: Mutex::default(), arrived: Condition::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, CompletionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the job's outcome and wakes all who wait for it. The first outcome counts. Returns the calls that are to be
    /// made then.
    pub(crate) fn fill(&self, result: JobResult) -> Calls {
        let mut state = self.lock();
        let result = state.result.get_or_insert(result).clone();
        let calls =
            std::mem::take(&mut state.on_outcome).into_iter().map(|call| (call, result.clone())).collect();
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.mailbox.over();
        self.arrived.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        Calls(calls)
    }

    /// Has `call` called with the outcome: when it arrives, or now, if it is there.
    pub(crate) fn on_outcome(&self, call: OnOutcome) {
        let mut state = self.lock();
        match &state.result {
            None => state.on_outcome.push(call),
            Some(result) => {
                let result = result.clone();
                drop(state);
                call(result);
            }
        }
    }

    pub(crate) fn has_process(&self, pid: u32) {
        let mut state = self.lock();
        state.pid = pid;
        let wakers = state.wakers.clone();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        Some(self.lock().pid).filter(|pid| *pid != 0)
    }

    pub(crate) fn is_filled(&self) -> bool {
        self.lock().result.is_some()
    }

    /// Wakes `waker` at each change of the job: its process, its outcome.
    pub(crate) fn wake_when_done(&self, waker: Waker) {
        let mut state = self.lock();
        if state.result.is_some() {
            drop(state);
            waker.wake();
        } else {
            state.wakers.push(waker);
        }
    }
}

/// A flag to wait for: set by any number of threads, cleared by the wait that sees it.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    pub(super) notified: Mutex<bool>,
    pub(super) changed: Condition,
}

impl Notifier {
    pub(crate) fn notify(&self) {
        *self.notified.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits until it was notified since the last wait, or until the time `until`; returns whether it was notified.
    pub(crate) fn wait(&self, until: Option<Instant>) -> bool {
        let mut notified = self.notified.lock().unwrap_or_else(PoisonError::into_inner);
        while !*notified {
            notified = match self.changed.wait_until(notified, until) {
                Ok(notified) => notified,
                Err(_) => return false,
            };
        }
        *notified = false;
        true
    }
}

impl Wake for Notifier {
    fn wake(self: Arc<Self>) {
        self.notify();
    }
}
