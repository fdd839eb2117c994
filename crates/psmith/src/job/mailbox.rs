//! Messages from a job's handle to the job, kept here until the job has taken them.
//!
//! The job asks first ([`FromWorker::Listens`](psmith_engine::channel::messages::FromWorker)), so nothing is sent to a
//! job that does not listen, and it reports which messages it has taken. Those that it has not taken count against a
//! limit, at which senders wait or get an error: the memory for a job that does not read is bounded. Never sends a
//! message itself: the engine's side does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use psmith_core::{JobId, Table};

use psmith_engine::channel::frame::Body;
use psmith_engine::channel::messages::ToWorker;
use psmith_engine::condition::Condition;
use psmith_engine::handler::{EngineCommand, MessagesToWorker};
use psmith_engine::worker::send_error::SendError;

use crate::job::inbox::JobInbox;

/// Limit of messages that wait for a job.
pub(crate) const MESSAGES_MAX: usize = 1024;

/// Limit of the bytes of messages that wait for a job; one message alone may be longer.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The messages of one job.
#[derive(Debug, Default)]
pub(crate) struct JobMailbox {
    state: Mutex<JobMailboxState>,
    changed: Condition,
    /// The messages the other way.
    pub(crate) inbox: JobInbox,
}

#[derive(Debug, Default)]
struct JobMailboxState {
    /// Messages that no attempt has taken, oldest first.
    waiting: VecDeque<Arc<Vec<u8>>>,
    bytes: usize,
    /// The number of them that were sent to the attempt that listens.
    sent: usize,
    /// The number of the job on the engine's side, once that knows it.
    number: Option<JobId>,
    listens: bool,
    /// True when there will be no more messages.
    ended: bool,
    /// True when that was reported to the attempt that listens.
    end_sent: bool,
    /// True when the job has its outcome.
    over: bool,
}

impl JobMailbox {
    fn lock(&self) -> MutexGuard<'_, JobMailboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the number by which the engine's side knows the job.
    pub(crate) fn set_number(&self, number: JobId) {
        self.lock().number = Some(number);
    }

    /// Adds a message; waits for room until `until`. Returns the job's number if its listener is to get the message.
    pub(crate) fn push(&self, message: Vec<u8>, until: Option<Instant>) -> Result<Option<JobId>, SendError> {
        let mut state = self.lock();
        loop {
            if state.over || state.ended {
                return Err(SendError::Over);
            }
            if state.has_room(message.len()) {
                break;
            }
            state = self.changed.wait_until(state, until).map_err(|_| SendError::Full)?;
        }
        state.bytes += message.len();
        state.waiting.push_back(Arc::new(message));
        Ok(state.number.filter(|_| state.listens))
    }

    /// True if a message waits that no attempt has taken.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Closes the mailbox: there will be no more messages. Returns the job's number if its listener is to be notified.
    pub(crate) fn end(&self) -> Option<JobId> {
        let mut state = self.lock();
        state.ended = true;
        let number = state.number.filter(|_| state.listens && !state.over);
        drop(state);
        self.changed.notify_all();
        number
    }

    /// Drops the messages that wait: the job has its outcome, and takes no more.
    pub(crate) fn over(&self) {
        let mut state = self.lock();
        state.over = true;
        state.listens = false;
        state.waiting = VecDeque::new();
        state.bytes = 0;
        drop(state);
        self.changed.notify_all();
        self.inbox.over();
    }

    /// Begins to serve an attempt that asks for messages; returns those that no other attempt has taken.
    fn begin(&self, job: u64) -> Vec<(ToWorker, Body)> {
        let mut state = self.lock();
        state.listens = !state.over;
        (state.sent, state.end_sent) = (0, false);
        let mut messages = state.unsent(job);
        if !state.end_sent {
            messages.push((ToWorker::UpToDate { job, last: false }, Body::None));
        }
        messages
    }

    /// Sends no more to the attempt that listened, which has ended. What it has not taken is the next one's.
    fn end_attempt(&self) {
        self.lock().listens = false;
    }

    fn unsent(&self, job: u64) -> Vec<(ToWorker, Body)> {
        self.lock().unsent(job)
    }

