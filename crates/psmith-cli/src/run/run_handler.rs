//! The run's side of the engine: passes jobs to it, makes their commands, and passes the results on to the owners of
//! inputs, reporting, records and controls.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use psmith_core::outcome::{SpawnFailure, SpawnStep};
use psmith_core::{JobId, JobPolicy};
use psmith_engine::command::{Command, Launch};
use psmith_engine::handler::{
    AttemptSlot, Delivery, EngineCommand, EngineEvent, Handler, Live, Pull, Taken, View,
};
use psmith_engine::spool::Spool;

use super::controls::Controls;
use super::producer::ProducedItem;
use super::records::Records;
use super::reporting::Reporting;
use super::run_inputs::RunInputs;
use super::run_job::RunJob;
use super::stop::Stop;
use super::writer::{JobToWrite, WriterHandle};
use crate::config::{Config, OutputMode, Show, StdinMode};
use crate::pipe::JobStdin;
use crate::plan::{self, RunPlan};
use crate::record::Status;
use crate::record::event_log::LoggedEvent;
use crate::report::tally::counts_as;

/// The owners of a run's parts, and the values that all of them read.
///
/// An owner handles what concerns it alone. What needs two of them is a method here: the effects of events in
/// `reactions`, a person's requests in `interaction`, the end in `finish`.
pub(super) struct RunHandler {
    // In a box: this value is moved a few times, and the stack may be small (`ulimit -s 64`).
    pub(super) config: Box<Config>,
    /// The run's name.
    pub(super) run: String,
    pub(super) plan: Arc<RunPlan>,
    pub(super) policy: Arc<JobPolicy>,
    pub(super) inputs: RunInputs,
    pub(super) reporting: Reporting,
    pub(super) records: Records,
    pub(super) controls: Controls,
    pub(super) writer: WriterHandle,
    pub(super) stop: Stop,
}

impl RunHandler {
    pub(super) fn warn(&self, text: &str) {
        if !self.reporting.quiet {
            self.writer.message(format!("psmith: warning: {text}\n"));
        }
    }

    fn place_of(&self, job: &RunJob, slot: u32) -> plan::JobNumbers {
        plan::JobNumbers { job: job.number, slot, total: self.plan.total() }
    }

    /// Gives a job the stdin that is its own, if it has one.
    fn give_stdin(&self, job: &mut RunJob, command: &mut Command) -> Result<(), SpawnFailure> {
        if self.config.stdin == StdinMode::Item {
            command.stdin(Arc::new(job.args.inputs().join(&b'\n')));
        }
        let stdin = job.stdin.get_mut().unwrap_or_else(PoisonError::into_inner);
        let opened = stdin.as_ref().map_or(Ok(None), JobStdin::open).map_err(|error| SpawnFailure {
            step: SpawnStep::Resources,
            errno: error.raw_os_error().unwrap_or(0),
            detail: if error.raw_os_error().is_none() { error.to_string() } else { String::new() },
            permanent: error.raw_os_error().is_none(),
        })?;
        if let Some(file) = opened {
            command.stdin_file(Arc::new(file));
        }
        Ok(())
    }

    /// Returns the command of a job as records and messages show it, also of one that never started.
    pub(super) fn text_of(&self, job: &RunJob, slot: u32) -> String {
        if job.text.is_empty() {
            self.plan.text(&job.args, self.place_of(job, slot))
        } else {
            job.text.clone()
        }
    }
}

impl Handler for RunHandler {
    type Job = RunJob;

    fn pull(&mut self) -> Pull<RunJob> {
        match self.inputs.next() {
            None => Pull::Later,
            Some(ProducedItem::Job(number, args, stdin)) => {
                Pull::Job(RunJob::new(number, args, stdin), Arc::clone(&self.policy))
            }
            Some(ProducedItem::End(end)) => {
                self.on_input_end(end);
                Pull::Ended
            }
            Some(ProducedItem::Failed(error)) => {
                self.inputs.failure = Some(error);
                Pull::Ended
            }
        }
    }

