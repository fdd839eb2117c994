//! The run's side of the engine: hands it jobs, makes their commands, tells the writer and the records what came
//! of them, and turns signals into orders.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use psmith_core::board::{Rate, Update};
use psmith_core::event::HoldReason;
use psmith_core::outcome::SpawnFailure;
use psmith_core::policy::HaltOn;
use psmith_core::{JobId, JobPolicy, Notice, Time};
use psmith_engine::Command;
use psmith_engine::command::Launch;
use psmith_engine::handler::{
    AttemptSlot, Delivery, Ending, EngineCommand, EngineEvent, Handler, Live, Pull, Taken, View,
};
use psmith_engine::spool::Spool;
use psmith_sys::eventfd::Waker;

use super::board::{Display, ending};
use super::events::EventWriter;
use super::job::RunJob;
use super::keys::Keys;
use super::pressure::Pressure;
use super::producer::{InputEnd, Made, Producer};
use super::signals::{Asked, Signals};
use super::tty::Terminal;
use super::watchers::Watchers;
use super::writer::{Answer, Failure, Parcel, Writer};
use crate::config::{Config, OutputMode, Show, Slots};
use crate::error::CliError;
use crate::exit_code::NO_INPUT;
use crate::plan::{self, Plan};
use crate::record::events::{JobEnd, OutputStream, RunEvent};
use crate::record::json::{Bytes, BytesList};
use crate::record::results::Results;
use crate::record::{JobRecord, RecordError, Status};
use crate::report::failure_line::FailureLines;
use crate::report::plain::{CountLines, retry_line, slow_line, stopped_line};
use crate::report::standing::Standing;
use crate::report::tally::{Tally, counts_as};

/// How the run tells of its progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// Failures only.
    Failures,
    /// A line for whatever happens, and counts now and then.
    Plain,
    /// Rows at the bottom of the terminal.
    Board,
}

/// Everything the engine calls.
pub(super) struct RunHandler {
    // The large ones in boxes: this value is moved a few times, and the stack may be small (`ulimit -s 64`).
    pub(super) config: Box<Config>,
    /// The run's name.
    pub(super) run: String,
    pub(super) plan: Arc<Plan>,
    pub(super) policy: Arc<JobPolicy>,
    pub(super) producer: Producer,
    pub(super) writer: Writer,
    pub(super) signals: Signals,
    pub(super) wake: Arc<Waker>,
    pub(super) events: Option<EventWriter>,
    /// Starts are held, because the reader of events takes no more.
    pub(super) events_hold: bool,
    /// Claims the names of files before their jobs start; the writer has the other one, which writes.
    pub(super) names: Option<Results>,
    pub(super) tally: Tally,
    pub(super) telling: Telling,
    pub(super) failure_lines: FailureLines,
    pub(super) rate: Rate,
    pub(super) counts: CountLines,
    pub(super) pressure: Pressure,
    pub(super) columns: usize,
    pub(super) began: Instant,
    pub(super) end: Option<InputEnd>,
    pub(super) held: Option<HoldReason>,
    pub(super) stopped_by: Option<i32>,
    pub(super) halted_on: Option<HaltOn>,
    pub(super) rungs: u32,
    pub(super) failure: Option<CliError>,
    /// The input could not be read to its end: what was accepted is finished all the same.
    pub(super) input_failure: Option<CliError>,
    /// The failure is that of an output, in the midst of the run.
    pub(super) output_failed: bool,
    pub(super) left_at_once: bool,
    pub(super) said_waiting: bool,
    pub(super) running: BTreeMap<JobId, Row>,
    pub(super) display: Option<Display>,
    pub(super) keys: Option<Keys>,
    pub(super) is_paused: bool,
    pub(super) width_by_key: bool,
    pub(super) ended_seen: u64,
    pub(super) width: u32,
    pub(super) tty: Option<Terminal>,
    pub(super) watchers: Box<Watchers>,
}

/// A running job, as a list shows it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) number: u64,
    pub(super) text: String,
}

impl RunHandler {
    pub(super) fn say(&self, lines: String) {
        self.writer.message(lines);
    }

