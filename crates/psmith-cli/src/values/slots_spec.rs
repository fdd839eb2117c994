//! Specification of `-j`: the number of attempts that may run at once. Only a file of it is read.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::amount::decimal;
use crate::error::CliError;
use crate::quote::shown;

/// The number of slots, as requested.
#[derive(Clone, Debug, PartialEq)]
pub enum SlotsSpec {
    /// A number.
    Number(u32),
    /// The number of CPUs plus this, which may be negative; at least one.
    Relative(i64),
    /// A percentage of the CPUs; at least one.
    Percent(f64),
    /// The number that descriptors and process ids allow.
    Most,
    /// The number in this file; read again at each end of a job.
    File(PathBuf),
}

/// The greatest number of slots that can be requested.
const SLOTS_MAX: u32 = 1_000_000;

/// Parses `N`, `+N`, `-N`, `N%`, `0`, or the name of a file that holds one of these.
///
/// # Errors
/// Fails if it is none of these.
pub fn slots(flag: &str, value: &OsStr) -> Result<SlotsSpec, CliError> {
    if let Some(slots) = value.to_str().and_then(SlotsSpec::parse) {
        return Ok(slots);
    }
    let path = Path::new(value);
    if !path.is_file() {
        return Err(CliError::new(format!(
            "{flag}: '{}' is neither a number nor a file",
            shown(value.as_encoded_bytes())
        ))
        .hint("8, +2, -1, 50%, 0 for as many as possible"));
    }
    let slots = SlotsSpec::File(path.to_path_buf());
    slots.resolve(1, 1)?;
    Ok(slots)
}

impl SlotsSpec {
    fn parse(text: &str) -> Option<SlotsSpec> {
        let digits =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        if let Some(more) = text.strip_prefix('+') {
            return digits(more).map(|n| SlotsSpec::Relative(i64::from(n)));
        }
        if let Some(fewer) = text.strip_prefix('-') {
            return digits(fewer).map(|n| SlotsSpec::Relative(-i64::from(n)));
        }
        if let Some(percent) = text.strip_suffix('%') {
            return decimal(percent).filter(|p| *p > 0.0).map(SlotsSpec::Percent);
        }
        match digits(text)? {
            0 => Some(SlotsSpec::Most),
            number => Some(SlotsSpec::Number(number)),
        }
    }

    /// Returns the number of slots on a machine with `cpus` CPUs, if at most `most` are possible. A file is read now.
    ///
    /// # Errors
    /// Fails if the file cannot be read or holds something else.
    pub fn resolve(&self, cpus: u32, most: u32) -> Result<u32, CliError> {
        let number = match self {
            SlotsSpec::Number(number) => f64::from(*number),
            SlotsSpec::Relative(more) => f64::from(cpus) + *more as f64,
            SlotsSpec::Percent(percent) => (f64::from(cpus) * percent / 100.0).round(),
            SlotsSpec::Most => f64::from(most),
            SlotsSpec::File(path) => {
                let shown = shown(path.as_os_str().as_encoded_bytes());
                let text = std::fs::read_to_string(path).map_err(|error| {
                    CliError::new(format!("cannot read {shown}: {}", crate::report::display::os_text(&error)))
                })?;
                return match SlotsSpec::parse(text.trim()) {
                    Some(slots) => slots.resolve(cpus, most),
                    None => Err(CliError::new(format!("-j: {shown} holds no number of slots"))
                        .hint("8, +2, -1, 50%, 0 for as many as possible")),
                };
            }
        };
        Ok(number.clamp(1.0, f64::from(SLOTS_MAX)) as u32)
    }
}
