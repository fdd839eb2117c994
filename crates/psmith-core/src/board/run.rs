//! The board of a run: running jobs and totals, folded from updates. Draws nothing and returns nothing that a run
//! depends on.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::rate::Rate;
use super::row::{Progress, RowStatus};
use super::rows::Timing;
use crate::event::HoldReason;
use crate::outcome::{Cause, Outcome};
use crate::{JobId, SlotId, Table, Time};

/// The maximum size of the end of a job's output that is kept for its last line.
pub const TAIL_BYTES_MAX: usize = 512;

/// The time after which a board with running jobs is painted again, for their elapsed times.
const TICK: Duration = Duration::from_secs(1);

/// An update of a board. An update about a job that is not on the board changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Update<'a> {
    /// An attempt has a process.
    Started {
        /// The job.
        job: JobId,
        /// The job's number, as people know it.
        number: u64,
        /// The slot, or the worker.
        slot: SlotId,
        /// The attempt's number, from 1.
        attempt: u32,
        /// The process id.
        pid: u32,
        /// The command, or the function.
        title: &'a str,
    },
    /// The job wrote output.
    Wrote {
        /// The job.
        job: JobId,
        /// The bytes, as they came.
        bytes: &'a [u8],
    },
    /// A function reported its progress.
    Progressed {
        /// The job.
        job: JobId,
        /// The progress.
        progress: Progress,
    },
    /// The resources in use were measured.
    Used {
        /// The job.
        job: JobId,
        /// Resident memory of its processes.
        memory_bytes: u64,
        /// CPU time so far.
        cpu: Option<Duration>,
    },
    /// The job is running longer than expected.
    Slow {
        /// The job.
        job: JobId,
    },
    /// The attempt cannot be killed. Its row stays after the end of its job, as its slot does.
    Unkillable {
        /// The job.
        job: JobId,
    },
    /// The attempt is over and the job waits for another.
    Retried {
        /// The job.
        job: JobId,
    },
    /// The job has its outcome.
    Ended {
        /// The job.
        job: JobId,
        /// The way the job counts.
        ending: RowEnding,
    },
    /// Starts are held for this reason, or no longer.
    Held(Option<HoldReason>),
    /// The total number of jobs is known.
    Total(u64),
}

/// The way an ended job counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowEnding {
    /// The job succeeded at its first try.
    Ok,
    /// The job succeeded at a later try.
    Flaky,
    /// The job failed.
    Failed,
    /// The job was cut short, or never started: it counts neither as a success nor as a failure.
    Cancelled,
}

impl RowEnding {
    /// Returns how this outcome counts. Forgiven attempts do not make a success flaky.
    #[must_use]
    pub fn of(outcome: &Outcome) -> RowEnding {
        match &outcome.verdict {
            Ok(()) if outcome.tries > 1 => RowEnding::Flaky,
            Ok(()) => RowEnding::Ok,
            Err(cause) => RowEnding::of_cause(cause),
        }
    }

    /// Returns how a job counts that ended with this cause.
    #[must_use]
    pub fn of_cause(cause: &Cause) -> RowEnding {
        if *cause == Cause::Cancelled { RowEnding::Cancelled } else { RowEnding::Failed }
    }
}

/// The counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Jobs that succeeded at their first try.
    pub ok: u64,
    /// Jobs that succeeded later.
    pub flaky: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that were cut short or never begun.
    pub cancelled: u64,
    /// The total number of jobs, if it is known.
    pub total: Option<u64>,
    /// The reason why starts are held, if they are.
    pub held: Option<HoldReason>,
}

impl Totals {
    /// Returns the number of jobs that have an outcome of their own.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.ok + self.flaky + self.failed
    }

    /// Returns the number of jobs that are still to be done, if it is known.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.total.map(|total| total.saturating_sub(self.done() + self.cancelled))
    }
}

