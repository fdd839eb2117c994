//! Function workers as the engine sees them: a channel beside the pipes of an attempt.
//!
//! Sends the hello, receives and sends frames, and turns protocol errors into causes. Never interprets messages about
//! jobs: the handler does. A worker is one attempt of the engine, however many jobs the handler gives it.

use std::io;
use std::os::fd::OwnedFd;

use psmith_core::outcome::{Cause, Exit, SpawnFailure};
use psmith_core::policy::SIGKILL;
use psmith_core::{Event, JobId};
use psmith_sys::pidfd;

use crate::channel::frame::{Body, FRAME_BYTES_MAX, ReadResult};
use crate::channel::messages::{FromWorker, ToWorker};
use crate::command::WorkerStart;
use crate::engine::Engine;
use crate::engine::attempt::Running;
use crate::engine::channels::{CLOSED_GRACE, WorkerChannel};
use crate::engine::handler::{AttemptSlot, Handler, HandlerReply};
use crate::engine::observe::Token;
use crate::engine::streams::READS_A_TURN;
use crate::warden::messages::WorkerSpawn;
use crate::warden::step_of_number;

/// The number of frames received in a row from one worker's socket, so that one job that sends much cannot hold up the
/// others.
const FRAMES_A_TURN: usize = 64;

impl<H: Handler> Engine<H> {
    /// Makes the channel of an attempt; returns the worker's end and what its start says about it.
    pub(super) fn open_channel(
        &mut self,
        running: &mut Running,
        mut start: WorkerStart,
    ) -> io::Result<(OwnedFd, WorkerSpawn)> {
        let (ours, theirs, nonce) = self.channels.take()?;
        let has_job = start.single && self.warden.forks();
        let region = start.region.take();
        let token = Token::Worker { slot: running.slot.0, generation: running.generation };
        let mut channel = WorkerChannel::new(ours, nonce, start, token);
        if has_job {
            // The hello and the job are in the channel when it starts.
            let mut reply = HandlerReply::default();
            let at = AttemptSlot { attempt: running.id, slot: running.slot };
            let view = self.dispatch.view();
            if let Some(entry) = self.jobs.get_mut(&running.id.job) {
                self.handler.greeted(&view, &mut entry.job, at, &mut reply);
            }
            channel.greet(reply.messages);
            channel.send_first()?;
        } else {
            channel.send_region(region)?;
        }
        // Most single jobs are over by the report of their start; their messages are received then.
        if !has_job || channel.has_queued() || self.channels.expects_long_answers() {
            channel.watch(&self.epoll)?;
        }
        running.channel = Some(channel);
        Ok((theirs, WorkerSpawn { nonce, has_job }))
    }

    /// Receives from the worker in this slot from now on.
    pub(super) fn watch_channel(&mut self, slot: u32) {
        if let Some(channel) = self.attempts.channel_mut(slot) {
            channel.watch_if_open(&self.epoll);
        }
    }

    /// Receives and sends on a channel that is readable or writable.
    pub(super) fn on_channel(&mut self, slot: u32) {
        if let Some(channel) = self.attempts.channel_mut(slot) {
            channel.note_readable();
        }
        for frames in 0.. {
            let takes = self.handler.takes_output();
            let Some(channel) = self.attempts.channel_mut(slot) else { return };
            if !takes {
                return self.pause_channel(slot);
            }
            // What is left in the socket is received in the next turn. What has been read from it is handled now: no
            // poll would announce it.
            let may_wait = frames >= FRAMES_A_TURN && !channel.holds_frame();
            if may_wait || !self.receive_frame(slot) {
                break;
            }
        }
        self.flush_channel(slot);
    }

    /// Receives one frame; returns false if there is none.
    fn receive_frame(&mut self, slot: u32) -> bool {
        let Some(running) = self.attempts.get_mut(slot) else { return false };
        let Some(channel) = &mut running.channel else { return false };
        match channel.receive() {
            ReadResult::Empty => false,
            ReadResult::Closed { .. } => {
                if channel.is_ending() {
                    return false;
                }
                channel.unwatch(&self.epoll);
                if !running.exited {
                    // The end of its process is most likely about to be reported.
                    self.channels.note_closed((slot, running.generation));
                }
                false
            }
            ReadResult::Broken(broken) => {
                self.kill_for_breach(slot, broken.to_string());
                false
            }
            ReadResult::Frame(frame) => {
                self.channels.note_length(frame.bytes.len());
                self.on_activity(slot);
                match postcard::from_bytes::<FromWorker>(frame.head()) {
                    Ok(message) => self.on_worker_message(slot, message, frame.bytes, frame.body),
                    Err(error) => self.kill_for_breach(slot, format!("a message cannot be read: {error}")),
                }
                true
            }
        }
    }

