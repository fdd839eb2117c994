//! Function workers as the engine sees them: a channel beside the pipes of an attempt.
//!
//! Here the worker is greeted, frames are taken in and sent, and what is wrong on the wire becomes a cause. What the
//! letters mean for jobs is the handler's affair. A worker's life is one attempt of the engine, however many jobs the
//! handler gives it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use psmith_core::outcome::{Cause, Exit, SpawnFailure};
use psmith_core::policy::SIGKILL;
use psmith_core::{Event, JobId};
use psmith_sys::epoll::{Epoll, Interest};
use psmith_sys::{pidfd, socket};

use crate::channel::frame::{Body, FRAME_BYTES_MAX, Got, Inbox, Outbox};
use crate::channel::messages::{Credentials, FromWorker, ToWorker, written};
use crate::command::WorkerStart;
use crate::engine::Engine;
use crate::engine::attempt::Running;
use crate::engine::handler::{Handler, Mail, Place};
use crate::engine::observe::Token;
use crate::engine::perform::new_channel;
use crate::engine::streams::READS_A_TURN;
use crate::warden::messages::Birth;
use crate::warden::step_of_number;

/// Frames taken in a row from one worker's socket, so that one talkative job cannot hold up the others.
const FRAMES_A_TURN: usize = 64;

/// Beyond this a worker may have to wait until its answer is taken, so its channel is watched from its birth on.
const LONG_ANSWER_BYTES: usize = 64 * 1024;

/// A worker whose channel has closed is given so long to end by itself.
const CLOSED_GRACE: Duration = Duration::from_secs(1);

/// The host's end of a worker's channel.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
    inbox: Inbox,
    outbox: Outbox,
    ours: Credentials,
    start: WorkerStart,
    /// It has been told who we are, and its first job after that.
    greeted: bool,
    /// It has introduced itself, too; before, nothing else is heard of it.
    agreed: bool,
    /// The process that introduced itself.
    speaker: u32,
    /// The handler has been told how its job ended, or the worker may say no more.
    reported: bool,
    /// It could not become a process of its own.
    failed: Option<(u8, i32)>,
    interest: Interest,
    /// In the poll set.
    watched: bool,
    /// Nobody takes in what it says just now.
    pub(super) paused: bool,
    /// Its process has ended: what it has said is being heard.
    ending: bool,
    /// Nothing comes any more.
    closed: bool,
    torn: bool,
}

impl<H: Handler> Engine<H> {
    /// Makes the channel of an attempt; gives the worker's end and what it is born with.
    pub(super) fn open_channel(
        &mut self,
        running: &mut Running,
        mut start: WorkerStart,
    ) -> io::Result<(OwnedFd, Birth)> {
        self.has_workers = true;
        let (ours, theirs, nonce) = self.channel.take().map_or_else(new_channel, Ok)?;
        let told = start.single && self.warden.forks();
        let region = start.region.take();
        let mut channel = Channel {
            socket: ours,
            // Until it has introduced itself it has nothing long to say.
            inbox: Inbox::new(64 * 1024),
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
        };
        if told {
            // Everything lies there when it is born.
            let mut mail = Mail::default();
            let at = Place { attempt: running.id, slot: running.slot };
            let view = self.dispatch.view();
            if let Some(entry) = self.jobs.get_mut(&running.id.job) {
                self.handler.greeted(&view, &mut entry.job, at, &mut mail);
            }
            channel.greet(mail.letters);
            channel.outbox.flush(&channel.socket)?;
        } else {
            // It takes this before anything else.
            let region: Vec<_> = region.iter().map(|region| region.as_fd()).collect();
            socket::send(&channel.socket, &[0], &region)?;
        }
        // Most single jobs are over by the news of their start; what they have said is heard then.
        if !told || !channel.outbox.is_empty() || self.long_answers {
            let token = Token::Worker { slot: running.slot.0, generation: running.generation };
            channel.watch(&self.epoll, token)?;
        }
        running.channel = Some(channel);
        Ok((theirs, Birth { nonce, told }))
    }

