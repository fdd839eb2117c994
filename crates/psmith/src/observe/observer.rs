//! Events of a run for its observers, on the engine's thread, as they happen. Observers never answer, and change
//! nothing.

use std::fmt;

use psmith_core::outcome::{Cause, Outcome};

use crate::job::job::JobRef;
use psmith_engine::handler::AttemptOutput;

/// Event of a run. Jobs are known by their index.
#[derive(Debug)]
#[cfg_attr(not(feature = "board"), expect(dead_code, reason = "there is no observer without it"))]
pub(crate) enum ObserverEvent<'a> {
    /// The process of this attempt, counted from 1, exists.
    Began(&'a JobRef, u32),
    /// The job wrote this.
    Wrote(u64, &'a [u8]),
    /// The job reports its progress: how much is done, of how much.
    Progressed(u64, u64, u64),
    /// The attempt is over, and another will follow.
    Retried(u64),
    /// The job has its outcome; it may be handed out later.
    Ended(FinishedJob<'a>),
}

/// A job's end.
#[derive(Debug)]
#[cfg_attr(not(feature = "board"), expect(dead_code, reason = "there is no observer without it"))]
pub(crate) struct FinishedJob<'a> {
    pub(crate) job: &'a JobRef,
    pub(crate) outcome: &'a Outcome,
    /// The true cause of a job that was never begun.
    pub(crate) refused: Option<&'a Cause>,
    #[cfg_attr(not(feature = "web"), expect(dead_code, reason = "only the web board tells of it"))]
    pub(crate) output: &'a AttemptOutput,
}

/// Observer of a run. Never blocks.
pub(crate) trait Observer: fmt::Debug + Send + Sync {
    /// Takes in one event.
    fn on_event(&self, event: ObserverEvent<'_>);
}