    fn on_worker_message(&mut self, slot: u32, message: FromWorker, bytes: Vec<u8>, body: usize) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let (id, at) = (running.id, AttemptSlot { attempt: running.id, slot: running.slot });
        let Some(channel) = &mut running.channel else { return };
        let mut reply = HandlerReply::default();
        match message {
            FromWorker::Hello { credentials, pid } if !channel.has_agreed() => {
                if let Err(refusal) = channel.agree(credentials, pid) {
                    return self.kill_for_breach(slot, refusal);
                }
                if channel.is_greeted() {
                    return;
                }
                channel.greet(Vec::new());
                let view = self.dispatch.view();
                if let Some(entry) = self.jobs.get_mut(&id.job) {
                    self.handler.greeted(&view, &mut entry.job, at, &mut reply);
                }
            }
            FromWorker::SetUpFailed { step, errno } if !channel.has_agreed() => {
                channel.note_failed_start(step, errno);
            }
            FromWorker::Hello { .. } | FromWorker::SetUpFailed { .. } => {
                return self.kill_for_breach(slot, "it introduced itself twice".into());
            }
            _ if !channel.has_agreed() => {
                return self.kill_for_breach(slot, "it spoke before it introduced itself".into());
            }
            FromWorker::Done { pid, .. } | FromWorker::BatchDone { pid, .. }
                if !channel.is_from_worker(pid) =>
            {
                return self
                    .kill_for_breach(slot, format!("process {pid}, which its job forked, answered for it"));
            }
            message => {
                let view = self.dispatch.view();
                if let Some(entry) = self.jobs.get_mut(&id.job) {
                    let message = WorkerMessage { message, bytes, body };
                    self.handler.on_message(&view, &mut entry.job, at, message, &mut reply);
                }
            }
        }
        self.apply_reply(slot, reply);
    }

    /// Carries out the handler's reply to a message.
    fn apply_reply(&mut self, slot: u32, reply: HandlerReply) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let attempt = running.id;
        if let Some(channel) = &mut running.channel {
            channel.push(reply.messages);
            if let Some(verdict) = reply.report
                && channel.note_report()
            {
                self.dispatch.push(Event::Reported { attempt, verdict });
            }
        }
        if reply.reads_output {
            self.read_stream(slot, 1, READS_A_TURN);
            self.read_stream(slot, 2, READS_A_TURN);
        }
        if let Some(broken) = reply.breach {
            self.kill_for_breach(slot, broken);
        }
        self.flush_channel(slot);
        if reply.hang_up {
            self.hang_up(slot);
        }
        self.take_commands(reply.commands);
    }

    /// Sends messages to the worker that serves this job of the engine, if it is alive.
    pub(super) fn send_to_worker(&mut self, job: JobId, messages: Vec<(ToWorker, Body)>) {
        let Some(slot) = self.jobs.get(&job).map(|entry| entry.slot.0) else { return };
        if self.attempts.get(slot).is_some_and(|running| running.id.job == job) {
            self.apply_reply(slot, HandlerReply { messages, ..HandlerReply::default() });
        }
    }

    /// Kills the process of this job's attempt and its tree, if it is alive.
    pub(super) fn kill_now(&mut self, job: JobId) {
        let Some(slot) = self.jobs.get(&job).map(|entry| entry.slot.0) else { return };
        if self.attempts.get(slot).is_some_and(|running| running.id.job == job) {
            self.kill_tree(slot);
        }
    }

    /// Sends a signal to the tree of this job's attempt, if it is alive.
    pub(super) fn signal_now(&mut self, job: JobId, signal: i32) {
        let Some(slot) = self.jobs.get(&job).map(|entry| entry.slot.0) else { return };
        if self.attempts.get(slot).is_some_and(|running| running.id.job == job) {
            // A new child may not lead its group yet, and no later step of a ladder makes up for a lost signal.
            if let Some(process) = self.attempts.get(slot).and_then(|running| running.pidfd.as_ref()) {
                let _ = pidfd::signal(process, signal);
            }
            self.signal_tree(slot, signal);
        }
    }

    /// Kills a worker that has broken the protocol: nothing that it sends counts any more.
    fn kill_for_breach(&mut self, slot: u32, breach: String) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let attempt = running.id;
        let Some(channel) = &mut running.channel else { return };
        channel.close();
        if channel.note_report() {
            self.dispatch.push(Event::Reported { attempt, verdict: Err(Cause::Protocol(breach)) });
        }
        match &running.pidfd {
            Some(process) => drop(pidfd::signal(process, SIGKILL)),
            None => running.pending.push(SIGKILL),
        }
        self.hang_up(slot);
    }

    /// Closes the channel: the worker finds no more jobs, and exits.
    fn hang_up(&mut self, slot: u32) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let Some(channel) = &mut running.channel else { return };
        if channel.is_ending() {
            return channel.close();
        }
        channel.hang_up(&self.epoll);
        // A worker that stays although it has nothing more to send is ended like one that closed its end.
        if !running.exited {
            self.channels.note_closed((slot, running.generation));
        }
    }

    /// Receives what is left in the channel of a process that has ended: all frames, which also tells whether the last one
    /// was whole.
    pub(super) fn receive_last(&mut self, slot: u32) {
        let mut received = true;
        while received {
            if let Some(channel) = self.attempts.channel_mut(slot) {
                channel.begin_end();
                channel.note_readable();
            }
            received = self.receive_frame(slot);
        }
    }

    /// Closes the channel of a process that has ended: its last messages come first, and an end that it did not report
    /// is reported. Returns true if the attempt is not to be reported as ended: it never became a worker.
    pub(super) fn close_channel(&mut self, slot: u32, exit: Exit) -> bool {
        self.receive_last(slot);
        // Closing it removes it from the poll set.
        let Some(running) = self.attempts.get_mut(slot) else { return false };
        let attempt = running.id;
        let Some(channel) = running.channel.take() else { return false };
        if let Some((step, errno)) = channel.failed_start() {
            let step = step_of_number(step).unwrap_or(psmith_core::outcome::SpawnStep::Prepare);
            let failure = SpawnFailure { step, errno, detail: String::new(), permanent: false };
            self.start_failed(slot, failure, false);
            return true;
        }
        // A worker that exits with code 0 and without a reply: the job has called `exit`. A signal or another exit code
        // is a cause by itself.
        if exit == Exit::Code(0)
            && let Some(cause) = channel.unreported_cause()
        {
            self.dispatch.push(Event::Reported { attempt, verdict: Err(cause) });
        }
        false
    }

    /// Ends workers that have closed their channel and did not exit.
    pub(super) fn end_closed_workers(&mut self) {
        for ((slot, generation), since) in self.channels.take_closed() {
            let is_alive = self
                .attempts
                .current(slot, generation)
                .is_some_and(|running| !running.exited && running.channel.is_some());
            if is_alive && since.elapsed() < CLOSED_GRACE {
                self.channels.keep_closed((slot, generation), since);
            } else if is_alive {
                self.kill_for_breach(slot, "it closed its channel and lived on".into());
            }
        }
    }

    fn flush_channel(&mut self, slot: u32) {
        if let Some(channel) = self.attempts.channel_mut(slot) {
            channel.flush(&self.epoll);
        }
    }

    fn pause_channel(&mut self, slot: u32) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        if running.channel.as_mut().is_some_and(|channel| channel.pause(&self.epoll)) {
            self.output.note_paused((slot, running.generation));
        }
    }

    pub(super) fn resume_channel(&mut self, slot: u32) {
        if self.attempts.channel_mut(slot).is_some_and(|channel| channel.resume(&self.epoll)) {
            // Frames read before the pause are in the inbox.
            self.on_channel(slot);
        }
    }
}

/// A message from a worker.
#[derive(Debug)]
pub struct WorkerMessage {
    /// The message.
    pub message: FromWorker,
    /// The frame that carried it.
    pub bytes: Vec<u8>,
    /// The offset in `bytes` of the message's body.
    pub body: usize,
}

impl WorkerStart {
    /// Returns a worker with the default frame limit, and jobs that come later.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "callers name what they want with it")]
    pub fn new() -> WorkerStart {
        WorkerStart {
            env: Vec::new(),
            dir: None,
            frame_bytes_max: FRAME_BYTES_MAX,
            first_calls: Vec::new(),
            single: false,
            region: None,
        }
    }
}
