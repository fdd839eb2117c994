//! The actions that the core asks its driver to carry out.

use alloc::boxed::Box;
use core::time::Duration;

use crate::event::HoldReason;
use crate::id::{AttemptId, JobId, SlotId};
use crate::outcome::{Cause, Outcome};

/// An action for the driver; actions are carried out in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Starts this attempt in this slot. Reply: `Started`, `StartFailed` or `StartRefused`.
    Start {
        /// The attempt.
        attempt: AttemptId,
        /// The slot.
        slot: SlotId,
        /// The attempt's memory limit, if it has one: the policy's, or more after attempts that ran out of memory.
        memory_bytes: Option<u64>,
    },
    /// Sends a signal to the attempt's whole tree (and `SIGCONT` after it, so that a stopped process receives it).
    Signal {
        /// The attempt.
        attempt: AttemptId,
        /// The signal's number, never `SIGKILL`.
        signal: i32,
    },
    /// Kills the attempt's whole tree. Requested once; the process may be running or have exited. Reply: `Exited`, if
    /// that had not come, then `TreeEmpty` if `Exited` reported descendants.
    KillTree {
        /// The attempt.
        attempt: AttemptId,
    },
    /// Releases the attempt's tree from its group: the job is done and its descendants may go on. Reply: `TreeEmpty`.
    ReleaseTree {
        /// The attempt.
        attempt: AttemptId,
    },
    /// Stops reading the attempt's output, because a process outside of its tree holds it open. Reply: `OutputClosed`.
    StopReading {
        /// The attempt.
        attempt: AttemptId,
    },
    /// Drops the output of an attempt that is over, because its job will be tried again. Nothing follows for this
    /// attempt but a `Retry` notice. (Also sent after `WardenLost`: the process is gone or will be swept.)
    Discard {
        /// The attempt.
        attempt: AttemptId,
    },
    /// Marks the job as the head: everything before it has been delivered, in submission order, so its output may be
    /// passed on while it runs. Comes before its `Start`, while it runs, or between two attempts.
    Head {
        /// The job.
        job: JobId,
    },
    /// Gives the job its outcome; its last attempt is over or, after `Unkillable`, given up. The driver keeps the
    /// outcome until `Deliver`.
    End {
        /// The job.
        job: JobId,
        /// The job's final outcome.
        outcome: Box<Outcome>,
    },
    /// Hands the job's outcome to the consumer, now, in this order. Reply, when it is done: `Delivered`.
    Deliver {
        /// The job.
        job: JobId,
    },
    /// A notice for a board or a log. Nothing depends on it.
    Notice(Notice),
    /// Finishes the run: every accepted job has been delivered and there will be no more. The last action of a run.
    Finish,
}

/// A notice without consequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// An attempt failed and will be tried again after `delay`.
    Retry {
        /// The attempt.
        attempt: AttemptId,
        /// The cause of its failure.
        cause: Cause,
        /// The time that the job waits.
        delay: Duration,
        /// True if the attempt counted as a try.
        charged: bool,
    },
    /// An attempt has been running for this long.
    Slow {
        /// The attempt.
        attempt: AttemptId,
        /// The time it has been running.
        after: Duration,
    },
    /// Starts are held for this reason, or, with `None`, no longer.
    Held {
        /// The reason.
        reason: Option<HoldReason>,
        /// Jobs that wait for a slot.
        ready: u64,
    },
    /// The number of slots changed.
    Slots {
        /// The new number of slots.
        slots: u32,
    },
    /// A halt policy was met: nothing more is started and, if `now`, the running attempts are ended.
    Halted {
        /// True if the running attempts are ended.
        now: bool,
    },
    /// The circuit is broken ([`RunPolicy::breaker`](crate::RunPolicy)): nothing more is started; the running attempts
    /// may finish.
    Broken {
        /// The number of jobs that have crashed in a row.
        jobs: u32,
    },
    /// An attempt cannot be killed: its job gets its outcome, and its slot stays taken until `Exited` comes after all,
    /// and `TreeEmpty` if `Exited` reported descendants. It does not hold up `Finish`.
    Unkillable {
        /// The attempt.
        attempt: AttemptId,
    },
}
