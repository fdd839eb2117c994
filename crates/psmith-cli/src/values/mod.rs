//! Values behind flags, parsed: text in, typed value out, or a message that names flag and value.
//!
//! It never reads a clock, a file or the environment.

mod amount;
mod escapes;
mod halt;
mod retry;
mod slots_spec;
mod term_seq;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;

pub use amount::{duration, rate_gap, size, timeout};
pub use escapes::unescape;
pub use halt::halt;
pub use retry::{backoff, retry_on};
pub use slots_spec::{SlotsSpec, slots};
pub use term_seq::term_seq;

use crate::error::CliError;
use crate::quote::shown;

/// Returns the value as text.
///
/// # Errors
/// Fails if it is not UTF-8.
pub fn text<'a>(flag: &str, value: &'a OsStr) -> Result<&'a str, CliError> {
    value
        .to_str()
        .ok_or_else(|| CliError::new(format!("{flag}: '{}' is not text", shown(value.as_encoded_bytes()))))
}

/// Parses a whole number.
///
/// # Errors
/// Fails if it is none, or not within `min` and `max`.
pub fn number(flag: &str, value: &OsStr, min: u64, max: u64) -> Result<u64, CliError> {
    let text = text(flag, value)?;
    match text.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        Ok(_) if max == u64::MAX => {
            Err(CliError::new(format!("{flag}: '{text}' is too small")).hint(format!("at least {min}")))
        }
        Ok(_) => {
            Err(CliError::new(format!("{flag}: '{text}' is out of range")).hint(format!("{min} to {max}")))
        }
        Err(_) => Err(CliError::new(format!("{flag}: '{}' is not a number", shown(text.as_bytes())))),
    }
}

/// Parses one of several words.
///
/// # Errors
/// Fails if it is none of them.
pub fn choice<T: Copy>(flag: &str, value: &OsStr, choices: &[(&str, T)]) -> Result<T, CliError> {
    let text = text(flag, value)?;
    if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
        return Ok(*choice);
    }
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    Err(CliError::new(format!("{flag}: '{}' is none of its words", shown(text.as_bytes())))
        .hint(words.join(", ")))
}
