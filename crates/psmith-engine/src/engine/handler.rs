//! The interface between the engine and whoever uses it: what it asks, and what it notifies of.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use psmith_core::event::HoldReason;
use psmith_core::outcome::{Cause, Outcome, SpawnFailure};
use psmith_core::{AttemptId, Dispatcher, JobId, JobPolicy, Notice, SlotId, Time};

use crate::channel::frame::Body;
use crate::channel::messages::ToWorker;
use crate::command::Launch;
use crate::engine::error::EngineError;
use crate::engine::spool::Spool;
pub use crate::engine::stack_samples::StackRequester;
pub use crate::engine::worker_channel::WorkerMessage;
use crate::limits::LimitsInForce;

/// The producer and the consumer of a run.
///
/// All methods are called on the engine's own thread and must not block: while one of them runs, no deadline
/// is kept and no process is reaped. What may block (reading input, writing output) belongs on a thread of the
/// handler's, which wakes the engine by one of [`Handler::wake_fds`].
pub trait Handler {
    /// A job, as the producer made it.
    type Job;

    /// The next job, if there is one now. Not called again after [`Pull::Ended`].
    fn pull(&mut self) -> Pull<Self::Job>;

    /// Makes what is to be started for an attempt, just before its start. An error is the attempt's spawn failure.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being made: a NUL byte in a command, a program that is not there.
    fn launch(&mut self, job: &mut Self::Job, at: AttemptSlot) -> Result<Launch, SpawnFailure>;

    /// Limits that hold for this job in place of the run's. Asked at each start.
    fn limits(&self, job: &Self::Job) -> Option<Arc<LimitsInForce>> {
        let _ = job;
        None
    }

    /// A worker has introduced itself, or is about to be forked as a copy of a warden that has: the messages in the
    /// reply afterwards are its first job.
    fn greeted(&mut self, view: &View<'_>, job: &mut Self::Job, at: AttemptSlot, reply: &mut HandlerReply) {
        let _ = (view, job, at, reply);
    }

    /// A worker said something.
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

    /// Says which output of this job is passed on while it runs. Asked at each start, and once more when the job
    /// becomes the only one whose output can come next.
    fn live(&mut self, job: &Self::Job, next_in_line: bool) -> Live;

    /// Output of a job that is live, as it comes: the first `length` bytes of `buffer`. `stream` is 1 or 2. A
    /// handler that wants to keep them puts another buffer of the same size in place of this one.
    fn output(&mut self, id: JobId, job: &mut Self::Job, stream: u8, buffer: &mut Vec<u8>, length: usize);

    /// Output of a job that is live is about to be read, if there is any.
    fn reads_live(&mut self, id: JobId) {
        let _ = id;
    }

    /// Takes what a job that becomes live had written before: it comes first, all at once.
    fn backlog(&mut self, id: JobId, job: &mut Self::Job, stream: u8, backlog: Spool);

    /// Whether output that is passed on live is kept for the delivery as well.
    fn keeps_live_output(&self) -> bool {
        false
    }

    /// Whether live output is welcome. While it is not, jobs that write wait on their pipes.
    fn takes_output(&self) -> bool;

    /// Whether anything that jobs write is to be read. While it is not, they wait on their pipes, live or not; only
    /// what a job had written when it ended is read all the same. A wake-up tells when it is again.
    fn reads_output(&self) -> bool {
        true
    }

    /// Sees everything that is read from a job's streams, live or not.
    fn read(&mut self, job: &Self::Job, attempt: u32, stream: u8, bytes: &[u8]) {
        let _ = (job, attempt, stream, bytes);
    }

    /// Takes notice of an event that a log or a board may show.
    fn on_event(&mut self, view: &View<'_>, event: EngineEvent<'_, Self::Job>);

