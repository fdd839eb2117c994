//! The jobs of a program's runs as a board knows them: updated on the engines' threads, read on the board's thread.
//!
//! The lock is held for updates and for composing lines, never during a write or a read of `/proc`: no run waits for a
//! terminal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use psmith_core::board::{JobRow, Progress, RowEnding, RunBoard, Timing, Update};
use psmith_core::{JobId, SlotId, Time};
use psmith_sys::proc_memory;

use crate::job::job::JobRef;
use crate::observe::observer::{Observer, ObserverEvent};
use crate::observe::snapshot::{JobSnapshot, Phase, Snapshot};
use psmith_board::standing::{COUNT_EVERY, StatusLine};
use psmith_board::table;
use psmith_board::table::Layout;
use psmith_board::visible;
use psmith_board::{Line, LinesBelow, Size, WeakBoard};

/// Rows, unless the program asks for another number.
const ROWS: usize = 8;

/// Shortest interval between two samples of what jobs use.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Limit of the processes of a job that are counted in what it uses.
const SAMPLED_PROCESSES_MAX: usize = 32;

/// Limit of the jobs that are sampled for a list or a snapshot; the use of further running jobs is left out.
const SAMPLED_JOBS_MAX: usize = 1000;

/// Width at which a name, or a message, is cut.
const TEXT_COLUMNS_MAX: usize = 240;

/// The jobs of all runs that name one board.
pub(crate) struct BoardJobs {
    began: Instant,
    state: Mutex<BoardJobsState>,
    /// The board on which they are shown.
    screen: WeakBoard,
}

/// Key of a job: the run, and the job's index in it.
type JobKey = (u64, u64);

struct BoardJobsState {
    board: RunBoard,
    rows_max: usize,
    /// The jobs that are not over.
    jobs: HashMap<JobKey, BoardJob>,
    /// The last process of each slot, by run and slot.
    processes: HashMap<(u64, u32), u32>,
    /// CPU time of a process before its current job, for running jobs whose process has served others. `None` until the
    /// first sample.
    cpu_before: HashMap<JobId, Option<Duration>>,
    last_job: u64,
    last_run: u64,
    /// Runs that have begun and are not over.
    runs: u64,
    total: u64,
    /// True if the number of jobs of some run is not known.
    is_open: bool,
    sampled_at: Option<Time>,
    logged_at: Time,
    /// True if the board's thread was notified of changes.
    is_notified: bool,
}

struct BoardJob {
    id: JobId,
    label: String,
    attempt: u32,
    is_running: bool,
    /// The progress that it has reported, which may come before the event of its start.
    progress: Option<Progress>,
}

/// A run, as the board sees it.
struct BoardObserver {
    jobs: Arc<BoardJobs>,
    /// The number of the run, once it has begun.
    run: Mutex<Option<u64>>,
    total: Option<u64>,
}

/// Makes the observer of a run with this many jobs, if that is known, for this board.
pub(crate) fn observe_board(jobs: Arc<BoardJobs>, total: Option<u64>) -> Box<dyn Observer> {
    Box::new(BoardObserver { jobs, run: Mutex::new(None), total })
}

impl Observer for BoardObserver {
    fn on_event(&self, event: ObserverEvent<'_>) {
        let now = self.jobs.now();
        let mut number = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let run = *number.get_or_insert_with(|| self.jobs.lock().begin(self.total));
        drop(number);
        self.jobs.change(|state| state.on_event(run, &event, now));
    }
}

impl Drop for BoardObserver {
    fn drop(&mut self) {
        let run = *self.run.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = run {
            let now = self.jobs.now();
            self.jobs.change(|state| state.end(run, now));
        }
    }
}

impl BoardJobs {
    pub(crate) fn new(screen: WeakBoard) -> BoardJobs {
        BoardJobs { began: Instant::now(), state: Mutex::new(BoardJobsState::new()), screen }
    }

