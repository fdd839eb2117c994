//! The board of a run: running jobs and totals, folded from updates. Draws nothing and answers nobody: with it or
//! without it a run goes the same way.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::rate::Rate;
use super::row::{Progress, RowStatus};
use super::rows::Timing;
use crate::event::HoldReason;
use crate::outcome::{Cause, Outcome};
use crate::{JobId, SlotId, Time};

/// So much of the end of a job's output is kept for its last line.
pub const TAIL_BYTES_MAX: usize = 512;

/// A board whose jobs run on is painted again after this time, for their elapsed times.
const TICK: Duration = Duration::from_secs(1);

/// One thing that a board wants to know. An update about a job that is not on the board changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Update<'a> {
    /// An attempt has a process.
    Started {
        /// Its job.
        job: JobId,
        /// The job's number, as people know it.
        number: u64,
        /// In which slot, or by which worker.
        slot: SlotId,
        /// Which attempt, from 1.
        attempt: u32,
        /// Its process.
        pid: u32,
        /// Its command, or its function.
        title: &'a str,
    },
    /// It wrote this.
    Wrote {
        /// Its job.
        job: JobId,
        /// Bytes, as they came.
        bytes: &'a [u8],
    },
    /// A function told how far it is.
    Progressed {
        /// Its job.
        job: JobId,
        /// How far.
        progress: Progress,
    },
    /// What it uses at present.
    Used {
        /// Its job.
        job: JobId,
        /// Resident memory of its processes.
        memory_bytes: u64,
        /// CPU time so far.
        cpu: Option<Duration>,
    },
    /// It runs longer than it should.
    Slow {
        /// Its job.
        job: JobId,
    },
    /// It cannot be killed. Its row stays after the end of its job, as its slot does.
    Unkillable {
        /// Its job.
        job: JobId,
    },
    /// The attempt is over and the job waits for another.
    Retried {
        /// Its job.
        job: JobId,
    },
    /// The job has its outcome.
    Ended {
        /// Its job.
        job: JobId,
        /// How it counts.
        ending: RowEnding,
    },
    /// Starts are held for this reason, or no longer.
    Held(Option<HoldReason>),
    /// So many jobs there will be.
    Total(u64),
}

/// How an ended job counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowEnding {
    /// It succeeded at its first try.
    Ok,
    /// It succeeded later.
    Flaky,
    /// It failed.
    Failed,
    /// It was cut short, or never begun: nothing is said about it.
    Cancelled,
}

impl RowEnding {
    /// How this outcome counts. Attempts that were forgiven make no success flaky.
    #[must_use]
    pub fn of(outcome: &Outcome) -> RowEnding {
        match &outcome.verdict {
            Ok(()) if outcome.tries > 1 => RowEnding::Flaky,
            Ok(()) => RowEnding::Ok,
            Err(cause) => RowEnding::of_cause(cause),
        }
    }

    /// How a job counts that came to this end.
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
    /// All jobs there will be, if that is known.
    pub total: Option<u64>,
    /// Why starts are held, if they are.
    pub held: Option<HoldReason>,
}

impl Totals {
    /// Jobs that have an outcome of their own.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.ok + self.flaky + self.failed
    }

    /// Jobs that are still to be done, if their number is known.
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
    /// In which slot, or by which worker.
    pub slot: SlotId,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub since: Time,
    /// Its command, or its function.
    pub title: String,
    /// Resident memory at the last look, if there was one.
    pub memory_bytes: Option<u64>,
    /// CPU time at the last look, if that could be seen.
    pub cpu: Option<Duration>,
    /// How much of one processor it used between the last two looks, in percent; at the first since its start. More
    /// than 100 on several processors.
    pub cpu_percent: Option<u32>,
    /// How far it is, if it tells.
    pub progress: Option<Progress>,
    /// Warning: slow. Error: cannot be killed.
    pub status: RowStatus,
    /// When the CPU time was looked at.
    cpu_at: Time,
    tail: Vec<u8>,
}

impl JobRow {
    /// The last line that it wrote which says something; empty if there is none. Of a line that was written over
    /// (progress bars return the carriage) the last writing. Bytes as they came: not yet fit to be shown.
    #[must_use]
    pub fn last_line(&self) -> &[u8] {
        let parts = self.tail.rsplit(|&byte| byte == b'\n' || byte == b'\r');
        parts.map(<[u8]>::trim_ascii_end).find(|part| !part.is_empty()).unwrap_or_default()
    }

