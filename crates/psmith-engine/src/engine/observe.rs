//! Reports of the kernel and of the warden, received and turned into events. Makes no decision about jobs.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use psmith_core::outcome::{Exit, SpawnFailure, Usage};
use psmith_core::{AttemptId, Event, JobId};
use psmith_sys::epoll;
use psmith_sys::pidfd;

use crate::containment::Containment;
use crate::engine::handler::{AttemptSlot, EngineEvent, Handler};
use crate::engine::streams::{READS_A_TURN, READS_AT_END};
use crate::engine::{Engine, EngineError};
use crate::warden::client;
use crate::warden::link::ReceivedPacket;
use crate::warden::messages::{Ended, Key, ToHost, ToWarden, decode_all};
use crate::warden::step_of_number;

/// The meaning of a readable descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    WardenSocket,
    WardenEnd,
    Wake(u32),
    Stream { slot: u32, generation: u32, stream: u8 },
    Group { slot: u32, generation: u32 },
    Keeper { slot: u32, generation: u32 },
    Worker { slot: u32, generation: u32 },
}

impl Token {
    /// Packs the token: the kind in the top byte, the generation in the next three, the slot in the low four.
    pub(crate) fn pack(self) -> u64 {
        let pack = |kind: u64, generation: u32, slot: u32| {
            (kind << 56) | (u64::from(generation & 0xff_ffff) << 32) | u64::from(slot)
        };
        match self {
            Token::WardenSocket => pack(0, 0, 0),
            Token::WardenEnd => pack(1, 0, 0),
            Token::Wake(index) => pack(2, 0, index),
            Token::Stream { slot, generation, stream } => pack(2 + u64::from(stream), generation, slot),
            Token::Group { slot, generation } => pack(5, generation, slot),
            Token::Keeper { slot, generation } => pack(6, generation, slot),
            Token::Worker { slot, generation } => pack(7, generation, slot),
        }
    }

    fn unpack(bits: u64) -> Option<Token> {
        let slot = (bits & 0xffff_ffff) as u32;
        let generation = ((bits >> 32) & 0xff_ffff) as u32;
        Some(match bits >> 56 {
            0 => Token::WardenSocket,
            1 => Token::WardenEnd,
            2 => Token::Wake(slot),
            3 => Token::Stream { slot, generation, stream: 1 },
            4 => Token::Stream { slot, generation, stream: 2 },
            5 => Token::Group { slot, generation },
            6 => Token::Keeper { slot, generation },
            7 => Token::Worker { slot, generation },
            _ => return None,
        })
    }
}

impl<H: Handler> Engine<H> {
    pub(super) fn on_ready(&mut self, event: epoll::ReadyEvent) {
        match Token::unpack(event.token) {
            None => {}
            Some(Token::WardenSocket) => self.receive_from_warden(),
            Some(Token::WardenEnd) => {
                // Its last messages come first.
                self.receive_from_warden();
                // By now this may be its successor, and the event that of the one before.
                if self.warden.has_ended() {
                    self.lose_warden(io::Error::other("it ended"));
                }
            }
            Some(Token::Wake(_)) => {
                let mut commands = Vec::new();
                let view = self.dispatch.view();
                self.handler.woken(&view, &mut commands);
                self.has_more();
                self.take_commands(commands);
                self.resume_streams();
            }
            Some(
                Token::Stream { slot, generation, .. }
                | Token::Group { slot, generation }
                | Token::Keeper { slot, generation }
                | Token::Worker { slot, generation },
            ) if !self.attempts.is_current(slot, generation) => {}
            Some(Token::Stream { slot, .. }) => {
                // Both: a job that ends closes them together, and one wake-up is enough.
                self.read_stream(slot, 1, READS_A_TURN);
                self.read_stream(slot, 2, READS_A_TURN);
            }
            Some(Token::Group { slot, .. }) => self.check_group(slot),
            Some(Token::Keeper { slot, .. }) => self.receive_from_keeper(slot),
            Some(Token::Worker { slot, .. }) => self.on_channel(slot),
        }
    }

    /// Returns the slot of this attempt, if it is still there.
    pub(super) fn slot_of(&self, attempt: AttemptId) -> Option<u32> {
        let slot = self.jobs.get(&attempt.job)?.slot.0;
        self.attempts.get(slot).filter(|running| running.id == attempt).map(|_| slot)
    }

    // The warden.