    /// Hears the worker in this slot from now on.
    pub(super) fn watch_channel(&mut self, slot: u32) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let token = Token::Worker { slot, generation: running.generation };
        if let Some(channel) = &mut running.channel
            && !channel.watched
            && !channel.paused
            && !channel.closed
        {
            // Without it the worker is heard at its end.
            let _ = channel.watch(&self.epoll, token);
        }
    }

    /// The channel can be read or written.
    pub(super) fn on_channel(&mut self, slot: u32) {
        self.look_again(slot);
        for frames in 0.. {
            let takes = self.handler.takes_output();
            let Some(running) = self.attempts.get_mut(slot) else { return };
            let generation = running.generation;
            if running.channel.is_none() {
                return;
            }
            if !takes {
                return self.pause_channel(slot, generation);
            }
            // What is left in the socket is heard in the next turn. What has been read from it is heard now: it would
            // wake nobody any more.
            let may_wait =
                frames >= FRAMES_A_TURN && running.channel.as_ref().is_some_and(|it| !it.inbox.holds_frame());
            if may_wait || !self.hear_frame(slot) {
                break;
            }
        }
        self.flush_channel(slot);
    }

    /// More may have come since the last look.
    fn look_again(&mut self, slot: u32) {
        if let Some(channel) = self.channel_mut(slot) {
            channel.inbox.look_again();
        }
    }

    /// Takes in one frame; false if there is none.
    fn hear_frame(&mut self, slot: u32) -> bool {
        let Some(channel) = self.channel_mut(slot) else { return false };
        if channel.closed {
            return false;
        }
        match channel.inbox.receive_known(&channel.socket) {
            Got::Dry => false,
            Got::Closed { torn } => {
                channel.closed = true;
                channel.torn = torn;
                if channel.ending {
                    return false;
                }
                self.unwatch(slot);
                if let Some(running) = self.attempts.get(slot)
                    && !running.exited
                {
                    // Its end is most likely on the way.
                    self.closed_early.push((slot, running.generation, Instant::now()));
                }
                false
            }
            Got::Broken(broken) => {
                self.condemn(slot, broken.to_string());
                false
            }
            Got::Frame(frame) => {
                self.long_answers |= frame.bytes.len() > LONG_ANSWER_BYTES;
                self.on_sign_of_life(slot);
                match postcard::from_bytes::<FromWorker>(frame.head()) {
                    Ok(letter) => self.hear_letter(slot, letter, frame.bytes, frame.body),
                    Err(error) => self.condemn(slot, format!("a letter cannot be read: {error}")),
                }
                true
            }
        }
    }

    fn hear_letter(&mut self, slot: u32, letter: FromWorker, bytes: Vec<u8>, body: usize) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let (id, place) = (running.id, Place { attempt: running.id, slot: running.slot });
        let Some(channel) = &mut running.channel else { return };
        let mut mail = Mail::default();
        match letter {
            FromWorker::Hello { credentials, pid } if !channel.agreed => {
                if let Err(refusal) = channel.ours.check(credentials) {
                    return self.condemn(slot, refusal);
                }
                channel.agreed = true;
                channel.speaker = pid;
                channel.inbox.allow(channel.start.frame_bytes_max);
                if channel.greeted {
                    return;
                }
                channel.greet(Vec::new());
                let view = self.dispatch.view();
                if let Some(entry) = self.jobs.get_mut(&id.job) {
                    self.handler.greeted(&view, &mut entry.job, place, &mut mail);
                }
            }
            FromWorker::SetUpFailed { step, errno } if !channel.agreed => {
                channel.failed = Some((step, errno));
            }
            FromWorker::Hello { .. } | FromWorker::SetUpFailed { .. } => {
                return self.condemn(slot, "it introduced itself twice".into());
            }
            _ if !channel.agreed => return self.condemn(slot, "it spoke before it introduced itself".into()),
            FromWorker::Done { pid, .. } | FromWorker::BatchDone { pid, .. } if pid != channel.speaker => {
                return self.condemn(slot, format!("process {pid}, which its job forked, answered for it"));
            }
            letter => {
                let view = self.dispatch.view();
                if let Some(entry) = self.jobs.get_mut(&id.job) {
                    let letter = Letter { letter, bytes, body };
                    self.handler.heard(&view, &mut entry.job, place, letter, &mut mail);
                }
            }
        }
        self.post(slot, mail);
    }

    /// Does what the handler wants after a letter.
    fn post(&mut self, slot: u32, mail: Mail) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let attempt = running.id;
        if let Some(channel) = &mut running.channel {
            for (letter, body) in mail.letters {
                channel.outbox.push(&written(&letter), body);
            }
            if let Some(verdict) = mail.report
                && !channel.reported
            {
                channel.reported = true;
                self.dispatch.push(Event::Reported { attempt, verdict });
            }
        }
        if mail.reads_output {
            self.read_stream(slot, 1, READS_A_TURN);
            self.read_stream(slot, 2, READS_A_TURN);
        }
        if let Some(broken) = mail.breach {
            self.condemn(slot, broken);
        }
        self.flush_channel(slot);
        if mail.hang_up {
            self.hang_up(slot);
        }
        self.take_orders(mail.orders);
    }

    /// Sends letters to the worker that serves this job of the engine, if it lives.
    pub(super) fn tell_worker(&mut self, job: JobId, letters: Vec<(ToWorker, Body)>) {
        let Some(slot) = self.jobs.get(&job).map(|entry| entry.slot.0) else { return };
        if self.attempts.get(slot).is_some_and(|running| running.id.job == job) {
            self.post(slot, Mail { letters, ..Mail::default() });
        }
    }

    /// Kills the process of this job's attempt and its tree, if it lives.
    pub(super) fn kill_now(&mut self, job: JobId) {
        let Some(slot) = self.jobs.get(&job).map(|entry| entry.slot.0) else { return };
        if self.attempts.get(slot).is_some_and(|running| running.id.job == job) {
            self.kill_tree(slot);
        }
    }

    /// Sends a signal to the tree of this job's attempt, if it lives.
    pub(super) fn signal_now(&mut self, job: JobId, signal: i32) {
        let Some(slot) = self.jobs.get(&job).map(|entry| entry.slot.0) else { return };
        if self.attempts.get(slot).is_some_and(|running| running.id.job == job) {
            // A newborn may not lead its group yet, and no ladder makes up for a signal that it never got.
            if let Some(process) = self.attempts.get(slot).and_then(|running| running.pidfd.as_ref()) {
                let _ = pidfd::signal(process, signal);
            }
            self.signal_tree(slot, signal);
        }
    }

    /// The worker has broken the protocol: nothing of what it says counts any more.
    fn condemn(&mut self, slot: u32, breach: String) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let attempt = running.id;
        let Some(channel) = &mut running.channel else { return };
        channel.closed = true;
        if !channel.reported {
            channel.reported = true;
            self.dispatch.push(Event::Reported { attempt, verdict: Err(Cause::Protocol(breach)) });
        }
        match &running.pidfd {
            Some(process) => drop(pidfd::signal(process, SIGKILL)),
            None => running.pending.push(SIGKILL),
        }
        self.hang_up(slot);
    }

    /// Closes the channel: the worker finds no more jobs, and leaves.
    fn hang_up(&mut self, slot: u32) {
        if let Some(channel) = self.channel_mut(slot)
            && channel.ending
        {
            channel.closed = true;
            return;
        }
        self.unwatch(slot);
        if let Some(running) = self.attempts.get_mut(slot)
            && let Some(channel) = &mut running.channel
        {
            channel.closed = true;
            // One that has said all it had to say, and stays all the same, is ended like one that closed its end.
            if !running.exited {
                let (slot, generation) = (running.slot.0, running.generation);
                self.closed_early.push((slot, generation, Instant::now()));
            }
            let _ = rustix::net::shutdown(&channel.socket, rustix::net::Shutdown::Both);
        }
    }

    /// The process has ended: what it said before is heard first, and what it did not say is told.
    /// True if the attempt is not to be reported as ended: it never became a worker.
    pub(super) fn close_channel(&mut self, slot: u32, exit: Exit) -> bool {
        if let Some(channel) = self.channel_mut(slot) {
            channel.ending = true;
        }
        let mut heard = true;
        while heard {
            // To the end of what it said, which tells whether that was whole.
            self.look_again(slot);
            heard = self.hear_frame(slot);
        }
        // Closing it takes it out of the poll set.
        let Some(running) = self.attempts.get_mut(slot) else { return false };
        let attempt = running.id;
        let Some(channel) = running.channel.take() else { return false };
        if let Some((step, errno)) = channel.failed {
            let step = step_of_number(step).unwrap_or(psmith_core::outcome::SpawnStep::Prepare);
            let failure = SpawnFailure { step, errno, detail: String::new(), permanent: false };
            self.start_failed(slot, failure, false);
            return true;
        }
        // A worker that leaves of its own will without an answer: the job has called `exit`. What killed it, or which
        // code it left with, needs no word of ours.
        if !channel.reported && exit == Exit::Code(0) {
            let cause = if channel.torn {
                Cause::Protocol("its channel was closed within a frame".into())
            } else {
                Cause::Exit(0)
            };
            self.dispatch.push(Event::Reported { attempt, verdict: Err(cause) });
        }
        false
    }

    /// Ends workers that have closed their channel and live on.
    pub(super) fn look_after_closed(&mut self) {
        for (slot, generation, since) in std::mem::take(&mut self.closed_early) {
            let lives = self
                .attempts
                .current(slot, generation)
                .is_some_and(|running| !running.exited && running.channel.is_some());
            if lives && since.elapsed() < CLOSED_GRACE {
                self.closed_early.push((slot, generation, since));
            } else if lives {
                self.condemn(slot, "it closed its channel and lived on".into());
            }
        }
    }

    /// How long until the next such worker is due.
    pub(super) fn closed_patience(&self) -> Option<Duration> {
        self.closed_early.iter().map(|(.., since)| CLOSED_GRACE.saturating_sub(since.elapsed())).min()
    }

    fn flush_channel(&mut self, slot: u32) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let token = Token::Worker { slot, generation: running.generation };
        let Some(channel) = &mut running.channel else { return };
        if channel.closed || channel.paused || channel.ending {
            return;
        }
        // A worker that is gone is noticed by its end, not here.
        let _ = channel.outbox.flush(&channel.socket);
        let wanted = if channel.outbox.is_empty() { Interest::READ } else { Interest::BOTH };
        if !channel.watched && !channel.outbox.is_empty() {
            let _ = channel.watch(&self.epoll, token);
        } else if channel.watched && wanted != channel.interest {
            channel.interest = wanted;
            let _ = self.epoll.modify(&channel.socket, token.pack(), wanted);
        }
    }

    fn pause_channel(&mut self, slot: u32, generation: u32) {
        let Some(channel) = self.channel_mut(slot) else { return };
        if channel.paused || channel.closed {
            return;
        }
        channel.paused = true;
        self.unwatch(slot);
        self.output.note_paused((slot, generation));
    }

    pub(super) fn resume_channel(&mut self, slot: u32) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let token = Token::Worker { slot, generation: running.generation };
        let Some(channel) = &mut running.channel else { return };
        if channel.paused && !channel.closed {
            channel.paused = false;
            let _ = channel.watch(&self.epoll, token);
            // What was read before the pause lies in the inbox.
            self.on_channel(slot);
        }
    }

    fn unwatch(&mut self, slot: u32) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        if let Some(channel) = &mut running.channel
            && std::mem::take(&mut channel.watched)
        {
            let _ = self.epoll.remove(&channel.socket);
        }
    }

    fn channel_mut(&mut self, slot: u32) -> Option<&mut Channel> {
        self.attempts.get_mut(slot)?.channel.as_mut()
    }
}

