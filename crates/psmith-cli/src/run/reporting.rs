//! Reporting of a run to its user: counts, lines for events, the board, the list of running jobs.
//!
//! It writes through the writer alone, and decides nothing: a run is the same without it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use psmith_core::board::{Rate, Update};
use psmith_core::event::HoldReason;
use psmith_core::outcome::Cause;
use psmith_core::{JobId, Time};
use psmith_engine::handler::View;

use super::board_display::{BoardDisplay, ending};
use super::keys::Keys;
use super::run_job::RunJob;
use super::writer::WriterHandle;
use crate::config::Config;
use crate::plan;
use crate::record::{JobRecord, Status};
use crate::report::failure_line::FailureLines;
use crate::report::plain::CountLines;
use crate::report::running::{RunningJob, list};
use crate::report::standing::StatusLine;
use crate::report::tally::{Tally, TallyRules};

/// The form in which the run shows its progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProgressForm {
    /// Failures only.
    Failures,
    /// A line for each event, and counts at intervals.
    Plain,
    /// Rows at the bottom of the terminal.
    Board,
}

/// The reporting of a run to people.
pub(super) struct Reporting {
    pub(super) progress: ProgressForm,
    /// True if warnings and lines about jobs are left out.
    pub(super) quiet: bool,
    pub(super) columns: usize,
    pub(super) began: Instant,
    pub(super) tally: Tally,
    pub(super) rate: Rate,
    pub(super) board: Option<BoardDisplay>,
    failure_lines: FailureLines,
    counts: CountLines,
    held: Option<HoldReason>,
    running: BTreeMap<JobId, RunningRow>,
    tries: u32,
}

/// A running job, as a list shows it.
#[derive(Debug)]
struct RunningRow {
    number: u64,
    text: String,
}

impl Reporting {
    pub(super) fn new(config: &Config, progress: ProgressForm, columns: usize, began: Instant) -> Reporting {
        let tries = config.policy.tries;
        let rules = TallyRules { flaky: config.flaky, leak: config.policy.leak, tries };
        let failure_lines =
            if progress == ProgressForm::Plain { FailureLines::all() } else { FailureLines::first_few() };
        Reporting {
            progress,
            quiet: config.report.quiet,
            columns,
            began,
            tally: Tally::new(rules),
            rate: Rate::default(),
            board: (progress == ProgressForm::Board).then(|| BoardDisplay::new(config.report.rows, tries)),
            failure_lines,
            counts: CountLines::default(),
            held: None,
            running: BTreeMap::new(),
            tries,
        }
    }

    /// Returns whether each event gets a line.
    pub(super) fn is_plain(&self) -> bool {
        self.progress == ProgressForm::Plain && !self.quiet
    }

    /// Passes an event on to the board.
    pub(super) fn show(&mut self, update: Update<'_>, now: Time) {
        if let Some(board) = &mut self.board {
            board.on(update, now);
        }
    }

    /// Notes that starts are held, or no longer.
    pub(super) fn on_held(&mut self, reason: Option<HoldReason>, now: Time) {
        self.held = reason;
        self.show(Update::Held(reason), now);
    }

    /// Notes that an attempt is about to be started.
    pub(super) fn on_start_requested(&mut self, id: JobId, job: &RunJob) {
        self.running.insert(id, RunningRow { number: job.number, text: job.text.clone() });
    }

    /// Notes that an attempt is over.
    pub(super) fn on_attempt_over(&mut self, id: JobId) {
        self.running.remove(&id);
    }

    pub(super) fn on_output(&mut self, job: &RunJob, bytes: &[u8]) {
        if let Some(board) = &mut self.board {
            board.on_output(JobId(job.number), bytes);
        }
    }

    /// Counts a job that has ended, and writes a line if it failed.
    pub(super) fn on_end(&mut self, record: &JobRecord<'_>, now: Time, writer: &WriterHandle) {
        let status = self.tally.on_end(record);
        self.rate.on_end(now);
        self.show(Update::Ended { job: JobId(record.job), ending: ending(status, record.outcome) }, now);
        if status != Status::Failed || self.quiet {
            return;
        }
        if let Some(line) = self.failure_lines.line(record) {
            writer.message(line);
        }
        if let Err(Cause::SpawnFailed(failure)) = &record.outcome.verdict
            && let Some(hint) = plan::hint_for(failure)
        {
            writer.message(format!("  hint: {hint}\n"));
        }
    }

    /// Returns the run's progress, with this number of jobs to run, if it is known.
    pub(super) fn standing(&self, to_run: Option<u64>, view: &View<'_>) -> StatusLine {
        self.tally.standing(to_run, view.dispatcher.counts().running, self.held)
    }

    /// Writes the counts in a line, if it is time to. Returns the time of the next call.
    pub(super) fn tick_lines(&mut self, now: Time, standing: &StatusLine, writer: &WriterHandle) -> Duration {
        if let Some(line) = self.counts.line(now, standing, &mut self.rate) {
            writer.message(line);
        }
        self.counts.next_line().since(now)
    }

    /// Draws the board, if it is time to. Returns the time of the next call.
    pub(super) fn tick_board(
        &mut self,
        now: Time,
        standing: &StatusLine,
        writer: &WriterHandle,
        keys: Option<&mut Keys>,
    ) -> Option<Duration> {
        let rate = self.rate.per_second(now);
        self.board.as_mut()?.tick(now, writer, keys, |columns| standing.line(rate, columns))
    }

    /// Returns the list of running jobs, with a board or without.
    pub(super) fn running_list(&self, view: &View<'_>, standing: &StatusLine) -> String {
        // The engine keeps the jobs; what a list needs of them was noted at their starts.
        let mut rows: Vec<RunningJob<'_>> = view
            .dispatcher
            .running()
            .filter_map(|(attempt, _, since)| {
                let row = self.running.get(&attempt.job)?;
                Some(RunningJob {
                    job: row.number,
                    attempt: attempt.number,
                    tries: self.tries,
                    elapsed: view.now.since(since),
                    command: row.text.as_bytes(),
                })
            })
            .collect();
        list(&mut rows, standing, self.columns)
    }

    /// Returns the running jobs with their last lines, if there is a board that keeps those.
    pub(super) fn running_text(&self, now: Time, standing: &StatusLine) -> Option<String> {
        let standing = standing.line(0.0, self.columns);
        Some(self.board.as_ref()?.running_text(now, self.columns, &standing))
    }

    /// Notes that the drawn rows may be gone, and the width another.
    pub(super) fn redraw(&mut self, columns: usize) {
        self.columns = columns;
        if let Some(board) = &mut self.board {
            board.redraw();
        }
    }
}
