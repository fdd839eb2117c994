//! Parsers of `--retry-delay` and `--retry-on`.

use std::ffi::OsStr;

use psmith_core::outcome::CauseKind;
use psmith_core::policy::{Backoff, RetryCause, RetryOn};

use super::amount::parse_duration;
use super::text;
use crate::error::CliError;
use crate::quote::shown;

/// Parses `D`, or `D..MAX`.
///
/// # Errors
/// Fails if either is no duration, or MAX is below D.
pub fn backoff(flag: &str, value: &OsStr) -> Result<Backoff, CliError> {
    let text = text(flag, value)?;
    let (first, max) = match text.split_once("..") {
        Some((first, max)) => (first, Some(max)),
        None => (text, None),
    };
    let parse = |part: &str| {
        parse_duration(part).ok_or_else(|| {
            CliError::new(format!("{flag}: '{}' is not a duration", shown(part.as_bytes())))
                .hint("2s, or 2s..1m")
        })
    };
    let backoff = Backoff { first: parse(first)?, max: max.map(parse).transpose()? };
    if backoff.max.is_some_and(|max| max < backoff.first) {
        return Err(CliError::new(format!("{flag}: '{text}' ends before it begins")).hint("2s..1m"));
    }
    Ok(backoff)
}

/// Parses causes, separated by commas: `exit`, `exit=1+75`, `signal`, `timeout`, `oom`, `limit`, `spawn`, `leak`.
///
/// # Errors
/// Fails if one of them is no such cause.
pub fn retry_on(flag: &str, value: &OsStr) -> Result<RetryOn, CliError> {
    let text = text(flag, value)?;
    text.split(',').map(|entry| parse_cause(flag, entry)).collect::<Result<Vec<_>, _>>().map(RetryOn::Only)
}

fn parse_cause(flag: &str, entry: &str) -> Result<RetryCause, CliError> {
    if let Some(codes) = entry.strip_prefix("exit=") {
        let codes: Option<Vec<i32>> =
            codes.split('+').map(|code| code.parse().ok().filter(|code| (1..=255).contains(code))).collect();
        return codes.map(RetryCause::ExitCodes).ok_or_else(|| {
            CliError::new(format!("{flag}: '{}' names no exit codes", shown(entry.as_bytes())))
                .hint("exit=1+75")
        });
    }
    let kind = match entry {
        "exit" => CauseKind::Exit,
        "signal" => CauseKind::Signal,
        "timeout" => CauseKind::Timeout,
        "oom" => CauseKind::OutOfMemory,
        "limit" => CauseKind::Limit,
        "spawn" => CauseKind::SpawnFailed,
        "leak" => CauseKind::Leaked,
        _ => {
            return Err(CliError::new(format!("{flag}: '{}' is not a cause", shown(entry.as_bytes())))
                .hint("exit, exit=1+75, signal, timeout, oom, limit, spawn, leak"));
        }
    };
    Ok(RetryCause::Kind(kind))
}
