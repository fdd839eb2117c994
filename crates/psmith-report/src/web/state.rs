//! State of the web board: folded from events, read by requests. Never serves a request itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use psmith_core::Time;
use psmith_core::board::Rate;
use psmith_core::event::HoldReason;
use serde_json::{Value, json};

use crate::Status;
use crate::charts;
use crate::charts::RunningAttempt;
use crate::display::{last_lines, visible};
use crate::history::History;
use crate::is_flaky;
use crate::web::jobs::{EndedJob, EndedJobs, Query};
use crate::web::output_backlog::TAIL_BYTES_MAX;
use crate::web_events::{RunFacts, WebEvent};
use crate::when::utc;

/// The greatest number of running jobs that are shown, the longest running first.
const ROWS_MAX: usize = 100;
/// The number of the timeline's bars: fewer than in a report, since it is drawn again and again.
const BARS_MAX: usize = 1500;
const LINE_COLUMNS_MAX: usize = 200;

/// A job that has a process.
#[derive(Debug)]
pub(super) struct LiveJob {
    attempt: u32,
    slot: u32,
    pid: u32,
    began: Duration,
    text: String,
    slow: bool,
    progress: Option<(u64, u64)>,
    tail: Vec<u8>,
}

/// The state of the board.
#[derive(Debug)]
pub(super) struct WebState {
    pub(super) facts: RunFacts,
    pub(super) history: History,
    pub(super) jobs: EndedJobs,
    pub(super) live: BTreeMap<u64, LiveJob>,
    pub(super) total: Option<u64>,
    pub(super) flaky: u64,
    pub(super) held: Option<HoldReason>,
    pub(super) over: bool,
    /// The version of the state; it grows with each change.
    pub(super) version: u64,
    rate: Rate,
    began: Instant,
    ended_at: Option<Duration>,
}

impl WebState {
    pub(super) fn new() -> WebState {
        WebState {
            facts: RunFacts::default(),
            history: History::new(0, BARS_MAX),
            jobs: EndedJobs::default(),
            live: BTreeMap::new(),
            total: None,
            flaky: 0,
            held: None,
            over: false,
            version: 0,
            rate: Rate::default(),
            began: Instant::now(),
            ended_at: None,
        }
    }

    /// Folds an event.
    pub(super) fn on(&mut self, event: WebEvent) {
        self.version += 1;
        match event {
            WebEvent::Run(facts) => {
                self.history.on_slots(facts.slots, Duration::ZERO);
                self.total = facts.total;
                self.facts = *facts;
            }
            WebEvent::Started { job, attempt, slot, pid, began, text } => {
                let live = LiveJob {
                    attempt,
                    slot,
                    pid,
                    began,
                    text,
                    slow: false,
                    progress: None,
                    tail: Vec::new(),
                };
                self.live.insert(job, live);
            }
            WebEvent::Output { job, bytes } => {
                if let Some(live) = self.live.get_mut(&job) {
                    let excess = (live.tail.len() + bytes.len()).saturating_sub(TAIL_BYTES_MAX);
                    live.tail.drain(..excess.min(live.tail.len()));
                    live.tail.extend_from_slice(&bytes);
                }
            }
            WebEvent::Progress { job, done, target } => {
                if let Some(live) = self.live.get_mut(&job) {
                    live.progress = Some((done, target));
                }
            }
            WebEvent::Slow { job } => {
                if let Some(live) = self.live.get_mut(&job) {
                    live.slow = true;
                }
            }
            WebEvent::Attempt(attempt) => {
                self.history.on_attempt(&attempt);
                if attempt.end == crate::history::AttemptEnd::Retried {
                    self.live.remove(&attempt.job);
                }
            }
            WebEvent::Ended(ended) => {
                let record = ended.record();
                self.flaky += u64::from(is_flaky(record.outcome));
                self.history.on_end(&record, ended.at);
                self.rate.on_end(Time(ended.at));
                let live = self.live.remove(&record.job);
                if record.outcome.attempts > 0 {
                    // If a job's output did not go through psmith, or came too fast, the end of its stderr is known all
                    // the same.
                    let tail = live.map(|live| live.tail).filter(|tail| !tail.is_empty());
                    let tail = tail.unwrap_or_else(|| record.stderr_tail.to_vec());
                    self.jobs.push(EndedJob::of(&record), tail);
                }
            }
            WebEvent::Held(reason, at) => {
                self.history.on_held(reason, at);
                self.held = reason;
            }
            WebEvent::Slots(slots, at) => self.history.on_slots(slots, at),
            WebEvent::Total(total) => self.total = Some(total),
        }
    }

    /// Notes that nothing more will happen.
    pub(super) fn end(&mut self) {
        self.ended_at = Some(self.now());
        self.over = true;
        self.version += 1;
    }