    fn launch(&mut self, job: &mut RunJob, at: AttemptSlot) -> Result<Launch, SpawnFailure> {
        if let Some(tty) = &self.controls.tty {
            tty.await_foreground();
        }
        job.streamed = false;
        let place = self.place_of(job, at.slot.0 + 1);
        job.tag = self.plan.tag(&job.args, place).map(Into::into);
        let rendered = self
            .plan
            .render(&job.args, place)
            .inspect_err(|_| job.text = self.plan.text(&job.args, place))?;
        job.argv = rendered.recorded_argv().into_iter().map(<[u8]>::to_vec).collect();
        job.text = rendered.text;
        self.records.claim_results(job, &self.plan, place, &mut self.stop)?;
        let mut command = Command::new(rendered.program.as_os_str().as_encoded_bytes(), &rendered.argv)?;
        command.number(job.number);
        if let Some(dir) = &rendered.dir {
            command.dir(dir.as_os_str().as_encoded_bytes());
        }
        if let Some(name) = &self.config.surroundings.slot_variable {
            command.env(name.as_encoded_bytes(), at.slot.0.to_string().as_bytes())?;
        }
        self.give_stdin(job, &mut command)?;
        self.records.observers.on_start_requested(job.number, at, &job.text);
        self.reporting.on_start_requested(at.attempt.job, job);
        if self.config.report.verbose {
            self.writer.message(format!("{}\n", job.text));
        }
        Ok(Launch::Command(command))
    }

    fn live(&mut self, _job: &RunJob, next_in_line: bool) -> Live {
        let output = &self.config.output;
        let in_order = output.order == psmith_core::policy::Order::Submission;
        match output.mode {
            // An attempt that may be retried must be able to take its output back; so must one whose outcome decides
            // whether it is shown.
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
        self.records.take_output()
    }

    fn read(&mut self, job: &RunJob, attempt: u32, stream: u8, bytes: &[u8]) {
        self.reporting.on_output(job, bytes);
        self.records.on_output(job, attempt, stream, bytes);
    }

    fn on_event(&mut self, view: &View<'_>, event: EngineEvent<'_, RunJob>) {
        match event {
            EngineEvent::Started { at: place, job, pid } => self.on_started(view, place, job, pid),
            EngineEvent::Stopped { at: place, job, signal } => self.on_stopped(place, job, signal),
            EngineEvent::Continued { at: place, job } => {
                let event = LoggedEvent::JobContinued { job: job.number, attempt: place.attempt.number };
                self.records.note(&event);
            }
            EngineEvent::Notice(notice, job) => self.on_notice(view, notice, job),
            EngineEvent::Ended(ending) => self.on_ending(view, &ending),
            EngineEvent::WardenLost { words } => {
                let said = if words.is_empty() { String::new() } else { format!(": {words}") };
                self.warn(&format!("the warden was lost{said}; its jobs run again"));
            }
            EngineEvent::OrphanKilled { pid, command } => {
                let command = crate::report::display::visible(command, self.reporting.columns);
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
        self.writer.deliver(JobToWrite {
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
        self.controls.wake_fds()
    }

    fn woken(&mut self, view: &View<'_>, commands: &mut Vec<EngineCommand>) {
        self.controls.wake.drain();
        while let Some(request) = self.controls.signals.next() {
            self.on_signal(request, view, commands);
        }
        for key in self.controls.pressed() {
            self.on_key(key, view, commands);
        }
        self.take_replies(false, commands);
    }

    fn tick(&mut self, view: &View<'_>, commands: &mut Vec<EngineCommand>) -> Option<Duration> {
        self.records.tick(&mut self.stop, commands);
        commands.extend(self.stop.tick());
        let counts = view.dispatcher.counts();
        // With a slot free, the next start, or the end, may wait only for what has been written.
        let has_free_slot = counts.running < u64::from(self.controls.slots.now());
        self.take_replies(has_free_slot, commands);
        let controls = self.controls.tick(counts.ended, commands);
        let inputs = self.inputs.tick(self.reporting.began.elapsed(), &self.writer);
        [controls, inputs, self.tick_progress(view)].into_iter().flatten().min()
    }

    fn suspended(&mut self) {
        self.leave_terminal();
        let controls = &mut self.controls;
        self.records.observers.suspend(|| controls.stop_here());
        self.redraw();
    }
}

/// Returns seconds since 1970.
pub(super) fn epoch(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
