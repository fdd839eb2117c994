//! Everything the core hears: from the producer, from the kernel by way of the warden, from the user.

use alloc::sync::Arc;

use crate::id::{AttemptId, JobId};
use crate::outcome::{Cause, Evidence, Exit, SpawnFailure, Usage};
use crate::policy::JobPolicy;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    // From the producer.
    /// A job was accepted. Ids are given by the dispatcher: `job` is its [`Dispatcher::next_job`](crate::Dispatcher::next_job).
    Accepted {
        /// The job's number.
        job: JobId,
        /// What holds for it.
        policy: Arc<JobPolicy>,
    },
    /// There will be no more jobs. Also sent when a drain, a stop or a halt means that the source is not asked any
    /// more: without it there is no `Finish`.
    SourceEnded,
    /// So many jobs there will be, known beforehand.
    TotalKnown(u64),

    // From the kernel, by way of the warden.
    /// The process of an attempt exists. (Its program may still fail to be executed: then `StartFailed` follows.)
    /// Comes before `Exited`; nothing is done to an attempt before it.
    Started {
        /// Which attempt.
        attempt: AttemptId,
        /// Its process id.
        pid: u32,
    },
    /// The start failed in itself: the attempt is over, no program ran.
    StartFailed {
        /// Which attempt.
        attempt: AttemptId,
        /// Where and why.
        failure: SpawnFailure,
    },
    /// The machine has no process or descriptor to give just now: not the job's fault, it waits for its turn.
    /// Comes instead of `Started`. The next start of the job has a number of its own.
    StartRefused {
        /// Which attempt; it never was.
        attempt: AttemptId,
        /// `EAGAIN`, `ENOMEM`, `EMFILE`, `ENFILE`.
        failure: SpawnFailure,
    },
    /// The worker of this attempt has said how its function ended, while its process still lives. That stands,
    /// whatever becomes of the process afterwards: what has finished is never run again. Ignored once psmith has begun
    /// to end the attempt (unless it only gives way), and after the first report.
    Reported {
        /// Which attempt.
        attempt: AttemptId,
        /// What it said.
        verdict: Result<(), Cause>,
    },
    /// An attempt gave a sign of life: its job wrote something or said something. Counts for those whose policy has a
    /// limit of idleness; to others it says nothing.
    Beat(AttemptId),
    /// The process of an attempt has ended. With nobody alive and its output closed the attempt is over with it;
    /// otherwise `TreeEmpty` and `OutputClosed` must follow, each for what was still there.
    Exited {
        /// Which attempt.
        attempt: AttemptId,
        /// How.
        exit: Exit,
        /// What it used.
        usage: Usage,
        /// What the kernel says of limits.
        evidence: Evidence,
        /// Descendants that live, as far as containment can tell.
        alive: u32,
        /// Whether somebody still holds its output open.
        output_open: bool,
    },
    /// The last descendant of an exited attempt is gone, by itself or by `KillTree`, or let go by `ReleaseTree`.
    /// Before `Exited` it says nothing and is ignored: `Exited` tells who lives.
    TreeEmpty {
        /// Which attempt.
        attempt: AttemptId,
        /// How many were killed or let go since the exit; 0 if they ended by themselves.
        killed: u32,
    },
    /// The output of an exited attempt has reached its end, or nobody reads it any more. Before `Exited` it says
    /// nothing and is ignored.
    OutputClosed {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// The keeper of this one attempt is gone, and with it the attempt: lost, through no fault of the job.
    Vanished {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// The warden is gone, and with it every attempt that had not ended. What was reported before stands; reports
    /// on attempts of the old warden that still come in are ignored. Nothing is started until `WardenReady`.
    WardenLost,
    /// Another warden stands ready. (The first one is taken to be.)
    WardenReady,

    // From the user and the machine.
    /// Start no more, let the running finish. Jobs that wait get their outcome at once: the failure for which they
    /// were to be tried again, or `Cancelled`.
    Drain,
    /// Start no more, end the running by their ladder.
    Stop,
    /// Start no more, kill the running now.
    Kill,
    /// So many slots from now on; running attempts are left alone.
    Slots(u32),
    /// A reason to hold new starts begins or ends.
    Hold {
        /// Why.
        reason: HoldReason,
        /// Whether it begins.
        on: bool,
    },
    /// Memory is so short that the youngest attempt must give way; it is killed and queued again, uncharged.
    /// Never the only one that works; and nobody once a drain or a stop has begun.
    Preempt,
    /// End this job, wherever it is.
    Cancel(JobId),

    // From the consumer.
    /// The outcome of this job has been taken, its output written.
    Delivered(JobId),
}

/// Why starts are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldReason {
    /// The user paused the run: nothing starts.
    Paused,
    /// What is told of the run waits for a reader that takes no more: nothing starts.
    Events,
    /// Load is above its bound: at least one job runs all the same.
    Load,
    /// Free memory is below its bound: at least one job runs all the same.
    Memory,
    /// Too many outcomes wait for delivery. The dispatcher sees that itself; a driver never sends it.
    Window,
    /// The machine gives no processes or descriptors: at least one job runs all the same. The dispatcher learns it
    /// from `StartRefused`; a driver sends it only for what it knows beyond that.
    Resources,
}

impl HoldReason {
    /// The one word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            HoldReason::Paused => "paused",
            HoldReason::Events => "events",
            HoldReason::Load => "load",
            HoldReason::Memory => "memory",
            HoldReason::Window => "window",
            HoldReason::Resources => "resources",
        }
    }
}
