//! The parts of the `psmith` command, in the order a run uses them.
//!
//! [`main`] is the whole of the binary: words in, one exit status out.

pub mod error;

pub mod flags;
pub mod invocation;
pub mod values;

pub mod config;

pub mod batch_size;
pub mod input;
pub mod lookup;
pub mod pipe;
pub mod quote;
mod template;

pub mod plan;

pub mod dry_run;
pub mod run;

mod page;
pub mod record;
pub mod report;
#[cfg(not(feature = "web"))]
#[path = "web_absent.rs"]
mod web;

pub mod exit_code;

pub mod doctor;
pub mod manual;

use psmith_report::history;
#[cfg(feature = "web")]
use psmith_report::web;
use std::io::Write;
use std::process::ExitCode;

use config::{Config, ReportSpec};
use error::CliError;
use exit_code::ExitStatus;
use invocation::{Invocation, parse_with};

/// Runs the command: parses its arguments, carries them out, reports errors, and ends with the documented status.
#[must_use]
pub fn main() -> ExitCode {
    psmith_engine::init();
    match invoke() {
        Ok(ExitStatus::Code(code)) => ExitCode::from(code),
        Ok(ExitStatus::Signal(signal)) => {
            // A shell sees the signal; if it does not end this process (PID 1), the code reports it.
            psmith_sys::signals::raise_default(signal);
            ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
        }
        Err(error) => {
            // If stderr is closed the message is lost; the code reports the error all the same.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::from(error.exit_code)
        }
    }
}

fn invoke() -> Result<ExitStatus, CliError> {
    let mut out = std::io::stdout().lock();
    let options = std::env::var_os(flags::OPTIONS_VARIABLE);
    let printed = match parse_with(std::env::args_os().skip(1), options.as_deref())? {
        Invocation::Run(config) => {
            drop(out);
            return if config.dry_run.is_some() { dry_run(&config) } else { run::run(*config) };
        }
        Invocation::Doctor { json } => {
            return match doctor::doctor(json, &mut out) {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(unwritable(&error)),
                Err(_) => Ok(ExitStatus::Code(0)),
                Ok(code) => Ok(ExitStatus::Code(code)),
            };
        }
        Invocation::Completions(shell) => manual::completions(shell, &mut out),
        Invocation::Man => manual::man_page(&mut out),
        Invocation::Print { text } => out.write_all(text.as_bytes()),
    };
    match printed.and_then(|()| out.flush()) {
        // A reader that closes after the first lines of a help text is no error.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(unwritable(&error)),
        _ => Ok(ExitStatus::Code(0)),
    }
}

fn unwritable(error: &std::io::Error) -> CliError {
    CliError::new(format!("cannot write stdout: {}", report::display::os_text(error)))
}

fn dry_run(config: &Config) -> Result<ExitStatus, CliError> {
    let (plan, jobs) = plan::RunPlan::new(config)?;
    let form = config.dry_run.unwrap_or(config::DryRun::Text);
    let end = dry_run::dry_run(&plan, jobs, form, &mut std::io::stdout().lock())?;
    let ReportSpec { quiet, .. } = config.report;
    for warning in end.warnings.iter().filter(|_| !quiet) {
        let _ = writeln!(std::io::stderr(), "psmith: warning: {warning}");
    }
    Ok(ExitStatus::Code(0))
}