    pub(super) fn warn(&self, text: &str) {
        if !self.config.report.quiet {
            self.say(format!("psmith: warning: {text}\n"));
        }
    }

    /// Notes an event.
    pub(super) fn note(&mut self, event: &RunEvent<'_>) {
        if let Some(events) = &mut self.events {
            events.note(event);
        }
    }

    /// Hands the events of this turn on. One that cannot be written ends the run; too many that wait hold starts.
    fn tick_events(&mut self, orders: &mut Vec<EngineCommand>) {
        let Some(events) = &mut self.events else { return };
        events.hand_over();
        if let Some(error) = events.failure() {
            self.failure.get_or_insert(record_error(&error));
        }
        let full = events.is_full();
        if std::mem::replace(&mut self.events_hold, full) != full {
            orders.push(EngineCommand::Hold(HoldReason::Events, full));
        }
    }

    pub(super) fn standing(&self, view: &View<'_>) -> Standing {
        let counts = view.dispatcher.counts();
        let total = self.plan.total().or(self.end.as_ref().map(|end| end.jobs - end.skipped));
        self.tally.standing(total, counts.running, self.held)
    }

    fn place_of(&self, job: &RunJob, slot: u32) -> plan::Place {
        plan::Place { job: job.number, slot, total: self.plan.total() }
    }

    fn on_ending(&mut self, view: &View<'_>, ended: &Ending<'_, RunJob>) {
        let job = ended.job;
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
        let status = self.tally.on_end(&record);
        self.rate.on_end(view.now);
        self.show(Update::Ended { job: JobId(job.number), ending: ending(status, ended.outcome) }, view.now);
        self.watchers.on_end(&record);
        if status == Status::Failed && !self.config.report.quiet {
            if let Some(line) = self.failure_lines.line(&record) {
                self.writer.message(line);
            }
            if let Err(psmith_core::Cause::SpawnFailed(failure)) = &ended.outcome.verdict
                && let Some(hint) = plan::hint_for(failure)
            {
                self.writer.message(format!("  hint: {hint}\n"));
            }
        }
        if self.events.is_some() && ended.outcome.attempts > 0 {
            self.note(&RunEvent::JobEnd(JobEnd::of(&record)));
        }
        if let Some(tty) = &self.tty {
            // The job had the terminal; from here on it is ours again.
            tty.take_back();
        }
    }

    /// The command of a job as records and messages tell it, also of one that never started.
    fn text_of(&self, job: &RunJob, slot: u32) -> String {
        if job.text.is_empty() {
            self.plan.text(&job.args, self.place_of(job, slot))
        } else {
            job.text.clone()
        }
    }

    /// What a board wants to know.
    fn show(&mut self, update: Update<'_>, now: Time) {
        if let Some(display) = &mut self.display {
            display.on(update, now);
        }
    }

    fn on_notice(&mut self, view: &View<'_>, notice: &Notice, job: Option<&RunJob>) {
        let plain = self.telling == Telling::Plain && !self.config.report.quiet;
        self.watchers.on_notice(notice, job.map(|job| job.number));
        match notice {
            Notice::Retry { attempt, cause, delay, charged } => {
                let Some(job) = job else { return };
                self.show(Update::Retried { job: JobId(job.number) }, view.now);
                self.note(&RunEvent::retry(job.number, attempt.number, cause, *delay, *charged));
                if job.streamed {
                    self.writer.break_off(attempt.job);
                    self.warn(&format!(
                        "job {} was lost when part of its output had been passed on; its next attempt's follows whole",
                        job.number
                    ));
                }
                if plain {
                    let (argv, text) = (&job.argv, job.text.as_bytes());
                    self.say(retry_line(job.number, attempt.number, cause, *delay, *charged, argv, text));
                }
            }
            Notice::Slow { attempt, after } => {
                let Some(job) = job else { return };
                self.show(Update::Slow { job: JobId(job.number) }, view.now);
                self.note(&RunEvent::JobSlow { job: job.number, attempt: attempt.number, after: *after });
                if plain {
                    self.say(slow_line(job.number, *after, job.text.as_bytes()));
                }
            }
            Notice::Held { reason, ready } => {
                self.held = *reason;
                self.show(Update::Held(*reason), view.now);
                self.note(&RunEvent::Held { reason: reason.map(|reason| reason.word()), ready: *ready });
            }
            Notice::Slots { slots } => {
                let by = match self.config.pace.slots {
                    _ if self.width_by_key => "key",
                    Slots::File(_) => "file",
                    _ => "machine",
                };
                self.note(&RunEvent::Width { slots: *slots, by });
            }
            // Nobody asks for it here.
            Notice::Broken { .. } => {}
            Notice::Halted { .. } => {
                if let psmith_core::policy::Halt::When { what, .. } = self.config.halt {
                    self.halted_on = Some(what);
                }
            }
            Notice::Unkillable { .. } => {
                if let Some(job) = job {
                    self.show(Update::Unkillable { job: JobId(job.number) }, view.now);
                    self.say(format!(
                        "psmith: warning: job {} cannot be killed; its slot stays taken\n",
                        job.number
                    ));
                }
            }
        }
    }

