//! The warden's own side: the small, single-threaded process that starts and reaps every job.
//!
//! It carries out four commands: start, signal a group, sweep, leave. It makes no decision about jobs: when to stop
//! one, whether to try again, what a leak means, all that is the host's. One duty is its own: when the host is gone,
//! everything is killed ([`crate::warden::final_cleanup`]).
//!
//! All signals stay blocked from its start to its exit, so only the host's end, its command, or SIGKILL ends it. A
//! keeper is the same server with a single job, forked from the warden.

use std::collections::{HashMap, VecDeque};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use psmith_core::policy::SIGKILL;
use psmith_sys::environment::Environment;
use psmith_sys::epoll::{Epoll, Interest, ReadyEvents};
use psmith_sys::fork::{ForkResult, Forker};
use psmith_sys::signals::{SignalFd, SignalSet};
use psmith_sys::spawn::{
    ChildStep, Dir, EnvBlock, Session, SpawnProgress, SpawnRequest, Spawner, StartError, Ticket,
};
use psmith_sys::terminal::TerminalModes;
use psmith_sys::wait::{self, ChildChange, ExitStatusRaw, Reaped};
use psmith_sys::{pidfd, subreaper};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::descendants;
use crate::refused::refused;
use crate::warden::link::{Link, ReceivedPacket};
use crate::warden::messages::{Ended, Holding, Key, Start, ToHost, ToWarden};
use crate::warden::orphans::Orphans;
use crate::warden::places::KnownSlots;
use crate::warden::profile::{Profile, of_raw};
use crate::warden::stack_samples::SamplingRounds;
use crate::warden::terminal::FoundTerminal;

/// The time by which a start must have reached its program; else it has failed (a dead mount, a frozen group).
const START_LIMIT: Duration = Duration::from_secs(30);

/// The variable that sets another limit, in milliseconds: a test aid, so that no test waits 30 s for a hung start.
const START_LIMIT_VARIABLE: &str = "PSMITH_START_LIMIT_MS";

/// The number of commands taken in one turn, so that a flood of them cannot hold up reaping.
const COMMANDS_A_TURN: usize = 64;

const LINK: u64 = 0;
const CHILDREN: u64 = 1;
const HOST: u64 = 2;

/// The state of a warden (or keeper) that serves its host.
pub(super) struct WardenServer {
    pub(super) link: Link,
    link_interest: Interest,
    epoll: Epoll,
    ready: ReadyEvents,
    sigchld: SignalFd,
    host: OwnedFd,
    pub(super) spawner: Spawner,
    /// The forker of workers; `None` if this process has more than one thread.
    pub(super) forker: Option<Forker>,
    /// The environment of the next worker.
    pub(super) environment: Environment,
    pub(super) profile: Profile,
    pub(super) slots: KnownSlots,
    pub(super) children: HashMap<u32, Child>,
    unconfirmed: VecDeque<(Instant, u32)>,
    start_limit: Duration,
    pub(super) orphans: Orphans,
    /// The processes whose stacks are being sampled.
    pub(super) sampled: SamplingRounds,
    pub(super) holding: Holding,
    pub(super) group_dirs: Vec<Vec<u8>>,
    /// The terminal to be put back when the host is gone.
    pub(super) terminal: Option<FoundTerminal>,
    /// True for a keeper, which serves one job and exits when nothing of it is left.
    pub(super) keeper: bool,
    pidfds_signal_groups: bool,
}

/// A direct child: the leader of an attempt, or (without a key) a keeper.
pub(super) struct Child {
    pub(super) key: Option<Key>,
    pub(super) ticket: Option<Ticket>,
    pub(super) timed_out: bool,
    /// True for a copy of this process that was forked into its group.
    pub(super) forked_into: bool,
}

/// The reason why the loop ended.
#[derive(Debug)]
pub(super) enum ServeEnd {
    /// The host said goodbye, or a keeper's work is done.
    Bye,
    /// The host is gone, or has closed the socket.
    HostGone,
    /// This process cannot go on: for want of descriptors or memory, or because a message cannot be read. The host may
    /// be alive, and its groups are its own then.
    Failed(io::Error),
}