    pub(crate) fn set_rows(&self, rows: usize) {
        self.change(|state| state.rows_max = rows);
    }

    /// Returns the board on which they are shown.
    pub(crate) fn screen(&self) -> &WeakBoard {
        &self.screen
    }

    fn now(&self) -> Time {
        Time(self.began.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, BoardJobsState> {
        // An update is whole or not made: no code of the user runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut BoardJobsState)) {
        let mut state = self.lock();
        change(&mut state);
        let wakes = !std::mem::replace(&mut state.is_notified, true);
        // The board's thread takes its own lock first, and then this one.
        drop(state);
        if wakes {
            self.screen.wake();
        }
    }

    /// Returns the state of all jobs, with a sample of what they use.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.sample(SAMPLED_JOBS_MAX);
        let now = self.now();
        self.lock().snapshot(now)
    }

    /// Returns the running jobs as a table, several lines.
    pub(crate) fn text(&self, columns: usize) -> String {
        self.sample(SAMPLED_JOBS_MAX);
        let now = self.now();
        self.lock().text(columns, now)
    }

    /// Samples what the longest running jobs use, unless that was done a moment ago.
    fn sample(&self, jobs_max: usize) {
        let processes: Vec<(JobId, u32)> = {
            let (mut state, now) = (self.lock(), self.now());
            let is_fresh = |at: Time| now < at + SAMPLE_EVERY;
            let is_due = !state.sampled_at.is_some_and(is_fresh);
            if is_due {
                state.sampled_at = Some(now);
            }
            let rows = state.board.longest(jobs_max).into_iter();
            // Between two samples only those that were never sampled.
            rows.filter(|(_, row)| is_due || row.memory_bytes.is_none())
                .map(|(job, row)| (job, row.pid))
                .collect()
        };
        let used: Vec<_> = processes
            .into_iter()
            // A process that has just ended uses nothing, and its row is about to be removed.
            .filter_map(|(job, pid)| {
                Some((job, proc_memory::usage_of_tree(pid, SAMPLED_PROCESSES_MAX).ok()?))
            })
            .collect();
        // The time is later than the start of each sampled job: a share of CPU needs some time to have passed.
        let (mut state, now) = (self.lock(), self.now());
        for (job, used) in used {
            state.on_used(job, used.resident_bytes, used.cpu, now);
        }
    }
}

impl LinesBelow for BoardJobs {
    fn due(&self, on_screen: bool) -> Option<Duration> {
        let (state, now) = (self.lock(), self.now());
        let due = if on_screen {
            state.board.next_repaint(now)
        } else {
            state.is_notified.then(|| state.logged_at + COUNT_EVERY)
        };
        due.map(|due| due.since(now))
    }

    fn lines_wanted(&self) -> usize {
        let state = self.lock();
        match state.board.running_count().min(state.rows_max) {
            0 => usize::from(state.last_run > 0),
            // With the heading and the status line.
            rows => rows + 2,
        }
    }

    fn lines(&self, columns: usize, room: usize) -> Vec<Line> {
        let now = self.now();
        let (layout, shown) = {
            let mut state = self.lock();
            state.is_notified = false;
            state.board.painted(now);
            if room == 0 || state.last_run == 0 {
                return Vec::new();
            }
            state.layout(columns, room)
        };
        self.sample(shown);
        let now = self.now();
        self.lock().lines(columns, room, layout, now)
    }

    fn log_line(&self) -> Option<String> {
        let now = self.now();
        let mut state = self.lock();
        if !state.is_notified || now < state.logged_at + COUNT_EVERY {
            return None;
        }
        (state.logged_at, state.is_notified) = (now, false);
        state.last_line(now)
    }