    fn on_cpu(&mut self, cpu: Option<Duration>, now: Time) {
        // The time of a tree falls when a process ends that nobody waits for: that is no work undone.
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
    running: BTreeMap<JobId, JobRow>,
    /// How many of them cannot be killed.
    stuck: usize,
    totals: Totals,
    rate: Rate,
    painted_at: Option<Time>,
    is_dirty: bool,
}

impl RunBoard {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(timing: Timing) -> RunBoard {
        RunBoard {
            timing,
            running: BTreeMap::new(),
            stuck: 0,
            totals: Totals::default(),
            rate: Rate::default(),
            painted_at: None,
            is_dirty: true,
        }
    }

    /// Something happened.
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
                if let Some(row) = self.running.get_mut(&job).filter(|row| row.status != RowStatus::Error) {
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

    /// As [`Update::Wrote`], for which no time is needed.
    pub fn on_output(&mut self, job: JobId, bytes: &[u8]) {
        self.is_dirty = true;
        self.change(job, |row| keep_tail(&mut row.tail, bytes));
    }

    /// The counts.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Jobs that end in a second.
    pub fn per_second(&mut self, now: Time) -> f64 {
        self.rate.per_second(now)
    }

    /// How long the rest will take; `None` if that cannot be said.
    pub fn eta(&mut self, now: Time) -> Option<Duration> {
        self.totals.left().and_then(|left| self.rate.eta(left, now))
    }

    /// How many jobs are on the board.
    #[must_use]
    pub fn running_count(&self) -> usize {
        self.running.len()
    }

    /// A job on the board.
    #[must_use]
    pub fn get(&self, job: JobId) -> Option<&JobRow> {
        self.running.get(&job)
    }

    /// The running jobs, the longest running first, at most `rows_max`.
    #[must_use]
    pub fn longest(&self, rows_max: usize) -> Vec<(JobId, &JobRow)> {
        let mut rows: Vec<(JobId, &JobRow)> = self.running.iter().map(|(job, row)| (*job, row)).collect();
        let order = |(job, row): &(JobId, &JobRow)| (row.since, *job);
        if rows.len() > rows_max && rows_max > 0 {
            // Thousands may run where eight are shown.
            rows.select_nth_unstable_by_key(rows_max - 1, order);
        }
        rows.truncate(rows_max);
        rows.sort_unstable_by_key(order);
        rows
    }

    /// When the board wants to be painted: `None` while nothing changed and nothing runs.
    #[must_use]
    pub fn next_repaint(&self, now: Time) -> Option<Time> {
        let Some(painted) = self.painted_at else { return Some(now) };
        if self.is_dirty {
            return Some((painted + self.timing.update).max(now));
        }
        (!self.running.is_empty()).then(|| (painted + TICK).max(now))
    }

    /// It has been painted.
    pub fn painted(&mut self, now: Time) {
        self.painted_at = Some(now);
        self.is_dirty = false;
    }

    /// Something else changed, the size of the screen perhaps: paint again.
    pub fn touch(&mut self) {
        self.is_dirty = true;
    }

    fn change(&mut self, job: JobId, change: impl FnOnce(&mut JobRow)) {
        if let Some(row) = self.running.get_mut(&job) {
            change(row);
        }
    }

    /// What could not be killed has left the slot after all.
    fn free(&mut self, slot: SlotId) {
        if self.stuck > 0 {
            let before = self.running.len();
            self.running.retain(|_, row| row.slot != slot);
            self.stuck -= (before - self.running.len()).min(self.stuck);
        }
    }

    fn take_off(&mut self, job: JobId) {
        if self.running.get(&job).is_some_and(|row| row.status != RowStatus::Error) {
            self.running.remove(&job);
        }
    }
}

/// Appends, and drops the beginning beyond the bound.
fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[bytes.len().saturating_sub(TAIL_BYTES_MAX)..];
    let excess = (tail.len() + bytes.len()).saturating_sub(TAIL_BYTES_MAX);
    tail.drain(..excess);
    tail.extend_from_slice(bytes);
}
