//! Messages on their way from a job's handle to the job: kept here until the job has taken them.
//!
//! The job asks first ([`FromWorker::Listens`](psmith_engine::channel::messages::FromWorker)), so nothing is sent to one that does
//! not, and it says what it has taken. What it has not taken counts against a limit, at which senders wait or are told:
//! a job that does not read costs so much and no more. Sends nothing itself: it gives messages to the engine's side.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use psmith_core::JobId;

use psmith_engine::channel::frame::Body;
use psmith_engine::channel::messages::ToWorker;
use psmith_engine::condition::Condition;
use psmith_engine::handler::{EngineCommand, MessagesToWorker};
use psmith_engine::worker::context::SendError;

/// So many messages may wait for a job.
pub(crate) const MESSAGES_MAX: usize = 1024;

/// And so many bytes of them; one message alone may be longer.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The messages of one job.
#[derive(Debug, Default)]
pub(crate) struct JobMailbox {
    state: Mutex<JobMailboxState>,
    changed: Condition,
}

#[derive(Debug, Default)]
struct JobMailboxState {
    /// What no attempt has taken, oldest first.
    waiting: VecDeque<Arc<Vec<u8>>>,
    bytes: usize,
    /// So many of them were sent to the attempt that listens.
    sent: usize,
    /// What the engine's side calls the job, once it knows it.
    number: Option<JobId>,
    listens: bool,
    /// Nobody will send more.
    ended: bool,
    /// The attempt that listens knows that.
    told_end: bool,
    /// The job has its outcome.
    over: bool,
}

impl JobMailbox {
    fn lock(&self) -> MutexGuard<'_, JobMailboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine's side knows the job by this number.
    pub(crate) fn is_known_as(&self, number: JobId) {
        self.lock().number = Some(number);
    }

    /// Adds a message; waits for room until then. Gives the job's number if its listener is to be sent it.
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

    /// There will be no more. Gives the job's number if its listener is to be told.
    pub(crate) fn end(&self) -> Option<JobId> {
        let mut state = self.lock();
        state.ended = true;
        let number = state.number.filter(|_| state.listens && !state.over);
        drop(state);
        self.changed.notify_all();
        number
    }

    /// The job has its outcome: nobody will take what waits.
    pub(crate) fn over(&self) {
        let mut state = self.lock();
        state.over = true;
        state.listens = false;
        state.waiting = VecDeque::new();
        state.bytes = 0;
        drop(state);
        self.changed.notify_all();
    }

    /// An attempt asks for messages: what no other has taken is its.
    fn begin(&self, job: u64) -> Vec<(ToWorker, Body)> {
        let mut state = self.lock();
        state.listens = !state.over;
        (state.sent, state.told_end) = (0, false);
        let mut letters = state.unsent(job);
        if !state.told_end {
            letters.push((ToWorker::UpToDate { job, last: false }, Body::None));
        }
        letters
    }

    fn unsent(&self, job: u64) -> Vec<(ToWorker, Body)> {
        self.lock().unsent(job)
    }

    /// The attempt that listens has taken the oldest; false if it was sent none.
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

    /// What the listener was not sent yet.
    fn unsent(&mut self, job: u64) -> Vec<(ToWorker, Body)> {
        if !self.listens {
            return Vec::new();
        }
        let new = self.waiting.range(self.sent..);
        let mut letters: Vec<(ToWorker, Body)> =
            new.map(|message| (ToWorker::Message { job }, Body::Shared(Arc::clone(message)))).collect();
        self.sent = self.waiting.len();
        if self.ended && !self.told_end {
            self.told_end = true;
            letters.push((ToWorker::UpToDate { job, last: true }, Body::None));
        }
        letters
    }
}

/// The jobs that have asked for messages, on the engine's thread.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// By job: whom the engine is to send messages to, and where they come from.
    mailboxes: BTreeMap<JobId, (JobId, Arc<JobMailbox>)>,
}

impl Listeners {
    /// `job` asks for messages. `worker` is what the engine calls the process that has it.
    pub(crate) fn add(
        &mut self,
        job: JobId,
        worker: JobId,
        mailbox: Option<&Arc<JobMailbox>>,
    ) -> Vec<(ToWorker, Body)> {
        match mailbox {
            // It has no handle, so there is nobody who could send.
            None => vec![(ToWorker::UpToDate { job: job.0, last: true }, Body::None)],
            Some(mailbox) => {
                self.mailboxes.insert(job, (worker, Arc::clone(mailbox)));
                mailbox.begin(job.0)
            }
        }
    }

    /// `job` has taken a message; false if it was sent none.
    pub(crate) fn took(&self, job: JobId) -> bool {
        self.mailboxes.get(&job).is_some_and(|(_, mailbox)| mailbox.took())
    }

    /// For these jobs there is something new.
    pub(crate) fn send(&self, jobs: &[JobId], orders: &mut Vec<EngineCommand>) {
        for job in jobs {
            let Some((worker, mailbox)) = self.mailboxes.get(job) else { continue };
            let letters = mailbox.unsent(job.0);
            if !letters.is_empty() {
                orders.push(EngineCommand::Send(*worker, MessagesToWorker(letters)));
            }
        }
    }

    /// `job` will ask no more.
    pub(crate) fn remove(&mut self, job: JobId) {
        self.mailboxes.remove(&job);
    }
}

#[cfg(test)]
#[path = "mailbox_tests.rs"]
mod tests;
