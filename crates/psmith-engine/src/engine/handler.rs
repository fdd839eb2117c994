//! The interface between the engine and its user: the questions that the engine asks, and the events that it reports.
//! Contains no behaviour beyond defaults.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use psmith_core::event::HoldReason;
use psmith_core::outcome::{Cause, Outcome, SpawnFailure};
use psmith_core::{AttemptId, Dispatcher, JobId, JobPolicy, Notice, SlotId, Time};

use crate::channel::frame::Body;
use crate::channel::messages::ToWorker;
use crate::command::{Launch, OwnSurroundings};
pub use crate::engine::attempt_output::{AttemptOutput, LossReason, OutputKept, TAIL_BYTES_MAX};
use crate::engine::error::EngineError;
use crate::engine::spool::Spool;
pub use crate::engine::stack_samples::StackRequester;
pub use crate::engine::worker_channel::WorkerMessage;
use crate::limits::LimitsInForce;

/// The producer and the consumer of a run.
///
/// All methods are called on the engine's own thread and must not block: while one of them runs, no deadline is kept
/// and no process is reaped. Work that may block (reading input, writing output) belongs on a thread of the handler's,
/// which wakes the engine by one of [`Handler::wake_fds`].
pub trait Handler {
    /// A job, as the producer made it.
    type Job;

    /// Returns whether jobs may be function workers, which take a descriptor more than commands.
    fn has_workers(&self) -> bool {
        false
    }

    /// Notes the number of slots for which the descriptors suffice, before the run begins: more are never given.
    fn on_room(&mut self, slots: u32) {
        let _ = slots;
    }

    /// Returns the next job, if there is one now. Not called again after [`Pull::Ended`].
    fn pull(&mut self) -> Pull<Self::Job>;

    /// Makes the command or worker to be started for an attempt, just before its start. An error is the attempt's spawn
    /// failure.
    ///
    /// # Errors
    ///
    /// Any reason why it cannot be made: a NUL byte in a command, a program that does not exist.
    fn launch(&mut self, job: &mut Self::Job, at: AttemptSlot) -> Result<Launch, SpawnFailure>;

    /// Returns the limits that hold for this job in place of the run's. Called at each start.
    fn limits(&self, job: &Self::Job) -> Option<Arc<LimitsInForce>> {
        let _ = job;
        None
    }

    /// Returns the surroundings that this job has in place of the run's. Called at each start.
    fn surroundings(&self, job: &Self::Job) -> Option<Arc<OwnSurroundings>> {
        let _ = job;
        None
    }

    /// Fills `reply` with the worker's first job: the worker has sent its hello, or is about to be forked as a copy of
    /// a warden that has.
    fn greeted(&mut self, view: &View<'_>, job: &mut Self::Job, at: AttemptSlot, reply: &mut HandlerReply) {
        let _ = (view, job, at, reply);
    }

    /// Receives a message from a worker.
    fn on_message(
        &mut self,
        view: &View<'_>,
        job: &mut Self::Job,
        at: AttemptSlot,
        message: WorkerMessage,
        reply: &mut HandlerReply,
    ) {
        let _ = (view, job, at, message, reply);
    }

    /// Decides which output of this job is passed on while it runs. Called at each start, and once more when the job
    /// becomes the only one whose output can come next.
    fn live(&mut self, job: &Self::Job, next_in_line: bool) -> Live;

    /// Receives output of a live job, as it is read: the first `length` bytes of `buffer`. `stream` is 1 or 2. A
    /// handler that wants to keep them puts another buffer of the same size in place of this one.
    fn output(&mut self, id: JobId, job: &mut Self::Job, stream: u8, buffer: &mut Vec<u8>, length: usize);

    /// Notes that output of a live job is about to be read, if there is any.
    fn reads_live(&mut self, id: JobId) {
        let _ = id;
    }

    /// Takes the output that a job had written before it became live: it comes first, all at once.
    fn backlog(&mut self, id: JobId, job: &mut Self::Job, stream: u8, backlog: Spool);

    /// Returns which part of this job's output is kept until its outcome. Called at each start.
    fn kept_output(&self, job: &Self::Job) -> OutputKept {
        let _ = job;
        OutputKept::ALL
    }

