//! Lines for jobs that failed, one each, as they fail; after the first few, one line that announces the end of such
//! lines.

use psmith_report::JobRecord;

use super::cause::cause_with_tries;
use super::display::visible;

/// The number of failures that get a line each, unless all are requested.
pub const FAILURE_LINES_MAX: u64 = 10;
/// The width at which a command is cut if no terminal sets the width.
pub const COMMAND_COLUMNS_MAX: usize = 240;

/// A composer of the failure lines of a run.
#[derive(Debug)]
pub struct FailureLines {
    limit: Option<u64>,
    count: u64,
}

impl FailureLines {
    /// Makes it for the first [`FAILURE_LINES_MAX`] failures (no progress, or a board).
    #[must_use]
    pub fn first_few() -> FailureLines {
        FailureLines { limit: Some(FAILURE_LINES_MAX), count: 0 }
    }

    /// Makes it for all failures (plain progress).
    #[must_use]
    pub fn all() -> FailureLines {
        FailureLines { limit: None, count: 0 }
    }

    /// Returns the line for this failed job, with its newline; `None` after the last line.
    pub fn line(&mut self, record: &JobRecord<'_>) -> Option<String> {
        self.count += 1;
        match self.limit {
            Some(limit) if self.count == limit + 1 => {
                Some("psmith: more failures are counted, not shown\n".to_owned())
            }
            Some(limit) if self.count > limit => None,
            _ => {
                let program = record.argv.first().map_or(&[][..], Vec::as_slice);
                let cause = cause_with_tries(record.outcome, program);
                let command = visible(record.command, COMMAND_COLUMNS_MAX);
                Some(format!("psmith: job {} failed: {cause}: {command}\n", record.job))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use psmith_core::outcome::Cause;
    use psmith_report::sample;

    #[test]
    fn the_first_ten_failures_are_reported_then_that_there_are_more() {
        let outcome = sample::failed(Cause::Exit(7));
        let record = sample::record(3, &outcome, b"convert c.tif");
        let mut lines = FailureLines::first_few();
        for _ in 0..10 {
            assert_eq!(lines.line(&record).unwrap(), "psmith: job 3 failed: exit 7: convert c.tif\n");
        }
        assert_eq!(lines.line(&record).unwrap(), "psmith: more failures are counted, not shown\n");
        assert_eq!(lines.line(&record), None);
        let mut lines = FailureLines::all();
        assert!((0..30).all(|_| lines.line(&record).is_some()));
    }

    #[test]
    fn a_command_has_no_power_over_the_terminal() {
        let outcome = sample::failed(Cause::Exit(1));
        let line = FailureLines::all().line(&sample::record(1, &outcome, b"echo \x1b]0;x\x07")).unwrap();
        assert_eq!(line, "psmith: job 1 failed: exit 1: echo \\x1b]0;x\\x07\n");
    }
}
