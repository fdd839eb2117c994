//! The events that the core receives: from the producer, from the kernel by way of the warden, from the user.

use alloc::sync::Arc;

use crate::id::{AttemptId, JobId};
use crate::outcome::{Cause, Evidence, Exit, SpawnFailure, Usage};
use crate::policy::JobPolicy;

/// An event that the driver reports to the core.
#[derive(Clone, Debug)]
pub enum Event {
    // From the producer.
    /// A job was accepted. Ids are given by the dispatcher: `job` is its [`Dispatcher::next_job`](crate::Dispatcher::next_job).
    Accepted {
        /// The job's number.
        job: JobId,
        /// The policy that applies to it.
        policy: Arc<JobPolicy>,
    },
    /// The source has no more jobs. Also sent when a drain, a stop or a halt means that the source is not read any
    /// more: without this event there is no `Finish`.
    SourceEnded,
    /// The total number of jobs, known beforehand.
    TotalKnown(u64),

    // From the kernel, by way of the warden.
    /// The process of an attempt exists. (Its program may still fail to be executed: then `StartFailed` follows.)
    /// Comes before `Exited`; nothing is done to an attempt before it.
    Started {
        /// The attempt.
        attempt: AttemptId,
        /// The process id.
        pid: u32,
    },
    /// The start failed in itself: the attempt is over, no program ran.
    StartFailed {
        /// The attempt.
        attempt: AttemptId,
        /// The step that failed, and why.
        failure: SpawnFailure,
    },
    /// The machine has no process or descriptor to give at present. That is not the job's fault; the job is queued
    /// again. Comes instead of `Started`. The job's next start has a new attempt number.
    StartRefused {
        /// The attempt; no process was created for it.
        attempt: AttemptId,
        /// The refusal: `EAGAIN`, `ENOMEM`, `EMFILE`, `ENFILE`.
        failure: SpawnFailure,
    },
    /// The worker of this attempt has reported how its function ended, while its process is still running. The report
    /// is final, whatever becomes of the process afterwards: a finished function is never run again. Ignored once
    /// psmith has begun to end the attempt (unless the attempt only gives way), and after the first report.
    Reported {
        /// The attempt.
        attempt: AttemptId,
        /// The reported result.
        verdict: Result<(), Cause>,
    },
    /// An attempt gave a sign of life: its job wrote output or sent a message. Counts for attempts whose policy has an
    /// idle limit; ignored for others.
    Beat(AttemptId),
    /// The process of an attempt has ended. If no descendant is alive and its output is closed, the attempt is over;
    /// otherwise `TreeEmpty` and `OutputClosed` must follow, each for what was still there.
    Exited {
        /// The attempt.
        attempt: AttemptId,
        /// The exit status.
        exit: Exit,
        /// The resources used.
        usage: Usage,
        /// The kernel's evidence of limits that were hit.
        evidence: Evidence,
        /// The number of descendants that are alive, as far as containment can tell.
        alive: u32,
        /// True if a process still holds its output open.
        output_open: bool,
    },
    /// The last descendant of an exited attempt is gone: it ended by itself or by `KillTree`, or was released by
    /// `ReleaseTree`. Ignored before `Exited`, which reports the descendants that are alive.
    TreeEmpty {
        /// The attempt.
        attempt: AttemptId,
        /// The number of descendants killed or released since the exit; 0 if they ended by themselves.
        killed: u32,
    },
    /// The output of an exited attempt has reached its end, or is not read any more. Ignored before `Exited`.
    OutputClosed {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The keeper of this one attempt is gone, and with it the attempt: it is lost, through no fault of the job.
    Vanished {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The warden is gone, and with it every attempt that had not ended. What was reported before remains valid;
    /// reports about attempts of the old warden that still come in are ignored. Nothing is started until
    /// `WardenReady`.
    WardenLost,
    /// Another warden is ready. (The first one is assumed to be.)
    WardenReady,

    // From the user and the machine.
    /// Starts nothing more, and lets the running attempts finish. Waiting jobs get their outcome at once: the failure
    /// for which they were to be tried again, or `Cancelled`.
    Drain,
    /// Starts nothing more, and ends the running attempts by their ladder.
    Stop,
    /// Starts nothing more, and kills the running attempts now.
    Kill,
    /// The number of slots from now on; running attempts are left alone.
    Slots(u32),
    /// A reason to hold new starts begins or ends.
    Hold {
        /// The reason.
        reason: HoldReason,
        /// True if the reason begins, false if it ends.
        on: bool,
    },
    /// Memory is so short that the youngest attempt must give way; it is killed and queued again, uncharged. Never the
    /// only attempt that makes progress, and none once a drain or a stop has begun.
    Preempt,
    /// Ends this job, wherever it is.
    Cancel(JobId),

    // From the consumer.
    /// The outcome of this job has been taken, its output written.
    Delivered(JobId),
}

/// The reason why starts are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldReason {
    /// The user paused the run: nothing starts.
    Paused,
    /// The reader of the run's events takes no more: nothing starts.
    Events,
    /// Load is above its bound: at least one job runs all the same.
    Load,
    /// Free memory is below its bound: at least one job runs all the same.
    Memory,
    /// Too many outcomes wait for delivery. The dispatcher detects that itself; a driver never sends it.
    Window,
    /// The machine gives no processes or descriptors: at least one job runs all the same. The dispatcher learns it
    /// from `StartRefused`; a driver sends it only for what it knows beyond that.
    Resources,
}

impl HoldReason {
    /// Returns the word for it.
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
