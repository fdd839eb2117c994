//! Observers of a run besides its records: the report at the end, the trace, the web board. They receive events and
//! answer nothing; a run is the same without them.
//!
//! They never wait: files are written at the end, or by a thread of the observer's own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use psmith_core::policy::Timeout;
use psmith_core::{Cause, Notice};
use psmith_engine::Containment;
use psmith_engine::handler::AttemptSlot;
use serde_json::json;

use crate::config::Config;
use crate::history::bars::BARS_MAX;
use crate::history::{AttemptEnd, EndedAttempt, History};
use crate::page::report_page::{self, ReportFacts};
use crate::quote;
use crate::record::event_log::RunEndEvent;
use crate::record::trace_log::{TraceEvent, TraceLog};
use crate::record::whole_file::WholeFile;
use crate::record::{JobRecord, RecordError, RecordErrorKind, Status, exitval};
use crate::report::display::{os_text, visible, visible_path};
use crate::report::duration::{asked_for, size};
use crate::web::{JobEnded, RunFacts, Web, WebEvent};

/// The width at which commands are cut in the trace, and in the report's head.
const NAME_COLUMNS_MAX: usize = 120;
const COMMAND_COLUMNS_MAX: usize = 2000;

/// The time below which a start and its job's end may have been reported together, so that the start's share is
/// unknown.
const REPORTED_TOGETHER: Duration = Duration::from_millis(1);

/// The observers that were requested.
pub(super) struct Observers {
    clock: Clock,
    run: String,
    report: Option<(WholeFile, History)>,
    trace: Option<TraceLog>,
    web: Option<Web>,
    running: BTreeMap<u64, RunningAttempt>,
    /// The reported time at which the last attempt of each slot was over.
    free_since: Vec<Duration>,
    head: Head,
}

/// A clock: the time since the beginning of the run, less the time that it was suspended.
struct Clock {
    began: Instant,
    suspended: Duration,
}

/// An attempt whose start was requested and which is not over.
struct RunningAttempt {
    number: u32,
    slot: u32,
    pid: u32,
    requested: Duration,
    started: Option<Duration>,
    text: String,
}

/// The head of the report, known at the start.
#[derive(Default)]
struct Head {
    command: String,
    cwd: String,
    contain: &'static str,
    joblog: Option<String>,
    began_epoch: f64,
    limits: Vec<(&'static str, String)>,
}

impl Observers {
    /// Opens the files that were requested.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub(super) fn open(config: &Config, run: &str, began: Instant) -> Result<Observers, RecordError> {
        let report = match &config.records.report {
            Some(path) => Some((WholeFile::prepare(path)?, History::new(0, BARS_MAX))),
            None => None,
        };
        let trace = config.records.trace.as_ref().map(|path| TraceLog::create(path)).transpose()?;
        let web = match config.report.web {
            Some(address) => Some(Web::open(address).map_err(|error| {
                let message = format!("--web {address}: {}", os_text(&error));
                RecordError::new(RecordErrorKind::NotWritable, message)
            })?),
            None => None,
        };
        let joblog = config.records.joblog.as_ref().map(|log| visible_path(&log.path));
        let began_epoch = super::epoch_now() - began.elapsed().as_secs_f64();
        Ok(Observers {
            clock: Clock { began, suspended: Duration::ZERO },
            run: run.to_owned(),
            report,
            trace,
            web,
            running: BTreeMap::new(),
            free_since: Vec::new(),
            head: Head { joblog, began_epoch, limits: limits(config), ..Head::default() },
        })
    }

