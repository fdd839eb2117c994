//! What the engine's side reports to the caller's. Data alone.

use std::fmt;

use psmith_core::JobId;
use psmith_core::outcome::{Cause, Outcome};

use crate::job::job::{JobRef, Request};
use crate::run::input_block::ResultBlock;
use psmith_engine::handler::Output;

/// Events of messages and progress that nobody has taken: beyond it workers wait on their channels.
pub(crate) const EVENTS_MAX: usize = 1024;

/// What the engine's side tells the caller's.
#[derive(Debug)]
pub(crate) enum RunEvent {
    /// The process of a job's first attempt exists.
    Started(JobRef),
    /// A job says how far it is.
    Progress(JobRef, u64, u64),
    /// A job's message, encoded by the default codec, from this place on.
    Message(JobRef, Vec<u8>, usize),
    /// A job is over.
    Done(Box<Finished>),
    /// Jobs in a row have succeeded. Only where blocks are wanted.
    Results(Box<ResultBlock>),
}

impl RunEvent {
    /// What a job says while it runs: of that there may be any number.
    pub(super) fn is_from_running_job(&self) -> bool {
        matches!(self, RunEvent::Progress(..) | RunEvent::Message(..))
    }

    /// The jobs whose outcomes these are: index of the first, and how many.
    pub(crate) fn jobs(&self) -> (u64, u64) {
        match self {
            RunEvent::Started(job) | RunEvent::Progress(job, ..) | RunEvent::Message(job, ..) => {
                (job.index, 0)
            }
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
    /// The frame that brought the result, and where in it the value begins.
    pub(crate) value: Option<(Vec<u8>, usize)>,
    pub(crate) output: Output,
}

impl Finished {
    /// A job that was never begun, because the run was over.
    pub(super) fn unstarted(index: u64, request: Request, first: First) -> Finished {
        let job = JobRef { index, label: request.label.clone(), slot: 0, pid: 0, name: None };
        let verdict = Err(first.broken.map_or(Cause::Cancelled, Cause::CircuitBroken));
        let outcome =
            Outcome { verdict, attempts: 0, tries: 0, last: None, quarantined: false, earlier: Vec::new() };
        Finished { job, request, outcome, value: None, output: Output::default() }
    }
}

/// What the caller wants to hear besides ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    pub(crate) starts: bool,
    pub(crate) progress: bool,
    pub(crate) messages: bool,
    /// Short jobs come as blocks, and their values go as blocks.
    pub(crate) blocks: bool,
    /// So many jobs there will be, if that is known.
    pub(crate) total: Option<u64>,
}

/// Receives all events on the engine's thread, before the caller; what it takes (true) the caller is not told. Never blocks.
pub(crate) struct Tap(pub(crate) Box<dyn Fn(&RunEvent) -> bool + Send + Sync>);

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

/// What happened first that may end a run early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct First {
    /// The job whose value was judged to be enough.
    pub(crate) decided: Option<JobId>,
    /// The job that failed.
    pub(crate) failed: Option<JobId>,
    /// So many jobs crashed in a row and broke the circuit.
    pub(crate) broken: Option<u32>,
}
