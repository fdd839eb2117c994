//! The channels to function workers: the host's end of each, and one made ahead for the next worker.
//!
//! Never interprets what a worker's messages mean for a job, and never touches its process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use psmith_core::outcome::Cause;
use psmith_sys::epoll::{Epoll, Interest};
use psmith_sys::socket;

use crate::channel::frame::{Body, Inbox, Outbox, ReadResult};
use crate::channel::messages::{PeerIdentity, ToWorker, written};
use crate::command::WorkerStart;
use crate::engine::attempts::SlotGeneration;
use crate::engine::observe::Token;
use crate::warden::client::nonce;

/// The length of a reply that fills the socket, so that the worker has to wait until it is read: from then on, channels
/// are watched from the start.
const LONG_ANSWER_BYTES: usize = 64 * 1024;

/// The longest frame before the worker's hello is checked: until then it has nothing longer to send.
const INTRODUCTION_BYTES_MAX: u64 = 64 * 1024;

/// The time that a worker whose channel has closed is given to end by itself.
pub(super) const CLOSED_GRACE: Duration = Duration::from_secs(1);

/// The host's end, the worker's end, and the nonce of the worker that they are for.
type NewChannel = (OwnedFd, OwnedFd, u64);

/// The state that all channels of a run share.
#[derive(Default)]
pub(super) struct WorkerChannels {
    /// A channel made ahead for the next worker.
    spare: Option<NewChannel>,
    has_workers: bool,
    /// True once a worker had more to send at once than its socket holds: the next may, too.
    long_answers: bool,
    /// The workers whose channel has closed before they ended, and when.
    closed_early: Vec<(SlotGeneration, Instant)>,
}

impl WorkerChannels {
    /// Makes the channel of the next worker ahead of need, if the run has workers at all.
    pub(super) fn stock(&mut self) {
        if self.has_workers && self.spare.is_none() {
            self.spare = new_channel().ok();
        }
    }

    /// Returns a channel: the host's end, the worker's, its nonce.
    pub(super) fn take(&mut self) -> io::Result<NewChannel> {
        self.has_workers = true;
        self.spare.take().map_or_else(new_channel, Ok)
    }

    /// Notes the length of a frame that a worker sent.
    pub(super) fn note_length(&mut self, bytes: usize) {
        self.long_answers |= bytes > LONG_ANSWER_BYTES;
    }

    pub(super) fn expects_long_answers(&self) -> bool {
        self.long_answers
    }

    /// Notes that the channel of this worker has closed before it ended.
    pub(super) fn note_closed(&mut self, slot_generation: SlotGeneration) {
        self.closed_early.push((slot_generation, Instant::now()));
    }

    /// Notes that again, for a worker that has still some of its grace.
    pub(super) fn keep_closed(&mut self, slot_generation: SlotGeneration, since: Instant) {
        self.closed_early.push((slot_generation, since));
    }

    pub(super) fn take_closed(&mut self) -> Vec<(SlotGeneration, Instant)> {
        std::mem::take(&mut self.closed_early)
    }

    /// Returns the time until the grace of the next such worker is over.
    pub(super) fn until_closed(&self) -> Option<Duration> {
        self.closed_early.iter().map(|(_, since)| CLOSED_GRACE.saturating_sub(since.elapsed())).min()
    }
}

fn new_channel() -> io::Result<NewChannel> {
    let (ours, theirs) = socket::channel()?;
    Ok((ours, theirs, nonce()?))
}

/// The host's end of a worker's channel.
#[derive(Debug)]
pub(crate) struct WorkerChannel {
    socket: OwnedFd,
    token: Token,
    inbox: Inbox,
    outbox: Outbox,
    ours: PeerIdentity,
    start: WorkerStart,
    /// True once the host's hello was sent to it, with its first job after that.
    greeted: bool,
    /// True once its own hello was checked; before that it may send nothing else.
    agreed: bool,
    /// The process id that was given in the hello.
    worker_pid: u32,
    /// True once the end of its job was reported to the handler, or the worker may send no more.
    reported: bool,
    /// The step and error number, if it could not become a process of its own.
    failed: Option<(u8, i32)>,
    interest: Interest,
    /// True while it is in the poll set.
    watched: bool,
    /// True while nothing is received from it.
    paused: bool,
    /// True once its process has ended: its last messages are being received.
    ending: bool,
    /// True once nothing more is received.
    closed: bool,
    torn: bool,
}

impl WorkerChannel {
    pub(super) fn new(socket: OwnedFd, nonce: u64, start: WorkerStart, token: Token) -> WorkerChannel {
        WorkerChannel {
            socket,
            token,
            inbox: Inbox::new(INTRODUCTION_BYTES_MAX),
            outbox: Outbox::default(),
            ours: PeerIdentity::new(nonce),
            start,
            greeted: false,
            agreed: false,
            worker_pid: 0,
            reported: false,
            failed: None,
            interest: Interest::READ,
            watched: false,
            paused: false,
            ending: false,
            closed: false,
            torn: false,
        }
    }

    // Sending.

    /// Queues the hello, and after it these messages.
    pub(super) fn greet(&mut self, messages: Vec<(ToWorker, Body)>) {
        self.greeted = true;
        let hello = ToWorker::Hello {
            credentials: self.ours,
            frame_bytes_max: self.start.frame_bytes_max,
            #[cfg(feature = "authenticated")]
            secret: crate::function::authenticated::Secret::of_this_program().ok(),
        };
        self.outbox.push(&written(&hello), Body::None);
        for call in &self.start.first_calls {
            let value = call.value.as_ref().map_or(Body::None, |value| Body::Shared(Arc::clone(value)));
            self.outbox.push(&written(&ToWorker::First(call.function.clone())), value);
        }
        self.push(messages);
    }

