//! The history of a run in bounded memory: all that the report and the web board show, except the running jobs.
//!
//! It folds the events that it receives: it never reads a clock, writes, or judges. However many jobs there are, it
//! keeps [`BARS_MAX`](bars::BARS_MAX) bars, a fixed number of columns and buckets, and bounded lists. It counts what a
//! bound drops, so that the page can say so.

pub mod bars;
pub mod columns;
pub mod durations;
pub mod named;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use psmith_core::event::HoldReason;
use psmith_core::outcome::Cause;

use crate::{JobRecord, Status};
use bars::{Bar, Bars};
use columns::Intervals;
use durations::DurationCounts;
use named::{Named, Worst};

/// The greatest number of failed jobs that are kept with their last lines.
pub const FAILED_MAX: usize = 200;
/// The length of the lists of the slowest and the largest jobs.
pub const WORST_MAX: usize = 20;
/// The greatest number of different causes that are counted apart; the rest is counted as one.
const CAUSES_MAX: usize = 64;

/// An attempt that is over.
#[derive(Clone, Copy, Debug)]
pub struct EndedAttempt {
    /// The job's number.
    pub job: u64,
    /// The slot, from 1.
    pub slot: u32,
    /// The time at which the start was requested, from the beginning of the run.
    pub began: Duration,
    /// The time until the process existed; zero if it is not known.
    pub starting: Duration,
    /// The time from the request for the start to the end.
    pub wall: Duration,
    /// The kind of end.
    pub end: AttemptEnd,
}

/// The kind of end of an attempt, as far as a colour shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttemptEnd {
    /// Success.
    Ok,
    /// Cut short: cancelled, or not charged as a try.
    Cut,
    /// Failure, followed by another attempt.
    Retried,
    /// Failure, and the job failed with it.
    Failed,
}

/// The history of a run, without the jobs that run at present.
#[derive(Debug)]
pub struct History {
    pub bars: Bars,
    pub columns: Intervals,
    /// Durations of the jobs that ended by themselves, as in the joblog.
    pub durations: DurationCounts,
    pub failed: Vec<Named>,
    pub failed_count: u64,
    pub slowest: Worst<Duration>,
    pub largest: Worst<u64>,
    /// The number of failures for each cause, in the words of the failure lines without their particulars.
    pub causes: BTreeMap<String, u64>,
    /// The number of attempts that failed and were followed by another.
    pub retries: u64,
    pub attempts: u64,
    pub ok: u64,
    pub cancelled: u64,
    pub working: Duration,
    pub starting: Duration,
    pub user: Duration,
    pub system: Duration,
    pub output_bytes: [u64; 2],
    /// The time for which starts were held, by reason.
    pub held: BTreeMap<&'static str, Duration>,
    holding: Option<(HoldReason, Duration)>,
    /// Slots times time up to the last change of the number of slots.
    offered: Duration,
    width: (u32, Duration),
}

impl History {
    /// Makes an empty history. At most `bars_max` bars are kept.
    pub fn new(slots: u32, bars_max: usize) -> History {
        History {
            bars: Bars::new(bars_max),
            columns: Intervals::default(),
            durations: DurationCounts::default(),
            failed: Vec::new(),
            failed_count: 0,
            slowest: Worst::new(WORST_MAX),
            largest: Worst::new(WORST_MAX),
            causes: BTreeMap::new(),
            retries: 0,
            attempts: 0,
            ok: 0,
            cancelled: 0,
            working: Duration::ZERO,
            starting: Duration::ZERO,
            user: Duration::ZERO,
            system: Duration::ZERO,
            output_bytes: [0; 2],
            held: BTreeMap::new(),
            holding: None,
            offered: Duration::ZERO,
            width: (slots, Duration::ZERO),
        }
    }

    /// Adds an attempt that is over, the last of its job or not.
    pub fn on_attempt(&mut self, attempt: &EndedAttempt) {
        let starting = attempt.starting.min(attempt.wall);
        self.attempts += 1;
        self.starting += starting;
        self.working += attempt.wall - starting;
        if attempt.end == AttemptEnd::Retried {
            self.retries += 1;
        }
        self.columns.on_busy(attempt.began, attempt.began + attempt.wall);
        self.bars.push(Bar::of(attempt));
    }

    /// Adds a job that has its outcome.
    pub fn on_end(&mut self, record: &JobRecord<'_>, at: Duration) {
        let outcome = record.outcome;
        self.output_bytes[0] += record.stdout_bytes;
        self.output_bytes[1] += record.stderr_bytes;
        if let Some(last) = &outcome.last {
            self.user += last.usage.user;
            self.system += last.usage.system;
        }
        match record.status {
            Status::Ok => self.ok += 1,
            Status::Failed => self.on_failed(record),
            Status::Cancelled | Status::Skipped => {
                self.cancelled += 1;
                return;
            }
        }
        self.columns.on_end(at, record.status == Status::Ok);
        let Some(last) = &outcome.last else { return };
        self.durations.add(last.wall);
        self.slowest.offer(last.wall, || Named::of(record));
        self.largest.offer(last.usage.max_rss_bytes, || Named::of(record));
    }

    /// Notes that starts are held, or no longer.
    pub fn on_held(&mut self, reason: Option<HoldReason>, at: Duration) {
        if let Some((reason, since)) = self.holding.take() {
            *self.held.entry(reason.word()).or_default() += at.saturating_sub(since);
        }
        self.holding = reason.map(|reason| (reason, at));
    }

    /// Notes a change of the number of slots.
    pub fn on_slots(&mut self, slots: u32, at: Duration) {
        self.offered = self.offered(at);
        self.width = (slots, at);
    }

    /// Returns the time that all slots together have offered so far.
    pub fn offered(&self, at: Duration) -> Duration {
        let (slots, since) = self.width;
        self.offered.saturating_add(at.saturating_sub(since).saturating_mul(slots))
    }

    /// Returns the number of slots at present.
    pub fn slots(&self) -> u32 {
        self.width.0
    }

    fn on_failed(&mut self, record: &JobRecord<'_>) {
        self.failed_count += 1;
        if self.failed.len() < FAILED_MAX {
            self.failed.push(Named::of(record));
        }
        let kind = match &record.outcome.verdict {
            Ok(()) => "flaky".to_owned(),
            Err(Cause::Exit(code)) => format!("exit {code}"),
            Err(Cause::Signal { signal, .. }) => format!("signal {signal}"),
            Err(cause) => cause.kind().word().to_owned(),
        };
        let known = self.causes.len() < CAUSES_MAX || self.causes.contains_key(&kind);
        *self.causes.entry(if known { kind } else { "other".to_owned() }).or_default() += 1;
    }
}