impl WardenServer {
    pub(super) fn new(
        link: Link,
        host: OwnedFd,
        holding: Holding,
        marker: &[u8],
        group_dirs: Vec<Vec<u8>>,
    ) -> io::Result<WardenServer> {
        let epoll = Epoll::new().map_err(|error| refused("epoll_create1", "to wait for its host", error))?;
        let sigchld = SignalFd::new(SignalSet::of(&[Signal::CHILD.as_raw()]));
        let sigchld = sigchld.map_err(|error| refused("signalfd4", "to hear of the ends of jobs", error))?;
        epoll.add(link.as_fd(), LINK, Interest::READ)?;
        epoll.add(sigchld.as_fd(), CHILDREN, Interest::READ)?;
        epoll.add(host.as_fd(), HOST, Interest::READ)?;
        Ok(WardenServer {
            link,
            link_interest: Interest::READ,
            epoll,
            ready: ReadyEvents::with_capacity(8),
            sigchld,
            host,
            spawner: Spawner::new()?,
            forker: Forker::new().ok(),
            environment: Environment::default(),
            profile: Profile::empty(),
            slots: KnownSlots::default(),
            children: HashMap::new(),
            unconfirmed: VecDeque::new(),
            start_limit: start_limit(),
            orphans: Orphans::new(marker),
            sampled: SamplingRounds::default(),
            holding,
            group_dirs,
            terminal: None,
            keeper: false,
            pidfds_signal_groups: crate::warden::pidfds_signal_groups(),
        })
    }

    pub(super) fn send(&mut self, message: &ToHost<'_>) -> io::Result<()> {
        self.link.send(message, &[])
    }

    /// Serves until the host is done or gone.
    pub(super) fn serve(&mut self) -> ServeEnd {
        loop {
            match self.turn() {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(error) if is_disconnection(&error) => return ServeEnd::HostGone,
                Err(error) => return ServeEnd::Failed(error),
            }
        }
    }

    fn turn(&mut self) -> io::Result<Option<ServeEnd>> {
        // While answers wait in the outbox no new commands are taken: the host has to read first.
        let interest = match (self.link.is_congested(), self.link.has_queued()) {
            (true, _) => Interest::WRITE,
            (false, true) => Interest::BOTH,
            (false, false) => Interest::READ,
        };
        if interest != self.link_interest {
            self.epoll.modify(self.link.as_fd(), LINK, interest)?;
            self.link_interest = interest;
        }
        let patience = self.patience();
        self.epoll.wait(&mut self.ready, patience)?;
        let tokens: [Option<u64>; 3] = {
            let mut ready = self.ready.iter().map(|event| event.token);
            std::array::from_fn(|_| ready.next())
        };
        for token in tokens.into_iter().flatten() {
            match token {
                CHILDREN => {
                    // Once: the signal does not queue, and if another arrived meanwhile the poll reports it.
                    let _ = self.sigchld.read()?;
                    self.reap()?;
                }
                LINK => {
                    self.link.flush()?;
                    if let Some(end) = self.take_commands()? {
                        return Ok(Some(end));
                    }
                }
                // The host's pidfd: a copy of the host may still hold the socket open, but the host has ended.
                _ => return Ok(Some(ServeEnd::HostGone)),
            }
        }
        self.link.release_held()?;
        self.expire_starts();
        for event in self.orphans.round(&self.children, self.holding) {
            self.link.send(&event.message(), &[])?;
        }
        let keeper_done = self.keeper && self.children.is_empty() && self.orphans.is_idle();
        Ok(keeper_done.then_some(ServeEnd::Bye))
    }

    /// Returns the time to sleep when nothing happens.
    fn patience(&self) -> Option<Duration> {
        let start =
            self.unconfirmed.front().map(|(since, _)| self.start_limit.saturating_sub(since.elapsed()));
        [start, self.link.patience()].into_iter().flatten().min()
    }

