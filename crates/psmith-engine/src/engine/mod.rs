//! The engine: the one loop that joins the pure dispatcher with the kernel.
//!
//! Every source (the warden, the pipes of jobs, the groups, the handler's wake-ups, the clock) becomes an event for the
//! dispatcher; every action that the dispatcher asks for is carried out here. The loop makes no decision about jobs,
//! and it never blocks except in its one poll.
//!
//! The loop's state is divided among owners, each a struct with private fields; what needs two of them is a method of
//! [`Engine`] over both.
//!
//! Owners:
//!
//! - `dispatch`: the dispatcher, its clock, its queues
//! - `run_state`: whether the producer has more, whether the run is over
//! - `warden_link`: the warden, and the messages with which its successor would begin
//! - `attempts`, `attempt`: the running attempts, by slot
//! - `cgroup_slots`: the control groups of slots
//! - `supply`: the streams and variables of the next start
//! - `output`, [`spool`]: the store for output that waits
//! - `channels`: the channels to workers
//! - `stack_samples`: the requests for stack samples
//! - `descriptors`: what all runs of this process share
//!
//! Reactions:
//!
//! - `perform`: the dispatcher's actions, carried out
//! - `observe`: reports of the kernel and the warden, turned into events
//! - `streams`: the output of jobs, read
//! - `worker_channel`: messages of workers, passed on
//! - `suspend`: stopped jobs, together with the host or alone
//!
//! [`handler`] is the interface to the user of the engine.

mod attempt;
mod attempt_output;
mod attempts;
mod cgroup_slots;
mod channels;
pub(crate) mod clock;
mod descriptors;
mod dispatch;
pub mod error;
pub mod handler;
mod observe;
mod output;
mod perform;
mod run_state;
mod spans;
pub mod spool;
pub mod stack_samples;
mod streams;
mod supply;
mod suspend;
mod warden_link;
mod worker_channel;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use psmith_core::outcome::Outcome;
use psmith_core::{Event, JobId, RunPolicy, SlotId};
use psmith_sys::credentials::Credentials;
use psmith_sys::epoll::{Epoll, Interest, ReadyEvents};
use psmith_sys::rlimit::{Resource, Rlimit};
use psmith_sys::terminal::TerminalModes;

use crate::containment::{Containment, TreeLimits};
pub use crate::refused::refused;
use crate::warden::client::{Introduction, Warden, nonce};
use crate::warden::messages::NONCE_VARIABLE;
use attempts::Attempts;
use cgroup_slots::CgroupSlots;
use channels::WorkerChannels;
use dispatch::Dispatch;
pub use error::EngineError;
use handler::{AttemptOutput, EngineCommand, Handler, Pull, Streams};
use output::OutputStore;
use run_state::RunState;
use stack_samples::StackSamples;
use supply::StartSupply;
use warden_link::WardenLink;

/// The number of the host's own descriptors beside those of attempts, where they are not counted but estimated:
/// standard streams, the loop's own, files that the handler keeps open.
const BASE_DESCRIPTORS: u64 = 40;

/// The number of descriptors that a start needs for a moment: those sent to the warden, and a spool or two.
const SPARE_DESCRIPTORS: u64 = 8;

/// The most descriptors that one attempt holds in the host: two pipes, a pidfd, its group's three files (or its keeper's
/// socket), and the files of two spools. In the warden it holds fewer.
const ATTEMPT_DESCRIPTORS: u64 = 8;

/// The descriptors that a worker holds beside those: its channel.
const WORKER_DESCRIPTORS: u64 = 1;

/// The longest wait for the warden to end what is left of a run.
const DISMISSAL_MAX: Duration = Duration::from_secs(5);

/// The time between two checks of a process group that outlives its leader.
const GROUP_CHECK_EVERY: Duration = Duration::from_millis(20);

