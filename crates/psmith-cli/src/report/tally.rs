//! Tally of a run's jobs: counts, and the few jobs that the summary names.
//!
//! Bounded: lists hold [`NAMED_MAX`] jobs, however many there are.

use std::time::Duration;

use psmith_core::event::HoldReason;
use psmith_core::outcome::{Cause, Outcome};
use psmith_core::policy::{HaltOn, Leak};

use crate::exit_code::{ExitFacts, OWN_FAILURE, first_code};
use crate::record::event_log::RunEndEvent;
use psmith_report::{JobRecord, Status};

pub use psmith_report::is_flaky;

use super::cause::cause_text;
use super::display::{last_lines, visible};
use super::duration::measured;
use super::failure_line::COMMAND_COLUMNS_MAX;
use super::standing::StatusLine;

/// The number of jobs of a kind that are named in the summary.
pub const NAMED_MAX: usize = 10;
/// The number of slowest jobs that are named.
pub const SLOWEST_MAX: usize = 3;
/// The number of lines of a failed job's stderr that are shown.
pub const STDERR_LINES_MAX: usize = 3;

/// The count of a success after a retry (`--flaky`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flaky {
    /// A success.
    #[default]
    Ok,
    /// A failure.
    Fail,
}

/// The rules by which jobs are counted and named.
#[derive(Clone, Copy, Debug)]
pub struct TallyRules {
    /// The count of a success after a retry.
    pub flaky: Flaky,
    /// The treatment of descendants that outlive their job.
    pub leak: Leak,
    /// The number of tries that each job had (`--retries`); with 1 it is not shown.
    pub tries: u32,
}

impl Default for TallyRules {
    fn default() -> TallyRules {
        TallyRules { flaky: Flaky::Ok, leak: Leak::Kill, tries: 1 }
    }
}

/// The counts of a run so far.
#[derive(Debug, Default)]
pub struct Tally {
    rules: TallyRules,
    ok: u64,
    failed: u64,
    cancelled: u64,
    left: u64,
    flaky: u64,
    leaked: u64,
    /// Jobs that failed by an exit code or a signal, which a limit may have caused without evidence.
    own_ends: u64,
    first: Option<u8>,
    pub(super) failures: Vec<FailedJob>,
    pub(super) flaky_jobs: Vec<u64>,
    pub(super) leaked_jobs: Vec<(u64, u32)>,
    /// The slowest jobs, the slowest first.
    pub(super) slowest: Vec<(Duration, u64)>,
}

/// A failed job as the summary shows it.
#[derive(Debug)]
pub(super) struct FailedJob {
    pub(super) job: u64,
    pub(super) cause: String,
    pub(super) command: String,
    pub(super) stderr: Vec<String>,
}

/// Returns the status with which a job counts under these rules.
#[must_use]
pub fn counts_as(outcome: &Outcome, flaky: Flaky) -> Status {
    match Status::of(outcome) {
        Status::Ok if flaky == Flaky::Fail && is_flaky(outcome) => Status::Failed,
        status => status,
    }
}

impl Tally {
    /// Makes an empty tally.
    #[must_use]
    pub fn new(rules: TallyRules) -> Tally {
        Tally { rules, ..Tally::default() }
    }

    /// Counts a job that has ended, and returns the status with which it counts. Must be called in completion order
    /// (`Action::End`), once for each job.
    pub fn on_end(&mut self, record: &JobRecord<'_>) -> Status {
        let outcome = record.outcome;
        let status = record.status;
        if is_flaky(outcome) {
            self.flaky += 1;
            push_named(&mut self.flaky_jobs, record.job);
        }
        match status {
            Status::Ok => self.ok += 1,
            Status::Failed => self.on_failed(record),
            // Cancelled before its first start: the job was never begun.
            Status::Cancelled if outcome.attempts == 0 => self.left += 1,
            Status::Cancelled | Status::Skipped => self.cancelled += 1,
        }
        if let Some(last) = &outcome.last {
            if last.leaked > 0 {
                self.leaked += 1;
                push_named(&mut self.leaked_jobs, (record.job, last.leaked));
            }
            // Earlier jobs come first among equals.
            let place = self.slowest.partition_point(|(wall, _)| *wall >= last.wall);
            if place < SLOWEST_MAX {
                self.slowest.insert(place, (last.wall, record.job));
                self.slowest.truncate(SLOWEST_MAX);
            }
        }
        status
    }