    fn last_line(&self) -> Option<String> {
        self.lock().last_line(self.now())
    }
}

impl BoardJobsState {
    fn new() -> BoardJobsState {
        BoardJobsState {
            board: RunBoard::new(Timing::default()),
            rows_max: ROWS,
            jobs: HashMap::new(),
            processes: HashMap::new(),
            cpu_before: HashMap::new(),
            last_job: 0,
            last_run: 0,
            runs: 0,
            total: 0,
            is_open: false,
            sampled_at: None,
            logged_at: Time::ZERO,
            is_notified: false,
        }
    }

    /// Registers a run that begins; returns its number.
    fn begin(&mut self, total: Option<u64>) -> u64 {
        self.total += total.unwrap_or(0);
        self.is_open |= total.is_none();
        self.runs += 1;
        self.last_run += 1;
        self.last_run
    }

    /// Removes a run that is over. Its jobs without an end, as a forked copy of a program leaves them, go with it.
    fn end(&mut self, run: u64, now: Time) {
        self.runs -= 1;
        self.processes.retain(|(of, _), _| *of != run);
        let left: Vec<JobId> = self.jobs.extract_if(|(of, _), _| *of == run).map(|(_, job)| job.id).collect();
        for job in left {
            self.cpu_before.remove(&job);
            self.board.on(Update::Ended { job, ending: RowEnding::Cancelled }, now);
        }
        self.board.touch();
    }

    fn on_event(&mut self, run: u64, event: &ObserverEvent<'_>, now: Time) {
        match event {
            ObserverEvent::Began(job, attempt) => self.on_began(run, job, *attempt, now),
            ObserverEvent::Wrote(index, bytes) => {
                if let Some(job) = self.jobs.get(&(run, *index)) {
                    self.board.on_output(job.id, bytes);
                }
            }
            ObserverEvent::Progressed(index, done, target) => {
                let progress = Progress::at(*done, *target);
                let job = self.job((run, *index));
                job.progress = Some(progress);
                let job = job.id;
                self.board.on(Update::Progressed { job, progress }, now);
            }
            ObserverEvent::Retried(index) => {
                let job = self.job((run, *index));
                (job.is_running, job.progress) = (false, None);
                let job = job.id;
                self.cpu_before.remove(&job);
                self.board.on(Update::Retried { job }, now);
            }
            ObserverEvent::Ended(ended) => {
                let job = self.job((run, ended.job.index)).id;
                self.jobs.remove(&(run, ended.job.index));
                self.cpu_before.remove(&job);
                let ending = ended.refused.map_or_else(|| RowEnding::of(ended.outcome), RowEnding::of_cause);
                self.board.on(Update::Ended { job, ending }, now);
            }
        }
    }

    fn on_began(&mut self, run: u64, of: &JobRef, attempt: u32, now: Time) {
        let before = self.processes.insert((run, of.slot), of.pid);
        let label = title(of);
        let job = self.job((run, of.index));
        (job.is_running, job.attempt) = (true, attempt);
        job.label.clone_from(&label);
        let (job, progress) = (job.id, job.progress);
        // The CPU time of a process that served others is not all this job's.
        if before == Some(of.pid) {
            self.cpu_before.insert(job, None);
        }
        let (number, slot, pid) = (job.0, SlotId(of.slot), of.pid);
        self.board.on(Update::Started { job, number, slot, attempt, pid, title: &label }, now);
        if let Some(progress) = progress {
            self.board.on(Update::Progressed { job, progress }, now);
        }
    }

    fn on_used(&mut self, job: JobId, memory_bytes: u64, cpu: Duration, now: Time) {
        let before =
            self.cpu_before.get_mut(&job).map_or(Duration::ZERO, |before| *before.get_or_insert(cpu));
        let cpu = Some(cpu.saturating_sub(before));
        self.board.on(Update::Used { job, memory_bytes, cpu }, now);
    }

    fn job(&mut self, key: JobKey) -> &mut BoardJob {
        self.jobs.entry(key).or_insert_with(|| {
            self.last_job += 1;
            BoardJob {
                id: JobId(self.last_job),
                label: String::new(),
                attempt: 0,
                is_running: false,
                progress: None,
            }
        })
    }