    fn take_commands(&mut self) -> io::Result<Option<ServeEnd>> {
        for _ in 0..COMMANDS_A_TURN {
            let fds = match self.link.receive()? {
                ReceivedPacket::Nothing => return Ok(None),
                ReceivedPacket::Closed => return Ok(Some(ServeEnd::HostGone)),
                ReceivedPacket::Message(fds) => fds,
            };
            let packet = self.link.lend();
            let done = match postcard::from_bytes::<ToWarden<'_>>(packet.messages()) {
                Ok(command) => self.on_command(command, fds),
                Err(error) => Err(io::Error::other(error)),
            };
            self.link.give_back(packet);
            if let Some(end) = done? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    fn on_command(&mut self, command: ToWarden<'_>, mut fds: Vec<OwnedFd>) -> io::Result<Option<ServeEnd>> {
        match command {
            ToWarden::Hello { .. } => return Err(io::Error::other("a second hello")),
            ToWarden::Profile { env, umask, rlimits, nice, no_new_privs, foreground } => {
                let rlimits = of_raw(&rlimits);
                let terminal = if foreground { fds.pop() } else { None };
                self.profile = Profile {
                    env: EnvBlock::new(env.to_vec()),
                    umask,
                    rlimits,
                    nice,
                    no_new_privs,
                    terminal,
                };
            }
            ToWarden::Terminal { flags, codes, group } => {
                let codes = codes.try_into().map_err(io::Error::other)?;
                let modes = TerminalModes { flags, codes };
                self.terminal = fds.pop().map(|terminal| FoundTerminal::new(terminal, modes, group));
            }
            ToWarden::Groups { dirs } => {
                self.group_dirs = dirs.into_iter().map(<[u8]>::to_vec).collect();
            }
            ToWarden::AddCgroupSlot { number, unified } => {
                self.slots.insert(number, unified, fds, &mut self.spawner);
            }
            ToWarden::ForgetCgroupSlot { number } => self.slots.remove(number),
            ToWarden::Start(start) if start.keeper => return self.start_keeper(&start, fds),
            ToWarden::Start(start) => self.start(&start, &fds)?,
            ToWarden::SignalGroup { key, signal } => {
                if let Some(leader) = self.leader_of(key) {
                    // The leader is an unreaped child of this process, so its number is not reused. An error means that
                    // the group is gone, and its end is about to be reported.
                    let _ = crate::warden::kill_group(leader, signal);
                }
            }
            ToWarden::Sweep { key } => {
                if let Some(leader) = self.leader_of(key) {
                    let _ = crate::warden::kill_group(leader, SIGKILL);
                    let _ = descendants::signal_descendants(leader, Some(leader), SIGKILL);
                    self.orphans.sweep_when_ended(key);
                } else {
                    self.orphans.sweep(key);
                }
            }
            ToWarden::Release { key } => self.orphans.release(key, &self.children),
            ToWarden::SampleStack { key } => self.sample_stack(key)?,
            ToWarden::Ping { count } => self.send(&ToHost::Pong { count })?,
            ToWarden::Bye => return Ok(Some(ServeEnd::Bye)),
        }
        Ok(None)
    }

    pub(super) fn leader_of(&self, key: Key) -> Option<u32> {
        self.children.iter().find(|(_, child)| child.key == Some(key)).map(|(&pid, _)| pid)
    }

    fn start(&mut self, start: &Start<'_>, fds: &[OwnedFd]) -> io::Result<()> {
        if let Some(spawn) = start.worker {
            return self.start_worker(start, fds, spawn);
        }
        self.start_command(start, fds)
    }

    pub(super) fn start_command(&mut self, start: &Start<'_>, fds: &[OwnedFd]) -> io::Result<()> {
        match self.try_start(start, fds) {
            Ok(started) => {
                let (pid, pidfd, ticket) = started;
                self.children.insert(
                    pid,
                    Child {
                        key: Some(start.key),
                        ticket: Some(ticket),
                        timed_out: false,
                        forked_into: false,
                    },
                );
                self.unconfirmed.push_back((Instant::now(), pid));
                self.link.hold(&ToHost::Started { key: start.key, pid }, pidfd)
            }
            Err(error) => self.send(&failed(start.key, error)),
        }
    }

    fn try_start(
        &mut self,
        start: &Start<'_>,
        fds: &[OwnedFd],
    ) -> Result<(u32, OwnedFd, Ticket), StartError> {
        let streams = streams_of(start, fds);
        let words = |bytes: &[u8], step| CString::new(bytes).map_err(|_| StartError { step, errno: 22 });
        let program = words(start.program, ChildStep::Exec)?;
        let dir = start.dir.map(|dir| words(dir, ChildStep::WorkingDirectory)).transpose()?;
        let plan = self.slots.plan(start.cgroup_slot)?;
        let started = self.spawner.start(&SpawnRequest {
            program: &program,
            argv: start.argv,
            env: &self.profile.env_of(start),
            env_extra: start.env,
            fds: streams,
            dir: dir.as_deref().map(Dir::Path),
            umask: self.profile.umask,
            rlimits: &self.profile.rlimits_with(&start.rlimits),
            nice: self.profile.nice,
            group: plan.group,
            groups: &plan.groups,
            session: match &self.profile.terminal {
                Some(terminal) => Session::Foreground(terminal.as_fd()),
                None => Session::New,
            },
            no_new_privs: self.profile.no_new_privs,
            parent_death: Some(SIGKILL),
        })?;
        Ok((started.pid, started.pidfd, started.ticket))
    }

    /// Forks a keeper, a subreaper for this one job, which answers on a socket of its own.
    fn start_keeper(&mut self, start: &Start<'_>, mut fds: Vec<OwnedFd>) -> io::Result<Option<ServeEnd>> {
        let Some(socket) = fds.pop() else { return Err(io::Error::other("a keeper without a socket")) };
        let threads = io::Error::from_raw_os_error(Errno::DEADLK.raw_os_error());
        match self.forker.as_ref().map_or(Err(threads), Forker::fork) {
            Ok(ForkResult::Parent(pid, _)) => {
                self.children
                    .insert(pid, Child { key: None, ticket: None, timed_out: false, forked_into: false });
                Ok(None)
            }
            Ok(ForkResult::Child(_)) => {
                // From here on this is the keeper. It keeps nothing of the warden's but the profile.
                let end = self.become_keeper(socket, start, fds);
                crate::warden::final_cleanup(self, &end.unwrap_or_else(ServeEnd::Failed));
                psmith_sys::exit::now(0)
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0);
                self.send(&failed(start.key, StartError { step: ChildStep::Clone, errno }))?;
                Ok(None)
            }
        }
    }