    /// The outcome of a job, once a job, in the order asked for.
    fn deliver(&mut self, view: &View<'_>, delivery: Delivery<Self::Job>) -> Taken;

    /// Descriptors whose readability means that [`Handler::woken`] wants to be called. Asked once.
    fn wake_fds(&self) -> Vec<BorrowedFd<'_>>;

    /// Reacts to a descriptor that is readable. It must not be any more when this returns.
    fn woken(&mut self, view: &View<'_>, commands: &mut Vec<EngineCommand>);

    /// Called after each turn of the engine; returns when it wants to be called again at the latest.
    fn tick(&mut self, view: &View<'_>, commands: &mut Vec<EngineCommand>) -> Option<Duration>;

    /// Stops this process, now that all jobs are stopped (Ctrl-Z); returns when it has been continued.
    fn suspended(&mut self) {}
}

/// The answer to [`Handler::pull`].
#[derive(Debug)]
pub enum Pull<J> {
    /// A job.
    Job(J, Arc<JobPolicy>),
    /// No job now; a wake-up follows.
    Later,
    /// No job any more.
    Ended,
}

/// A handler's answer to a worker's message.
#[derive(Debug, Default)]
pub struct HandlerReply {
    /// Messages to the worker, with their bodies.
    pub messages: Vec<(ToWorker, Body)>,
    /// End of the attempt, as far as its function is concerned. The process ends later.
    pub report: Option<Result<(), Cause>>,
    /// Output that the worker has written by now is read before anything else happens: it belongs to the job that is
    /// over.
    pub reads_output: bool,
    /// The worker is to find no more jobs.
    pub hang_up: bool,
    /// The worker broke the protocol.
    pub breach: Option<String>,
    /// Further commands.
    pub commands: Vec<EngineCommand>,
}

/// An attempt, and the slot that it runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptSlot {
    /// The attempt.
    pub attempt: AttemptId,
    /// Its slot.
    pub slot: SlotId,
}

/// The output of a job that is passed on while it runs; the rest is kept until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// None.
    Nothing,
    /// Standard output; standard error follows when the job has ended.
    Stdout,
    /// Both.
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
        /// Its job.
        job: &'a J,
        /// Its process.
        pid: u32,
    },
    /// The process of an attempt stands still: somebody stopped it, or the terminal that it was given did. Its
    /// deadline goes on. Never told of a stop by [`EngineCommand::Suspend`].
    Stopped {
        /// The attempt and its slot.
        at: AttemptSlot,
        /// Its job.
        job: &'a J,
        /// By which signal.
        signal: i32,
    },
    /// A stopped process goes on.
    Continued {
        /// The attempt and its slot.
        at: AttemptSlot,
        /// Its job.
        job: &'a J,
    },
    /// A notice of the dispatcher.
    Notice(&'a Notice, Option<&'a J>),
    /// A job has its outcome (its delivery may come later).
    Ended(Ending<'a, J>),
    /// The warden was lost; the run goes on with another.
    WardenLost {
        /// What it said last; often nothing.
        words: &'a str,
    },
    /// An orphan that no job could be found for was killed.
    OrphanKilled {
        /// Its process id.
        pid: u32,
        /// Its command line, for people.
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
    /// When its last attempt started.
    pub started: SystemTime,
    /// Output of its last attempt.
    pub output: &'a Output,
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
    /// When its last attempt started.
    pub started: SystemTime,
    /// Output of its last attempt.
    pub output: Output,
}

/// The output of an attempt.
#[derive(Debug, Default)]
pub struct Output {
    /// Standard output, less what was passed on live and not kept.
    pub stdout: Spool,
    /// Standard error, less what was passed on live and not kept.
    pub stderr: Spool,
    /// Bytes of each that were passed on live. They are in the spools too if the handler keeps them.
    pub passed: [u64; 2],
    /// Length of all standard output.
    pub stdout_bytes: u64,
    /// Length of all standard error.
    pub stderr_bytes: u64,
    /// The last bytes of standard error, at most [`TAIL_BYTES_MAX`].
    pub stderr_tail: Vec<u8>,
}

/// Length of the end of a job's standard error that is kept beside its outcome.
pub const TAIL_BYTES_MAX: usize = 4096;

/// The answer to [`Handler::deliver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Done.
    Now,
    /// [`EngineCommand::Delivered`] will tell when it is done.
    Later,
}

/// Messages to a worker, with their bodies.
#[derive(Debug)]
pub struct MessagesToWorker(pub Vec<(ToWorker, Body)>);

/// A handler's command to the engine.
#[derive(Debug)]
pub enum EngineCommand {
    /// Start no more, let the running finish.
    Drain,
    /// Start no more, end the running by their ladder.
    Stop,
    /// Start no more, kill the running now.
    Kill,
    /// Return at once; the warden kills what is left.
    Leave,
    /// Have so many slots from now on.
    Slots(u32),
    /// A reason to hold starts begins or ends.
    Hold(HoldReason, bool),
    /// The youngest attempt must give way.
    Preempt,
    /// End this job.
    Cancel(JobId),
    /// Kill the process of this job's attempt with all that it started, now. What that makes of the job is another
    /// matter: [`EngineCommand::Cancel`] it first where it is to end as cancelled.
    KillNow(JobId),
    /// Send a signal to the tree of this job's attempt, if it lives. What it makes of that is its own affair.
    Signal(JobId, i32),
    /// Sample the stacks of this process, if it is an attempt's of this run.
    #[doc(hidden)]
    SampleStack(u32, StackRequester),
    /// A delivery answered with [`Taken::Later`] is done.
    Delivered(JobId),
    /// Messages to the worker that serves this job.
    #[doc(hidden)]
    Send(JobId, MessagesToWorker),
    /// Stop all jobs and the clock, call [`Handler::suspended`], go on.
    Suspend,
    /// The consumer has failed for good (its disk is full): stop the run, give this error back.
    Fail(io::Error),
    /// The run cannot go on, for this reason: stop it, give that back.
    GiveUp(Box<EngineError>),
    /// Expect so many jobs in all.
    TotalKnown(u64),
}

/// Ends of the standard streams of jobs.
#[derive(Debug)]
pub struct Streams {
    /// Standard input; `None` is `/dev/null`.
    pub stdin: Option<OwnedFd>,
    /// Standard output and error, handed down as they are; `None`: the engine captures them.
    pub inherit: Option<(OwnedFd, OwnedFd)>,
}