    /// Returns whether output that cannot be kept ends the run; if not, it counts as lost, and the job goes on.
    fn ends_at_lost_output(&self) -> bool {
        true
    }

    /// Returns whether output that is passed on live is kept for the delivery as well.
    fn keeps_live_output(&self) -> bool {
        false
    }

    /// Returns whether live output is taken. While it is not, jobs that write wait on their pipes.
    fn takes_output(&self) -> bool;

    /// Returns whether anything that jobs write is to be read. While it is not, jobs that write wait on their pipes,
    /// live or not; only what a job had written when it ended is still read. A wake-up announces the change back.
    fn reads_output(&self) -> bool {
        true
    }

    /// Observes everything that is read from a job's streams, live or not.
    fn read(&mut self, job: &Self::Job, attempt: u32, stream: u8, bytes: &[u8]) {
        let _ = (job, attempt, stream, bytes);
    }

    /// Observes an event that a log or a board may show.
    fn on_event(&mut self, view: &View<'_>, event: EngineEvent<'_, Self::Job>);

    /// Receives the outcome of a job, once for each job, in the requested order.
    fn deliver(&mut self, view: &View<'_>, delivery: Delivery<Self::Job>) -> Taken;

    /// Returns the descriptors whose readability leads to a call of [`Handler::woken`]. Called once.
    fn wake_fds(&self) -> Vec<BorrowedFd<'_>>;

    /// Reacts to a readable descriptor, which must not be readable any more when this returns.
    fn woken(&mut self, view: &View<'_>, commands: &mut Vec<EngineCommand>);

    /// Runs after each turn of the engine; returns the longest time until its next call.
    fn tick(&mut self, view: &View<'_>, commands: &mut Vec<EngineCommand>) -> Option<Duration>;

    /// Stops this process, now that all jobs are stopped (Ctrl-Z); returns when it has been continued.
    fn suspended(&mut self) {}
}

/// The result of [`Handler::pull`].
#[derive(Debug)]
pub enum Pull<J> {
    /// A job.
    Job(J, Arc<JobPolicy>),
    /// A pause: a wake-up follows when there may be a job.
    Later,
    /// The end: no more jobs follow.
    Ended,
}

/// A handler's answer to a worker's message.
#[derive(Debug, Default)]
pub struct HandlerReply {
    /// Messages to the worker, with their bodies.
    pub messages: Vec<(ToWorker, Body)>,
    /// The end of the attempt, as far as its function is concerned. The process ends later.
    pub report: Option<Result<(), Cause>>,
    /// True if output that the worker has written by now is read before anything else happens: it belongs to the job
    /// that is over.
    pub reads_output: bool,
    /// True if the worker is to find no more jobs.
    pub hang_up: bool,
    /// The description of how the worker broke the protocol.
    pub breach: Option<String>,
    /// Commands to the engine.
    pub commands: Vec<EngineCommand>,
}

/// An attempt, and the slot that it runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptSlot {
    /// The attempt.
    pub attempt: AttemptId,
    /// The attempt's slot.
    pub slot: SlotId,
}

/// The output of a job that is passed on while it runs; the rest is kept until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// Neither stream.
    Nothing,
    /// Standard output; standard error follows when the job has ended.
    Stdout,
    /// Standard error; standard output follows when the job has ended.
    Stderr,
    /// Both streams.
    Both,
}

/// The state of the engine at the moment of a call.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Counts and running attempts.
    pub dispatcher: &'a Dispatcher,
    /// The run's clock.
    pub now: Time,
}

/// An event that the handler is notified of.
#[derive(Debug)]
pub enum EngineEvent<'a, J> {
    /// The process of an attempt exists.
    Started {
        /// The attempt and its slot.
        at: AttemptSlot,
        /// The attempt's job.
        job: &'a J,
        /// The id of its process.
        pid: u32,
    },
    /// The process of an attempt was stopped, by another process or by the terminal that it was given. Its deadline
    /// goes on. Not reported for a stop by [`EngineCommand::Suspend`].
    Stopped {
        /// The attempt and its slot.
        at: AttemptSlot,
        /// The attempt's job.
        job: &'a J,
        /// The signal that stopped it.
        signal: i32,
    },
    /// A stopped process goes on.
    Continued {
        /// The attempt and its slot.
        at: AttemptSlot,
        /// The attempt's job.
        job: &'a J,
    },
    /// A notice of the dispatcher.
    Notice(&'a Notice, Option<&'a J>),
    /// A job has its outcome (its delivery may come later).
    Ended(Ending<'a, J>),
    /// The warden was lost; the run goes on with another.
    WardenLost {
        /// The last text on its standard error; often empty.
        words: &'a str,
    },
    /// An orphan that belongs to no known job was killed.
    OrphanKilled {
        /// The orphan's process id.
        pid: u32,
        /// The orphan's command line, as text for people.
        command: &'a [u8],
    },
}

