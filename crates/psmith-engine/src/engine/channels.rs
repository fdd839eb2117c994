//! The channels to function workers: the host's end of each, and one made ahead for the next worker.
//!
//! Never knows what a worker's words mean for a job, and never touches its process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use psmith_core::outcome::Cause;
use psmith_sys::epoll::{Epoll, Interest};
use psmith_sys::socket;

use crate::channel::frame::{Body, Inbox, Outbox, ReadResult};
use crate::channel::messages::{Credentials, ToWorker, written};
use crate::command::WorkerStart;
use crate::engine::attempts::Tenancy;
use crate::engine::observe::Token;
use crate::warden::client::nonce;

/// Length of an answer for which a worker may have to wait until it is taken: its channel is watched from its start on.
const LONG_ANSWER_BYTES: usize = 64 * 1024;

/// Until it has introduced itself, a worker has nothing longer to say.
const INTRODUCTION_BYTES_MAX: u64 = 64 * 1024;

/// A worker whose channel has closed is given so long to end by itself.
pub(super) const CLOSED_GRACE: Duration = Duration::from_secs(1);

/// Two ends, and the nonce of the worker that they are for.
type NewChannel = (OwnedFd, OwnedFd, u64);

/// Owns what all channels of a run have in common.
#[derive(Default)]
pub(super) struct WorkerChannels {
    /// Made ahead for the next worker.
    spare: Option<NewChannel>,
    has_workers: bool,
    /// A worker had more to say at once than its socket holds: the next may, too.
    long_answers: bool,
    /// Workers whose channel has closed while they lived, and since when.
    closed_early: Vec<(Tenancy, Instant)>,
}

impl WorkerChannels {
    /// Makes the channel of the next worker, if there are workers at all.
    pub(super) fn stock(&mut self) {
        if self.has_workers && self.spare.is_none() {
            self.spare = new_channel().ok();
        }
    }

    /// A channel: the host's end, the worker's, its nonce.
    pub(super) fn take(&mut self) -> io::Result<NewChannel> {
        self.has_workers = true;
        self.spare.take().map_or_else(new_channel, Ok)
    }

    /// Notes that a worker said so much at once.
    pub(super) fn note_length(&mut self, bytes: usize) {
        self.long_answers |= bytes > LONG_ANSWER_BYTES;
    }

    pub(super) fn expects_long_answers(&self) -> bool {
        self.long_answers
    }

    /// Notes that the channel of this worker has closed while it lived.
    pub(super) fn note_closed(&mut self, tenancy: Tenancy) {
        self.closed_early.push((tenancy, Instant::now()));
    }

    /// Notes so again, for one that has still some of its grace.
    pub(super) fn keep_closed(&mut self, tenancy: Tenancy, since: Instant) {
        self.closed_early.push((tenancy, since));
    }

    pub(super) fn take_closed(&mut self) -> Vec<(Tenancy, Instant)> {
        std::mem::take(&mut self.closed_early)
    }

    /// Time until the grace of the next such worker is over.
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
    ours: Credentials,
    start: WorkerStart,
    /// Our hello was sent to it, and its first job after that.
    greeted: bool,
    /// Its own hello came, too; before, it may say nothing else.
    agreed: bool,
    /// The process that introduced itself.
    speaker: u32,
    /// The end of its job was reported to the handler, or the worker may say no more.
    reported: bool,
    /// Step and error number, if it could not become a process of its own.
    failed: Option<(u8, i32)>,
    interest: Interest,
    /// In the poll set.
    watched: bool,
    /// Nothing is received from it just now.
    paused: bool,
    /// Its process has ended: its last messages are being received.
    ending: bool,
    /// Nothing comes any more.
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
            ours: Credentials::new(nonce),
            start,
            greeted: false,
            agreed: false,
            speaker: 0,
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