    pub(super) fn receive_from_warden(&mut self) {
        loop {
            self.warden.flush(&self.epoll);
            let fds = match self.warden.receive() {
                Ok(ReceivedPacket::Message(fds)) => fds,
                Ok(ReceivedPacket::Nothing) => return,
                Ok(ReceivedPacket::Closed) => {
                    return self.lose_warden(io::Error::other("it closed its socket"));
                }
                Err(error) => return self.lose_warden(error),
            };
            let packet = self.warden.lend();
            let taken = self.on_packet(packet.messages(), fds);
            self.warden.give_back(packet);
            if let Err(error) = taken {
                return self.lose_warden(error);
            }
        }
    }

    pub(super) fn receive_from_keeper(&mut self, slot: u32) {
        loop {
            let Some(running) = self.attempts.get_mut(slot) else { return };
            let Some(keeper) = &mut running.keeper else { return };
            let _ = keeper.flush();
            let fds = match keeper.receive() {
                Ok(ReceivedPacket::Message(fds)) => fds,
                Ok(ReceivedPacket::Nothing) => return,
                Ok(ReceivedPacket::Closed) | Err(_) => return self.lose_keeper(slot),
            };
            let packet = keeper.lend();
            let taken = self.on_packet(packet.messages(), fds);
            if let Some(keeper) = self.attempts.get_mut(slot).and_then(|running| running.keeper.as_mut()) {
                keeper.give_back(packet);
            }
            if taken.is_err() {
                return self.lose_keeper(slot);
            }
        }
    }

