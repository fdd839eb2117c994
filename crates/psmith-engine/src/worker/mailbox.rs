//! The messages that a worker receives, sorted: control messages for the worker's loop, messages for the job that asked
//! for them.
//!
//! It has no thread of its own: the loop, or a job that waits for a message, reads for both, one at a time; the others
//! wait until a message was sorted. So a job that never asks costs nothing, and its messages stay with the host, which
//! sends none before they were asked for and keeps each until it was taken. Never interprets messages.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::channel::frame::{ChannelFrame, FRAME_BYTES_MAX, Inbox, ReadResult};
use crate::channel::messages::ToWorker;
use crate::condition::Condition;
use crate::worker::send_error::SendError;

/// A store of control messages and messages until they are taken.
#[derive(Debug)]
pub(super) struct Mailbox {
    state: Mutex<MailboxState>,
    changed: Condition,
}

#[derive(Debug)]
struct MailboxState {
    /// The receiving end; `None` while a thread reads from it.
    inbox: Option<Inbox>,
    control_messages: VecDeque<(ToWorker, ChannelFrame)>,
    /// The job whose messages are kept; those of others are late, and dropped.
    listener: Option<u64>,
    messages: VecDeque<ChannelFrame>,
    /// True once all messages sent before the listener first asked have arrived.
    up_to_date: bool,
    /// True once no one can send to it any more.
    last: bool,
    /// Room for messages that the job sends to its handle.
    room: SendRoom,
    /// Set once nothing more can arrive; with the reason, if that is an error.
    over: Option<Result<(), String>>,
}

/// The room that the host has for messages of a job.
#[derive(Debug, Default)]
struct SendRoom {
    job: u64,
    messages: u32,
    bytes: u64,
    /// True while an answer of the host is awaited.
    asked: bool,
    /// True when the last answer was that nobody takes them.
    refused: bool,
}

/// The reason why there is no message, and will be none.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// The end of messages: in a job, no one can send any more, or ever could, because the job's handle was dropped, or
    /// it has none; of a handle, the job is over, or others receive its messages.
    Closed,
    /// The job was asked to stop, and has called [`Cx::cancelled`](crate::worker::context::Cx::cancelled) before, so
    /// that it can finish by itself.
    Cancelled,
    /// A message arrived that is not of this type. It is gone.
    Undecodable(String),
    /// The job is over; the calling thread has outlived it.
    Over,
    /// The host is gone.
    Gone(io::Error),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => f.write_str("there are no more messages, because nobody can send any"),
            RecvError::Cancelled => f.write_str("the job was asked to stop"),
            RecvError::Undecodable(reason) => write!(f, "the message cannot be decoded: {reason}"),
            RecvError::Over => f.write_str("the job is over"),
            RecvError::Gone(error) => write!(f, "the host is gone: {error}"),
        }
    }
}

impl std::error::Error for RecvError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RecvError::Gone(error) => Some(error),
            RecvError::Closed | RecvError::Cancelled | RecvError::Undecodable(_) | RecvError::Over => None,
        }
    }
}

/// The time for which a job waits for a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum WaitLimit {
    For(Option<Instant>),
    /// A wait of zero: only a message that is there already.
    None,
}

impl Mailbox {
    pub(super) fn new() -> Mailbox {
        let state = MailboxState {
            inbox: Some(Inbox::new(FRAME_BYTES_MAX)),
            control_messages: VecDeque::new(),
            listener: None,
            messages: VecDeque::new(),
            up_to_date: false,
            last: false,
            room: SendRoom::default(),
            over: None,
        };
        Mailbox { state: Mutex::new(state), changed: Condition::default() }
    }

    fn lock(&self) -> MutexGuard<'_, MailboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the longest frame from now on. Called before the first job.
    pub(super) fn allow(&self, bytes_max: u64) {
        if let Some(inbox) = &mut self.lock().inbox {
            inbox.allow(bytes_max);
        }
    }

    /// Receives the next control message for the loop; `None` when the host has closed the channel.
    pub(super) fn next_control_message(
        &self,
        socket: BorrowedFd<'_>,
    ) -> io::Result<Option<(ToWorker, ChannelFrame)>> {
        let mut state = self.lock();
        loop {
            if let Some(message) = state.control_messages.pop_front() {
                return Ok(Some(message));
            }
            if let Some(over) = &state.over {
                return over.clone().map(|()| None).map_err(io::Error::other);
            }
            state = self.read_or_wait(state, socket);
        }
    }

    /// Makes `job` the listener; returns true if it was not before, so that the host must be notified.
    pub(super) fn listen(&self, job: u64) -> bool {
        let mut state = self.lock();
        if state.listener == Some(job) {
            return false;
        }
        state.listener = Some(job);
        state.messages.clear();
        (state.up_to_date, state.last) = (false, false);
        true
    }

