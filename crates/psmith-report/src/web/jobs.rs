//! Ended jobs for lists and searches: the last [`JOBS_MAX`] of them, and the output of fewer. Never serves a request.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::cause::cause_text;
use crate::history::named::Named;
use crate::{JobRecord, Status};

/// The number of ended jobs that are kept for lists and searches; of more the oldest are dropped.
pub(super) const JOBS_MAX: usize = 100_000;
/// The bytes of output of ended jobs that are kept: this much for those that failed, and this much for all others.
const TAILS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The greatest number of rows in an answer.
pub(super) const ROWS_MAX: usize = 200;

/// An ended job.
#[derive(Debug)]
pub(super) struct EndedJob {
    pub(super) job: u64,
    pub(super) status: Status,
    pub(super) attempts: u32,
    pub(super) slot: u32,
    pub(super) cause: Box<str>,
    pub(super) command: Box<str>,
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    pub(super) started_epoch: f64,
    pub(super) exit: Option<(i64, i64)>,
    pub(super) rss_bytes: u64,
    pub(super) bytes: [u64; 2],
    /// A line for each attempt before the last.
    pub(super) earlier: Box<[Box<str>]>,
}

impl EndedJob {
    pub(super) fn of(record: &JobRecord<'_>) -> EndedJob {
        let named = Named::of(record);
        let program = record.argv.first().map_or(&[][..], Vec::as_slice);
        let last = record.outcome.last.as_ref();
        let earlier = record.outcome.earlier.iter().map(|attempt| {
            let cause = attempt.cause.as_ref().map_or("ok".to_owned(), |cause| cause_text(cause, program));
            let charged = if attempt.charged { "" } else { ", not charged" };
            let wall = crate::charts::seconds(attempt.wall);
            format!("attempt {}: {cause} after {wall}{charged}", attempt.number).into()
        });
        EndedJob {
            job: record.job,
            status: record.status,
            attempts: record.outcome.attempts,
            slot: record.slot,
            cause: named.cause.into(),
            command: named.command.into(),
            wall: named.wall,
            cpu: last.map(|last| last.usage.user + last.usage.system).unwrap_or_default(),
            started_epoch: record.started_epoch,
            exit: named.exit,
            rss_bytes: named.rss_bytes,
            bytes: [record.stdout_bytes, record.stderr_bytes],
            earlier: earlier.collect(),
        }
    }
}

/// A row of a list.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct ListRow<'a> {
    pub(super) job: u64,
    pub(super) status: &'static str,
    pub(super) cause: &'a str,
    pub(super) wall: f64,
    pub(super) rss: u64,
    pub(super) attempts: u32,
    pub(super) command: &'a str,
}

/// A query for a list.
#[derive(Debug, Default)]
pub(super) struct Query {
    /// The status that jobs must have, if any.
    pub(super) status: Option<String>,
    /// A text that must be in the job's command or cause, or be its number.
    pub(super) text: String,
    /// The first row.
    pub(super) from: usize,
    /// The number of rows.
    pub(super) count: usize,
}

/// The ended jobs.
#[derive(Debug, Default)]
pub(super) struct EndedJobs {
    ended: VecDeque<EndedJob>,
    forgotten: u64,
    tails: [Tails; 2],
}

impl EndedJobs {
    pub(super) fn push(&mut self, job: EndedJob, tail: Vec<u8>) {
        let failed = usize::from(job.status == Status::Failed);
        self.tails[failed].push(job.job, tail);
        if self.ended.len() == JOBS_MAX {
            self.ended.pop_front();
            self.forgotten += 1;
        }
        self.ended.push_back(job);
    }

    /// Returns the number of jobs that were dropped.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn get(&self, job: u64) -> Option<(&EndedJob, Option<&[u8]>)> {
        // The latest jobs are requested most often.
        let ended = self.ended.iter().rev().find(|ended| ended.job == job)?;
        Some((ended, self.tails.iter().find_map(|tails| tails.get(job))))
    }

    /// Returns the rows asked for, the latest end first, and the number of all rows.
    pub(super) fn list(&self, query: &Query) -> (usize, Vec<ListRow<'_>>) {
        let number = query.text.trim_start_matches('#').parse::<u64>().ok();
        let words = regex::RegexBuilder::new(&regex::escape(&query.text)).case_insensitive(true).build().ok();
        let matches = |job: &&EndedJob| {
            query.status.as_ref().is_none_or(|status| job.status.word() == status)
                && (query.text.is_empty()
                    || number == Some(job.job)
                    || words
                        .as_ref()
                        .is_some_and(|words| words.is_match(&job.command) || words.is_match(&job.cause)))
        };
        let mut total = 0;
        let mut rows = Vec::new();
        let until = query.from.saturating_add(query.count.min(ROWS_MAX));
        for job in self.ended.iter().rev().filter(matches) {
            if (query.from..until).contains(&total) {
                rows.push(ListRow {
                    job: job.job,
                    status: job.status.word(),
                    cause: &job.cause,
                    wall: job.wall.as_secs_f64(),
                    rss: job.rss_bytes,
                    attempts: job.attempts,
                    command: &job.command,
                });
            }
            total += 1;
        }
        (total, rows)
    }
}

/// The ends of some jobs' output, the latest, up to a bound in bytes.
#[derive(Debug, Default)]
struct Tails {
    tails: VecDeque<(u64, Box<[u8]>)>,
    bytes: usize,
}

impl Tails {
    fn push(&mut self, job: u64, tail: Vec<u8>) {
        if tail.is_empty() {
            return;
        }
        self.bytes += tail.len();
        self.tails.push_back((job, tail.into()));
        while self.bytes > TAILS_BYTES_MAX
            && let Some((_, tail)) = self.tails.pop_front()
        {
            self.bytes -= tail.len();
        }
    }

    fn get(&self, job: u64) -> Option<&[u8]> {
        self.tails.iter().rev().find(|(other, _)| *other == job).map(|(_, tail)| &**tail)
    }
}