    fn become_keeper(
        &mut self,
        socket: OwnedFd,
        start: &Start<'_>,
        fds: Vec<OwnedFd>,
    ) -> io::Result<ServeEnd> {
        subreaper::set_subreaper(true)?;
        let host = self.host.try_clone()?;
        let marker = self.orphans.marker().to_vec();
        let profile = std::mem::replace(&mut self.profile, Profile::empty());
        let slots = self.slots.only(start.cgroup_slot);
        // The warden's epoll and children are not this process's: a server of its own from here on.
        let keeper = WardenServer::new(Link::new(socket), host, Holding::Sweep, &marker, Vec::new())?;
        *self = WardenServer { profile, slots, keeper: true, ..keeper };
        self.orphans.attribute_all_to(start.key);
        self.start(start, &fds)?;
        // If they stayed open, it would look as if a descendant of the job held the job's streams open.
        drop(fds);
        Ok(self.serve())
    }

    /// Reaps everything that has ended: reads its state first, updates the own table second, reaps by number last.
    /// Reports which jobs were stopped, or continued.
    pub(super) fn reap(&mut self) -> io::Result<()> {
        while let Some(change) = wait::next_change()? {
            let peeked = match change {
                ChildChange::Ended(peeked) => peeked,
                ChildChange::Stopped { pid, signal } => {
                    if let Some(key) = self.children.get(&pid).and_then(|child| child.key) {
                        self.send(&ToHost::Stopped { key, signal })?;
                    }
                    continue;
                }
                ChildChange::Seized { pid, signal } => {
                    self.on_seized(pid, signal)?;
                    continue;
                }
                ChildChange::Continued { pid } => {
                    if let Some(key) = self.children.get(&pid).and_then(|child| child.key) {
                        self.send(&ToHost::Continued { key })?;
                    }
                    continue;
                }
            };
            let pid = peeked.pid;
            if self.holding == Holding::Group
                && !self.pidfds_signal_groups
                && self.children.contains_key(&pid)
            {
                // The last moment in which the number of the group certainly means this group.
                let _ = crate::warden::kill_group(pid, SIGKILL);
            }
            // The kernel reports that of a thread that was seized, too.
            self.on_thread_ended(pid)?;
            let child = self.children.remove(&pid);
            let progress = child.as_ref().and_then(|child| self.progress_at_end(child, peeked.status));
            let reaped = wait::reap(pid)?;
            self.orphans.on_reaped();
            if let Some(child) = child {
                self.on_ended(child, progress, &reaped)?;
            }
        }
        Ok(())
    }

    /// Returns the progress of its start; determined while it is not yet reaped, because only then the kernel still
    /// knows whether it ever executed a program.
    fn progress_at_end(&self, child: &Child, status: ExitStatusRaw) -> Option<SpawnProgress> {
        let ticket = child.ticket.as_ref()?;
        let killed = matches!(status, ExitStatusRaw::Signal { signal: SIGKILL, .. });
        Some(if killed { self.spawner.progress_at_end(ticket) } else { self.spawner.progress(ticket) })
    }

