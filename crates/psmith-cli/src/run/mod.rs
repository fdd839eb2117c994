//! `psmith run`: from a resolved configuration to one exit status.
//!
//! There are four threads: the engine's (this one), the `producer`, which reads input, the `writer`, which writes
//! output and records, and, if requested, the one that writes `events`; with `--pipe` each running job has one that
//! feeds it. All but the engine's may block on the outside world.

mod board_display;
mod controls;
mod event_writer;
mod finish;
mod interaction;
mod keys;
mod observers;
mod pressure;
mod producer;
mod reactions;
mod records;
mod reporting;
mod run_handler;
mod run_inputs;
mod run_job;
mod setup;
mod signal_requests;
mod stop;
mod tty;
mod writer;

use std::io;
use std::time::{Instant, SystemTime};

use psmith_engine::Engine;
use psmith_engine::engine::refused;

use crate::config::Config;
use crate::error::CliError;
use crate::exit_code::ExitStatus;
use finish::finish;
use setup::Prepared;

/// The exit status, or psmith's own failure before the first job or at the end.
pub type RunResult = Result<ExitStatus, CliError>;

/// Runs the jobs of a configuration, and returns how the run ended.
///
/// # Errors
/// Fails if psmith itself failed: before the first job, or so that the run could not go on. Everything else, the
/// failure of jobs included, is a status.
pub fn run(config: Config) -> RunResult {
    let Prepared { handler, setup, notes } = Prepared::new(config, Instant::now())?;
    let asked = setup.policy.slots;
    let mut engine = Engine::new(handler, setup).map_err(|error| CliError::new(error.to_string()))?;
    let (slots, level) = (engine.slots(), engine.level());
    if slots < asked {
        let message =
            format!("{asked} slots need more descriptors than ulimit -n allows, which suffice for {slots}");
        engine.handler().warn(&message);
    }
    engine.handler().begin(slots, level);
    let (handler, end) = engine.run();
    finish(handler, end, &notes)
}

/// Returns the present time, in seconds since 1970.
pub(super) fn epoch_now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Returns the error of a call without which no run begins: its name, and what it was wanted for.
fn kernel(call: &'static str, purpose: &'static str) -> impl Fn(io::Error) -> CliError {
    move |error| CliError::new(refused(call, purpose, error).to_string())
}
