//! Messages from a job to its handle, kept here until they are taken.
//!
//! The job asks for room before it sends, and is told how much there is: the memory for a handle that takes no messages
//! is bounded, and no message is sent that nobody can take. Never sends anything: the engine's side does.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use psmith_core::JobId;

use crate::job::mailbox::{MESSAGE_BYTES_MAX, MESSAGES_MAX};
use psmith_engine::channel::messages::ToWorker;
use psmith_engine::condition::Condition;

/// The messages of one job to its handle.
#[derive(Debug, Default)]
pub(crate) struct JobInbox {
    state: Mutex<JobInboxState>,
    changed: Condition,
}

/// A message as it travelled: a frame, and the offset of the message in it.
pub(crate) type KeptMessage = (Vec<u8>, usize);

#[derive(Debug, Default)]
struct JobInboxState {
    /// Messages that nobody has taken, oldest first.
    waiting: VecDeque<KeptMessage>,
    bytes: usize,
    /// The room that the job was told of and has not used: messages, and bytes.
    granted: (u32, u64),
    /// The bytes of the message for which the job asks for room, while it waits for the answer.
    asked: Option<u64>,
    /// The number of the job on the engine's side, once it has asked.
    number: Option<JobId>,
    /// True if somebody has begun to take messages, and will go on.
    listens: bool,
    /// The number of threads that wait for a message.
    receiving: u32,
    /// True once nobody can take messages any more.
    unheard: bool,
    /// True once the job was told that.
    told: bool,
    /// True when the job has its outcome.
    over: bool,
}

impl JobInbox {
    fn lock(&self) -> MutexGuard<'_, JobInboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the job of this number asks for room for a message of this length; returns the answer, if it is known
    /// by now.
    pub(crate) fn ask(&self, job: JobId, bytes: u64) -> Option<ToWorker> {
        let mut state = self.lock();
        state.number = Some(job);
        state.asked = Some(bytes);
        state.answer()
    }

    /// Returns the answer to the job that asks for room, if it has changed.
    pub(crate) fn answer(&self) -> Option<ToWorker> {
        self.lock().answer()
    }

    /// Keeps a message of the job; false if it had no room for it.
    pub(crate) fn receive(&self, bytes: Vec<u8>, body: usize) -> bool {
        let mut state = self.lock();
        let length = (bytes.len() - body) as u64;
        let (messages, room) = state.granted;
        if messages == 0 || room < length {
            return false;
        }
        state.granted = (messages - 1, room - length);
        if !state.unheard {
            state.bytes += bytes.len() - body;
            state.waiting.push_back((bytes, body));
        }
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Takes the oldest message; waits for one until `until`, or without a limit. `Ok(None)` if none came by then, `Err`
    /// if none will come. The engine's side is notified by `notify` where the job waits for room.
    pub(crate) fn take(
        &self,
        until: Option<Instant>,
        notify: impl Fn(JobId),
    ) -> Result<Option<KeptMessage>, ()> {
        let mut state = self.lock();
        state.listens = true;
        loop {
            if let Some(message) = state.waiting.pop_front() {
                state.bytes -= message.0.len() - message.1;
                let waits = state.number.filter(|_| state.asked.is_some());
                drop(state);
                waits.into_iter().for_each(notify);
                return Ok(Some(message));
            }
            if state.over || state.unheard {
                return Err(());
            }
            state.receiving += 1;
            let waited = self.changed.wait_until(state, until);
            let is_late = waited.is_err();
            state = waited.unwrap_or_else(|state| state);
            state.receiving -= 1;
            if is_late && state.waiting.is_empty() {
                return if state.over || state.unheard { Err(()) } else { Ok(None) };
            }
        }
    }

    /// Notes that nobody goes on taking messages, for now; returns the job's number if it waits for room.
    pub(crate) fn pause(&self) -> Option<JobId> {
        let mut state = self.lock();
        state.listens = false;
        state.number.filter(|_| state.asked.is_some())
    }

    /// Drops the messages and takes none any more; returns the job's number if it is to be told.
    pub(crate) fn close(&self) -> Option<JobId> {
        let mut state = self.lock();
        state.unheard = true;
        state.waiting = VecDeque::new();
        state.bytes = 0;
        let number = state.number.filter(|_| !state.over);
        drop(state);
        self.changed.notify_all();
        number
    }

    /// Notes that the job has its outcome: what waits can still be taken.
    pub(crate) fn over(&self) {
        let mut state = self.lock();
        state.over = true;
        state.asked = None;
        drop(state);
        self.changed.notify_all();
    }
}

impl JobInboxState {
    fn answer(&mut self) -> Option<ToWorker> {
        let job = self.number?.0;
        let none = ToWorker::Room { job, messages: 0, bytes: 0 };
        if self.unheard {
            // Also unasked: what it has room for would be dropped.
            let is_due = self.asked.take().is_some() || !std::mem::replace(&mut self.told, true);
            return is_due.then_some(none);
        }
        let asked = self.asked?;
        let fits = (self.bytes as u64).saturating_add(asked) <= MESSAGE_BYTES_MAX as u64;
        if self.waiting.is_empty() || (fits && self.waiting.len() < MESSAGES_MAX) {
            let messages = (MESSAGES_MAX - self.waiting.len()) as u32;
            let bytes = asked.max((MESSAGE_BYTES_MAX as u64).saturating_sub(self.bytes as u64));
            self.asked = None;
            self.granted = (messages, bytes);
            return Some(ToWorker::Room { job, messages, bytes });
        }
        if self.listens || self.receiving > 0 {
            // It comes when a message was taken.
            return None;
        }
        self.asked = None;
        self.granted = (0, 0);
        Some(none)
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