    /// Returns the time since the beginning of the run, as well as this thread knows it.
    pub(super) fn now(&self) -> Duration {
        self.ended_at.unwrap_or_else(|| self.began.elapsed())
    }

    /// Returns the counts and the running jobs: all that changes from moment to moment.
    pub(super) fn overview(&mut self) -> Value {
        let now = self.now();
        let history = &self.history;
        let done = history.ok + history.failed_count;
        let left = self.total.map(|total| total.saturating_sub(done + history.cancelled));
        let rate = self.rate.per_second(Time(now));
        let eta = left.filter(|_| !self.over).and_then(|left| self.rate.eta(left, Time(now)));
        let mut rows: Vec<(&u64, &LiveJob)> = self.live.iter().collect();
        rows.sort_by_key(|(job, live)| (live.began, **job));
        rows.truncate(ROWS_MAX);
        let rows: Vec<Value> = rows.into_iter().map(|(job, live)| live.row(*job, now)).collect();
        json!({
            "run": self.facts.run,
            "command": self.facts.command,
            "cwd": self.facts.cwd,
            "contain": self.facts.contain,
            "began": utc(self.facts.began_epoch),
            "limits": self.facts.limits,
            "slots": self.history.slots(),
            "total": self.total,
            "done": done,
            "ok": self.history.ok,
            "failed": self.history.failed_count,
            "flaky": self.flaky,
            "cancelled": self.history.cancelled,
            "retries": self.history.retries,
            "running": self.live.len(),
            "held": self.held.map(HoldReason::word),
            "rate": rate,
            "eta": eta.map(|eta| eta.as_secs_f64()),
            "wall": now.as_secs_f64(),
            "over": self.over,
            "forgotten": self.jobs.forgotten(),
            "causes": self.history.causes,
            "rows": rows,
        })
    }

    /// Returns a part of the list of ended jobs.
    pub(super) fn list(&self, query: &Query) -> Value {
        let (total, rows) = self.jobs.list(query);
        json!({ "total": total, "from": query.from, "rows": rows })
    }

    /// Returns all that is known of a job, running or ended.
    pub(super) fn job(&self, job: u64) -> Option<Value> {
        let now = self.now();
        if let Some(live) = self.live.get(&job) {
            let mut row = live.row(job, now);
            row["status"] = "running".into();
            row["output"] = shown_output(&live.tail).into();
            row["limits"] = json!(self.facts.limits);
            return Some(row);
        }
        let (ended, tail) = self.jobs.get(job)?;
        Some(json!({
            "job": ended.job,
            "status": ended.status.word(),
            "cause": ended.cause,
            "command": ended.command,
            "attempt": ended.attempts,
            "earlier": ended.earlier,
            "slot": ended.slot,
            "began": utc(ended.started_epoch),
            "elapsed": ended.wall.as_secs_f64(),
            "cpu": ended.cpu.as_secs_f64(),
            "exitval": ended.exit.map(|exit| exit.0),
            "signal": ended.exit.map(|exit| exit.1),
            "rss": ended.rss_bytes,
            "stdout_bytes": ended.bytes[0],
            "stderr_bytes": ended.bytes[1],
            "output": tail.map(shown_output),
            "limits": self.facts.limits,
            "failed": ended.status == Status::Failed,
        }))
    }

    /// Returns a chart as SVG.
    pub(super) fn chart(&self, name: &str) -> Option<String> {
        let now = self.now();
        let running: Vec<RunningAttempt> = (self.live.iter())
            .map(|(job, live)| RunningAttempt { job: *job, slot: live.slot, began: live.began })
            .collect();
        let slots = self.history.slots();
        match name {
            "timeline" => Some(charts::timeline(&self.history.bars, &running, now)),
            "throughput" => Some(charts::throughput(&self.history.columns, &running, slots, now)),
            "durations" => Some(charts::durations(&self.history.durations)),
            _ => None,
        }
    }
}

impl LiveJob {
    fn row(&self, job: u64, now: Duration) -> Value {
        let mut line = last_lines(&self.tail, 1, LINE_COLUMNS_MAX).pop().unwrap_or_default();
        if let Some((done, target)) = self.progress {
            line = format!("{done}/{target}  {line}");
        }
        json!({
            "job": job,
            "slot": self.slot,
            "attempt": self.attempt,
            "pid": self.pid,
            "elapsed": now.saturating_sub(self.began).as_secs_f64(),
            "rss": resident(self.pid),
            "slow": self.slow,
            "command": self.text,
            "line": line,
        })
    }
}

/// Returns output as a page shows it: line by line, control characters made visible.
fn shown_output(tail: &[u8]) -> String {
    let lines: Vec<String> =
        tail.split(|byte| *byte == b'\n').map(|line| visible(line, TAIL_BYTES_MAX * 8)).collect();
    lines.join("\n")
}

/// Returns the resident memory of a process; `None` if it has ended.
fn resident(pid: u32) -> Option<u64> {
    let pages = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
