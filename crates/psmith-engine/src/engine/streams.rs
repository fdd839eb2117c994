//! The streams of running attempts: read as they are written, passed on or kept, and not read while the handler takes
//! no output.
//!
//! Never cuts what is to be kept of what a job wrote without counting it, and never interprets it.

use psmith_core::Event;
use psmith_sys::epoll::Interest;

use crate::engine::Engine;
use crate::engine::attempt::Read;
use crate::engine::handler::Handler;
use crate::engine::observe::Token;

/// The number of reads in a row from one stream, so that one job that writes much cannot hold up the others.
pub(super) const READS_A_TURN: usize = 4;

/// The number of reads in a row from the streams of a job that has ended; what still arrives then is from another
/// process.
pub(super) const READS_AT_END: usize = 64;

/// The length below which a read has most likely emptied its pipe.
const SHORT_READ: usize = 4096;

/// The number of bytes after which a pipe is widened, to save wake-ups.
const WIDEN_AFTER: u64 = 256 * 1024;

impl<H: Handler> Engine<H> {
    pub(super) fn read_stream(&mut self, slot: u32, stream: u8, reads: usize) {
        for _ in 0..reads {
            let (takes_output, reads_output) = (self.handler.takes_output(), self.handler.reads_output());
            let Some(running) = self.attempts.get_mut(slot) else { return };
            let live = running.is_live(stream);
            // What a job has left behind is read without a pause: it is little, and a pause must not look as if a
            // descendant held the stream open.
            let at_end = reads == READS_AT_END || running.exited;
            if (live && !takes_output) || (!reads_output && !at_end) {
                return self.pause_stream(slot, stream);
            }
            if live {
                self.handler.reads_live(running.id.job);
            }
            match self.output.read(running, stream) {
                Ok(Read::Bytes(length)) => {
                    let (id, number) = (running.id.job, running.id.number);
                    if let Some(entry) = self.jobs.get(&id) {
                        self.handler.read(&entry.job, number, stream, self.output.bytes(length));
                    }
                    if (!live || self.handler.keeps_live_output())
                        && let Err(error) = self.output.keep(running, stream, length)
                        && self.handler.ends_at_lost_output()
                    {
                        let failure = self.output.failure(error);
                        return self.fail(failure);
                    }
                    if live && let Some(entry) = self.jobs.get_mut(&id) {
                        running.output.passed[usize::from(stream) - 1] += length as u64;
                        self.handler.output(id, &mut entry.job, stream, self.output.buffer(), length);
                    }
                    self.widen(slot, stream);
                    self.on_activity(slot);
                    if reads < READS_AT_END && length < SHORT_READ {
                        // It has most likely emptied the pipe; if not, the poll reports it.
                        return;
                    }
                }
                Ok(Read::Empty) => return,
                Ok(Read::End) | Err(_) => return self.close_stream(slot, stream),
            }
        }
    }

    fn widen(&mut self, slot: u32, stream: u8) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let Some(pipe) = &mut running.pipes[usize::from(stream) - 1] else { return };
        if pipe.seen > WIDEN_AFTER && !pipe.widened {
            pipe.widened = true;
            let _ = psmith_sys::pipe::set_size(&pipe.fd, 1 << 20);
        }
    }

    fn pause_stream(&mut self, slot: u32, stream: u8) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let generation = running.generation;
        let Some(pipe) = &mut running.pipes[usize::from(stream) - 1] else { return };
        if !pipe.paused {
            pipe.paused = true;
            // Removed altogether: a hang-up is reported with any interest set.
            let _ = self.epoll.remove(&pipe.fd);
            self.output.note_paused((slot, generation));
        }
    }

    pub(super) fn resume_streams(&mut self) {
        if self.output.paused().is_empty() || !self.handler.takes_output() || !self.handler.reads_output() {
            return;
        }
        for (slot, generation) in self.output.take_paused() {
            if self.attempts.is_current(slot, generation) {
                self.unpause(slot);
                self.resume_channel(slot);
            }
        }
    }

    /// Notes activity of the attempt in this slot: it wrote or sent something.
    pub(super) fn on_activity(&mut self, slot: u32) {
        let Some(attempt) = self.attempts.get(slot).map(|running| running.id) else { return };
        if self.jobs.get(&attempt.job).is_some_and(|entry| entry.reports_activity) {
            self.dispatch.push(Event::Beat(attempt));
        }
    }

    /// Keeps attempts from counting as idle while their output is not read.
    pub(super) fn keep_paused_active(&mut self) {
        for at in 0..self.output.paused().len() {
            let (slot, generation) = self.output.paused()[at];
            if self.attempts.is_current(slot, generation) {
                self.on_activity(slot);
            }
        }
        self.settle();
    }

    pub(super) fn unpause(&mut self, slot: u32) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let generation = running.generation;
        for stream in [1_u8, 2] {
            if let Some(pipe) = &mut running.pipes[usize::from(stream) - 1]
                && pipe.paused
            {
                pipe.paused = false;
                let token = Token::Stream { slot, generation, stream };
                let _ = self.epoll.add(&pipe.fd, token.pack(), Interest::READ);
            }
        }
    }

    pub(super) fn close_stream(&mut self, slot: u32, stream: u8) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        // Closing the only descriptor of a pipe's end also takes it out of the poll set.
        if running.pipes[usize::from(stream) - 1].take().is_none() {
            return;
        }
        if running.exited && !running.output_open() {
            let attempt = running.id;
            self.dispatch.push(Event::OutputClosed { attempt });
            self.retire_if_over(slot);
        }
    }

    pub(super) fn close_streams(&mut self, slot: u32) {
        if let Some(running) = self.attempts.get_mut(slot) {
            running.pipes = [None, None];
        }
    }
}