/// The end of a job, before its delivery.
#[derive(Debug)]
pub struct Ending<'a, J> {
    /// The job's number.
    pub id: JobId,
    /// The job itself.
    pub job: &'a J,
    /// The job's outcome.
    pub outcome: &'a Outcome,
    /// The slot in which its last attempt ran.
    pub slot: SlotId,
    /// The start time of its last attempt.
    pub started: SystemTime,
    /// Output of its last attempt.
    pub output: &'a AttemptOutput,
}

/// A job's outcome and output.
#[derive(Debug)]
pub struct Delivery<J> {
    /// The job's number.
    pub id: JobId,
    /// The job itself, given back.
    pub job: J,
    /// The job's outcome.
    pub outcome: Box<Outcome>,
    /// The slot in which its last attempt ran.
    pub slot: SlotId,
    /// The start time of its last attempt.
    pub started: SystemTime,
    /// Output of its last attempt.
    pub output: AttemptOutput,
}

/// The result of [`Handler::deliver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The delivery is done.
    Now,
    /// The delivery goes on; [`EngineCommand::Delivered`] tells when it is done.
    Later,
}

/// Messages to a worker, with their bodies.
#[derive(Debug)]
pub struct MessagesToWorker(pub Vec<(ToWorker, Body)>);

/// A handler's command to the engine.
#[derive(Debug)]
pub enum EngineCommand {
    /// Start no more jobs, and let the running ones finish.
    Drain,
    /// Start no more jobs, and end the running ones by their ladder.
    Stop,
    /// Start no more jobs, and kill the running ones now.
    Kill,
    /// Return at once; the warden kills what is left.
    Leave,
    /// Have this many slots from now on.
    Slots(u32),
    /// Begin or end a reason to hold starts.
    Hold(HoldReason, bool),
    /// Preempt the youngest attempt.
    Preempt,
    /// End this job.
    Cancel(JobId),
    /// Kill the process of this job's attempt with all its descendants, now. The job's outcome is decided as for any
    /// other end: [`EngineCommand::Cancel`] it first where it is to end as cancelled.
    KillNow(JobId),
    /// Reap the children of this process that it has not started itself: those that it was given as the first process of
    /// a namespace.
    ReapStrangers,
    /// Send a signal to the tree of this job's attempt, if it is alive. The reaction is up to the job.
    Signal(JobId, i32),
    /// Sample the stacks of this process, if it belongs to an attempt of this run.
    #[doc(hidden)]
    SampleStack(u32, StackRequester),
    /// Note that a delivery answered with [`Taken::Later`] is done.
    Delivered(JobId),
    /// Send messages to the worker that serves this job.
    #[doc(hidden)]
    Send(JobId, MessagesToWorker),
    /// Stop all jobs and the clock, call [`Handler::suspended`], go on.
    Suspend,
    /// Stop the run and return this error: the consumer has failed for good (its disk is full).
    Fail(io::Error),
    /// Stop the run and return this reason: it cannot go on.
    GiveUp(Box<EngineError>),
    /// Expect this many jobs in all.
    TotalKnown(u64),
}

/// The ends of the standard streams of jobs.
#[derive(Debug)]
pub struct Streams {
    /// Standard input; `None` is `/dev/null`.
    pub stdin: Option<OwnedFd>,
    /// Standard output and error, inherited as they are; `None`: the engine captures them.
    pub inherit: Option<(OwnedFd, OwnedFd)>,
    /// True if the standard output of commands is captured all the same: it is their value.
    pub captures_values: bool,
}