    /// A rung of the interrupt ladder: terminate, kill, leave.
    fn interrupt(&mut self, signal: i32, hard: bool, orders: &mut Vec<EngineCommand>) {
        self.stopped_by.get_or_insert(signal);
        self.rungs = (self.rungs + 1).max(if hard { 2 } else { 1 });
        orders.push(match self.rungs {
            1 => EngineCommand::Stop,
            2 => EngineCommand::Kill,
            _ => {
                self.left_at_once = true;
                EngineCommand::Leave
            }
        });
    }

    /// Hears what the writer has to say; with `wanted`, it is to ring as soon as it has more.
    fn take_answers(&mut self, wanted: bool, orders: &mut Vec<EngineCommand>) {
        for answer in self.writer.answers(wanted) {
            match answer {
                Answer::Delivered(job) => orders.push(EngineCommand::Delivered(job)),
                Answer::BrokenPipe => {
                    self.stopped_by.get_or_insert(rustix::process::Signal::PIPE.as_raw());
                    orders.push(EngineCommand::Stop);
                }
                Answer::Failed(failure) => {
                    self.output_failed |= self.failure.is_none();
                    self.failure.get_or_insert(match &failure {
                        Failure::Record(error) => record_error(error),
                        Failure::Stdout(_) => CliError::new(failure.to_string()),
                    });
                    orders.push(EngineCommand::Stop);
                }
            }
        }
    }
}

impl Handler for RunHandler {
    type Job = RunJob;

    fn pull(&mut self) -> Pull<RunJob> {
        match self.producer.next() {
            None => Pull::Later,
            Some(Made::Job(number, args)) => {
                self.said_waiting = true;
                Pull::Job(RunJob::new(number, args), Arc::clone(&self.policy))
            }
            Some(Made::End(end)) => {
                self.said_waiting = true;
                for warning in &end.warnings {
                    self.warn(warning);
                }
                if self.config.require_input && end.jobs == 0 && self.failure.is_none() {
                    let none = CliError::new("no input").hint("leave out --require-input if that is fine");
                    self.failure = Some(none.code(NO_INPUT));
                }
                self.watchers.on_total(end.jobs - end.skipped);
                self.end = Some(end);
                Pull::Ended
            }
            Some(Made::Failed(error)) => {
                self.input_failure = Some(error);
                Pull::Ended
            }
        }
    }

    fn launch(&mut self, job: &mut RunJob, at: AttemptSlot) -> Result<Launch, SpawnFailure> {
        if let Some(tty) = &self.tty {
            tty.await_foreground();
        }
        job.streamed = false;
        let place = self.place_of(job, at.slot.0 + 1);
        job.tag = self.plan.tag(&job.args, place).map(Into::into);
        let rendered = self
            .plan
            .render(&job.args, place)
            .inspect_err(|_| job.text = self.plan.text(&job.args, place))?;
        job.argv = rendered.argv_told().into_iter().map(<[u8]>::to_vec).collect();
        job.text = rendered.text;
        self.claim_results(job, place)?;
        let mut command = Command::new(rendered.program.as_os_str().as_encoded_bytes(), &rendered.argv)?;
        command.number(job.number);
        if let Some(dir) = &rendered.dir {
            command.dir(dir.as_os_str().as_encoded_bytes());
        }
        self.watchers.on_order(job.number, at, &job.text);
        self.running.insert(at.attempt.job, Row { number: job.number, text: job.text.clone() });
        if self.config.report.verbose {
            self.writer.message(format!("{}\n", job.text));
        }
        Ok(Launch::Command(command))
    }

