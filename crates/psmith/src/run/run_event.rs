//! Events from the engine's side to the caller's. Data alone: this module never sends them.

use std::fmt;

use psmith_core::JobId;
use psmith_core::outcome::{Cause, Outcome};

use crate::job::job::{JobRef, Request};
use crate::run::input_block::ResultBlock;
use crate::run::live_output::LiveEnd;
use psmith_engine::handler::AttemptOutput;

/// Limit of the events of messages and progress that wait to be taken: beyond it workers block on their channels.
pub(crate) const EVENTS_MAX: usize = 1024;

/// Event that the engine's side sends to the caller's.
#[derive(Debug)]
pub(crate) enum RunEvent {
    /// The process of a job's first attempt exists.
    Started(JobRef),
    /// A job has ended: its slot is free. Its outcome comes in its turn.
    SlotFreed,
    /// A job reports its progress: how much is done, of how much.
    Progress(JobRef, u64, u64),
    /// A job's message, encoded by the default codec, from this offset on.
    Message(JobRef, Vec<u8>, usize),
    /// A job is over.
    Done(Box<Finished>),
    /// Jobs in a row have succeeded. Only where blocks are wanted.
    Results(Box<ResultBlock>),
}

impl RunEvent {
    /// True for events that a running job sends, of which there may be any number.
    pub(super) fn is_from_running_job(&self) -> bool {
        matches!(self, RunEvent::Progress(..) | RunEvent::Message(..))
    }

    /// Returns the jobs whose outcomes these are: the index of the first, and the number of jobs.
    pub(crate) fn jobs(&self) -> (u64, u64) {
        match self {
            RunEvent::Started(job) | RunEvent::Progress(job, ..) | RunEvent::Message(job, ..) => {
                (job.index, 0)
            }
            RunEvent::SlotFreed => (0, 0),
            RunEvent::Done(finished) => (finished.job.index, 1),
            RunEvent::Results(results) => (results.job.index, results.ends.len() as u64),
        }
    }
}

/// A job that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) job: JobRef,
    pub(crate) request: Request,
    pub(crate) outcome: Outcome,
    /// The frame with the result, and the offset of the value in it.
    pub(crate) value: Option<(Vec<u8>, usize)>,
    pub(crate) output: AttemptOutput,
    /// The end of its live output, which may not be written yet.
    pub(crate) live: Option<LiveEnd>,
    /// True once its output is passed on.
    pub(crate) is_passed_on: bool,
}

impl Finished {
    /// Returns whether the job was never begun, because the run was ended before its turn.
    pub(crate) fn is_left(&self) -> bool {
        let is_unstarted = self.outcome.attempts == 0 && self.request.refused.is_none();
        is_unstarted && matches!(self.outcome.verdict, Err(Cause::Cancelled | Cause::CircuitBroken(_)))
    }

    /// Makes the end of a job that was never begun, because the run was over.
    pub(super) fn unstarted(index: u64, request: Request, first: First) -> Finished {
        let index = request.index.unwrap_or(index);
        let job = JobRef::unstarted(index, &request);
        let verdict = Err(first.broken.map_or(Cause::Cancelled, Cause::CircuitBroken));
        let outcome =
            Outcome { verdict, attempts: 0, tries: 0, last: None, quarantined: false, earlier: Vec::new() };
        Finished::new(job, request, outcome)
    }

    /// Makes the end of a job without value and output.
    pub(crate) fn new(job: JobRef, request: Request, outcome: Outcome) -> Finished {
        let output = AttemptOutput::default();
        Finished { job, request, outcome, value: None, output, live: None, is_passed_on: false }
    }

    /// Returns how the job ended, before its value is decoded.
    pub(crate) fn verdict(&self) -> Result<(), Cause> {
        self.request.refused.clone().map_or_else(|| self.outcome.verdict.clone(), Err)
    }
}

/// Events that the caller wants besides ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    pub(crate) starts: bool,
    /// Slots that become free, before the outcome's turn.
    pub(crate) slots: bool,
    pub(crate) progress: bool,
    pub(crate) messages: bool,
    /// Short jobs come as blocks, and their values go as blocks.
    pub(crate) blocks: bool,
    /// The number of jobs there will be, if that is known.
    pub(crate) total: Option<u64>,
}

/// Receiver of all events on the engine's thread, before the caller. An event that it takes (true) does not reach the
/// caller. Never blocks.
pub(crate) struct Tap(pub(crate) Box<dyn Fn(&RunEvent) -> bool + Send + Sync>);

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

/// The first occurrences that may end a run early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct First {
    /// The job whose value was judged to be enough.
    pub(crate) decided: Option<JobId>,
    /// The job that failed.
    pub(crate) failed: Option<JobId>,
    /// The number of jobs that crashed in a row and broke the circuit.
    pub(crate) broken: Option<u32>,
}
