//! The runs of this program that are under way, and how far signals have ended them.
//!
//! Handles no signal itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::run::shared::RunShared;
use psmith_engine::handler::EngineCommand;

/// The steps of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StopStep {
    Drain,
    Stop,
    Kill,
    Leave,
}

impl StopStep {
    /// What a run is told; the last step asks nobody.
    pub(crate) fn order(self) -> EngineCommand {
        match self {
            StopStep::Drain => EngineCommand::Drain,
            StopStep::Stop => EngineCommand::Stop,
            StopStep::Kill | StopStep::Leave => EngineCommand::Kill,
        }
    }
}

/// All runs of this program, and what the guards have told them.
pub(crate) struct ProgramRuns {
    pub(crate) runs: Vec<Weak<RunShared>>,
    /// By the guard's number.
    pub(crate) requested: Vec<(u32, StopStep)>,
    pub(crate) guards: u32,
}

static PROGRAM: Mutex<ProgramRuns> =
    Mutex::new(ProgramRuns { runs: Vec::new(), requested: Vec::new(), guards: 0 });

pub(crate) fn program() -> MutexGuard<'static, ProgramRuns> {
    PROGRAM.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those that live.
pub(crate) fn runs_of(program: &ProgramRuns) -> Vec<Arc<RunShared>> {
    program.runs.iter().filter_map(Weak::upgrade).collect()
}

/// A run begins. One that begins under a guard that has been asked to stop is stopped at once.
pub(crate) fn on_begin(run: &Arc<RunShared>) {
    let mut program = program();
    program.runs.retain(|run| run.strong_count() > 0);
    program.runs.push(Arc::downgrade(run));
    let step = program.requested.iter().map(|(_, step)| *step).max();
    drop(program);
    if let Some(step) = step {
        run.end(step.order());
    }
}

/// The runs of this program, as far as they are not over.
#[cfg(feature = "stacks")]
pub(crate) fn runs() -> Vec<Arc<RunShared>> {
    program().runs.iter().filter_map(Weak::upgrade).collect()
}
