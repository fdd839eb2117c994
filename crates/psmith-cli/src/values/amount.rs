//! Parsers of durations, sizes and rates. They never read a clock.

use std::ffi::OsStr;
use std::time::Duration;

use psmith_core::policy::Timeout;

use super::text;
use crate::error::CliError;
use crate::quote::shown;

/// The forms of a duration, for hints.
pub(super) const DURATIONS: &str = "10, 1.5s, 250ms, 5m, 2h";

/// The longest duration that is accepted: a thousand years. Longer ones would overflow sums of times.
const SECONDS_MAX: f64 = 1000.0 * 365.25 * 86400.0;

/// Parses `10` (seconds), `1.5`, `250ms`, `10s`, `5m`, `2h`, `1d`, `1h30m`.
///
/// # Errors
/// Fails if the value is no duration.
pub fn duration(flag: &str, value: &OsStr) -> Result<Duration, CliError> {
    let text = text(flag, value)?;
    parse_duration(text).ok_or_else(|| {
        CliError::new(format!("{flag}: '{}' is not a duration", shown(text.as_bytes()))).hint(DURATIONS)
    })
}

pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    if let Some(seconds) = decimal(text) {
        return (seconds <= SECONDS_MAX).then(|| Duration::from_secs_f64(seconds));
    }
    let mut rest = text;
    let mut seconds = 0.0;
    // Units go from the largest to the smallest, each at most once, so `5m1h` is a typing error and not an hour and
    // five minutes.
    let mut unit_max = f64::INFINITY;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number = decimal(&rest[..digits])?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        if unit >= unit_max {
            return None;
        }
        unit_max = unit;
        seconds += number * unit;
        rest = &rest[letters..];
    }
    (!text.is_empty() && seconds <= SECONDS_MAX).then(|| Duration::from_secs_f64(seconds))
}

/// Parses digits with at most one point; no sign, no exponent, no `inf`.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let points = text.bytes().filter(|b| *b == b'.').count();
    if digits == 0 || points > 1 || digits + points != text.len() {
        return None;
    }
    text.parse().ok()
}

/// Parses a duration, or a percentage of the median time of successes. 0 is no limit.
///
/// # Errors
/// Fails if the value is neither.
pub fn timeout(flag: &str, value: &OsStr) -> Result<Timeout, CliError> {
    let text = text(flag, value)?;
    let parsed = match text.strip_suffix('%') {
        Some(percent) => decimal(percent).filter(|p| *p > 0.0).map(Timeout::PercentOfMedian),
        None => parse_duration(text).map(|d| if d.is_zero() { Timeout::Never } else { Timeout::After(d) }),
    };
    parsed.ok_or_else(|| {
        CliError::new(format!("{flag}: '{}' is not a duration", shown(text.as_bytes())))
            .hint(format!("{DURATIONS}, or 200%"))
    })
}

/// Parses a number of bytes: `K M G T` are powers of 1024, `k m g t` powers of 1000.
///
/// # Errors
/// Fails if the value is no size.
pub fn size(flag: &str, value: &OsStr) -> Result<u64, CliError> {
    let text = text(flag, value)?;
    parse_size(text).ok_or_else(|| {
        CliError::new(format!("{flag}: '{}' is not a size", shown(text.as_bytes())))
            .hint("4096, 512K, 100M, 1.5G")
    })
}

fn parse_size(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        'K' => 1u64 << 10,
        'M' => 1 << 20,
        'G' => 1 << 30,
        'T' => 1 << 40,
        'k' => 1_000,
        'm' => 1_000_000,
        'g' => 1_000_000_000,
        't' => 1_000_000_000_000,
        _ => 1,
    };
    let number = if unit == 1 { text } else { &text[..text.len() - 1] };
    if let Ok(whole) = number.parse::<u64>() {
        return number.bytes().all(|b| b.is_ascii_digit()).then(|| whole.checked_mul(unit)).flatten();
    }
    let bytes = decimal(number)? * unit as f64;
    // Above this a float no longer holds every byte; such a fraction is no one's intention.
    (unit > 1 && bytes < 9e15).then_some(bytes as u64)
}

/// Parses `N/s`, `N/m` or `N/h`; returns the gap between two starts.
///
/// # Errors
/// Fails if the value is no rate, or no start would ever be allowed.
pub fn rate_gap(flag: &str, value: &OsStr) -> Result<Duration, CliError> {
    let text = text(flag, value)?;
    let parsed = text.split_once('/').and_then(|(number, unit)| {
        let unit = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        decimal(number).filter(|n| *n > 0.0).map(|n| unit / n).filter(|gap| *gap <= SECONDS_MAX)
    });
    parsed.map(Duration::from_secs_f64).ok_or_else(|| {
        CliError::new(format!("{flag}: '{}' is not a rate", shown(text.as_bytes()))).hint("5/s, 30/m, 100/h")
    })
}
