//! Parser of `--halt WHEN,CONDITION`.

use std::ffi::OsStr;

use psmith_core::policy::{Halt, HaltCount, HaltMode, HaltOn};

use super::{amount::decimal, text};
use crate::error::CliError;
use crate::quote::shown;

/// Parses `never`, or `soon`/`now`, a comma, and `fail=`, `success=` or `done=` with `N` or `N%`.
///
/// # Errors
/// Fails if the value has another form.
pub fn halt(flag: &str, value: &OsStr) -> Result<Halt, CliError> {
    let text = text(flag, value)?;
    let (mode, condition) = match text.split_once(',') {
        Some((mode, condition)) => (mode, Some(condition)),
        None => (text, None),
    };
    let mode = match (mode, condition) {
        ("never", None) => return Ok(Halt::Never),
        ("soon", Some(_)) => HaltMode::Soon,
        ("now", Some(_)) => HaltMode::Now,
        ("soon" | "now", None) => {
            return Err(CliError::new(format!("{flag}: '{text}' needs a condition"))
                .hint(format!("{flag} {text},fail=1")));
        }
        _ => {
            let instead = if text == "2" { "now" } else { "soon" };
            return Err(CliError::new(format!("{flag}: '{}' is not a halt policy", shown(text.as_bytes())))
                .hint(format!("{flag} {instead},fail=1")));
        }
    };
    let condition = condition.unwrap_or_default();
    parse_condition(condition).map(|(what, count)| Halt::When { what, count, mode }).ok_or_else(|| {
        CliError::new(format!("{flag}: '{}' is not a condition", shown(condition.as_bytes())))
            .hint("fail=1, fail=20%, success=1, done=10")
    })
}

fn parse_condition(condition: &str) -> Option<(HaltOn, HaltCount)> {
    let (what, count) = condition.split_once('=')?;
    let what = match what {
        "fail" => HaltOn::Fail,
        "success" => HaltOn::Success,
        "done" => HaltOn::Done,
        _ => return None,
    };
    let count = match count.strip_suffix('%') {
        Some(percent) => HaltCount::Percent(decimal(percent).filter(|p| *p > 0.0 && *p <= 100.0)?),
        None => HaltCount::Number(count.parse().ok().filter(|n| *n > 0)?),
    };
    Some((what, count))
}
