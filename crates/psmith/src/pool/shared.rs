//! The state that a pool, its handles and its listener share: the jobs without an outcome, and the threads that wait.
//!
//! Starts no process. The lock is held briefly, never while a job, a strategy's caller or the kernel is waited for.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use psmith_core::{Cause, JobId, Table};
use psmith_engine::condition::Condition;

use crate::job::failure::Failure;
use crate::job::job::{JobRef, Request};
use crate::job::run_summary::RunSummary;
use crate::pool::completion::{Calls, CompletionSlot};
use crate::pool::refusal::Unfinished;
use crate::pool::strategy::SpawnStrategy;
use crate::run::listening::Listening;
use crate::run::options::{Logger, Output};
use crate::run::process_mutex::ProcessMutex;
use crate::run::submitter::Submitter;

/// The state that a pool, its handles and its listener share; jobs are handed in through it.
pub(crate) struct PoolShared {
    pub(super) state: ProcessMutex<PoolState>,
    pub(super) changed: Condition,
    pub(super) waiting: RoomWaiters,
    pub(crate) submitter: Submitter,
    pub(super) strategy: Option<Box<dyn SpawnStrategy>>,
    pub(super) sink: Mutex<EventSink>,
    /// True once a handle has a function to be called with its outcome: then the listener alone receives outcomes, because
    /// such a function may wait for the very caller that drives.
    pub(super) calls_back: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct PoolState {
    /// Jobs without an outcome.
    pub(super) completions: Table<u64, Arc<CompletionSlot>>,
    /// Jobs that the strategy lets not start, in their order.
    pub(super) held_back: VecDeque<(u64, Request)>,
    /// The strategy refused when it was asked last.
    pub(super) refused: bool,
    /// True while no job is started.
    pub(super) paused: bool,
    /// Jobs that the engine has: the index that it gives each.
    pub(super) started: Table<u64, u64>,
    pub(super) next_index: u64,
    pub(super) next_engine_index: u64,
    /// The number of threads that wait for the end of all jobs.
    pub(super) joining: u32,
    pub(super) closed: bool,
    /// The number of crashes in a row that have ended the pool, if they did.
    pub(super) broken: Option<u32>,
    /// True once the engine has ended.
    pub(super) over: bool,
    pub(super) report: RunSummary,
    /// Calls to be made with outcomes that have arrived, once the lock is released.
    pub(super) calls: Calls,
    /// The number of threads that make such calls.
    pub(super) calling: u32,
    /// Jobs that were not done when the pool was ended.
    pub(super) left: Vec<JobRef>,
}

impl fmt::Debug for PoolShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolShared({:?})", self.lock())
    }
}

impl PoolState {
    /// The state that a forked copy of the program sees: it has none of the jobs.
    pub(super) fn of_copies() -> PoolState {
        PoolState { closed: true, over: true, ..PoolState::default() }
    }

    /// True when every job that was taken has its outcome, and all that wanted it were called.
    pub(super) fn is_done(&self) -> bool {
        self.completions.is_empty() && self.has_called()
    }

    /// True when all were called that wanted an outcome that is there.
    pub(super) fn has_called(&self) -> bool {
        self.calls.is_empty() && self.calling == 0
    }

    /// Returns the jobs that were not done when the pool was ended, in the order of submission.
    pub(super) fn unfinished(&self) -> Unfinished {
        let mut jobs = self.left.clone();
        jobs.sort_by_key(JobRef::index);
        Unfinished { jobs }
    }

    pub(super) fn engine_index(&self, index: u64) -> Option<u64> {
        self.started.get(index).copied()
    }

    pub(super) fn cancel_unstarted(&mut self, index: u64, request: &Request) {
        self.report.jobs += 1;
        self.report.failed += 1;
        if self.closed {
            self.left.push(JobRef::unstarted(index, request));
        }
        if let Some(completion) = self.completions.remove(index) {
            let mut failure = Failure::new(Cause::Cancelled, index);
            failure.label.clone_from(&request.label);
            failure.input = request.kept_input();
            let calls = completion.fill(Err(failure));
            self.calls.add(calls);
        }
    }
}

