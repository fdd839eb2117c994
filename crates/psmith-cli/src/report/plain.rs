//! Progress for logs and dumb terminals: whole lines, no control codes.

use std::time::Duration;

use psmith_core::Time;
use psmith_core::board::Rate;
use psmith_core::outcome::Cause;

use super::cause::{cause_text, signal_text};
use super::display::visible;
use super::duration::{asked_for, whole};
use super::failure_line::COMMAND_COLUMNS_MAX;
use super::standing::{COUNT_EVERY, StatusLine};

/// A composer of lines with the counts, at intervals.
#[derive(Debug, Default)]
pub struct CountLines {
    told_at: Time,
}

impl CountLines {
    /// Returns the time at which the next line is due.
    #[must_use]
    pub fn next_line(&self) -> Time {
        self.told_at + COUNT_EVERY
    }

    /// Returns the line, with its newline, if it is due.
    pub fn line(&mut self, now: Time, standing: &StatusLine, rate: &mut Rate) -> Option<String> {
        if now < self.next_line() {
            return None;
        }
        self.told_at = now;
        Some(format!("psmith: {}\n", standing.line(rate.per_second(now), COMMAND_COLUMNS_MAX)))
    }
}

/// Returns the line for an attempt that failed and will be followed by another, with its newline.
#[must_use]
pub fn retry_line(
    job: u64,
    attempt: u32,
    cause: &Cause,
    delay: Duration,
    charged: bool,
    argv: &[Vec<u8>],
    command: &[u8],
) -> String {
    let cause = cause_text(cause, argv.first().map_or(&[][..], Vec::as_slice));
    let uncounted = if charged { "" } else { ", not counted" };
    let when = if delay.is_zero() { "now".to_owned() } else { format!("in {}", asked_for(rounded(delay))) };
    let command = visible(command, COMMAND_COLUMNS_MAX);
    format!("psmith: job {job} try {attempt} failed: {cause}{uncounted}, again {when}: {command}\n")
}

/// Returns the line for an attempt that runs longer than `--slow`, with its newline.
#[must_use]
pub fn slow_line(job: u64, after: Duration, command: &[u8]) -> String {
    let command = visible(command, COMMAND_COLUMNS_MAX);
    format!("psmith: job {job} is slow: {} so far: {command}\n", whole(after.as_secs()))
}

/// Returns the line for a job that was stopped by a signal, with its newline.
#[must_use]
pub fn stopped_line(job: u64, signal: i32, command: &[u8]) -> String {
    let command = visible(command, COMMAND_COLUMNS_MAX);
    let signal = signal_text(signal);
    format!("psmith: job {job} stands still, stopped by signal {signal}: {command}\n")
}

/// Rounds a delay: with jitter it has more digits than are useful.
fn rounded(delay: Duration) -> Duration {
    let step: u128 = if delay < Duration::from_secs(1) { 1 } else { 100 };
    let milliseconds = (delay.as_millis() / step * step).max(1);
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_and_slow_jobs_get_a_line() {
        let argv = [b"gzip".to_vec()];
        let line = |delay, charged| {
            retry_line(17, 1, &Cause::Exit(1), Duration::from_micros(delay), charged, &argv, b"gzip a")
        };
        assert_eq!(line(2_000_000, true), "psmith: job 17 try 1 failed: exit 1, again in 2s: gzip a\n");
        assert_eq!(line(2_345_678, true), "psmith: job 17 try 1 failed: exit 1, again in 2.3s: gzip a\n");
        assert_eq!(line(123_456, true), "psmith: job 17 try 1 failed: exit 1, again in 123ms: gzip a\n");
        assert_eq!(line(0, false), "psmith: job 17 try 1 failed: exit 1, not counted, again now: gzip a\n");
        assert_eq!(
            slow_line(17, Duration::from_secs(60), b"gzip a"),
            "psmith: job 17 is slow: 1m00s so far: gzip a\n"
        );
        assert_eq!(
            stopped_line(17, 19, b"gzip a"),
            "psmith: job 17 stands still, stopped by signal 19 (STOP): gzip a\n"
        );
    }

    #[test]
    fn counts_are_printed_each_thirty_seconds() {
        let mut lines = CountLines::default();
        let mut rate = Rate::default();
        let standing = StatusLine { done: 3, ok: 3, running: 1, ..StatusLine::default() };
        let at = |seconds| Time(Duration::from_secs(seconds));
        assert_eq!(lines.line(at(29), &standing, &mut rate), None);
        assert_eq!(lines.line(at(31), &standing, &mut rate).unwrap(), "psmith: 3 done  ok 3  running 1\n");
        assert_eq!(lines.line(at(60), &standing, &mut rate), None);
        assert_eq!(lines.next_line(), at(61));
    }
}