    /// Removes the oldest message, which the listening attempt has taken; false if it was sent none.
    fn took(&self) -> bool {
        let mut state = self.lock();
        if state.over {
            return true;
        }
        if state.sent == 0 {
            return false;
        }
        state.sent -= 1;
        let length = state.waiting.pop_front().map_or(0, |message| message.len());
        state.bytes -= length;
        drop(state);
        self.changed.notify_all();
        true
    }
}

impl JobMailboxState {
    fn has_room(&self, bytes: usize) -> bool {
        let fits = self.bytes.saturating_add(bytes) <= MESSAGE_BYTES_MAX;
        self.waiting.is_empty() || (fits && self.waiting.len() < MESSAGES_MAX)
    }

    /// Returns the messages that were not sent to the listener yet.
    fn unsent(&mut self, job: u64) -> Vec<(ToWorker, Body)> {
        if !self.listens {
            return Vec::new();
        }
        let new = self.waiting.range(self.sent..);
        let mut messages: Vec<(ToWorker, Body)> =
            new.map(|message| (ToWorker::Message { job }, Body::Shared(Arc::clone(message)))).collect();
        self.sent = self.waiting.len();
        if self.ended && !self.end_sent {
            self.end_sent = true;
            messages.push((ToWorker::UpToDate { job, last: true }, Body::None));
        }
        messages
    }
}

/// The jobs that have asked for messages, on the engine's thread.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// The worker that messages to a job are sent to, and the mailbox that they come from, by job.
    mailboxes: Table<JobId, (JobId, Arc<JobMailbox>)>,
}

impl Listeners {
    /// Registers `job`, which asks for messages. `worker` is the job of the engine whose process has it.
    pub(crate) fn add(
        &mut self,
        job: JobId,
        worker: JobId,
        mailbox: Option<&Arc<JobMailbox>>,
    ) -> Vec<(ToWorker, Body)> {
        match mailbox {
            // It has no handle, so there is no sender.
            None => vec![(ToWorker::UpToDate { job: job.0, last: true }, Body::None)],
            Some(mailbox) => {
                self.mailboxes.insert(job, (worker, Arc::clone(mailbox)));
                mailbox.begin(job.0)
            }
        }
    }

    /// Notes that `job` asks for room for a message to its handle; returns the answer, if it is known.
    pub(crate) fn ask_room(
        &mut self,
        job: JobId,
        worker: JobId,
        mailbox: Option<&Arc<JobMailbox>>,
        bytes: u64,
    ) -> Option<(ToWorker, Body)> {
        let answer = match mailbox {
            None => Some(ToWorker::Room { job: job.0, messages: 0, bytes: 0 }),
            Some(mailbox) => {
                self.mailboxes.insert(job, (worker, Arc::clone(mailbox)));
                mailbox.inbox.ask(job, bytes)
            }
        };
        answer.map(|answer| (answer, Body::None))
    }

    /// Notes that `job` has taken a message; false if it was sent none.
    pub(crate) fn took(&self, job: JobId) -> bool {
        self.mailboxes.get(job).is_some_and(|(_, mailbox)| mailbox.took())
    }

    /// Sends these jobs their new messages.
    pub(crate) fn send(&self, jobs: &[JobId], commands: &mut Vec<EngineCommand>) {
        for job in jobs {
            let Some((worker, mailbox)) = self.mailboxes.get(*job) else { continue };
            let mut messages = mailbox.unsent(job.0);
            messages.extend(mailbox.inbox.answer().map(|room| (room, Body::None)));
            if !messages.is_empty() {
                commands.push(EngineCommand::Send(*worker, MessagesToWorker(messages)));
            }
        }
    }

    /// Forgets the attempt of `job` that listened: another begins, and gets messages when it asks for them. Until then
    /// there are none for it: those that wait are sent to it when it asks, and would be so twice.
    pub(crate) fn next_attempt(&mut self, job: JobId) {
        if let Some((_, mailbox)) = self.mailboxes.remove(job) {
            mailbox.end_attempt();
        }
    }

    /// Removes `job`, which takes no more messages.
    pub(crate) fn remove(&mut self, job: JobId) {
        self.mailboxes.remove(job);
    }
}

#[cfg(test)]
#[path = "mailbox_tests.rs"]
mod tests;
