//! Records of a run: the files that are kept of it, and the observers. They are opened before the first job; a failure
//! to write ends the run.
//!
//! The writer writes the joblog and the results. Here are the events, the names of results, and the observers.

use std::os::unix::ffi::OsStrExt;

use psmith_core::event::HoldReason;
use psmith_core::outcome::{SpawnFailure, SpawnStep};
use psmith_engine::Containment;
use psmith_engine::handler::{AttemptSlot, EngineCommand};

use super::event_writer::EventWriter;
use super::observers::Observers;
use super::run_job::RunJob;
use super::stop::{Stop, record_error};
use crate::config::{Config, EventsTo};
use crate::error::CliError;
use crate::plan::{self, RunPlan};
use crate::record::event_log::{EventLog, JobEnd, LoggedEvent, OutputStream, RunEndEvent};
use crate::record::joblog::{JobLog, JobLogMode};
use crate::record::json::{Bytes, BytesList};
use crate::record::results::ResultsWriter;
use crate::record::resume::{Identity, ResumeSet};
use crate::record::{JobRecord, RecordError, RecordErrorKind};

/// The files of a run's records, opened and not yet written to.
pub(super) struct RecordFiles {
    pub(super) joblog: Option<JobLog>,
    pub(super) results: Option<ResultsWriter>,
    /// The writer that claims the names of files before their jobs start; `results` writes them.
    pub(super) names: Option<ResultsWriter>,
    pub(super) events: Option<EventLog>,
    /// The jobs that are done already, by the joblog.
    pub(super) resume: Option<ResumeSet>,
    pub(super) warnings: Vec<String>,
}

impl RecordFiles {
    pub(super) fn open(config: &Config, plan: &RunPlan) -> Result<RecordFiles, CliError> {
        RecordFiles::try_open(config, plan).map_err(|error| record_error(&error))
    }

    fn try_open(config: &Config, plan: &RunPlan) -> Result<RecordFiles, RecordError> {
        let spec = &config.records;
        let mut warnings = Vec::new();
        let resumes = config.resume.is_some();
        let mut joblog = None;
        let mut resume = None;
        if let Some(log) = &spec.joblog {
            let mode = if log.append || resumes { JobLogMode::Append } else { JobLogMode::Replace };
            // Opened first: it is locked from here on, so what is read next stays true.
            let opened = JobLog::open(&log.path, mode)?;
            if opened.dropped_torn_row() {
                warnings.push(format!("{}: its last row was cut short, and is dropped", log.path.display()));
            }
            joblog = Some(opened);
            if let Some(mode) = config.resume {
                let identity = if plan.names_slot() { Identity::TextInSlot } else { Identity::Text };
                resume = Some(ResumeSet::read(&log.path, mode, identity, &plan.command_start())?);
            }
        }
        let open = || spec.results.as_ref().map(|place| ResultsWriter::open(place, resumes)).transpose();
        let results = open()?;
        // A second one for the names alone: a name is claimed before its job starts, while the writer may be busy.
        let names = if results.as_ref().is_some_and(ResultsWriter::needs_path) { open()? } else { None };
        let events = match &spec.events {
            None => None,
            Some(EventsTo::File(path)) => Some(EventLog::create(path)?),
            Some(EventsTo::Descriptor(number)) => Some(EventLog::descriptor(*number)?),
        };
        Ok(RecordFiles { joblog, results, names, events, resume, warnings })
    }
}

/// The records of a run while it goes on.
pub(super) struct Records {
    pub(super) events: Option<EventWriter>,
    /// True if events include the jobs' output.
    events_output: bool,
    /// True while starts are held, because the reader of events takes no more.
    events_hold: bool,
    names: Option<ResultsWriter>,
    // In a box: this value is moved a few times, and the stack may be small (`ulimit -s 64`).
    pub(super) observers: Box<Observers>,
}

impl Records {
    pub(super) fn new(
        events: Option<EventWriter>,
        events_output: bool,
        names: Option<ResultsWriter>,
        observers: Observers,
    ) -> Records {
        Records { events, events_output, events_hold: false, names, observers: Box::new(observers) }
    }

    /// Adds an event.
    pub(super) fn note(&mut self, event: &LoggedEvent<'_>) {
        if let Some(events) = &mut self.events {
            events.note(event);
        }
    }

