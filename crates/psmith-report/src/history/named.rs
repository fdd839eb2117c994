//! Jobs that are listed one by one: with all that the joblog holds of them, and their last lines.

use std::time::Duration;

use crate::cause::cause_with_tries;
use crate::display::{last_lines, visible};
use crate::{JobRecord, Status, exitval};

/// The length at which a command is cut.
const COMMAND_COLUMNS_MAX: usize = 240;
/// The number of a job's last lines that are kept.
const LINES_MAX: usize = 12;
/// The length at which each of these lines is cut.
const LINE_COLUMNS_MAX: usize = 240;

/// A job as a list shows it. All texts are safe for a terminal; they are not yet escaped for HTML.
#[derive(Clone, Debug)]
pub struct Named {
    pub job: u64,
    pub status: Status,
    /// The cause of its failure, with its tries; empty if it did not fail.
    pub cause: String,
    pub command: String,
    /// The last lines of its stderr.
    pub lines: Vec<String>,
    pub attempts: u32,
    pub wall: Duration,
    /// Exitval and signal as in the joblog, if it has a row there.
    pub exit: Option<(i64, i64)>,
    pub rss_bytes: u64,
}

impl Named {
    pub fn of(record: &JobRecord<'_>) -> Named {
        let program = record.argv.first().map_or(&[][..], Vec::as_slice);
        let last = record.outcome.last.as_ref();
        let failed = record.status == Status::Failed || record.outcome.verdict.is_err();
        Named {
            job: record.job,
            status: record.status,
            cause: if failed { cause_with_tries(record.outcome, program) } else { String::new() },
            command: visible(record.command, COMMAND_COLUMNS_MAX),
            lines: last_lines(record.stderr_tail, LINES_MAX, LINE_COLUMNS_MAX),
            attempts: record.outcome.attempts,
            wall: last.map(|last| last.wall).unwrap_or_default(),
            exit: exitval(record).map(|exit| (exit.exitval.into(), exit.signal.into())),
            rss_bytes: last.map_or(0, |last| last.usage.max_rss_bytes),
        }
    }
}

/// The jobs with the largest value of a key, the largest first; among equals the earlier.
#[derive(Debug)]
pub struct Worst<K> {
    jobs: Vec<(K, Named)>,
    max: usize,
}

impl<K: Ord + Copy> Worst<K> {
    pub(super) fn new(max: usize) -> Worst<K> {
        Worst { jobs: Vec::new(), max }
    }

    pub(super) fn offer(&mut self, key: K, named: impl FnOnce() -> Named) {
        let place = self.jobs.partition_point(|(other, _)| *other >= key);
        if place < self.max {
            self.jobs.insert(place, (key, named()));
            self.jobs.truncate(self.max);
        }
    }

    pub fn jobs(&self) -> impl Iterator<Item = &Named> {
        self.jobs.iter().map(|(_, named)| named)
    }
}