    /// Handles the end of a keeper: expected after its work; before, it was killed.
    fn lose_keeper(&mut self, slot: u32) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        if let Some(keeper) = running.keeper.take() {
            let _ = self.epoll.remove(keeper.as_fd());
        }
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let (id, key) = (running.id, running.key());
        if running.exited {
            if !running.tree_empty {
                self.warden.send(&self.epoll, &ToWarden::Sweep { key }, &[]);
                self.on_swept(key, 0);
            }
            return;
        }
        if let Some(pidfd) = &running.pidfd {
            let _ = pidfd::signal_group(pidfd, psmith_core::policy::SIGKILL);
            let _ = pidfd::signal(pidfd, psmith_core::policy::SIGKILL);
        }
        self.vanish(slot);
        self.warden.send(&self.epoll, &ToWarden::Sweep { key }, &[]);
        self.dispatch.push(Event::Vanished { attempt: id });
    }

    /// Closes all sources of the attempt in this slot: no more events are expected of it.
    pub(super) fn vanish(&mut self, slot: u32) {
        self.close_streams(slot);
        if let Some(running) = self.attempts.get_mut(slot) {
            // Closing it takes it out of the poll set.
            running.channel = None;
            running.awaited = None;
            running.exited = true;
            running.tree_empty = true;
        }
    }

    /// Handles all messages of a packet. A job that began and ended within it has been read to its end by then; only
    /// the streams and channels of those that go on are watched.
    fn on_packet(&mut self, packet: &[u8], fds: Vec<OwnedFd>) -> io::Result<()> {
        let mut fds = fds.into_iter();
        for message in decode_all(packet) {
            self.on_message(message.map_err(io::Error::other)?, &mut fds)?;
        }
        for (slot, generation) in self.attempts.take_begun() {
            if self.attempts.current(slot, generation).is_some_and(|running| !running.exited) {
                self.unpause(slot);
                self.watch_channel(slot);
            }
        }
        Ok(())
    }

    fn on_message(&mut self, message: ToHost<'_>, fds: &mut std::vec::IntoIter<OwnedFd>) -> io::Result<()> {
        match message {
            hello @ ToHost::Hello { .. } => {
                if self.warden.on_hello(&hello)? {
                    self.dispatch.push(Event::WardenReady);
                }
            }
            ToHost::HasThreads { count } => client::warn_of_threads(count),
            ToHost::Started { key, pid } => self.on_started(key, pid, fds.next()),
            ToHost::Failed { key, step, errno, refused } => self.on_start_failed(key, step, errno, refused),
            ToHost::Ended { key, ended } => self.on_ended(key, &ended),
            ToHost::Swept { key, killed } => self.on_swept(key, killed),
            ToHost::Stopped { key, signal } => self.on_stopped(key, signal),
            ToHost::Continued { key } => self.on_continued(key),
            ToHost::StackSampled { key, first, more, seen } => {
                self.samples.on_sampled(key, (first, more), &seen);
            }
            ToHost::Orphan { pid, command } => {
                let view = self.dispatch.view();
                self.handler.on_event(&view, EngineEvent::OrphanKilled { pid, command });
            }
            ToHost::Pong { .. } => self.warden.on_pong(),
        }
        Ok(())
    }

    /// Pings the warden at intervals, and gives up one that does not answer.
    pub(super) fn check_warden(&mut self) {
        if self.dispatch.has_running()
            && let Err(error) = self.warden.check()
        {
            self.lose_warden(error);
        }
    }

    /// Handles the loss of the warden, and with it of everything that it started: the attempts that had not ended are
    /// lost.
    fn lose_warden(&mut self, error: io::Error) {
        let Some(warden) = self.warden.disengage(&self.epoll) else { return };
        // Its last messages are acted upon first. A start that follows from that is sent to no warden, and is lost with
        // the others; sent to the next warden, it would run although it counts as lost.
        self.settle();
        // Then everything is killed, so that no attempt of a job runs beside the next one.
        self.cgroup_slots.kill_all();
        for running in self.attempts.iter_mut() {
            // This also keeps the slot from reusing this group: the next warden does not know it.
            let _ = running.lease.kill();
            if let Some(pidfd) = &running.pidfd {
                let _ = pidfd::signal_group(pidfd, psmith_core::policy::SIGKILL);
                let _ = pidfd::signal(pidfd, psmith_core::policy::SIGKILL);
            }
        }
        let words = if self.warden.has_answered() { warden.reap() } else { warden.last_words() };
        self.cgroup_slots.forget_warden();
        for slot in self.attempts.slots() {
            if self.attempts.channel_mut(slot).is_some() {
                // A job whose begin or end was said already has begun, or ended, and has its output.
                self.receive_last(slot);
                for stream in [1, 2] {
                    self.read_stream(slot, stream, READS_AT_END);
                }
            }
            self.vanish(slot);
            if let Some(running) = self.attempts.get_mut(slot)
                && let Some(keeper) = running.keeper.take()
            {
                let _ = self.epoll.remove(keeper.as_fd());
            }
        }
        self.attempts.forget_keepers();
        self.samples.clear();
        if !words.is_empty() && !self.warden.has_answered() {
            // What it says of its own start, the next one would say, too.
            let words = words.strip_prefix("psmith: error: ").unwrap_or(&words).replace('\n', "; ");
            self.fail(EngineError::Warden { error: io::Error::other(words), words: String::new() });
            self.dispatch.push(Event::WardenLost);
            self.dispatch.push(Event::Kill);
            return;
        }
        let view = self.dispatch.view();
        self.handler.on_event(&view, EngineEvent::WardenLost { words: &words });
        self.dispatch.push(Event::WardenLost);
        if self.warden.count_loss() {
            // No next warden will sweep what this one left.
            crate::descendants::kill_marked(self.warden.marker());
            self.fail(EngineError::Warden { error, words });
            // No warden is left that could start anything: what waits ends with the run.
            self.dispatch.push(Event::Kill);
            return;
        }
        if let Err(error) = self.warden.replace(&self.epoll, self.cgroup_slots.group_dirs()) {
            self.fail(error);
            self.dispatch.push(Event::Kill);
        }
    }

    // Attempts.

    pub(super) fn find(&self, key: Key) -> Option<u32> {
        self.slot_of(AttemptId { job: JobId(key.job), number: key.number })
    }

    fn on_started(&mut self, key: Key, pid: u32, pidfd: Option<OwnedFd>) {
        let Some(slot) = self.find(key) else { return };
        let Some(running) = self.attempts.get_mut(slot) else { return };
        running.pid = pid;
        running.pidfd = pidfd;
        running.awaited = None;
        let (id, slot_id, generation) = (running.id, running.slot, running.generation);
        let pending = std::mem::take(&mut running.pending);
        self.attempts.note_begun((slot, generation));
        for signal in pending {
            if signal == psmith_core::policy::SIGKILL {
                self.kill_tree(slot);
            } else {
                self.signal_tree(slot, signal);
            }
        }
        self.dispatch.push(Event::Started { attempt: id, pid });
        if let Some(entry) = self.jobs.get(&id.job) {
            entry.spans.started(pid);
            let view = self.dispatch.view();
            let at = AttemptSlot { attempt: id, slot: slot_id };
            self.handler.on_event(&view, EngineEvent::Started { at, job: &entry.job, pid });
        }
    }

    fn on_start_failed(&mut self, key: Key, step: u8, errno: i32, refused: bool) {
        let Some(slot) = self.find(key) else { return };
        let step = step_of_number(step).unwrap_or(psmith_core::outcome::SpawnStep::Prepare);
        let named = self.attempts.get(slot).and_then(|running| match step {
            psmith_core::outcome::SpawnStep::WorkingDirectory => running.dir.as_deref(),
            psmith_core::outcome::SpawnStep::Exec => Some(&running.program),
            _ => None,
        });
        let detail = named.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
        let failure = SpawnFailure { step, errno, detail, permanent: false };
        self.start_failed(slot, failure, refused);
    }

    /// Handles a start that failed: the attempt in this slot never executed its program.
    pub(super) fn start_failed(&mut self, slot: u32, failure: SpawnFailure, refused: bool) {
        let Some(running) = self.attempts.get(slot) else { return };
        let attempt = running.id;
        self.vanish(slot);
        if refused {
            self.dismiss(slot);
            self.dispatch.push(Event::StartRefused { attempt, failure });
        } else {
            self.dispatch.push(Event::StartFailed { attempt, failure });
        }
    }

    fn on_ended(&mut self, key: Key, ended: &Ended) {
        let Some(slot) = self.find(key) else { return };
        let exit = if ended.status < 0 {
            Exit::Signal { signal: -ended.status, core_dumped: ended.core_dumped }
        } else {
            Exit::Code(ended.status)
        };
        if self.close_channel(slot, exit) {
            return;
        }
        // What is left in the pipes is kept, also of a stream that was passed on live: the delivery brings it, and a
        // slow consumer cannot make its job look as if a descendant held its output open.
        if let Some(running) = self.attempts.get_mut(slot) {
            running.live = crate::engine::handler::Live::Nothing;
        }
        for stream in [1, 2] {
            self.read_stream(slot, stream, READS_AT_END);
        }
        // What is still open is held by another process; it is watched until its time is over.
        self.unpause(slot);
        let level = self.cgroup_slots.level();
        let Some(running) = self.attempts.get_mut(slot) else { return };
        running.exited = true;
        let alive = match level {
            Containment::Cgroup => running.lease.alive(),
            Containment::Keeper | Containment::Sweep => ended.alive,
            Containment::Group => u32::from(running.group_is_alive()),
        };
        running.tree_empty = alive == 0;
        running.outlived_by = ended.alive;
        let generation = running.generation;
        let usage = Usage {
            user: Duration::from_micros(ended.user_us),
            system: Duration::from_micros(ended.system_us),
            max_rss_bytes: ended.max_rss_bytes,
            whole_group: false,
        };
        let event = Event::Exited {
            attempt: running.id,
            exit,
            usage: if running.reused { usage } else { running.lease.usage(usage) },
            evidence: running.lease.evidence(),
            alive,
            output_open: running.output_open(),
        };
        self.dispatch.push(event);
        if alive > 0 && level == Containment::Cgroup {
            self.watch_group(slot);
        }
        if alive > 0 && level == Containment::Group {
            self.attempts.note_orphaned_group((slot, generation));
        }
    }

    /// Checks at intervals whether process groups without their leaders are empty: no event says so.
    pub(super) fn check_orphaned_groups(&mut self) {
        for (slot, generation) in self.attempts.take_orphaned_groups() {
            let Some(running) = self.attempts.current(slot, generation) else { continue };
            if running.tree_empty {
                continue;
            }
            if running.group_is_alive() {
                self.attempts.note_orphaned_group((slot, generation));
            } else {
                self.on_swept(running.key(), 0);
            }
        }
    }

    pub(super) fn on_swept(&mut self, key: Key, killed: u32) {
        let Some(slot) = self.find(key) else { return };
        let Some(running) = self.attempts.get_mut(slot) else { return };
        if running.tree_empty || !running.exited {
            return;
        }
        running.tree_empty = true;
        let attempt = running.id;
        let killed = killed.max(running.killed);
        self.dispatch.push(Event::TreeEmpty { attempt, killed });
        self.retire_if_over(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        let tokens = [
            Token::WardenSocket,
            Token::WardenEnd,
            Token::Wake(3),
            Token::Stream { slot: u32::MAX, generation: 0xff_ffff, stream: 1 },
            Token::Stream { slot: 7, generation: 1, stream: 2 },
            Token::Group { slot: 9, generation: 5 },
            Token::Keeper { slot: 1, generation: 2 },
            Token::Worker { slot: 3, generation: 4 },
        ];
        for token in tokens {
            assert_eq!(Token::unpack(token.pack()), Some(token));
        }
    }
}