impl Channel {
    /// Says hello, and after it these letters.
    fn greet(&mut self, letters: Vec<(ToWorker, Body)>) {
        self.greeted = true;
        let hello = ToWorker::Hello {
            credentials: self.ours,
            frame_bytes_max: self.start.frame_bytes_max,
            set_up: self.start.set_up.clone(),
            #[cfg(feature = "authenticated")]
            secret: crate::function::authenticated::Secret::of_this_program().ok(),
        };
        self.outbox.push(&written(&hello), Body::None);
        for (letter, body) in letters {
            self.outbox.push(&written(&letter), body);
        }
    }

    fn watch(&mut self, epoll: &Epoll, token: Token) -> io::Result<()> {
        self.interest = if self.outbox.is_empty() { Interest::READ } else { Interest::BOTH };
        epoll.add(&self.socket, token.pack(), self.interest)?;
        self.watched = true;
        Ok(())
    }
}

/// What a worker said.
#[derive(Debug)]
pub struct Letter {
    /// Its words.
    pub letter: FromWorker,
    /// The frame it came in.
    pub bytes: Vec<u8>,
    /// Where in it the letter's body begins.
    pub body: usize,
}

impl WorkerStart {
    /// A worker with the usual limit of frames, and jobs that come later.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "callers name what they want with it")]
    pub fn new() -> WorkerStart {
        WorkerStart {
            env: Vec::new(),
            dir: None,
            frame_bytes_max: FRAME_BYTES_MAX,
            set_up: Vec::new(),
            single: false,
            region: None,
        }
    }
}