    pub(super) fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Queues messages.
    pub(super) fn push(&mut self, messages: Vec<(ToWorker, Body)>) {
        for (message, body) in messages {
            self.outbox.push(&written(&message), body);
        }
    }

    /// Sends the first byte, before anything else, with the region that the worker shares with the host, if there is
    /// one.
    pub(super) fn send_region(&self, region: Option<impl AsFd>) -> io::Result<()> {
        let region: Vec<_> = region.iter().map(AsFd::as_fd).collect();
        socket::send(&self.socket, &[0], &region)
    }

    /// Sends what is queued before the worker exists.
    pub(super) fn send_first(&mut self) -> io::Result<()> {
        self.outbox.flush(&self.socket)
    }

    pub(super) fn has_queued(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends what is queued, as far as the socket takes it; the poll reports when it takes the rest.
    pub(super) fn flush(&mut self, epoll: &Epoll) {
        if self.closed || self.paused || self.ending {
            return;
        }
        // The end of the worker, not a failed send, tells that it is gone.
        let _ = self.outbox.flush(&self.socket);
        let wanted = self.wanted();
        if !self.watched && !self.outbox.is_empty() {
            let _ = self.watch(epoll);
        } else if self.watched && wanted != self.interest {
            self.interest = wanted;
            let _ = epoll.modify(&self.socket, self.token.pack(), wanted);
        }
    }

    // Watching.

    fn wanted(&self) -> Interest {
        if self.outbox.is_empty() { Interest::READ } else { Interest::BOTH }
    }

    pub(super) fn watch(&mut self, epoll: &Epoll) -> io::Result<()> {
        self.interest = self.wanted();
        epoll.add(&self.socket, self.token.pack(), self.interest)?;
        self.watched = true;
        Ok(())
    }

    /// Adds the channel to the poll set, unless it is watched, paused or closed.
    pub(super) fn watch_if_open(&mut self, epoll: &Epoll) {
        if !self.watched && !self.paused && !self.closed {
            // If that fails, the worker's messages are received at its end.
            let _ = self.watch(epoll);
        }
    }

    pub(super) fn unwatch(&mut self, epoll: &Epoll) {
        if std::mem::take(&mut self.watched) {
            let _ = epoll.remove(&self.socket);
        }
    }

    /// Receives no more until [`WorkerChannel::resume`]; returns false if it was paused or closed already.
    pub(super) fn pause(&mut self, epoll: &Epoll) -> bool {
        if self.paused || self.closed {
            return false;
        }
        self.paused = true;
        self.unwatch(epoll);
        true
    }

    /// Receives again; returns false if it was not paused, or is closed.
    pub(super) fn resume(&mut self, epoll: &Epoll) -> bool {
        if !self.paused || self.closed {
            return false;
        }
        self.paused = false;
        let _ = self.watch(epoll);
        true
    }

    // Receiving.

    /// Notes that more may have arrived since the last read.
    pub(super) fn note_readable(&mut self) {
        self.inbox.note_readable();
    }

    /// Returns whether a whole frame has been read from the socket already.
    pub(super) fn holds_frame(&self) -> bool {
        self.inbox.holds_frame()
    }

    /// Returns the next frame, if one is there.
    pub(super) fn receive(&mut self) -> ReadResult {
        if self.closed {
            return ReadResult::Empty;
        }
        let got = self.inbox.receive_known(&self.socket);
        if let ReadResult::Closed { torn } = got {
            self.closed = true;
            self.torn = torn;
        }
        got
    }

    /// Checks the worker's hello.
    ///
    /// # Errors
    ///
    /// The reason why it is not the worker that was started.
    pub(super) fn agree(&mut self, credentials: PeerIdentity, pid: u32) -> Result<(), String> {
        self.ours.check(credentials)?;
        self.agreed = true;
        self.worker_pid = pid;
        self.inbox.allow(self.start.frame_bytes_max);
        Ok(())
    }

    pub(super) fn has_agreed(&self) -> bool {
        self.agreed
    }

    /// Returns whether this process may reply here: only the one that sent the hello.
    pub(super) fn is_from_worker(&self, pid: u32) -> bool {
        self.worker_pid == pid
    }

    // Ending.

    /// Notes that the worker could not become a process of its own.
    pub(super) fn note_failed_start(&mut self, step: u8, errno: i32) {
        self.failed = Some((step, errno));
    }

    /// Returns the step and the error number of a start that failed.
    pub(super) fn failed_start(&self) -> Option<(u8, i32)> {
        self.failed
    }

    /// Notes that the end of its job is reported to the handler; returns false if it was before.
    pub(super) fn note_report(&mut self) -> bool {
        !std::mem::replace(&mut self.reported, true)
    }

    /// Returns the cause of its job's end, where the worker exited by itself and did not report one.
    pub(super) fn unreported_cause(&self) -> Option<Cause> {
        match (self.reported, self.torn) {
            (true, _) => None,
            (false, true) => Some(Cause::Protocol("its channel was closed within a frame".into())),
            (false, false) => Some(Cause::Exit(0)),
        }
    }

    /// Notes that its process has ended: its last messages are received, and nothing is sent any more.
    pub(super) fn begin_end(&mut self) {
        self.ending = true;
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending
    }

    /// Stops receiving.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Shuts the connection down: the worker finds no more jobs.
    pub(super) fn hang_up(&mut self, epoll: &Epoll) {
        self.closed = true;
        self.unwatch(epoll);
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
    }
}