/// Settings of an engine, apart from the jobs themselves.
#[derive(Debug)]
pub struct Setup {
    /// The policy of the dispatcher.
    pub policy: RunPolicy,
    /// The level of containment that is demanded; `None`: the best that costs no further process a job.
    pub contain: Option<Containment>,
    /// Ends of the standard streams of jobs.
    pub streams: Streams,
    /// Surroundings that all jobs have in common.
    pub surroundings: Surroundings,
    /// Directory for output that is too large for memory.
    pub spool_dir: PathBuf,
    /// The name of the run, for people; jobs see it as `PSMITH_RUN`.
    pub run: String,
}

/// Surroundings that all jobs of a run have in common.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// The whole environment: `K=V` and NUL, back to back.
    pub env: Vec<u8>,
    /// File mode creation mask; `None`: the host's.
    pub umask: Option<u32>,
    /// Resource limits of each process, over those inherited.
    pub rlimits: Vec<Rlimit>,
    /// The number added to the niceness.
    pub nice: i32,
    /// True if set-uid programs gain nothing.
    pub no_new_privs: bool,
    /// Limits of the whole tree of a job, which only a control group can hold.
    pub tree: TreeLimits,
    /// The directory that the warden removes when this program is gone, after all processes of the run.
    pub scratch: Option<PathBuf>,
    /// True if workers see the arguments of this program as theirs.
    pub has_arguments: bool,
    /// The terminal that a job is given; the job then stays in the host's session.
    pub terminal: Option<OwnedFd>,
    /// A terminal whose modes this program or its jobs change, and the modes that the warden puts back if this program is
    /// gone.
    pub found_terminal: Option<(OwnedFd, TerminalModes)>,
}

/// The engine of a run. Made with [`Engine::new`], it works until [`Engine::run`] returns.
pub struct Engine<H: Handler> {
    handler: H,
    dispatch: Dispatch,
    epoll: Epoll,
    warden: WardenLink,
    cgroup_slots: CgroupSlots,
    supply: StartSupply,
    output: OutputStore,
    jobs: HashMap<JobId, Entry<H::Job>>,
    attempts: Attempts,
    channels: WorkerChannels,
    ready: ReadyEvents,
    state: RunState,
    samples: StackSamples,
    /// Those of this process when the warden was started, which has them.
    credentials: Credentials,
    /// The number of descriptors that this process may have.
    nofile: u64,
    _counted: descriptors::Counted,
}

/// A job between acceptance and delivery.
struct Entry<J> {
    job: J,
    slot: SlotId,
    started: SystemTime,
    outcome: Option<Box<Outcome>>,
    output: AttemptOutput,
    next_in_line: bool,
    /// True if its activity is to be reported, because it has an idle limit.
    reports_activity: bool,
    spans: spans::JobSpans,
}

impl<H: Handler> Engine<H> {
    /// Returns an engine for this handler. Starts the warden, but no job.
    ///
    /// # Errors
    ///
    /// If the demanded containment is not available here, or the warden cannot be started.
    pub fn new(handler: H, setup: Setup) -> Result<Engine<H>, EngineError> {
        // Before the warden is started, which pays for descriptors of each job, too: it inherits the limit.
        let nofile = psmith_sys::rlimit::raise_nofile().map_err(EngineError::Kernel)?;
        // Before the warden has them.
        let credentials = Credentials::now();
        // First of all, so that nothing that follows can outlive a host that is killed meanwhile; and the warden starts
        // up while the rest is made.
        let warden = Warden::launch(setup.surroundings.has_arguments);
        let warden = warden.map_err(|error| EngineError::Warden { error, words: String::new() })?;
        match Engine::prepare(handler, setup, nofile, credentials) {
            Ok(mut engine) => engine.warden.engage(&engine.epoll, warden).map(|()| engine),
            Err(error) => {
                warden.reap();
                Err(error)
            }
        }
    }

