//! The runs of this program that are under way, and how far signals have ended them.
//!
//! Handles no signal itself.

use std::sync::{Arc, MutexGuard, Weak};

use crate::run::process_mutex::ProcessMutex;
use crate::run::shared::RunShared;
use psmith_engine::handler::EngineCommand;

/// Steps of the ladder, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StopStep {
    Drain,
    Stop,
    Kill,
    Leave,
}

impl StopStep {
    /// Returns the command that a run gets at this step. The last step, which ends the program, waits for no run.
    pub(crate) fn order(self) -> EngineCommand {
        match self {
            StopStep::Drain => EngineCommand::Drain,
            StopStep::Stop => EngineCommand::Stop,
            StopStep::Kill | StopStep::Leave => EngineCommand::Kill,
        }
    }
}

/// Runs of this program, and the steps that the guards have requested.
pub(crate) struct ProgramRuns {
    pub(crate) runs: Vec<Weak<RunShared>>,
    /// Requested steps, by the guard's number.
    pub(crate) requested: Vec<(u32, StopStep)>,
    pub(crate) guards: u32,
}

impl ProgramRuns {
    const NONE: ProgramRuns = ProgramRuns { runs: Vec::new(), requested: Vec::new(), guards: 0 };
}

/// A forked copy of the program has none of its runs, nor the threads of its guards.
static PROGRAM: ProcessMutex<ProgramRuns> = ProcessMutex::new(ProgramRuns::NONE, ProgramRuns::NONE);

pub(crate) fn program() -> MutexGuard<'static, ProgramRuns> {
    PROGRAM.lock()
}

/// Returns the runs that are not dropped.
pub(crate) fn runs_of(program: &ProgramRuns) -> Vec<Arc<RunShared>> {
    program.runs.iter().filter_map(Weak::upgrade).collect()
}

/// Registers a run that begins. A run that begins under a guard that was asked to stop is stopped at once.
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

/// Returns whether a guard was asked to end the runs of this program.
pub(crate) fn is_stopping() -> bool {
    !program().requested.is_empty()
}

/// Returns the runs of this program that are not dropped.
#[cfg(feature = "stacks")]
pub(crate) fn runs() -> Vec<Arc<RunShared>> {
    program().runs.iter().filter_map(Weak::upgrade).collect()
}
