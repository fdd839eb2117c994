//! Jobs that are named one by one: with all that the joblog says of them, and their last lines.

use std::time::Duration;

use crate::cause::cause_with_tries;
use crate::display::{last_lines, visible};
use crate::{JobRecord, Status, exitval};

/// Commands are cut here.
const COMMAND_COLUMNS_MAX: usize = 240;
/// So many of a job's last lines are kept, each cut at so many columns.
const LINES_MAX: usize = 12;
const LINE_COLUMNS_MAX: usize = 240;

/// One job, as a list shows it. All texts are fit to be shown on a terminal; HTML has yet to be escaped.
#[derive(Clone, Debug)]
pub struct Named {
    pub job: u64,
    pub status: Status,
    /// Why it failed, with its tries; empty if it did not.
    pub cause: String,
    pub command: String,
    /// The last lines of its stderr.
    pub lines: Vec<String>,
    pub attempts: u32,
    pub wall: Duration,
    /// Exitval and signal as in the joblog, where it has a row.
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

/// The jobs with the largest of something, the largest first; among equals the earlier.
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