    fn prepare(
        mut handler: H,
        mut setup: Setup,
        (nofile_soft, nofile_now): (u64, u64),
        credentials: Credentials,
    ) -> Result<Engine<H>, EngineError> {
        let level = choose(setup.contain)?;
        if nofile_soft != nofile_now {
            // Jobs get the limit that the host was given, not the one that it raised for itself.
            let original = Rlimit { resource: Resource::OpenFiles, soft: nofile_soft, hard: nofile_now };
            setup.surroundings.rlimits.insert(0, original);
        }
        let cgroup_slots = CgroupSlots::new(level, &setup.surroundings.tree).map_err(EngineError::Kernel)?;
        let introduction = Introduction {
            marker: format!("{NONCE_VARIABLE}={:016x}", nonce().map_err(EngineError::Kernel)?).into_bytes(),
            holding: cgroup_slots.holding(),
            group_dirs: cgroup_slots.group_dirs(),
            scratch: setup.surroundings.scratch.clone(),
            again: false,
        };
        let epoll = watch_wakes(&handler).map_err(EngineError::Kernel)?;
        let workers = if handler.has_workers() { WORKER_DESCRIPTORS } else { 0 };
        let each = ATTEMPT_DESCRIPTORS + workers + cgroup_slots.descriptors_of_limits();
        let room = room_of_slots(nofile_now, each)?;
        handler.on_room(room);
        Ok(Engine {
            handler,
            dispatch: Dispatch::new(setup.policy, room),
            epoll,
            warden: WardenLink::new(introduction, setup.surroundings),
            cgroup_slots,
            supply: StartSupply::new(setup.run, setup.streams),
            output: OutputStore::new(setup.spool_dir),
            jobs: HashMap::new(),
            attempts: Attempts::default(),
            channels: WorkerChannels::default(),
            ready: ReadyEvents::with_capacity(256),
            state: RunState::new(),
            samples: StackSamples::default(),
            credentials,
            nofile: nofile_now,
            _counted: descriptors::Counted::engine(),
        })
    }

    /// Returns the level of containment in force.
    #[must_use]
    pub fn level(&self) -> Containment {
        self.cgroup_slots.level()
    }

