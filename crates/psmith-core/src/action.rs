//! Everything the core asks of its driver.

use alloc::boxed::Box;
use core::time::Duration;

use crate::event::HoldReason;
use crate::id::{AttemptId, JobId, SlotId};
use crate::outcome::{Cause, Outcome};

/// One thing to do, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start this attempt in this slot. Answer: `Started`, `StartFailed` or `StartRefused`.
    Start {
        /// Which attempt.
        attempt: AttemptId,
        /// Where.
        slot: SlotId,
        /// Its limit of memory, if it has one: its policy's, or more after attempts that ran out of it.
        memory_bytes: Option<u64>,
    },
    /// Send a signal to the attempt's whole tree (and `SIGCONT` after it, so that a stopped job hears it).
    Signal {
        /// Which attempt.
        attempt: AttemptId,
        /// The signal's number, never `SIGKILL`.
        signal: i32,
    },
    /// Kill the attempt's whole tree: asked for once, its process may live or have exited. Answer: `Exited`, if
    /// that had not come, then `TreeEmpty` if it told of descendants.
    KillTree {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// The job is done, its descendants may go on: take them out of its group. Answer: `TreeEmpty`.
    ReleaseTree {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// Read no more of its output, somebody outside of its tree holds it open. Answer: `OutputClosed`.
    StopReading {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// The attempt is over and its job will be tried again: drop what it wrote. Nothing follows for this attempt
    /// but a `Retry` notice. (After `WardenLost`, too: its process is gone or will be swept.)
    Discard {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// Everything before this job has been delivered, in submission order: its output may be passed on while it
    /// runs. Comes before its `Start`, while it runs, or between two attempts.
    Head {
        /// Which job.
        job: JobId,
    },
    /// The job has its outcome, and its last attempt is over or, after `Unkillable`, given up. Keep it until
    /// `Deliver`.
    End {
        /// Which job.
        job: JobId,
        /// Its one outcome.
        outcome: Box<Outcome>,
    },
    /// Hand the job's outcome to the consumer, now, in this order. Answer, when it is done: `Delivered`.
    Deliver {
        /// Which job.
        job: JobId,
    },
    /// Something that a board or a log may want to know. Nothing depends on it.
    Notice(Notice),
    /// Every accepted job has been delivered and there will be no more. The last action of a run.
    Finish,
}

/// A notice without consequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// An attempt failed and will be tried again after `delay`.
    Retry {
        /// Which attempt.
        attempt: AttemptId,
        /// How it ended.
        cause: Cause,
        /// How long the job waits.
        delay: Duration,
        /// Whether it counted as a try.
        charged: bool,
    },
    /// An attempt has been running for this long.
    Slow {
        /// Which attempt.
        attempt: AttemptId,
        /// How long.
        after: Duration,
    },
    /// Starts are held for this reason, or, with `None`, no longer.
    Held {
        /// Why.
        reason: Option<HoldReason>,
        /// Jobs that wait for a slot.
        ready: u64,
    },
    /// The number of slots changed.
    Slots {
        /// To this.
        slots: u32,
    },
    /// A halt policy was met: no more starts, and, if `now`, the running are ended.
    Halted {
        /// Whether the running are ended.
        now: bool,
    },
    /// The circuit is broken ([`RunPolicy::breaker`](crate::RunPolicy)): no more starts; the running may finish.
    Broken {
        /// So many jobs have crashed in a row.
        jobs: u32,
    },
    /// An attempt cannot be killed: its job gets its outcome, its slot stays taken until `Exited`, and `TreeEmpty`
    /// if that told of descendants, come after all. It does not hold up `Finish`.
    Unkillable {
        /// Which attempt.
        attempt: AttemptId,
    },
}