/// A job that has a process.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRow {
    /// The job's number, as people know it.
    pub number: u64,
    /// The slot, or the worker.
    pub slot: SlotId,
    /// The attempt's number, from 1.
    pub attempt: u32,
    /// The process id.
    pub pid: u32,
    /// The time of its start.
    pub since: Time,
    /// The command, or the function.
    pub title: String,
    /// Resident memory at the last measurement, if there was one.
    pub memory_bytes: Option<u64>,
    /// CPU time at the last measurement, if it was available.
    pub cpu: Option<Duration>,
    /// The share of one processor used between the last two measurements, in percent; at the first one since its
    /// start. More than 100 on several processors.
    pub cpu_percent: Option<u32>,
    /// The progress, if the job reports it.
    pub progress: Option<Progress>,
    /// The status. Warning: slow. Error: cannot be killed.
    pub status: RowStatus,
    /// The time of the last measurement of CPU time.
    cpu_at: Time,
    tail: Vec<u8>,
}

impl JobRow {
    /// Returns the last line of the output that is not blank; empty if there is none. Of a line that was written over
    /// (progress bars return the carriage) the last version. The bytes are raw: not yet fit to be shown.
    #[must_use]
    pub fn last_line(&self) -> &[u8] {
        let parts = self.tail.rsplit(|&byte| byte == b'\n' || byte == b'\r');
        parts.map(<[u8]>::trim_ascii_end).find(|part| !part.is_empty()).unwrap_or_default()
    }

    fn on_cpu(&mut self, cpu: Option<Duration>, now: Time) {
        // The CPU time of a tree falls when a process ends that no parent waits for: no work was undone by that.
        let used = cpu.map(|cpu| cpu.saturating_sub(self.cpu.unwrap_or_default()));
        let passed = now.since(self.cpu_at);
        if used.is_none() || !passed.is_zero() {
            let share = |used: Duration| used.as_micros() * 100 / passed.as_micros().max(1);
            self.cpu_percent = used.map(|used| u32::try_from(share(used)).unwrap_or(u32::MAX));
            self.cpu_at = now;
            self.cpu = cpu;
        }
    }
}

/// The board of a run.
#[derive(Debug)]
pub struct RunBoard {
    timing: Timing,
    running: Table<JobId, JobRow>,
    /// The number of rows whose attempt cannot be killed.
    stuck: usize,
    totals: Totals,
    rate: Rate,
    painted_at: Option<Time>,
    is_dirty: bool,
}

impl RunBoard {
    /// Creates a board without jobs.
    #[must_use]
    pub fn new(timing: Timing) -> RunBoard {
        RunBoard {
            timing,
            running: Table::new(),
            stuck: 0,
            totals: Totals::default(),
            rate: Rate::default(),
            painted_at: None,
            is_dirty: true,
        }
    }

    /// Applies an update.
    pub fn on(&mut self, update: Update<'_>, now: Time) {
        self.is_dirty = true;
        match update {
            Update::Started { job, number, slot, attempt, pid, title } => {
                self.free(slot);
                let row = JobRow {
                    number,
                    slot,
                    attempt,
                    pid,
                    since: now,
                    title: title.into(),
                    memory_bytes: None,
                    cpu: None,
                    cpu_percent: None,
                    cpu_at: now,
                    progress: None,
                    status: RowStatus::Normal,
                    tail: Vec::new(),
                };
                self.running.insert(job, row);
            }
            Update::Wrote { job, bytes } => self.on_output(job, bytes),
            Update::Progressed { job, progress } => self.change(job, |row| row.progress = Some(progress)),
            Update::Used { job, memory_bytes, cpu } => self.change(job, |row| {
                row.memory_bytes = Some(memory_bytes);
                row.on_cpu(cpu, now);
            }),
            Update::Slow { job } => self.change(job, |row| {
                if row.status == RowStatus::Normal {
                    row.status = RowStatus::Warning;
                }
            }),
            Update::Unkillable { job } => {
                if let Some(row) = self.running.get_mut(job).filter(|row| row.status != RowStatus::Error) {
                    row.status = RowStatus::Error;
                    self.stuck += 1;
                }
            }
            Update::Retried { job } => self.take_off(job),
            Update::Ended { job, ending } => {
                self.take_off(job);
                self.rate.on_end(now);
                let totals = &mut self.totals;
                *match ending {
                    RowEnding::Ok => &mut totals.ok,
                    RowEnding::Flaky => &mut totals.flaky,
                    RowEnding::Failed => &mut totals.failed,
                    RowEnding::Cancelled => &mut totals.cancelled,
                } += 1;
            }
            Update::Held(reason) => self.totals.held = reason,
            Update::Total(total) => self.totals.total = Some(total),
        }
    }

