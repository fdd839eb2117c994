//! The end of a run: the last messages, writes and waits, and the exit status. Starts no job.

use std::time::Duration;

use psmith_core::Time;
use psmith_engine::EngineError;
use rustix::process::Signal;

use super::board_display::BOARD_AFTER;
use super::event_writer::EventsEnd;
use super::reporting::ProgressForm;
use super::run_handler::RunHandler;
use super::stop::record_error;
use super::{RunResult, epoch_now};
use crate::exit_code::ExitStatus;
use crate::record::event_log::{LoggedEvent, RunEndEvent};
use crate::report::standing::StatusLine;
use crate::report::summary::{self, Resumed, SummaryFacts, SummaryForm};

/// Ends the run after the last job, and returns its status.
pub(super) fn finish(
    mut handler: RunHandler,
    engine: Result<(), EngineError>,
    notes: &[String],
) -> RunResult {
    let failure = handler.inputs.failure.take().or_else(|| handler.plan.read_failure());
    handler.stop.conclude(failure, engine);
    if handler.stop.left_at_once {
        // The writer may be blocked for good; the run does not wait for it.
        return Ok(ExitStatus::Signal(handler.stop.signal.unwrap_or(15)));
    }
    let (tally, inputs) = (&mut handler.reporting.tally, &handler.inputs);
    if let Some(jobs) = inputs.jobs() {
        tally.add_left(jobs.saturating_sub(tally.jobs() + inputs.skipped()));
    }
    let wall = handler.reporting.began.elapsed();
    let status = handler.status();
    handler.add_what_is_left();
    let stopped_by = handler.stop.signal.and_then(psmith_sys::signals::name);
    let event = handler.reporting.tally.run_end_event(wall, stopped_by, status.shell_code());
    match handler.records.on_run_end(event) {
        Ok(warnings) => warnings.iter().for_each(|warning| handler.warn(warning)),
        Err(error) => handler.stop.fail(record_error(&error)),
    }
    handler.leave_board(wall);
    handler.summarize(event, notes);
    handler.join(status)
}

impl RunHandler {
    /// Returns the status by the jobs, or by the failure of psmith itself.
    fn status(&self) -> ExitStatus {
        let stop = &self.stop;
        let halted = stop.halted_on.filter(|_| stop.signal.is_none());
        let run_end = self.reporting.tally.run_end(stop.signal, stop.failure.is_some(), halted);
        match &stop.failure {
            Some(error) if stop.signal.is_none() => ExitStatus::Code(error.exit_code),
            _ => run_end.status(self.config.exit),
        }
    }

    /// Adds to an error that ended the run its consequences, and how to go on.
    fn add_what_is_left(&mut self) {
        let Some(error) = &mut self.stop.failure else { return };
        let (stopped, left) = (self.reporting.tally.cancelled(), self.reporting.tally.left());
        if stopped + left == 0 {
            return;
        }
        let ending = if stopped == 1 { "" } else { "s" };
        error.message.push_str(&format!("; {stopped} job{ending} stopped, {left} left"));
        if !error.hints.is_empty() {
            return;
        }
        if self.config.records.joblog.is_some() {
            error.hints.push("add --resume to the same command, and it goes on from here".to_owned());
        } else if self.stop.output_failed {
            error
                .hints
                .push("--joblog FILE from the start, and --resume goes on where a run broke off".to_owned());
        }
    }

    /// Gives the terminal back: keys, and the board, of which one line stays.
    fn leave_board(&mut self, wall: Duration) {
        drop(self.controls.keys.take());
        let reporting = &mut self.reporting;
        if reporting.progress == ProgressForm::Board {
            let standing = reporting.tally.standing(self.inputs.jobs(), 0, None);
            let standing = StatusLine { over: true, ..standing };
            let rate = reporting.rate.per_second(Time(wall));
            self.writer.leave_board(standing.line(rate, reporting.columns));
        }
    }

    fn summarize(&mut self, event: RunEndEvent<'_>, notes: &[String]) {
        let reporting = &self.reporting;
        let board_was_up = reporting.progress == ProgressForm::Board && event.wall > BOARD_AFTER;
        // A reader that has closed the pipe gets no more messages.
        let quiet = reporting.quiet || self.stop.signal == Some(Signal::PIPE.as_raw());
        match summary::form(self.config.report.summary, &reporting.tally, board_was_up, quiet) {
            None => {}
            Some(SummaryForm::Text) => self.writer.last_message(self.summary_text(event.wall, notes)),
            Some(SummaryForm::Json) => {
                let mut line = Vec::new();
                LoggedEvent::RunEnd(event).write_line(&mut line, epoch_now(), &self.run);
                self.writer.last_message(String::from_utf8_lossy(&line).into_owned());
            }
        }
    }

    fn summary_text(&self, wall: Duration, notes: &[String]) -> String {
        let (inputs, tally) = (&self.inputs, &self.reporting.tally);
        let resumed =
            self.config.resume.map(|_| Resumed { skipped: inputs.skipped(), unmatched: inputs.unmatched() });
        let mut notes = notes.to_vec();
        if tally.own_ends() > 0 {
            notes.extend(summary::limits_in_force(&self.config.limits));
        }
        let facts = SummaryFacts {
            wall,
            joblog: self.config.records.joblog.as_ref().map(|log| log.path.as_path()),
            resumed,
            leak: self.config.policy.leak,
            notes: &notes,
            columns: self.reporting.columns,
        };
        summary::text(tally, &facts)
    }

    /// Waits for the threads that write, and returns the run's result.
    fn join(mut self, status: ExitStatus) -> RunResult {
        let output = self.writer.finish();
        if let Some(joblog) = output.and_then(|output| output.joblog)
            && let Err(error) = joblog.finish()
        {
            self.stop.fail(record_error(&error));
        }
        match self.records.events.take().map(|events| events.finish(&self.controls.signals)) {
            None | Some(EventsEnd::Written(None)) => {}
            Some(EventsEnd::Written(Some(error))) => self.stop.fail(record_error(&error)),
            Some(EventsEnd::Left(signal)) => return Ok(ExitStatus::Signal(signal)),
        }
        match self.stop.failure {
            Some(error) if self.stop.signal.is_none() => Err(error),
            _ => Ok(status),
        }
    }
}