    /// Returns the number of jobs that failed by an exit code or a signal.
    #[must_use]
    pub fn own_ends(&self) -> u64 {
        self.own_ends
    }

    /// Counts jobs that are known to exist and were never accepted.
    pub fn add_left(&mut self, jobs: u64) {
        self.left += jobs;
    }

    /// Returns the number of jobs that succeeded, flaky ones too unless they count as failed.
    #[must_use]
    pub fn ok(&self) -> u64 {
        self.ok
    }

    /// Returns the number of jobs that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Returns the number of jobs that were begun and then cancelled by psmith.
    #[must_use]
    pub fn cancelled(&self) -> u64 {
        self.cancelled
    }

    /// Returns the number of jobs that were never begun.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Returns the number of jobs that succeeded after a retry.
    #[must_use]
    pub fn flaky(&self) -> u64 {
        self.flaky
    }

    /// Returns the number of jobs that left descendants behind.
    #[must_use]
    pub fn leaked(&self) -> u64 {
        self.leaked
    }

    /// Returns the number of jobs with an outcome of their own: neither left nor cancelled.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.ok + self.failed
    }

    /// Returns the run's progress by these counts; the other values as given.
    #[must_use]
    pub fn standing(&self, total: Option<u64>, running: u64, held: Option<HoldReason>) -> StatusLine {
        let flaky = self.flaky_ok();
        let (done, ok, failed) = (self.done(), self.ok() - flaky, self.failed());
        StatusLine { done, total, ok, failed, flaky, running, held, over: false }
    }

    /// Returns the number of jobs.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.done() + self.cancelled + self.left
    }

    /// Returns the number of flaky jobs that count as successes.
    #[must_use]
    pub fn flaky_ok(&self) -> u64 {
        if self.rules.flaky == Flaky::Ok { self.flaky } else { 0 }
    }

    /// Returns the facts that determine the exit status.
    #[must_use]
    pub fn run_end(&self, signal: Option<i32>, broken: bool, halted_on: Option<HaltOn>) -> ExitFacts {
        ExitFacts {
            signal,
            broken,
            halted_on,
            ok: self.ok,
            failed: self.failed,
            left: self.left + self.cancelled,
            first: self.first,
        }
    }

    /// Returns the `run_end` object of the events, and of `--summary json`. `stopped_by` is a signal's name without
    /// `SIG`.
    #[must_use]
    pub fn run_end_event<'a>(
        &self,
        wall: Duration,
        stopped_by: Option<&'a str>,
        exit: i32,
    ) -> RunEndEvent<'a> {
        RunEndEvent {
            jobs: self.jobs(),
            ok: self.ok,
            failed: self.failed,
            cancelled: self.cancelled,
            skipped: 0,
            left: self.left,
            flaky: self.flaky,
            leaked: self.leaked,
            wall,
            stopped_by,
            exit,
        }
    }

    fn on_failed(&mut self, record: &JobRecord<'_>) {
        self.failed += 1;
        if matches!(record.outcome.verdict, Err(Cause::Exit(_) | Cause::Signal { .. })) {
            self.own_ends += 1;
        }
        if self.first.is_none() {
            self.first = Some(first_code(record.outcome).unwrap_or(OWN_FAILURE));
        }
        if self.failures.len() < NAMED_MAX {
            self.failures.push(FailedJob {
                job: record.job,
                cause: self.cause_of(record),
                command: visible(record.command, COMMAND_COLUMNS_MAX),
                stderr: last_lines(record.stderr_tail, STDERR_LINES_MAX, COMMAND_COLUMNS_MAX),
            });
        }
    }

    /// Returns the cause, the tries if there could have been several, and the time if the cause does not include it.
    fn cause_of(&self, record: &JobRecord<'_>) -> String {
        let outcome = record.outcome;
        let program = record.argv.first().map_or(&[][..], Vec::as_slice);
        let mut text = match &outcome.verdict {
            Ok(()) => "flaky".to_owned(),
            Err(cause) => cause_text(cause, program),
        };
        match outcome.tries {
            1 if self.rules.tries != 1 => text.push_str(", 1 try"),
            0 | 1 => {}
            tries => text.push_str(&format!(", {tries} tries")),
        }
        let told_by_cause = matches!(
            outcome.verdict,
            Err(Cause::Timeout(_) | Cause::OutOfMemory { .. } | Cause::SpawnFailed(_))
        );
        if let Some(last) = outcome.last.as_ref().filter(|_| !told_by_cause) {
            text.push_str(&format!(", {}", measured(last.wall)));
        }
        text
    }
}