    fn on_ended(&mut self, child: Child, progress: Option<SpawnProgress>, reaped: &Reaped) -> io::Result<()> {
        if let Some(ticket) = child.ticket {
            self.spawner.release(ticket);
        }
        let Some(key) = child.key else { return Ok(()) };
        if child.timed_out {
            return self.send(&failed(
                key,
                StartError { step: ChildStep::Exec, errno: Errno::TIMEDOUT.raw_os_error() },
            ));
        }
        match progress {
            Some(SpawnProgress::Failed(error)) => return self.send(&failed(key, error)),
            Some(SpawnProgress::Killed(step)) => {
                self.slots.disable_spawn_inside();
                return self.send(&failed(key, StartError { step, errno: Errno::INTR.raw_os_error() }));
            }
            Some(SpawnProgress::Executed | SpawnProgress::Pending(_)) | None => {}
        }
        if child.forked_into && is_failed_start(reaped) {
            self.slots.disable_spawn_inside();
            let error = StartError { step: ChildStep::Clone, errno: Errno::INTR.raw_os_error() };
            return self.send(&failed(key, error));
        }
        let (status, core_dumped) = match reaped.status {
            ExitStatusRaw::Code(code) => (code, false),
            ExitStatusRaw::Signal { signal, core } => (-signal, core),
        };
        let alive = self.orphans.on_ended(key, reaped.pid, &self.children, self.holding);
        let ended = Ended {
            status,
            core_dumped,
            user_us: micros(reaped.user),
            system_us: micros(reaped.system),
            max_rss_bytes: reaped.max_rss_bytes,
            alive,
        };
        self.send(&ToHost::Ended { key, ended })
    }

    fn expire_starts(&mut self) {
        while let Some(&(since, pid)) = self.unconfirmed.front() {
            let Some(child) = self.children.get_mut(&pid) else {
                self.unconfirmed.pop_front();
                continue;
            };
            let Some(ticket) = &child.ticket else {
                self.unconfirmed.pop_front();
                continue;
            };
            match self.spawner.progress(ticket) {
                SpawnProgress::Pending(_) if since.elapsed() < self.start_limit => return,
                SpawnProgress::Pending(_) => {
                    child.timed_out = true;
                    let _ = crate::warden::kill(pid, SIGKILL);
                }
                SpawnProgress::Executed => {
                    if let Some(ticket) = child.ticket.take() {
                        self.spawner.release(ticket);
                    }
                }
                // Its end is about to be reported, with the cause.
                SpawnProgress::Failed(_) | SpawnProgress::Killed(_) => {}
            }
            self.unconfirmed.pop_front();
        }
    }
}

impl WardenServer {
    /// Returns whether nobody but this process is left to remove the run's groups.
    pub(super) fn is_alone(&self, end: &ServeEnd) -> bool {
        match end {
            ServeEnd::Bye => false,
            ServeEnd::HostGone => true,
            ServeEnd::Failed(_) => pidfd::has_ended(&self.host).unwrap_or(false),
        }
    }

    /// Sleeps until a child has ended, but not for longer than `patience`.
    pub(super) fn wait_for_exit(&mut self, patience: Duration) {
        let timeout = rustix::event::Timespec::try_from(patience).ok();
        let mut fds = [rustix::event::PollFd::new(&self.sigchld, rustix::event::PollFlags::IN)];
        let _ = rustix::event::poll(&mut fds, timeout.as_ref());
        while let Ok(Some(_)) = self.sigchld.read() {}
    }
}

/// Returns the descriptors of a start that are its standard streams.
pub(super) fn streams_of<'f>(start: &Start<'_>, fds: &'f [OwnedFd]) -> [Option<BorrowedFd<'f>>; 3] {
    let mut streams = [None; 3];
    let mut given = fds.iter();
    for (bit, stream) in streams.iter_mut().enumerate() {
        if start.streams & (1 << bit) != 0 {
            *stream = given.next().map(AsFd::as_fd);
        }
    }
    streams
}

/// Returns whether the other end of the socket is closed.
fn is_disconnection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Returns whether this copy was killed before it ran any code: the kernel itself writes to one page of a new copy, or
/// two.
fn is_failed_start(reaped: &Reaped) -> bool {
    matches!(reaped.status, ExitStatusRaw::Signal { signal: SIGKILL, .. }) && reaped.faults <= 2
}

fn start_limit() -> Duration {
    let millis = std::env::var(START_LIMIT_VARIABLE).ok().and_then(|text| text.parse().ok());
    millis.map_or(START_LIMIT, Duration::from_millis)
}

pub(super) fn failed(key: Key, error: StartError) -> ToHost<'static> {
    let refused = error.step == ChildStep::Clone
        && [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE]
            .iter()
            .any(|errno| errno.raw_os_error() == error.errno);
    ToHost::Failed { key, step: error.step.code(), errno: error.errno, refused }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
