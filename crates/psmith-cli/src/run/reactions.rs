//! Reactions of a run to events of the engine and the writer that concern more than one owner.

use psmith_core::board::Update;
use psmith_core::policy::Halt;
use psmith_core::{JobId, Notice};
use psmith_engine::Containment;
use psmith_engine::handler::{AttemptSlot, Ending, EngineCommand, View};

use super::producer::InputEnd;
use super::reporting::ProgressForm;
use super::run_handler::{RunHandler, epoch};
use super::run_job::RunJob;
use super::writer::WriterReply;
use crate::error::CliError;
use crate::exit_code::NO_INPUT;
use crate::record::JobRecord;
use crate::record::event_log::LoggedEvent;
use crate::report::plain::{retry_line, slow_line, stopped_line};
use crate::report::tally::counts_as;

impl RunHandler {
    /// Begins the run when the engine is ready.
    pub(super) fn begin(&mut self, slots: u32, level: Containment) {
        self.records.on_run(&self.config, slots, level, &self.plan);
        if let Some(url) = self.records.observers.web_url() {
            self.writer.message(format!("psmith: web board at {url}\n"));
            if self.config.report.web.is_some_and(|address| !address.ip().is_loopback()) {
                self.warn("--web: the network can reach the board; its token and all it shows go there in the clear");
            }
        }
    }

    /// Reacts to the end of the input.
    pub(super) fn on_input_end(&mut self, end: InputEnd) {
        for warning in &end.warnings {
            self.warn(warning);
        }
        if self.config.require_input && end.jobs == 0 {
            let none = CliError::new("no input").hint("leave out --require-input if that is fine");
            self.stop.fail(none.code(NO_INPUT));
        }
        self.records.observers.on_total(end.jobs - end.skipped);
        self.inputs.on_end(end);
    }

    /// Reacts to the process of an attempt.
    pub(super) fn on_started(&mut self, view: &View<'_>, place: AttemptSlot, job: &RunJob, pid: u32) {
        if let Some(tty) = &mut self.controls.tty {
            tty.on_started(pid);
        }
        let (number, attempt, title) = (job.number, place.attempt.number, job.text.as_str());
        let (id, slot) = (JobId(number), place.slot);
        self.reporting.show(Update::Started { job: id, number, slot, attempt, pid, title }, view.now);
        self.records.on_started(place, job, pid);
    }

    /// Reacts to a job that was stopped by a signal, or by its terminal.
    pub(super) fn on_stopped(&mut self, place: AttemptSlot, job: &RunJob, signal: i32) {
        let event = LoggedEvent::JobStopped { job: job.number, attempt: place.attempt.number, signal };
        self.records.note(&event);
        match &mut self.controls.tty {
            // The terminal belongs to the stopped job, so nothing else could use it: the run stops with it.
            Some(tty) => tty.job_stopped = true,
            None if !self.reporting.quiet && self.reporting.progress != ProgressForm::Failures => {
                self.writer.message(stopped_line(job.number, signal, job.text.as_bytes()));
            }
            None => {}
        }
    }

    /// Reacts to the outcome of a job.
    pub(super) fn on_ending(&mut self, view: &View<'_>, ended: &Ending<'_, RunJob>) {
        let job = ended.job;
        job.drop_stdin();
        let inputs = job.args.inputs();
        let text = self.text_of(job, ended.slot.0 + 1);
        let record = JobRecord {
            job: job.number,
            outcome: ended.outcome,
            status: counts_as(ended.outcome, self.config.flaky),
            command: text.as_bytes(),
            argv: &job.argv,
            inputs: &inputs,
            started_epoch: epoch(ended.started),
            slot: ended.slot.0 + 1,
            stdout_bytes: ended.output.stdout_bytes,
            stderr_bytes: ended.output.stderr_bytes,
            stderr_tail: &ended.output.stderr_tail,
        };
        self.reporting.on_attempt_over(ended.id);
        self.reporting.on_end(&record, view.now, &self.writer);
        self.records.on_end(&record);
        if let Some(tty) = &self.controls.tty {
            // The job had the terminal; from here on it is ours again.
            tty.take_back();
        }
    }

    /// Reacts to any other notice of the dispatcher.
    pub(super) fn on_notice(&mut self, view: &View<'_>, notice: &Notice, job: Option<&RunJob>) {
        if let Notice::Retry { attempt, .. } = notice {
            self.reporting.on_attempt_over(attempt.job);
        }
        self.records.observers.on_notice(notice, job.map(|job| job.number));
        match notice {
            Notice::Held { reason, ready } => {
                self.reporting.on_held(*reason, view.now);
                self.records
                    .note(&LoggedEvent::Held { reason: reason.map(|reason| reason.word()), ready: *ready });
            }
            Notice::Slots { slots } => {
                self.records.note(&LoggedEvent::Width { slots: *slots, by: self.controls.slots.set_by() });
            }
            // Not requested here.
            Notice::Broken { .. } => {}
            Notice::Halted { .. } => {
                if let Halt::When { what, .. } = self.config.halt {
                    self.stop.halted_on = Some(what);
                }
            }
            Notice::Retry { .. } | Notice::Slow { .. } | Notice::Unkillable { .. } => {
                if let Some(job) = job {
                    self.on_job_notice(view, notice, job);
                }
            }
        }
    }

    fn on_job_notice(&mut self, view: &View<'_>, notice: &Notice, job: &RunJob) {
        let number = job.number;
        let (id, text) = (JobId(number), job.text.as_bytes());
        match notice {
            Notice::Retry { attempt, cause, delay, charged } => {
                self.reporting.show(Update::Retried { job: id }, view.now);
                self.records.note(&LoggedEvent::retry(number, attempt.number, cause, *delay, *charged));
                if job.streamed {
                    self.writer.break_off(attempt.job);
                    self.warn(&format!(
                        "job {number} was lost when part of its output had been passed on; its next attempt's follows whole"
                    ));
                }
                if self.reporting.is_plain() {
                    let line = retry_line(number, attempt.number, cause, *delay, *charged, &job.argv, text);
                    self.writer.message(line);
                }
            }
            Notice::Slow { attempt, after } => {
                self.reporting.show(Update::Slow { job: id }, view.now);
                self.records.note(&LoggedEvent::JobSlow {
                    job: number,
                    attempt: attempt.number,
                    after: *after,
                });
                if self.reporting.is_plain() {
                    self.writer.message(slow_line(number, *after, text));
                }
            }
            Notice::Unkillable { .. } => {
                self.reporting.show(Update::Unkillable { job: id }, view.now);
                self.writer.message(format!(
                    "psmith: warning: job {number} cannot be killed; its slot stays taken\n"
                ));
            }
            _ => {}
        }
    }

    /// Receives the writer's replies; with `wanted`, the next one wakes the engine.
    pub(super) fn take_replies(&mut self, wanted: bool, commands: &mut Vec<EngineCommand>) {
        for reply in self.writer.replies(wanted) {
            match reply {
                WriterReply::Delivered(job) => commands.push(EngineCommand::Delivered(job)),
                WriterReply::BrokenPipe => {
                    self.stop.break_pipe();
                    commands.push(EngineCommand::Stop);
                }
                WriterReply::Failed(failure) => {
                    self.stop.fail_output(&failure);
                    commands.push(EngineCommand::Stop);
                }
            }
        }
    }
}