    /// Says hello, and after it these messages.
    pub(super) fn greet(&mut self, messages: Vec<(ToWorker, Body)>) {
        self.greeted = true;
        let hello = ToWorker::Hello {
            credentials: self.ours,
            frame_bytes_max: self.start.frame_bytes_max,
            set_up: self.start.set_up.clone(),
            #[cfg(feature = "authenticated")]
            secret: crate::function::authenticated::Secret::of_this_program().ok(),
        };
        self.outbox.push(&written(&hello), Body::None);
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

    /// Sends what the worker takes before anything else: the region that it shares with the host, if there is one.
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

    /// Sends what is queued, as far as the socket takes it; the poll tells when it takes the rest.
    pub(super) fn flush(&mut self, epoll: &Epoll) {
        if self.closed || self.paused || self.ending {
            return;
        }
        // A worker that is gone is noticed by its end, not here.
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

    /// Watches it, unless it is watched, paused or closed.
    pub(super) fn watch_if_heard(&mut self, epoll: &Epoll) {
        if !self.watched && !self.paused && !self.closed {
            // Without it the worker's messages are received at its end.
            let _ = self.watch(epoll);
        }
    }

    pub(super) fn unwatch(&mut self, epoll: &Epoll) {
        if std::mem::take(&mut self.watched) {
            let _ = epoll.remove(&self.socket);
        }
    }

    /// Receives no more until [`WorkerChannel::resume`]; false if that is so already.
    pub(super) fn pause(&mut self, epoll: &Epoll) -> bool {
        if self.paused || self.closed {
            return false;
        }
        self.paused = true;
        self.unwatch(epoll);
        true
    }

    /// Receives again; false if it was not paused.
    pub(super) fn resume(&mut self, epoll: &Epoll) -> bool {
        if !self.paused || self.closed {
            return false;
        }
        self.paused = false;
        let _ = self.watch(epoll);
        true
    }

    // Receiving.

    /// More may have come since the last look.
    pub(super) fn look_again(&mut self) {
        self.inbox.look_again();
    }

    /// Whether a whole frame has been read from the socket already.
    pub(super) fn holds_frame(&self) -> bool {
        self.inbox.holds_frame()
    }

    /// The next frame, if one is there.
    pub(super) fn receive(&mut self) -> ReadResult {
        if self.closed {
            return ReadResult::Dry;
        }
        let got = self.inbox.receive_known(&self.socket);
        if let ReadResult::Closed { torn } = got {
            self.closed = true;
            self.torn = torn;
        }
        got
    }

    /// Takes the worker's introduction.
    ///
    /// # Errors
    ///
    /// Why it is not the worker that was started.
    pub(super) fn agree(&mut self, credentials: Credentials, pid: u32) -> Result<(), String> {
        self.ours.check(credentials)?;
        self.agreed = true;
        self.speaker = pid;
        self.inbox.allow(self.start.frame_bytes_max);
        Ok(())
    }

    pub(super) fn has_agreed(&self) -> bool {
        self.agreed
    }

    /// Whether this process may answer here: the one that introduced itself.
    pub(super) fn is_spoken_by(&self, pid: u32) -> bool {
        self.speaker == pid
    }

    // Ending.

    /// Notes that the worker could not become a process of its own.
    pub(super) fn note_failed_start(&mut self, step: u8, errno: i32) {
        self.failed = Some((step, errno));
    }

    /// The step and the error number of a start that failed.
    pub(super) fn failed_start(&self) -> Option<(u8, i32)> {
        self.failed
    }

    /// Notes that the end of its job is reported to the handler; false if it was before.
    pub(super) fn note_report(&mut self) -> bool {
        !std::mem::replace(&mut self.reported, true)
    }

    /// Cause of its job's end, where it left of its own will and did not say.
    pub(super) fn cause_unsaid(&self) -> Option<Cause> {
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

    /// Receives nothing any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Closes the connection: the worker finds no more jobs.
    pub(super) fn hang_up(&mut self, epoll: &Epoll) {
        self.closed = true;
        self.unwatch(epoll);
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
    }
}