    /// Reacts to the beginning of the run.
    pub(super) fn on_run<'a>(
        &mut self,
        slots: u32,
        level: Containment,
        template: impl Iterator<Item = &'a [u8]>,
        total: Option<u64>,
    ) {
        if !self.are_any() {
            return;
        }
        let now = self.clock.now();
        self.head.command = visible(quote::command_line(template).as_bytes(), COMMAND_COLUMNS_MAX);
        self.head.cwd = visible_path(&std::env::current_dir().unwrap_or_default());
        self.head.contain = level.word();
        if let Some((_, history)) = &mut self.report {
            history.on_slots(slots, now);
        }
        if let Some(trace) = &mut self.trace {
            let args = json!({ "name": format!("psmith {}", self.run), "command": self.head.command });
            trace.append(&event("process_name", "M", "", Duration::ZERO, 0, args));
            trace.name_slot(0);
        }
        if let Some(web) = &self.web {
            web.send(WebEvent::Run(Box::new(RunFacts {
                run: self.run.clone(),
                command: self.head.command.clone(),
                cwd: self.head.cwd.clone(),
                contain: self.head.contain,
                slots,
                total,
                began_epoch: self.head.began_epoch,
                limits: self.head.limits.clone(),
            })));
        }
    }

    /// Notes the number of jobs, when all input has been read.
    pub(super) fn on_total(&self, total: u64) {
        if let Some(web) = &self.web {
            web.send(WebEvent::Total(total));
        }
    }

    /// Returns the address that opens the web board.
    pub(super) fn web_url(&self) -> Option<&str> {
        self.web.as_ref().map(Web::url)
    }

    /// Notes that an attempt is about to be started. Must be called once its command is known.
    pub(super) fn on_start_requested(&mut self, job: u64, at: AttemptSlot, text: &str) {
        if !self.are_any() {
            return;
        }
        let attempt = RunningAttempt {
            number: at.attempt.number,
            slot: at.slot.0 + 1,
            pid: 0,
            requested: self.clock.now(),
            started: None,
            text: visible(text.as_bytes(), NAME_COLUMNS_MAX),
        };
        self.running.insert(job, attempt);
    }

    /// Notes that the process of an attempt exists.
    pub(super) fn on_started(&mut self, job: u64, pid: u32) {
        let now = self.clock.now();
        if let Some(running) = self.running.get_mut(&job) {
            running.started = Some(now);
            running.pid = pid;
            if let Some(web) = &self.web {
                let (attempt, slot, began) = (running.number, running.slot, running.requested);
                web.send(WebEvent::Started { job, attempt, slot, pid, began, text: running.text.clone() });
            }
            let running = self.running.len();
            self.count_running(running, now);
        }
    }

    /// Passes a job's output on.
    pub(super) fn on_output(&self, job: u64, bytes: &[u8]) {
        if let Some(web) = &self.web {
            web.send_output(job, bytes);
        }
    }

    /// Reacts to any other event.
    pub(super) fn on_notice(&mut self, notice: &Notice, job: Option<u64>) {
        if !self.are_any() {
            return;
        }
        let now = self.clock.now();
        match notice {
            Notice::Retry { cause, charged, .. } => {
                let Some((job, attempt)) = job.and_then(|job| Some((job, self.running.remove(&job)?))) else {
                    return;
                };
                let wall = now.saturating_sub(attempt.requested);
                // An attempt that was preempted or lost did not fail.
                let end = if *charged { AttemptEnd::Retried } else { AttemptEnd::Cut };
                let args = json!({ "cause": cause.kind().word(), "charged": charged });
                self.on_attempt(job, &attempt, wall, end, args, now);
            }
            Notice::Slow { after, .. } => {
                if let (Some(web), Some(job)) = (&self.web, job) {
                    web.send(WebEvent::Slow { job });
                }
                self.mark("slow", job, now, &json!({ "job": job, "after_s": after.as_secs_f64() }));
            }
            Notice::Held { reason, ready } => {
                if let Some((_, history)) = &mut self.report {
                    history.on_held(*reason, now);
                }
                if let Some(web) = &self.web {
                    web.send(WebEvent::Held(*reason, now));
                }
                let reason = reason.map(|reason| reason.word());
                let name = if reason.is_some() { "held" } else { "released" };
                self.mark(name, None, now, &json!({ "reason": reason, "ready": ready }));
            }
            Notice::Slots { slots } => {
                if let Some((_, history)) = &mut self.report {
                    history.on_slots(*slots, now);
                }
                if let Some(web) = &self.web {
                    web.send(WebEvent::Slots(*slots, now));
                }
                self.mark("width", None, now, &json!({ "slots": slots }));
            }
            Notice::Halted { now: at_once } => self.mark("halt", None, now, &json!({ "now": at_once })),
            Notice::Broken { jobs } => self.mark("broken", None, now, &json!({ "jobs": jobs })),
            Notice::Unkillable { .. } => self.mark("unkillable", job, now, &json!({ "job": job })),
        }
    }

    /// Notes that a job has its outcome.
    pub(super) fn on_end(&mut self, record: &JobRecord<'_>) {
        if !self.are_any() {
            return;
        }
        let now = self.clock.now();
        if let Some(attempt) = self.running.remove(&record.job)
            && let Some(last) = &record.outcome.last
        {
            let end = match (record.status, &record.outcome.verdict) {
                (Status::Ok, _) => AttemptEnd::Ok,
                (_, Err(Cause::Cancelled)) | (Status::Cancelled | Status::Skipped, _) => AttemptEnd::Cut,
                (Status::Failed, _) => AttemptEnd::Failed,
            };
            let cause = record.outcome.verdict.as_ref().err().map(|cause| cause.kind().word());
            let exit = exitval(record);
            let args = json!({
                "status": record.status.word(),
                "cause": cause,
                "exitval": exit.map(|exit| exit.exitval),
                "signal": exit.map(|exit| exit.signal),
                "maxrss": last.usage.max_rss_bytes,
                "user_s": last.usage.user.as_secs_f64(),
                "sys_s": last.usage.system.as_secs_f64(),
            });
            self.on_attempt(record.job, &attempt, last.wall, end, args, now);
        }
        if let Some((_, history)) = &mut self.report {
            history.on_end(record, now);
        }
        if let Some(web) = &self.web {
            web.send(WebEvent::Ended(Box::new(JobEnded::of(record, now))));
        }
    }

    /// Suspends the run during this call, and its clock with it.
    pub(super) fn suspend(&mut self, stop: impl FnOnce()) {
        let stopped = Instant::now();
        stop();
        self.clock.suspended += stopped.elapsed();
    }

    /// Returns the failure of an observer's file, once.
    pub(super) fn error(&self) -> Option<RecordError> {
        self.trace.as_ref().and_then(TraceLog::error)
    }

    /// Ends the observers: writes all that is left to write, and returns warnings.
    ///
    /// # Errors
    /// Fails with the error of the first file that could not be written.
    pub(super) fn finish(&mut self, end: RunEndEvent<'_>) -> Result<Vec<String>, RecordError> {
        let now = self.clock.now();
        let mut warnings = Vec::new();
        if let Some(web) = self.web.take() {
            web.finish();
        }
        let mut traced = Ok(0);
        if let Some(trace) = self.trace.take() {
            traced = trace.finish();
        }
        if let Some((file, mut history)) = self.report.take() {
            history.on_held(None, now);
            let facts = ReportFacts {
                run: &self.run,
                command: std::mem::take(&mut self.head.command),
                cwd: std::mem::take(&mut self.head.cwd),
                contain: self.head.contain,
                began_epoch: self.head.began_epoch,
                joblog: self.head.joblog.take(),
                end,
            };
            file.write(report_page::page(&facts, &history, now).as_bytes())?;
        }
        let dropped = traced?;
        if dropped > 0 {
            warnings.push(format!("--trace: {dropped} events were dropped: the disk could not take them"));
        }
        Ok(warnings)
    }

    fn are_any(&self) -> bool {
        self.report.is_some() || self.trace.is_some() || self.web.is_some()
    }

    fn on_attempt(
        &mut self,
        job: u64,
        attempt: &RunningAttempt,
        wall: Duration,
        end: AttemptEnd,
        mut args: serde_json::Value,
        now: Duration,
    ) {
        let starting = attempt.started.filter(|started| now.saturating_sub(*started) > REPORTED_TOGETHER);
        let starting = starting.map_or(Duration::ZERO, |started| started.saturating_sub(attempt.requested));
        let began = self.claim_slot(attempt, wall);
        let ended = EndedAttempt { job, slot: attempt.slot, began, starting, wall, end };
        if let Some((_, history)) = &mut self.report {
            history.on_attempt(&ended);
        }
        if let Some(web) = &self.web {
            web.send(WebEvent::Attempt(ended));
        }
        if let Some(trace) = &mut self.trace {
            trace.name_slot(attempt.slot);
            args["job"] = job.into();
            args["attempt"] = attempt.number.into();
            args["pid"] = attempt.pid.into();
            args["starting_s"] = starting.as_secs_f64().into();
            let slice = event(&attempt.text, "X", word(end), began, attempt.slot, args);
            trace.append(&TraceEvent { dur: Some(micros(wall)), ..slice });
        }
        let running = self.running.len();
        self.count_running(running, now);
    }

    /// Returns the time at which the attempt began. The run's clock was read a little before the request arrived here,
    /// and one request may take longer to arrive than the next: a resulting overlap is moved away.
    fn claim_slot(&mut self, attempt: &RunningAttempt, wall: Duration) -> Duration {
        let slot = attempt.slot as usize;
        if self.free_since.len() <= slot {
            self.free_since.resize(slot + 1, Duration::ZERO);
        }
        let began = attempt.requested.max(self.free_since[slot]);
        self.free_since[slot] = began + wall;
        began
    }

    fn count_running(&mut self, running: usize, now: Duration) {
        if let Some(trace) = &mut self.trace {
            trace.append(&event("running", "C", "run", now, 0, json!({ "running": running })));
        }
    }

    fn mark(&mut self, name: &str, job: Option<u64>, now: Duration, args: &serde_json::Value) {
        let slot = job.and_then(|job| self.running.get(&job)).map_or(0, |attempt| attempt.slot);
        if let Some(trace) = &mut self.trace {
            let scope = Some(if slot == 0 { "g" } else { "t" });
            trace.append(&TraceEvent { s: scope, ..event(name, "i", "run", now, slot, args) });
        }
    }
}