    fn live(&mut self, _job: &RunJob, next_in_line: bool) -> Live {
        let output = &self.config.output;
        let in_order = output.order == psmith_core::policy::Order::Submission;
        match output.mode {
            // What may be tried again must be able to take its output back; so must what is shown by its outcome.
            _ if output.show != Show::All || self.policy.tries != 1 => Live::Nothing,
            OutputMode::Lines if next_in_line || !in_order => Live::Both,
            OutputMode::Group if next_in_line && self.config.records.results.is_none() => Live::Stdout,
            OutputMode::Lines | OutputMode::Group | OutputMode::Ungrouped => Live::Nothing,
        }
    }

    fn output(&mut self, id: JobId, job: &mut RunJob, stream: u8, buffer: &mut Vec<u8>, length: usize) {
        job.streamed = true;
        self.writer.chunk(id, stream, buffer, length, job.tag.clone());
    }

    fn backlog(&mut self, id: JobId, job: &mut RunJob, stream: u8, backlog: Spool) {
        job.streamed = true;
        self.writer.backlog(id, stream, backlog, job.tag.clone());
    }

    fn keeps_live_output(&self) -> bool {
        self.config.records.results.is_some()
    }

    fn takes_output(&self) -> bool {
        self.writer.takes_output()
    }

    fn reads_output(&self) -> bool {
        !(self.config.records.events_output && self.events.as_ref().is_some_and(EventWriter::is_full))
    }

    fn read(&mut self, job: &RunJob, attempt: u32, stream: u8, bytes: &[u8]) {
        if let Some(display) = &mut self.display {
            display.on_output(JobId(job.number), bytes);
        }
        if self.config.records.events_output {
            let stream = if stream == 1 { OutputStream::Stdout } else { OutputStream::Stderr };
            let event = RunEvent::JobOutput { job: job.number, attempt, stream, data: Bytes(bytes) };
            self.note(&event);
        }
        self.watchers.on_output(job.number, bytes);
    }

    fn on_event(&mut self, view: &View<'_>, news: EngineEvent<'_, RunJob>) {
        match news {
            EngineEvent::Started { at: place, job, pid } => {
                if let Some(tty) = &mut self.tty {
                    tty.on_started(pid);
                }
                let (number, attempt, title) = (job.number, place.attempt.number, job.text.as_str());
                let (id, slot) = (JobId(number), place.slot);
                self.show(Update::Started { job: id, number, slot, attempt, pid, title }, view.now);
                self.watchers.on_started(job.number, pid);
                if self.events.is_some() {
                    let inputs = job.args.inputs();
                    let event = RunEvent::JobStart {
                        job: job.number,
                        attempt: place.attempt.number,
                        slot: place.slot.0 + 1,
                        pid,
                        argv: BytesList(&job.argv),
                        inputs: BytesList(&inputs),
                    };
                    self.note(&event);
                }
            }
            EngineEvent::Stopped { at: place, job, signal } => {
                let event = RunEvent::JobStopped { job: job.number, attempt: place.attempt.number, signal };
                self.note(&event);
                match &mut self.tty {
                    // Nobody could go on with the terminal, which belongs to what stands still: the run stops with it.
                    Some(tty) => tty.job_stopped = true,
                    None if !self.config.report.quiet && self.telling != Telling::Failures => {
                        self.say(stopped_line(job.number, signal, job.text.as_bytes()));
                    }
                    None => {}
                }
            }
            EngineEvent::Continued { at: place, job } => {
                let event = RunEvent::JobContinued { job: job.number, attempt: place.attempt.number };
                self.note(&event);
            }
            EngineEvent::Notice(notice, job) => {
                if let Notice::Retry { attempt, .. } = notice {
                    self.running.remove(&attempt.job);
                }
                self.on_notice(view, notice, job);
            }
            EngineEvent::Ended(ending) => {
                self.running.remove(&ending.id);
                self.on_ending(view, &ending);
            }
            EngineEvent::WardenLost { words } => {
                let said = if words.is_empty() { String::new() } else { format!(": {words}") };
                self.warn(&format!("the warden was lost{said}; its jobs run again"));
            }
            EngineEvent::OrphanKilled { pid, command } => {
                let command = crate::report::display::visible(command, self.columns);
                self.warn(&format!("killed a process that some job left behind: {pid} ({command})"));
            }
        }
    }