    /// Records the beginning of the run.
    pub(super) fn on_run(&mut self, config: &Config, slots: u32, level: Containment, plan: &RunPlan) {
        let template: Vec<Vec<u8>> = plan.template().iter().map(|word| word.as_bytes().to_vec()).collect();
        let cwd = std::env::current_dir().unwrap_or_default();
        self.note(&LoggedEvent::RunStart {
            psmith: env!("CARGO_PKG_VERSION"),
            template: BytesList(&template),
            shell: config.command.shell.is_some(),
            slots,
            total: plan.total(),
            contain: level.word(),
            cwd: Bytes(cwd.as_os_str().as_bytes()),
            resumed_from: None,
        });
        self.observers.on_run(slots, level, template.iter().map(Vec::as_slice), plan.total());
    }

    /// Records that the process of an attempt exists.
    pub(super) fn on_started(&mut self, place: AttemptSlot, job: &RunJob, pid: u32) {
        self.observers.on_started(job.number, pid);
        if self.events.is_some() {
            let inputs = job.args.inputs();
            self.note(&LoggedEvent::JobStart {
                job: job.number,
                attempt: place.attempt.number,
                slot: place.slot.0 + 1,
                pid,
                argv: BytesList(&job.argv),
                inputs: BytesList(&inputs),
            });
        }
    }

    /// Records a job's output.
    pub(super) fn on_output(&mut self, job: &RunJob, attempt: u32, stream: u8, bytes: &[u8]) {
        if self.events_output {
            let stream = if stream == 1 { OutputStream::Stdout } else { OutputStream::Stderr };
            self.note(&LoggedEvent::JobOutput { job: job.number, attempt, stream, data: Bytes(bytes) });
        }
        self.observers.on_output(job.number, bytes);
    }

    /// Records the end of a job.
    pub(super) fn on_end(&mut self, record: &JobRecord<'_>) {
        self.observers.on_end(record);
        if self.events.is_some() && record.outcome.attempts > 0 {
            self.note(&LoggedEvent::JobEnd(JobEnd::of(record)));
        }
    }

    /// Returns whether jobs' output may be read: not while the reader of events is behind.
    pub(super) fn take_output(&self) -> bool {
        !(self.events_output && self.events.as_ref().is_some_and(EventWriter::is_full))
    }

    /// Passes the events of this turn on. One that cannot be written ends the run; too many that wait hold starts.
    pub(super) fn tick(&mut self, stop: &mut Stop, commands: &mut Vec<EngineCommand>) {
        if let Some(events) = &mut self.events {
            events.hand_over();
            if let Some(error) = events.failure() {
                stop.fail(record_error(&error));
            }
            let full = events.is_full();
            if std::mem::replace(&mut self.events_hold, full) != full {
                commands.push(EngineCommand::Hold(HoldReason::Events, full));
            }
        }
        if let Some(error) = self.observers.error() {
            stop.fail(record_error(&error));
        }
    }

    /// Claims the name of a job's results file, once for each job. If that fails for every job, the run stops.
    pub(super) fn claim_results(
        &mut self,
        job: &mut RunJob,
        plan: &RunPlan,
        place: plan::JobNumbers,
        stop: &mut Stop,
    ) -> Result<(), SpawnFailure> {
        let Some(names) = &mut self.names else { return Ok(()) };
        if job.claimed.is_none() {
            let path = plan.results_path(&job.args, place).unwrap_or_default();
            job.results_path = path.into_os_string().into_encoded_bytes();
            let claimed = names.claim(&job.results_path).map_err(|error| {
                if error.kind() != RecordErrorKind::Job {
                    stop.fail(record_error(&error));
                }
                job.results_path.clear();
                let detail = error.to_string();
                SpawnFailure { step: SpawnStep::Prepare, errno: 0, detail, permanent: true }
            });
            job.claimed = Some(claimed);
        }
        job.claimed.clone().unwrap_or(Ok(()))
    }

    /// Records the end of the run, and returns warnings.
    ///
    /// # Errors
    /// Fails with the error of the first observer's file that could not be written.
    pub(super) fn on_run_end(&mut self, end: RunEndEvent<'_>) -> Result<Vec<String>, RecordError> {
        self.note(&LoggedEvent::RunEnd(end));
        if let Some(events) = &mut self.events {
            events.hand_over();
        }
        self.observers.finish(end)
    }
}
