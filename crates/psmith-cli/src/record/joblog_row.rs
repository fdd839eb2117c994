//! Line of a joblog, written and read. Never opens the file.
//!
//! Reads more than it writes: GNU parallel's own joblogs hold commands with a TAB in them, and a command with a newline
//! continues in lines that are no rows.

use std::io::Write as _;

use super::{Exitval, JobRecord, exitval};

/// The first line of a joblog.
pub(crate) const HEADER: &[u8] =
    b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

/// The part of a row that resume needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JoblogRow<'a> {
    pub(crate) seq: u64,
    pub(crate) succeeded: bool,
    pub(crate) command: &'a [u8],
}

/// Appends the row of this job; returns false for a job that was cancelled, which has none.
pub(crate) fn write_row(line: &mut Vec<u8>, record: &JobRecord<'_>) -> bool {
    let Some(Exitval { exitval, signal }) = exitval(record) else { return false };
    let runtime = record.outcome.last.as_ref().map_or(0.0, |last| last.wall.as_secs_f64());
    write!(
        line,
        "{}\t:\t{:.3}\t{:10.3}\t0\t{}\t{exitval}\t{signal}\t",
        record.job, record.started_epoch, runtime, record.stdout_bytes
    )
    .expect("a Vec takes every write");
    // The command has no TAB and no newline; a row must stay one line whatever it holds.
    line.extend(record.command.iter().map(|&byte| byte.max(b' ')));
    line.push(b'\n');
    true
}

/// Returns the row in this line, which has no newline; `None` for a header, a continuation, or other text.
pub(crate) fn parse_row(line: &[u8]) -> Option<JoblogRow<'_>> {
    let mut columns = line.splitn(9, |&byte| byte == b'\t');
    let seq = number(columns.next()?)?;
    let (_host, starttime, runtime) = (columns.next()?, columns.next()?, columns.next()?);
    if !is_decimal(starttime) || !is_decimal(runtime.trim_ascii()) {
        return None;
    }
    let (_send, _receive) = (columns.next()?, columns.next()?);
    let exitval: i64 = number(columns.next()?)?;
    let signal: i64 = number(columns.next()?)?;
    let command = columns.next()?;
    Some(JoblogRow { seq, succeeded: exitval == 0 && signal == 0, command })
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn is_decimal(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'e'))
}
