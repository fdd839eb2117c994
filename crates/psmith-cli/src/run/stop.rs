//! How a run comes to end before its time: who asked for it, how hard, and what psmith itself failed at. Stops nothing:
//! it says what to ask of the engine.

use psmith_core::policy::HaltOn;
use psmith_engine::EngineError;
use psmith_engine::handler::EngineCommand;
use rustix::process::Signal;

use super::writer::WriteFailure;
use crate::error::CliError;
use crate::record::RecordError;

/// Why a run ends early, if it does.
#[derive(Default)]
pub(super) struct Stop {
    /// The first signal that asked for the end.
    pub(super) signal: Option<i32>,
    /// The bound of `--halt` that was reached.
    pub(super) halted_on: Option<HaltOn>,
    /// The failure of psmith itself that the run ends with: the first one.
    pub(super) failure: Option<CliError>,
    /// The failure is that of an output, in the midst of the run.
    pub(super) output_failed: bool,
    /// The user would not wait for the jobs to die.
    pub(super) left_at_once: bool,
    /// The step of the interrupt ladder that was reached; 0: nothing has been asked of the engine.
    step: u32,
}

impl Stop {
    /// Notes a failure; the first one counts.
    pub(super) fn fail(&mut self, error: CliError) {
        self.failure.get_or_insert(error);
    }

    /// Notes a failure of what the run writes.
    pub(super) fn fail_output(&mut self, failure: &WriteFailure) {
        self.output_failed |= self.failure.is_none();
        self.fail(match failure {
            WriteFailure::Record(error) => record_error(error),
            WriteFailure::Stdout(_) => CliError::new(failure.to_string()),
        });
    }

    /// Notes that nobody reads stdout any more, which ends a run as SIGPIPE would.
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

    /// Asks the engine, once, to stop after a failure.
    pub(super) fn tick(&mut self) -> Option<EngineCommand> {
        if self.failure.is_none() || self.step > 0 {
            return None;
        }
        self.step = 1;
        Some(EngineCommand::Stop)
    }

    /// Adds what came to light at the end: an input that could not be read, and how the engine ended.
    pub(super) fn conclude(&mut self, input: Option<CliError>, engine: Result<(), EngineError>) {
        if let Some(error) = input {
            self.fail(error);
        }
        let Err(ended) = engine else { return };
        let error = CliError::new(ended.to_string());
        match ended {
            // What the writer then found missing only follows from it.
            EngineError::Spool(..) => self.failure = Some(error),
            _ => self.fail(error),
        }
    }
}

/// A record's error as the command tells it.
pub(super) fn record_error(record: &RecordError) -> CliError {
    let error = CliError::new(record.to_string());
    match record.hint() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