    /// Returns the number of slots: those asked for, or as many as the descriptors suffice for.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.dispatch.slots()
    }

    /// Returns the handler, before the run begins.
    pub fn handler(&mut self) -> &mut H {
        &mut self.handler
    }

    /// Runs until every accepted job has been delivered, or [`EngineCommand::Leave`] was given. Returns the handler.
    ///
    /// # Errors
    ///
    /// If psmith itself failed. Accepted jobs have still been given their outcomes, as far as the consumer took them.
    pub fn run(mut self) -> (H, Result<(), EngineError>) {
        while self.advance() {
            self.wait(None);
        }
        self.close()
    }

    /// Asks the producer again after it returned [`Pull::Later`].
    pub fn has_more(&mut self) {
        self.state.wake_source();
    }

    /// Does all that can be done now; returns false when the run is over.
    pub fn advance(&mut self) -> bool {
        if !self.state.is_over() {
            self.ask_producer();
            self.settle();
            self.notice_last_job();
            let mut commands = Vec::new();
            self.state.set_tick(self.handler.tick(&self.dispatch.view(), &mut commands));
            self.take_commands(commands);
            self.settle();
        }
        !self.state.is_over()
    }

    /// Waits for an event, at most for `limit`, and handles it.
    pub fn wait(&mut self, limit: Option<Duration>) {
        self.stock_pipes();
        let timeout = [self.patience(), limit].into_iter().flatten().min();
        let mut ready = std::mem::take(&mut self.ready);
        if let Err(error) = self.epoll.wait(&mut ready, timeout) {
            self.state.fail(EngineError::Kernel(error));
            // No event can arrive any more.
            self.state.finish();
            return;
        }
        for event in ready.iter() {
            self.on_ready(event);
        }
        self.ready = ready;
        self.check_warden();
        self.check_orphaned_groups();
        self.end_closed_workers();
        self.keep_paused_active();
        self.dispatch.handle_timers();
    }

    /// Returns the time that the loop may sleep when nothing happens.
    fn patience(&self) -> Option<Duration> {
        if self.state.asks_source() && self.dispatch.wants_job() {
            return Some(Duration::ZERO);
        }
        let deadline = self.dispatch.until_deadline();
        let ping = self.dispatch.has_running().then(|| self.warden.until_ping());
        let groups = self.attempts.has_orphaned_groups().then_some(GROUP_CHECK_EVERY);
        [self.state.tick(), deadline, ping, groups, self.channels.until_closed()].into_iter().flatten().min()
    }

    /// Takes jobs from the producer while there is room.
    fn ask_producer(&mut self) {
        while self.state.asks_source() && self.dispatch.wants_job() {
            match self.handler.pull() {
                Pull::Job(job, policy) => self.accept(job, policy),
                Pull::Later => self.state.await_source(),
                Pull::Ended => self.end_source(),
            }
            self.settle();
        }
    }

    /// Makes the only job that is left the next in line, also where outcomes are delivered in completion order.
    fn notice_last_job(&mut self) {
        if !self.state.source_has_ended() || self.jobs.len() != 1 {
            return;
        }
        let last =
            self.jobs.iter().next().filter(|(_, entry)| !entry.next_in_line && entry.outcome.is_none());
        if let Some((&job, _)) = last {
            self.become_next_in_line(job);
        }
    }

    fn accept(&mut self, job: H::Job, policy: Arc<psmith_core::JobPolicy>) {
        let id = self.dispatch.next_job();
        let entry = Entry {
            job,
            slot: SlotId(0),
            started: SystemTime::now(),
            outcome: None,
            output: AttemptOutput::default(),
            next_in_line: false,
            reports_activity: policy.idle.is_some(),
            spans: spans::JobSpans::accepted(id),
        };
        self.jobs.insert(id, entry);
        self.dispatch.push(Event::Accepted { job: id, policy });
    }

    /// Feeds all pending events to the dispatcher and carries out what it asks for, until both are empty.
    fn settle(&mut self) {
        loop {
            let mut actions = self.dispatch.take_actions();
            if actions.is_empty() {
                return self.dispatch.reuse(actions);
            }
            for action in actions.drain(..) {
                self.carry_out(action);
            }
            self.dispatch.reuse(actions);
        }
    }

    fn take_commands(&mut self, commands: Vec<EngineCommand>) {
        for command in commands {
            let event = match command {
                EngineCommand::Drain => Event::Drain,
                EngineCommand::Stop => Event::Stop,
                EngineCommand::Kill => Event::Kill,
                EngineCommand::Slots(slots) => {
                    self.dispatch.set_slots(slots);
                    continue;
                }
                EngineCommand::Hold(reason, on) => Event::Hold { reason, on },
                EngineCommand::Preempt => Event::Preempt,
                EngineCommand::Cancel(job) => Event::Cancel(job),
                EngineCommand::Delivered(job) => {
                    self.output.on_delivered(job);
                    Event::Delivered(job)
                }
                EngineCommand::TotalKnown(total) => Event::TotalKnown(total),
                EngineCommand::Leave => {
                    self.state.leave();
                    continue;
                }
                EngineCommand::Send(job, messages) => {
                    self.send_to_worker(job, messages.0);
                    continue;
                }
                EngineCommand::Signal(job, signal) => {
                    self.signal_now(job, signal);
                    continue;
                }
                EngineCommand::KillNow(job) => {
                    self.kill_now(job);
                    continue;
                }
                EngineCommand::ReapStrangers => {
                    self.warden.reap_strangers();
                    continue;
                }
                EngineCommand::SampleStack(pid, requester) => {
                    self.sample_stack(pid, requester);
                    continue;
                }
                EngineCommand::Suspend => {
                    self.suspend();
                    continue;
                }
                EngineCommand::Fail(error) => {
                    self.fail(EngineError::Consumer(error));
                    continue;
                }
                EngineCommand::GiveUp(error) => {
                    self.fail(*error);
                    continue;
                }
            };
            let ends = matches!(event, Event::Drain | Event::Stop | Event::Kill);
            self.dispatch.push(event);
            if ends {
                self.end_source();
            }
        }
    }

    /// Stops asking the producer: no more jobs are wanted.
    fn end_source(&mut self) {
        if self.state.end_source() {
            self.dispatch.push(Event::SourceEnded);
        }
    }

    /// Ends the run, which cannot go on: running jobs are stopped, outcomes are delivered as far as possible, and the
    /// error is returned at the end.
    fn fail(&mut self, error: EngineError) {
        if self.state.fail(error) {
            self.dispatch.push(Event::Stop);
            self.end_source();
        }
    }

    /// Cleans up: the groups first, then the warden, which ends what jobs left behind.
    pub fn close(mut self) -> (H, Result<(), EngineError>) {
        if self.state.is_leaving() {
            self.cgroup_slots.abandon();
            // To drop the socket is enough: the warden kills what is left, and removes the groups.
            let is_waited_for = self.credentials.change().is_some();
            self.warden.abandon(is_waited_for.then_some(DISMISSAL_MAX));
            return (self.handler, self.state.into_result());
        }
        self.attempts.clear();
        let removed = self.cgroup_slots.remove();
        self.warden.dismiss(DISMISSAL_MAX);
        if let Err(error) = removed {
            self.state.fail(EngineError::Kernel(error));
        }
        (self.handler, self.state.into_result())
    }
}