    fn layout(&self, columns: usize, room: usize) -> (Layout, usize) {
        let layout = Layout::of(Size { columns, rows: room + 1 }, self.rows_max);
        (layout, layout.shown(self.board.running_count()))
    }

    fn lines(&mut self, columns: usize, room: usize, layout: Layout, now: Time) -> Vec<Line> {
        let (status, rate) = (self.status_line(), self.board.per_second(now));
        let running = self.board.running_count();
        let rows = rows(&self.board, layout.shown(running));
        let size = Size { columns, rows: room + 1 };
        table::lines(&rows, running, 0, now, size, layout, |columns| status.line(rate, columns))
    }

    fn text(&mut self, columns: usize, now: Time) -> String {
        let status = format!("jobs: {}", self.status_line().line(self.board.per_second(now), columns));
        let rows = rows(&self.board, SAMPLED_JOBS_MAX);
        table::running_text(&rows, 0, now, columns, &status)
    }

    fn last_line(&mut self, now: Time) -> Option<String> {
        let (status, rate) = (self.status_line(), self.board.per_second(now));
        (self.last_run > 0).then(|| format!("jobs: {}", status.line(rate, TEXT_COLUMNS_MAX)))
    }

    fn status_line(&self) -> StatusLine {
        let totals = self.board.totals();
        StatusLine {
            done: totals.done(),
            total: self.known_total(),
            ok: totals.ok,
            failed: totals.failed,
            flaky: totals.flaky,
            running: self.board.running_count() as u64,
            held: None,
            over: self.runs == 0,
        }
    }

    fn known_total(&self) -> Option<u64> {
        (!self.is_open && self.last_run > 0).then_some(self.total)
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        let totals = self.board.totals();
        let mut waiting: Vec<&BoardJob> =
            self.jobs.values().filter(|job| job.attempt > 0 && !job.is_running).collect();
        waiting.sort_unstable_by_key(|job| job.id);
        let running = rows(&self.board, usize::MAX);
        let running = running.into_iter().map(|row| JobSnapshot {
            job: row.number,
            label: row.title.clone(),
            phase: Phase::Running,
            attempt: row.attempt,
            slot: Some(row.slot.0 + 1),
            pid: Some(row.pid),
            elapsed_ms: Some(milliseconds(now.since(row.since))),
            memory_bytes: row.memory_bytes,
            cpu_ms: row.cpu.map(milliseconds),
            progress: row.progress.map(|progress| (progress.current(), progress.target())),
            message: visible(row.last_line(), TEXT_COLUMNS_MAX),
        });
        let waiting = waiting.into_iter().map(|job| JobSnapshot {
            job: job.id.0,
            label: job.label.clone(),
            phase: Phase::Waiting,
            attempt: job.attempt,
            slot: None,
            pid: None,
            elapsed_ms: None,
            memory_bytes: None,
            cpu_ms: None,
            progress: None,
            message: String::new(),
        });
        Snapshot {
            elapsed_ms: milliseconds(now.since(Time::ZERO)),
            total: self.known_total(),
            ok: totals.ok,
            flaky: totals.flaky,
            failed: totals.failed,
            cancelled: totals.cancelled,
            jobs: running.chain(waiting).collect(),
        }
    }
}

fn rows(board: &RunBoard, rows_max: usize) -> Vec<&JobRow> {
    board.longest(rows_max).into_iter().map(|(_, row)| row).collect()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the name of a job for people: its label, else its number.
pub(crate) fn title(job: &JobRef) -> String {
    job.label()
        .map_or_else(|| format!("job #{}", job.id()), |label| visible(label.as_bytes(), TEXT_COLUMNS_MAX))
}

impl std::fmt::Debug for BoardJobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jobs")
    }
}

impl std::fmt::Debug for BoardObserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoardObserver").field("total", &self.total).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "terminal_tests.rs"]
mod tests;