impl Clock {
    fn now(&self) -> Duration {
        self.began.elapsed().saturating_sub(self.suspended)
    }
}

fn event<'a, A: serde::Serialize>(
    name: &'a str,
    ph: &'static str,
    cat: &'static str,
    at: Duration,
    slot: u32,
    args: A,
) -> TraceEvent<'a, A> {
    TraceEvent { name, ph, cat, ts: micros(at), dur: None, pid: 1, tid: slot, s: None, args }
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

fn word(end: AttemptEnd) -> &'static str {
    match end {
        AttemptEnd::Ok => "ok",
        AttemptEnd::Cut => "cut",
        AttemptEnd::Retried => "retried",
        AttemptEnd::Failed => "failed",
    }
}

/// Returns the limits of each job, in the words of the flags.
fn limits(config: &Config) -> Vec<(&'static str, String)> {
    let (policy, limits) = (&config.policy, &config.limits);
    let timeout = match policy.timeout {
        Timeout::Never => None,
        Timeout::After(time) => Some(asked_for(time)),
        Timeout::PercentOfMedian(percent) => Some(format!("{percent}% of the median")),
    };
    let tries = if policy.tries == 0 { "no end of tries".to_owned() } else { policy.tries.to_string() };
    let all = [
        ("timeout", timeout),
        ("retries", Some(tries)),
        ("mem", limits.memory_bytes.map(size)),
        ("cpu-time", limits.cpu_time.map(asked_for)),
        ("fsize", limits.file_size_bytes.map(size)),
        ("nofile", limits.open_files.map(|files| files.to_string())),
        ("pids", limits.processes.map(|processes| processes.to_string())),
        ("cpus", limits.cpus.map(|cpus| cpus.to_string())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