fn push_named<T>(list: &mut Vec<T>, item: T) {
    if list.len() < NAMED_MAX {
        list.push(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use psmith_report::sample;

    fn flaky() -> Outcome {
        Outcome { tries: 2, attempts: 2, ..sample::succeeded() }
    }

    #[test]
    fn every_job_is_counted_once() {
        let never_begun = Outcome { attempts: 0, tries: 0, last: None, ..sample::failed(Cause::Cancelled) };
        let outcomes = [
            sample::succeeded(),
            flaky(),
            sample::failed(Cause::Exit(3)),
            sample::failed(Cause::Exit(4)),
            sample::failed(Cause::Cancelled),
            never_begun,
        ];
        let mut tally = Tally::new(TallyRules::default());
        for (job, outcome) in (1..).zip(&outcomes) {
            tally.on_end(&sample::record(job, outcome, b"x"));
        }
        tally.add_left(4);
        assert_eq!((tally.ok(), tally.failed(), tally.cancelled(), tally.left()), (2, 2, 1, 5));
        assert_eq!((tally.flaky(), tally.done(), tally.jobs()), (1, 4, 10));
        assert_eq!(tally.run_end(None, false, None).first, Some(3));
        let event = tally.run_end_event(Duration::from_secs(1), Some("INT"), 130);
        assert_eq!(event.jobs, event.ok + event.failed + event.cancelled + event.skipped + event.left);
    }

    #[test]
    fn flaky_jobs_can_count_as_failed() {
        let mut tally = Tally::new(TallyRules { flaky: Flaky::Fail, tries: 2, ..TallyRules::default() });
        let outcome = flaky();
        let status = counts_as(&outcome, Flaky::Fail);
        let record = JobRecord { status, ..sample::record(1, &outcome, b"x") };
        assert_eq!(tally.on_end(&record), Status::Failed);
        assert_eq!((tally.ok(), tally.failed(), tally.flaky(), tally.flaky_ok()), (0, 1, 1, 0));
        assert_eq!(tally.run_end(None, false, None).first, Some(OWN_FAILURE));
        assert_eq!(tally.failures[0].cause, "flaky, 2 tries, 1.8s");
    }

    #[test]
    fn lists_do_not_grow_with_the_jobs() {
        let mut tally = Tally::new(TallyRules::default());
        let mut outcome = sample::failed(Cause::Exit(1));
        for job in 1..=1000 {
            let last = outcome.last.as_mut().unwrap();
            last.leaked = 1;
            last.wall = Duration::from_millis(job * 7919 % 1000);
            tally.on_end(&sample::record(job, &outcome, b"x"));
        }
        assert_eq!((tally.failures.len(), tally.leaked_jobs.len(), tally.leaked()), (10, 10, 1000));
        let slowest: Vec<u128> = tally.slowest.iter().map(|(wall, _)| wall.as_millis()).collect();
        assert_eq!(slowest, [999, 998, 997]);
    }
}
