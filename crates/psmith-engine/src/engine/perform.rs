//! The dispatcher's actions, carried out. Makes no decision about jobs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::SystemTime;

use psmith_core::outcome::{Outcome, SpawnFailure, SpawnStep};
use psmith_core::policy::SIGKILL;
use psmith_core::{Action, AttemptId, Event, JobId, Notice, SlotId};
use psmith_sys::epoll::Interest;
use psmith_sys::{pidfd, socket};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::command::{Launch, Numbers};
use crate::containment::Containment;
use crate::descendants;
use crate::engine::attempt::Running;
use crate::engine::descriptors::{self, Counted};
use crate::engine::handler::{
    AttemptOutput, AttemptSlot, Delivery, Ending, EngineEvent, Handler, Live, Taken as Delivered,
};
use crate::engine::observe::Token;
use crate::engine::{Engine, EngineError};
use crate::warden::link::Link;
use crate::warden::messages::{Key, Start, ToWarden};

impl<H: Handler> Engine<H> {
    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::Start { attempt, slot, memory_bytes } => self.start(attempt, slot, memory_bytes),
            Action::Signal { attempt, signal } => {
                if let Some(slot) = self.slot_of(attempt) {
                    self.signal_tree(slot, signal);
                }
            }
            Action::KillTree { attempt } => match self.slot_of(attempt) {
                Some(slot) => self.kill_tree(slot),
                None => self.dispatch.push(Event::TreeEmpty { attempt, killed: 0 }),
            },
            Action::ReleaseTree { attempt } => match self.slot_of(attempt) {
                Some(slot) => self.release_tree(slot),
                None => self.dispatch.push(Event::TreeEmpty { attempt, killed: 0 }),
            },
            Action::StopReading { attempt } => {
                if let Some(slot) = self.slot_of(attempt) {
                    self.close_streams(slot);
                }
                self.dispatch.push(Event::OutputClosed { attempt });
            }
            Action::Discard { attempt } => {
                if let Some(slot) = self.slot_of(attempt) {
                    self.dismiss(slot);
                }
            }
            Action::Head { job } => self.become_next_in_line(job),
            Action::End { job, outcome } => self.end(job, outcome),
            Action::Deliver { job } => self.deliver(job),
            Action::Notice(notice) => self.pass_on(&notice),
            Action::Finish => self.state.finish(),
        }
    }

    // Starting.

    fn start(&mut self, attempt: AttemptId, slot: SlotId, memory_bytes: Option<u64>) {
        if self.check_credentials() {
            return;
        }
        let Some(entry) = self.jobs.get_mut(&attempt.job) else { return };
        entry.slot = slot;
        entry.started = SystemTime::now();
        entry.spans.ordered(attempt, slot);
        entry.output = AttemptOutput::default();
        let at = AttemptSlot { attempt, slot };
        let mut live = self.handler.live(&entry.job, false);
        if live == Live::Nothing && entry.next_in_line {
            live = self.handler.live(&entry.job, true);
        }
        let mut running = Running::new(attempt, slot, self.attempts.next_generation(), live);
        running.memory_bytes = memory_bytes;
        running.limits = self.handler.limits(&entry.job);
        running.kept = self.handler.kept_output(&entry.job);
        running.surroundings = self.handler.surroundings(&entry.job);
        let launch = self.handler.launch(&mut entry.job, at);
        self.attempts.insert(running);
        let done = launch.and_then(|launch| {
            launch.check_size()?;
            self.send_start(slot.0, launch)
        });
        if let Err(failure) = done {
            let refused = failure.step == SpawnStep::Resources && is_scarcity(failure.errno);
            self.start_failed(slot.0, failure, refused);
        }
    }

    fn send_start(&mut self, slot: u32, launch: Launch) -> Result<(), SpawnFailure> {
        let Some(mut running) = self.attempts.take(slot) else { return Ok(()) };
        let sent = self.try_send_start(&mut running, launch);
        self.attempts.insert(running);
        sent.map_err(|error| SpawnFailure {
            step: SpawnStep::Resources,
            errno: error.raw_os_error().unwrap_or(0),
            // The kernel's errors are numbers apart by their number.
            detail: if error.raw_os_error().is_none() { error.to_string() } else { String::new() },
            permanent: false,
        })
    }

    fn try_send_start(&mut self, running: &mut Running, launch: Launch) -> io::Result<()> {
        let (numbers, words, dir, stdin) = match &launch {
            Launch::Command(command) => {
                (command.numbers(), command.env_block(), command.dir_bytes(), command.own_stdin())
            }
            Launch::Worker(start) => (Numbers::default(), start.env.as_slice(), start.dir.as_deref(), None),
        };
        if let Launch::Command(command) = &launch {
            running.program = command.program().to_vec();
        }
        let own = running.surroundings.clone();
        running.dir = match &own {
            Some(own) => own.dir_of(dir),
            None => dir.map(<[u8]>::to_vec),
        };
        let is_command = matches!(launch, Launch::Command(_));
        let env = self.supply.environment(running, numbers, self.warden.marker(), words);
        self.take_slot(running)?;
        let mut given: Vec<OwnedFd> = Vec::new();
        let streams = self.supply.open(running, (is_command, stdin), &mut given)?;
        let worker = match &launch {
            Launch::Command(_) => None,
            Launch::Worker(start) => {
                running.reused = !start.single;
                let (channel, spawn) = self.open_channel(running, start.clone())?;
                given.push(channel);
                Some(spawn)
            }
        };
        let keeper = self.cgroup_slots.level() == Containment::Keeper;
        if keeper {
            given.push(self.open_keeper(running)?);
        }
        let (program, argv): (&[u8], &[u8]) = match &launch {
            Launch::Command(command) => (command.program(), command.argv_block()),
            Launch::Worker(_) => (b"", b""),
        };
        let start = Start {
            key: running.key(),
            cgroup_slot: running.lease.number(),
            keeper,
            worker,
            streams,
            program,
            argv,
            own_env: own.as_ref().and_then(|own| own.env.as_deref()),
            env: &env,
            dir: running.dir.as_deref(),
            rlimits: running.limits.iter().flat_map(|own| &own.rlimits).map(|limit| limit.to_raw()).collect(),
        };
        running.awaited = Some(Counted::report());
        if self.attempts.iter().next().is_some() {
            // The only one is always tried.
            descriptors::check(self.nofile, &given)?;
        }
        let fds: Vec<BorrowedFd<'_>> = given.iter().map(AsFd::as_fd).collect();
        self.warden.try_send(&self.epoll, &ToWarden::Start(start), &fds)
    }

    /// Makes the pipes and the channel of the next start ahead of need, while the loop is about to sleep.
    pub(super) fn stock_pipes(&mut self) {
        self.channels.stock();
        self.supply.stock();
    }

    /// Takes the cgroup slot of an attempt, and announces it to the warden.
    fn take_slot(&mut self, running: &mut Running) -> io::Result<()> {
        let own = running.limits.as_deref().map(|limits| &limits.tree);
        if let Some(own) = own
            && self.cgroup_slots.prepare(own)?
        {
            self.warden.set_group_dirs(&self.epoll, self.cgroup_slots.group_dirs());
        }
        running.lease = self.cgroup_slots.take(running.slot.0, running.memory_bytes, own)?;
        if let Some((message, files)) = running.lease.announcement() {
            self.warden.try_send(&self.epoll, &message, &files)?;
            running.lease.note_announced();
        }
        Ok(())
    }

    /// Makes the socket of an attempt's keeper; returns the keeper's end.
    fn open_keeper(&self, running: &mut Running) -> io::Result<OwnedFd> {
        let (ours, theirs) = socket::pair()?;
        let token = Token::Keeper { slot: running.slot.0, generation: running.generation };
        self.epoll.add(&ours, token.pack(), Interest::READ)?;
        running.keeper = Some(Link::new(ours));
        Ok(theirs)
    }

    // Ending.

    /// Sends a signal to all of an attempt's processes, as far as this level of containment knows them.
    pub(super) fn signal_tree(&mut self, slot: u32, signal: i32) {
        let level = self.cgroup_slots.level();
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let Some(process) = &running.pidfd else {
            running.pending.push(signal);
            return;
        };
        let key = running.key();
        let (mut ask, mut refused) = (false, false);
        // A new child may not have joined its group yet, and the ladder sends each signal only once.
        let may_be_new = !running.exited;
        if let Some(group) = running.lease.group() {
            match group.signal_all(signal) {
                Ok(0) if may_be_new => drop(pidfd::signal(process, signal)),
                sent => refused = sent.is_err_and(|error| is_denied(&error)),
            }
        } else {
            match pidfd::signal_group(process, signal) {
                Err(error) if pidfd::is_unsupported(&error) => ask = true,
                Err(_) if may_be_new => {
                    refused = pidfd::signal(process, signal).is_err_and(|error| is_denied(&error));
                }
                _ => {}
            }
            if level != Containment::Group && !running.exited {
                // The group has it already; a clean-up must not be requested twice.
                descendants::signal_descendants(running.pid, Some(running.pid), signal);
            }
        }
        if refused && self.check_credentials() {
            return;
        }
        // A stopped process receives a signal only once it is continued.
        if signal != SIGKILL && signal != Signal::CONT.as_raw() {
            self.signal_tree(slot, Signal::CONT.as_raw());
        }
        if ask {
            self.ask_for_group_signal(slot, key, signal);
        }
    }

    /// Asks the parent of a group's unreaped leader to signal it by number, where the kernel cannot by pidfd.
    pub(super) fn ask_for_group_signal(&mut self, slot: u32, key: Key, signal: i32) {
        self.send_to_parent(slot, &ToWarden::SignalGroup { key, signal });
    }

    /// Sends a message to the parent of the attempt in this slot: its keeper, or the warden.
    pub(super) fn send_to_parent(&mut self, slot: u32, message: &ToWarden<'_>) {
        match self.attempts.get_mut(slot).and_then(|running| running.keeper.as_mut()) {
            Some(keeper) => drop(keeper.send(message, &[])),
            None => self.warden.send(&self.epoll, message, &[]),
        }
    }

    pub(super) fn kill_tree(&mut self, slot: u32) {
        let level = self.cgroup_slots.level();
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let key = running.key();
        let Some(process) = &running.pidfd else {
            // The report of its start is still on the way, perhaps held by a warden that is stopped, but its group can
            // be killed already. A process that has not joined it yet is killed when the report arrives.
            running.pending.push(SIGKILL);
            let _ = running.lease.kill();
            return;
        };
        let exited = running.exited;
        let mut refused = false;
        if !exited {
            // By pidfd as well: a new child may not have joined its group yet.
            refused = pidfd::signal(process, SIGKILL).is_err_and(|error| is_denied(&error));
        }
        if exited {
            // The sweep does not count those that the signal to the group killed before it.
            running.killed = running.killed.max(running.outlived_by);
        }
        match level {
            Containment::Cgroup => {
                running.killed = running.killed.max(if exited { running.lease.alive() } else { 0 });
                refused |= running.lease.kill().is_err_and(|error| is_denied(&error));
                if exited {
                    self.watch_group(slot);
                }
            }
            Containment::Keeper => {
                let _ = pidfd::signal_group(process, SIGKILL);
                if let Some(keeper) = &mut running.keeper {
                    let _ = keeper.send(&ToWarden::Sweep { key }, &[]);
                } else {
                    self.warden.send(&self.epoll, &ToWarden::Sweep { key }, &[]);
                }
            }
            Containment::Sweep => {
                let _ = pidfd::signal_group(process, SIGKILL);
                self.warden.send(&self.epoll, &ToWarden::Sweep { key }, &[]);
            }
            Containment::Group => {
                let members = if exited { descendants::members_of_group(running.pid) } else { 0 };
                running.killed = running.killed.max(members);
                let unsupported =
                    pidfd::signal_group(process, SIGKILL).is_err_and(|error| pidfd::is_unsupported(&error));
                if unsupported {
                    self.warden.send(&self.epoll, &ToWarden::SignalGroup { key, signal: SIGKILL }, &[]);
                }
                if exited {
                    self.on_swept(key, members);
                }
            }
        }
        if refused {
            self.check_credentials();
        }
    }

    /// Ends the run if this process has other credentials than when it began: what was started before may be out of its
    /// reach, and what would be started now would have too much or too little. The warden has what this process had, so
    /// all is left to it; returns whether that is so.
    fn check_credentials(&mut self) -> bool {
        let Some(change) = self.credentials.change() else { return false };
        self.fail(EngineError::Credentials(change));
        self.state.leave();
        true
    }

    fn release_tree(&mut self, slot: u32) {
        let level = self.cgroup_slots.level();
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let key = running.key();
        match level {
            Containment::Cgroup => {
                let released = self.cgroup_slots.release(&mut running.lease);
                self.on_swept(key, released);
            }
            Containment::Keeper => match &mut running.keeper {
                Some(keeper) => {
                    running.released = true;
                    let _ = keeper.send(&ToWarden::Release { key }, &[]);
                }
                None => self.on_swept(key, 0),
            },
            Containment::Sweep => self.warden.send(&self.epoll, &ToWarden::Release { key }, &[]),
            Containment::Group => {
                let members = descendants::members_of_group(running.pid);
                self.on_swept(key, members);
            }
        }
    }

    /// Watches the group of an ended attempt until it is empty.
    pub(super) fn watch_group(&mut self, slot: u32) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        if !running.watched
            && let Some(group) = running.lease.group()
        {
            let token = Token::Group { slot, generation: running.generation };
            running.watched = self.epoll.add(group.events(), token.pack(), Interest::PRIORITY).is_ok();
        }
        self.check_group(slot);
    }

    pub(super) fn check_group(&mut self, slot: u32) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        if running.exited && !running.tree_empty && running.lease.alive() == 0 {
            let (key, killed) = (running.key(), running.killed);
            self.on_swept(key, killed);
        }
    }

    // Outcomes.

    pub(super) fn become_next_in_line(&mut self, job: JobId) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        entry.next_in_line = true;
        let slot = entry.slot.0;
        let Some(running) = self.attempts.get_mut(slot) else { return };
        if running.id.job != job || running.exited || running.live != Live::Nothing {
            return;
        }
        running.live = self.handler.live(&entry.job, true);
        // What was kept so far comes first.
        let keeps = self.handler.keeps_live_output();
        for stream in [1, 2] {
            if !running.is_live(stream) {
                continue;
            }
            let spool = std::mem::take(running.spool(stream));
            running.output.passed[usize::from(stream) - 1] += spool.len();
            let held = spool.memory_held();
            if spool.is_empty() {
                continue;
            }
            let backlog =
                if keeps { spool.share().map(|copy| (copy, Some(spool))) } else { Ok((spool, None)) };
            match backlog {
                Ok((backlog, kept)) => {
                    match kept {
                        Some(kept) => *running.spool(stream) = kept,
                        None => self.output.give_back(held),
                    }
                    self.handler.backlog(job, &mut entry.job, stream, backlog);
                }
                Err(error) => {
                    let failure = self.output.failure(error);
                    return self.fail(failure);
                }
            }
        }
    }

    fn end(&mut self, job: JobId, outcome: Box<Outcome>) {
        let view = self.dispatch.view();
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        let slot = entry.slot.0;
        let running = self.attempts.get_mut(slot);
        if let Some(running) = running.filter(|running| running.id.job == job) {
            entry.output = std::mem::take(&mut running.output);
            running.dismissed = true;
        }
        let ending = Ending {
            id: job,
            job: &entry.job,
            outcome: &outcome,
            slot: entry.slot,
            started: entry.started,
            output: &entry.output,
        };
        self.handler.on_event(&view, EngineEvent::Ended(ending));
        entry.spans.ended(&outcome);
        entry.outcome = Some(outcome);
        self.retire_if_over(slot);
    }

    /// Forgets the attempt in this slot; its output is dropped.
    pub(super) fn dismiss(&mut self, slot: u32) {
        let Some(running) = self.attempts.get_mut(slot) else { return };
        running.dismissed = true;
        let output = std::mem::take(&mut running.output);
        self.output.give_back(output.memory_held());
        self.retire_if_over(slot);
    }

    /// Frees the slot if nothing of its attempt is left.
    pub(super) fn retire_if_over(&mut self, slot: u32) {
        if !self.attempts.get(slot).is_some_and(|running| running.dismissed && running.is_over()) {
            return;
        }
        let Some(mut running) = self.attempts.take(slot) else { return };
        if running.watched
            && let Some(group) = running.lease.group()
        {
            let _ = self.epoll.remove(group.events());
        }
        if let Some(keeper) = running.keeper.take() {
            let _ = self.epoll.remove(&keeper);
            if running.released {
                self.attempts.retain_keeper(keeper);
            }
        }
        for number in self.cgroup_slots.give_back(slot, running.lease) {
            self.warden.send(&self.epoll, &ToWarden::ForgetCgroupSlot { number }, &[]);
        }
    }

    fn deliver(&mut self, job: JobId) {
        let Some(entry) = self.jobs.remove(&job) else { return };
        let Some(outcome) = entry.outcome else { return };
        let held = entry.output.memory_held();
        let delivery = Delivery {
            id: job,
            job: entry.job,
            outcome,
            slot: entry.slot,
            started: entry.started,
            output: entry.output,
        };
        let view = self.dispatch.view();
        match self.handler.deliver(&view, delivery) {
            Delivered::Now => {
                self.output.give_back(held);
                self.dispatch.push(Event::Delivered(job));
            }
            Delivered::Later => self.output.hand_over(job, held),
        }
    }

    fn pass_on(&mut self, notice: &Notice) {
        if matches!(notice, Notice::Halted { .. } | Notice::Broken { .. }) {
            self.end_source();
        }
        if let Notice::Retry { attempt, cause, .. } = notice
            && let Some(entry) = self.jobs.get_mut(&attempt.job)
        {
            entry.spans.retried(cause);
        }
        let job = match notice {
            Notice::Retry { attempt, .. } | Notice::Slow { attempt, .. } | Notice::Unkillable { attempt } => {
                self.jobs.get(&attempt.job).map(|entry| &entry.job)
            }
            Notice::Held { .. } | Notice::Slots { .. } | Notice::Halted { .. } | Notice::Broken { .. } => {
                None
            }
        };
        let view = self.dispatch.view();
        self.handler.on_event(&view, EngineEvent::Notice(notice, job));
    }
}

/// Returns whether the error says that this process has not the right to.
fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Returns whether the error says "not now" rather than "not ever".
fn is_scarcity(errno: i32) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM, Errno::NOBUFS]
        .iter()
        .any(|scarce| scarce.raw_os_error() == errno)
}