    fn deliver(&mut self, _view: &View<'_>, delivery: Delivery<RunJob>) -> Taken {
        let Delivery { id, job, outcome, slot, started, output } = delivery;
        let status = counts_as(&outcome, self.config.flaky);
        let shown = match self.config.output.show {
            Show::All => true,
            Show::Fail => status == Status::Failed,
            Show::None => false,
        };
        let silent = output.stdout_bytes + output.stderr_bytes == 0;
        let recorded = outcome.attempts > 0;
        let records = self.config.records.results.is_some() || self.config.records.joblog.is_some();
        if silent && !(recorded && records) {
            return Taken::Now;
        }
        let inputs = if recorded && records {
            job.args.inputs().into_iter().map(<[u8]>::to_vec).collect()
        } else {
            Vec::new()
        };
        let command = self.text_of(&job, slot.0 + 1);
        self.writer.deliver(Parcel {
            id,
            number: job.number,
            outcome,
            status,
            command,
            argv: job.argv,
            inputs,
            started_epoch: epoch(started),
            slot: slot.0 + 1,
            output,
            show: shown,
            tag: job.tag,
            results_path: job.results_path,
            recorded,
        });
        Taken::Later
    }

    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.wake.as_fd(), self.signals.fd().as_fd()]
    }

    fn woken(&mut self, view: &View<'_>, orders: &mut Vec<EngineCommand>) {
        self.wake.drain();
        while let Some(asked) = self.signals.next() {
            match asked {
                Asked::End(signal) => self.interrupt(signal, false, orders),
                Asked::Kill(signal) => self.interrupt(signal, true, orders),
                Asked::Drain => orders.push(EngineCommand::Drain),
                Asked::Suspend => orders.push(EngineCommand::Suspend),
                Asked::List => self.list_running(view),
                Asked::Redraw => self.redraw(),
            }
        }
        self.on_keys(view, orders);
        self.take_answers(false, orders);
    }

    fn tick(&mut self, view: &View<'_>, orders: &mut Vec<EngineCommand>) -> Option<Duration> {
        self.tick_events(orders);
        if let Some(error) = self.watchers.error() {
            self.failure.get_or_insert(record_error(&error));
        }
        if self.failure.is_some() && self.rungs == 0 {
            self.rungs = 1;
            orders.push(EngineCommand::Stop);
        }
        // With a slot free, what has been written may be all that the next start, or the end, waits for.
        let has_free_slot = view.dispatcher.counts().running < u64::from(self.width);
        self.take_answers(has_free_slot, orders);
        if self.tty.as_ref().is_some_and(|tty| tty.job_stopped) {
            orders.push(EngineCommand::Suspend);
        }
        let pressure = self.pressure.tick(orders);
        [self.tick_waiting(), self.tick_progress(view), self.tick_width(view, orders), pressure]
            .into_iter()
            .flatten()
            .min()
    }

    fn suspended(&mut self) {
        self.leave_terminal();
        let tty = &mut self.tty;
        self.watchers.stand_still(|| match tty {
            Some(tty) => tty.stop_here(),
            None => Signals::stop_here(),
        });
        self.redraw();
    }
}

/// A record's error as the command tells it.
pub(super) fn record_error(error: &RecordError) -> CliError {
    let told = CliError::new(error.to_string());
    match error.hint() {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

fn epoch(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