impl PoolShared {
    pub(super) fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock()
    }

    /// Returns whether this process made the pool; a forked copy of it has none of its threads.
    pub(crate) fn is_ours(&self) -> bool {
        self.state.is_ours()
    }

    pub(super) fn close(&self) -> MutexGuard<'_, PoolState> {
        let mut state = self.lock();
        state.closed = true;
        self.take_no_messages(&state);
        drop(state);
        self.notify_waiters();
        self.lock()
    }

    /// Notifies all who wait for a change. Must not be called under the lock.
    pub(super) fn notify_waiters(&self) {
        if self.is_ours() {
            self.changed.notify_all();
            self.waiting.wake();
        }
    }

    /// Notes that a thread waits for all jobs: one that waits for room for its messages may do so in vain.
    pub(super) fn take_no_messages(&self, state: &PoolState) {
        let paused = state.completions.values().filter_map(|completion| completion.mailbox.inbox.pause());
        paused.for_each(|job| self.submitter.has_messages(job));
    }

    /// Makes the calls that outcomes have led to. Called without the lock.
    pub(super) fn make_calls(&self) {
        let mut state = self.lock();
        let calls = std::mem::take(&mut state.calls);
        if calls.is_empty() {
            return;
        }
        state.calling += 1;
        drop(state);
        calls.make();
        self.lock().calling -= 1;
        self.notify_waiters();
    }

    pub(super) fn wait_for<'s>(
        &'s self,
        mut state: MutexGuard<'s, PoolState>,
        until: Option<Instant>,
        holds: impl Fn(&PoolState) -> bool,
    ) -> (MutexGuard<'s, PoolState>, bool) {
        while !holds(&state) {
            state = match self.changed.wait_until(state, until) {
                Ok(state) => state,
                Err(state) => return (state, false),
            };
        }
        (state, true)
    }

    /// Submits the jobs that the strategy lets start; returns whether there was one: then the engine must be woken.
    pub(super) fn let_start(&self, state: &mut PoolState) -> bool {
        let mut any = false;
        while let Some((index, _)) = state.held_back.front() {
            let index = *index;
            if let Some(strategy) = &self.strategy {
                state.refused = !strategy.should_spawn(state.started.len());
                if state.refused {
                    break;
                }
                strategy.on_spawn(state.started.len() + 1);
            }
            let Some((_, mut request)) = state.held_back.pop_front() else { break };
            request.index = Some(index);
            state.started.insert(index, state.next_engine_index);
            state.next_engine_index += 1;
            if let Some(mailbox) = &request.mailbox {
                mailbox.set_number(JobId(state.next_engine_index));
            }
            self.submitter.submit_without_wake(request);
            any = true;
        }
        any
    }

    /// Ends one job.
    pub(crate) fn cancel(&self, index: u64, kill: bool) {
        let mut state = self.lock();
        if let Some(at) = state.held_back.iter().position(|(held, _)| *held == index) {
            if let Some((_, request)) = state.held_back.remove(at) {
                state.cancel_unstarted(index, &request);
            }
            drop(state);
            self.notify_waiters();
            self.make_calls();
        } else if let Some(engine) = state.engine_index(index) {
            self.submitter.cancel(engine, kill);
        }
    }

    /// Removes a job of the engine's that has ended; returns its completion slot.
    pub(super) fn on_finished(&self, index: u64) -> Option<Arc<CompletionSlot>> {
        let mut state = self.lock();
        state.started.remove(index)?;
        if let Some(strategy) = &self.strategy {
            strategy.on_exit(state.started.len());
        }
        if self.let_start(&mut state) {
            self.submitter.wake();
        }
        state.completions.get(index).cloned()
    }
}

/// The handling of events, one after the other, on whichever thread receives them.
pub(crate) struct EventSink {
    pub(crate) output: Output,
    pub(crate) logger: Option<Logger>,
    pub(crate) listening: Listening,
    /// Jobs of which a message could not be decoded, with the reason.
    pub(crate) undecoded: Vec<(u64, String)>,
}

impl EventSink {
    /// True if it calls the program's own code, which may block.
    pub(crate) fn may_block(&self) -> bool {
        self.logger.is_some() || self.listening.hears_messages() || self.listening.hears_progress()
    }
}

/// Futures that wait for room in a pool. Each is woken by any change, checks for itself, and waits again if need be.
#[derive(Debug, Default)]
pub(crate) struct RoomWaiters(Mutex<Vec<Waker>>);

impl RoomWaiters {
    pub(crate) fn add(&self, waker: &Waker) {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    /// Wakes all futures. Must not be called under a lock that a future takes: an executor may poll at once.
    pub(crate) fn wake(&self) {
        let wakers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().for_each(Waker::wake);
    }
}
