//! The place where the outcome of one job arrives, and the wake-up of those who wait for it. Knows no pool and no run.

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

#[derive(Debug, Default)]
pub(super) struct CompletionState {
    pub(super) result: Option<JobResult>,
    pub(super) pid: u32,
    pub(super) wakers: Vec<Waker>,
}

impl CompletionSlot {
    pub(crate) fn new(index: u64, label: Option<String>, mailbox: Arc<JobMailbox>) -> CompletionSlot {
        CompletionSlot { index, label, mailbox, state: Mutex::default(), arrived: Condition::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, CompletionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the job's outcome and wakes all who wait for it. The first outcome counts.
    pub(crate) fn fill(&self, result: JobResult) {
        let mut state = self.lock();
        state.result.get_or_insert(result);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.mailbox.over();
        self.arrived.notify_all();
        wakers.into_iter().for_each(Waker::wake);
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