    /// Removes the listener.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.listener = None;
        state.messages.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// Receives the next message to `job`, the listener; `None` if there was none in time. `alarm` is a descriptor that
    /// is readable when the job was asked to stop.
    pub(super) fn next_message(
        &self,
        job: u64,
        socket: BorrowedFd<'_>,
        alarm: Option<BorrowedFd<'_>>,
        patience: WaitLimit,
    ) -> Result<Option<ChannelFrame>, RecvError> {
        let mut state = self.lock();
        loop {
            if state.listener != Some(job) {
                return Err(RecvError::Over);
            }
            if let Some(message) = state.messages.pop_front() {
                return Ok(Some(message));
            }
            if let Some(over) = &state.over {
                let reason = over.clone().err().unwrap_or_else(|| "it has closed the channel".into());
                return Err(RecvError::Gone(io::Error::other(reason)));
            }
            if state.last {
                return Err(RecvError::Closed);
            }
            let left = match patience {
                // Messages sent before the job first asked count as there.
                WaitLimit::None if !state.up_to_date => None,
                WaitLimit::None => Some(Duration::ZERO),
                WaitLimit::For(None) => None,
                WaitLimit::For(Some(until)) => Some(until.saturating_duration_since(Instant::now())),
            };
            if alarm.is_some_and(|alarm| is_readable(alarm)) {
                return Err(RecvError::Cancelled);
            }
            let is_late = left == Some(Duration::ZERO);
            state = match state.inbox.take() {
                Some(mut inbox) => {
                    drop(state);
                    let mut got = inbox.receive_now(socket);
                    let is_drained = matches!(got, ReadResult::Empty);
                    if is_drained && !is_late {
                        // Only now: a frame that arrived together with another is in the inbox, and no poll announces
                        // it.
                        wait(socket, alarm, left);
                        got = inbox.receive_now(socket);
                    }
                    let state = self.sort(inbox, got);
                    if is_late && is_drained {
                        return Ok(None);
                    }
                    state
                }
                None if is_late => return Ok(None),
                None => {
                    let until = left.and_then(|left| Instant::now().checked_add(left));
                    self.changed.wait_until(state, until).unwrap_or_else(|state| state)
                }
            };
        }
    }

    /// Takes room for a message of this job to its handle; `ask` asks the host for more. Waits for its answer, which comes
    /// when there is room, or nobody takes the messages.
    pub(super) fn take_room(
        &self,
        (job, bytes): (u64, u64),
        socket: BorrowedFd<'_>,
        ask: impl Fn() -> io::Result<()>,
    ) -> Result<(), SendError> {
        let mut state = self.lock();
        if state.room.job != job {
            state.room = SendRoom { job, ..SendRoom::default() };
        }
        // The handle may have been dropped meanwhile.
        if let Some(mut inbox) = state.inbox.take() {
            drop(state);
            let got = inbox.receive_now(socket);
            state = self.sort(inbox, got);
        }
        loop {
            let room = &mut state.room;
            if room.messages > 0 && bytes <= room.bytes {
                room.messages -= 1;
                room.bytes -= bytes;
                return Ok(());
            }
            if std::mem::take(&mut room.refused) {
                return Err(SendError::Unheard);
            }
            if !room.asked {
                *room = SendRoom { job, asked: true, ..SendRoom::default() };
                drop(state);
                ask().map_err(SendError::Gone)?;
                state = self.lock();
            }
            if let Some(over) = &state.over {
                let reason = over.clone().err().unwrap_or_else(|| "it has closed the channel".into());
                return Err(SendError::Gone(io::Error::other(reason)));
            }
            state = self.read_or_wait(state, socket);
        }
    }

    /// Reads from the channel until a frame has come, or waits until the thread that reads has stored one.
    fn read_or_wait<'s>(
        &'s self,
        mut state: MutexGuard<'s, MailboxState>,
        socket: BorrowedFd<'_>,
    ) -> MutexGuard<'s, MailboxState> {
        match state.inbox.take() {
            Some(mut inbox) => {
                drop(state);
                let got = inbox.receive(socket);
                self.sort(inbox, got)
            }
            None => self.changed.wait(state),
        }
    }

    /// Stores what was read where it belongs, and lets another thread read.
    fn sort(&self, inbox: Inbox, got: ReadResult) -> MutexGuard<'_, MailboxState> {
        let mut state = self.lock();
        state.inbox = Some(inbox);
        match got {
            ReadResult::Empty => {}
            ReadResult::Closed { .. } => state.over = Some(Ok(())),
            ReadResult::Broken(broken) => state.over = Some(Err(broken.to_string())),
            ReadResult::Frame(frame) => match postcard::from_bytes::<ToWorker>(frame.head()) {
                Err(error) => state.over = Some(Err(error.to_string())),
                Ok(ToWorker::Room { job, messages, bytes }) => {
                    if state.room.job == job {
                        state.room = SendRoom { job, messages, bytes, asked: false, refused: messages == 0 };
                    }
                }
                Ok(ToWorker::Message { job }) => {
                    if state.listener == Some(job) {
                        state.messages.push_back(frame);
                    }
                }
                Ok(ToWorker::UpToDate { job, last }) => {
                    if state.listener == Some(job) {
                        state.up_to_date = true;
                        state.last = last;
                    }
                }
                Ok(
                    message @ (ToWorker::Hello { .. }
                    | ToWorker::First(_)
                    | ToWorker::Job(_)
                    | ToWorker::Batch(..)
                    | ToWorker::Leave),
                ) => state.control_messages.push_back((message, frame)),
            },
        }
        self.changed.notify_all();
        state
    }
}

/// Sleeps until one of the two is readable, at most for `left`.
fn wait(socket: BorrowedFd<'_>, alarm: Option<BorrowedFd<'_>>, left: Option<Duration>) {
    let limit = left.and_then(|left| Timespec::try_from(left).ok());
    let mut both = [PollFd::new(&socket, PollFlags::IN), PollFd::new(&socket, PollFlags::IN)];
    let watched = match &alarm {
        Some(alarm) => {
            both[1] = PollFd::new(alarm, PollFlags::IN);
            &mut both[..]
        }
        None => &mut both[..1],
    };
    // Interrupted or refused: the caller checks for itself, and calls again.
    let _ = poll(watched, limit.as_ref());
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut one = [PollFd::new(&fd, PollFlags::IN)];
    let none = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut one, Some(&none)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
#[path = "mailbox_tests.rs"]
mod tests;