/// Returns the demanded level or a better one; without a demand the best, keepers left out.
pub(crate) fn choose(demand: Option<Containment>) -> Result<Containment, EngineError> {
    let mut reasons = Vec::new();
    for level in Containment::ALL {
        if demand.is_some_and(|demanded| level < demanded) {
            break;
        }
        if level == Containment::Keeper && demand != Some(Containment::Keeper) {
            continue;
        }
        match level.probe() {
            Ok(()) => return Ok(level),
            Err(reason) => reasons.push((level, reason)),
        }
    }
    Err(EngineError::Containment { demanded: demand.unwrap_or(Containment::Group), reasons })
}

/// Makes a poll set with the handler's wake-ups in it.
fn watch_wakes(handler: &impl Handler) -> io::Result<Epoll> {
    let epoll = Epoll::new().map_err(|error| refused("epoll_create1", "to wait for jobs", error))?;
    for (index, fd) in handler.wake_fds().into_iter().enumerate() {
        epoll.add(fd, observe::Token::Wake(index as u32).pack(), Interest::READ)?;
    }
    Ok(epoll)
}

/// Returns the number of slots of `each` descriptors for which those suffice that are not open yet, of `nofile` in all.
fn room_of_slots(nofile: u64, each: u64) -> Result<u32, EngineError> {
    let room = nofile.saturating_sub(descriptors_open() + SPARE_DESCRIPTORS) / each;
    if room == 0 {
        return Err(EngineError::Descriptors(nofile));
    }
    Ok(u32::try_from(room).unwrap_or(u32::MAX))
}

/// Returns the number of descriptors that this process has open.
fn descriptors_open() -> u64 {
    // The listing's own descriptor is among them.
    std::fs::read_dir("/proc/self/fd").map_or(BASE_DESCRIPTORS, |open| open.count() as u64)
}

/// Returns the number of slots for which this many descriptors suffice, about.
#[must_use]
pub fn slots_by_descriptors(nofile: u64) -> u32 {
    let slots = nofile.saturating_sub(BASE_DESCRIPTORS + SPARE_DESCRIPTORS) / ATTEMPT_DESCRIPTORS;
    u32::try_from(slots).unwrap_or(u32::MAX).max(1)
}
