//! Early end of a run: who requested it, how hard, and failures of psmith itself. Stops nothing: it returns the
//! commands for the engine.

use psmith_core::policy::HaltOn;
use psmith_engine::EngineError;
use psmith_engine::handler::EngineCommand;
use rustix::process::Signal;

use super::writer::WriteFailure;
use crate::error::CliError;
use crate::record::RecordError;

/// The reasons of a run's early end, if any.
#[derive(Default)]
pub(super) struct Stop {
    /// The first signal that requested the end.
    pub(super) signal: Option<i32>,
    /// The bound of `--halt` that was reached.
    pub(super) halted_on: Option<HaltOn>,
    /// The failure of psmith itself with which the run ends: the first one.
    pub(super) failure: Option<CliError>,
    /// True if the failure is that of an output, during the run.
    pub(super) output_failed: bool,
    /// True if the user did not wait for the jobs to die.
    pub(super) left_at_once: bool,
    /// The step of the interrupt ladder that was reached; 0: nothing has been requested of the engine.
    step: u32,
}

impl Stop {
    /// Notes a failure; the first one counts.
    pub(super) fn fail(&mut self, error: CliError) {
        self.failure.get_or_insert(error);
    }

    /// Notes a failure of an output or a record.
    pub(super) fn fail_output(&mut self, failure: &WriteFailure) {
        self.output_failed |= self.failure.is_none();
        self.fail(match failure {
            WriteFailure::Record(error) => record_error(error),
            WriteFailure::Stdout(_) => CliError::new(failure.to_string()),
        });
    }

    /// Notes that the reader has closed stdout, which ends a run as SIGPIPE would.
    pub(super) fn break_pipe(&mut self) {
        self.signal.get_or_insert(Signal::PIPE.as_raw());
    }

    /// Takes the next step of the interrupt ladder: terminate, kill, leave. A `hard` signal begins with the second.
    pub(super) fn interrupt(&mut self, signal: i32, hard: bool) -> EngineCommand {
        self.signal.get_or_insert(signal);
        self.step = (self.step + 1).max(if hard { 2 } else { 1 });
        match self.step {
            1 => EngineCommand::Stop,
            2 => EngineCommand::Kill,
            _ => {
                self.left_at_once = true;
                EngineCommand::Leave
            }
        }
    }

    /// Returns, once, the command to stop after a failure.
    pub(super) fn tick(&mut self) -> Option<EngineCommand> {
        if self.failure.is_none() || self.step > 0 {
            return None;
        }
        self.step = 1;
        Some(EngineCommand::Stop)
    }

    /// Adds the failures known at the end: an input that could not be read, and how the engine ended.
    pub(super) fn conclude(&mut self, input: Option<CliError>, engine: Result<(), EngineError>) {
        if let Some(error) = input {
            self.fail(error);
        }
        let Err(ended) = engine else { return };
        let error = CliError::new(ended.to_string());
        match ended {
            // The writer's failures after that only follow from it.
            EngineError::Spool(..) => self.failure = Some(error),
            _ => self.fail(error),
        }
    }
}

/// Makes the command's error from a record's.
pub(super) fn record_error(record: &RecordError) -> CliError {
    let error = CliError::new(record.to_string());
    match record.hint() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