    /// Applies an [`Update::Wrote`], for which no time is needed.
    pub fn on_output(&mut self, job: JobId, bytes: &[u8]) {
        self.is_dirty = true;
        self.change(job, |row| keep_tail(&mut row.tail, bytes));
    }

    /// Returns the counts.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Returns the jobs that end in a second.
    pub fn per_second(&mut self, now: Time) -> f64 {
        self.rate.per_second(now)
    }

    /// Returns the time that the rest will take; `None` if it cannot be estimated.
    pub fn eta(&mut self, now: Time) -> Option<Duration> {
        self.totals.left().and_then(|left| self.rate.eta(left, now))
    }

    /// Returns the number of jobs on the board.
    #[must_use]
    pub fn running_count(&self) -> usize {
        self.running.len()
    }

    /// Returns a job on the board.
    #[must_use]
    pub fn get(&self, job: JobId) -> Option<&JobRow> {
        self.running.get(job)
    }

    /// Returns the running jobs, the longest running first, at most `rows_max`.
    #[must_use]
    pub fn longest(&self, rows_max: usize) -> Vec<(JobId, &JobRow)> {
        let mut rows: Vec<(JobId, &JobRow)> = self.running.iter().collect();
        let order = |(job, row): &(JobId, &JobRow)| (row.since, *job);
        if rows.len() > rows_max && rows_max > 0 {
            // Thousands may run where eight are shown.
            rows.select_nth_unstable_by_key(rows_max - 1, order);
        }
        rows.truncate(rows_max);
        rows.sort_unstable_by_key(order);
        rows
    }

    /// Returns when the board is to be painted; `None` while nothing changed and nothing runs.
    #[must_use]
    pub fn next_repaint(&self, now: Time) -> Option<Time> {
        let Some(painted) = self.painted_at else { return Some(now) };
        if self.is_dirty {
            return Some((painted + self.timing.update).max(now));
        }
        (!self.running.is_empty()).then(|| (painted + TICK).max(now))
    }

    /// Records a paint.
    pub fn painted(&mut self, now: Time) {
        self.painted_at = Some(now);
        self.is_dirty = false;
    }

    /// Requests a paint because something else changed, the size of the screen perhaps.
    pub fn touch(&mut self) {
        self.is_dirty = true;
    }

    fn change(&mut self, job: JobId, change: impl FnOnce(&mut JobRow)) {
        if let Some(row) = self.running.get_mut(job) {
            change(row);
        }
    }

    /// Frees a slot whose attempt could not be killed and has ended after all.
    fn free(&mut self, slot: SlotId) {
        if self.stuck > 0 {
            let before = self.running.len();
            self.running.retain(|row| row.slot != slot);
            self.stuck -= (before - self.running.len()).min(self.stuck);
        }
    }

    fn take_off(&mut self, job: JobId) {
        if self.running.get(job).is_some_and(|row| row.status != RowStatus::Error) {
            self.running.remove(job);
        }
    }
}

/// Appends the bytes, and drops the beginning beyond the bound.
fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[bytes.len().saturating_sub(TAIL_BYTES_MAX)..];
    let excess = (tail.len() + bytes.len()).saturating_sub(TAIL_BYTES_MAX);
    tail.drain(..excess);
    tail.extend_from_slice(bytes);
}
