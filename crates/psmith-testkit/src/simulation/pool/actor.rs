//! A simulated worker: what it has really done, and what it will do next. Has no access to tries or outcomes.

use std::ops::Range;
use std::time::Duration;

use psmith_core::SlotId;
use psmith_core::outcome::{Cause, Exit};
use psmith_core::worker_pool::BatchProgress;

use super::super::generator::Generator;
use super::scenario::PoolScenario;

/// A worker, or the process of a command.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) alone: bool,
    /// True if it shares memory with its host, so that it can do batches.
    pub(super) has_memory: bool,
    pub(super) greeted: bool,
    pub(super) has_process: bool,
    pub(super) work: Option<Work>,
    /// The numbers of the jobs that it did before.
    pub(super) earlier: Vec<u64>,
    pub(super) jobs_given: u64,
    pub(super) asked_to_leave: bool,
    /// True if the pool has requested its end.
    pub(super) cut: bool,
    /// The protocol violation for which the warden ends it.
    pub(super) violation: Option<String>,
    /// True if the violation was about an earlier job: the job that it has now is not to blame.
    pub(super) violated_earlier: bool,
    /// True if it is about to be gone, or is: what it planned does not happen.
    pub(super) dying: bool,
    pub(super) resident: u64,
}

/// The work that it was given.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) slot: SlotId,
    pub(super) jobs: Range<u64>,
    /// The number of jobs that it may begin.
    pub(super) limit: u32,
    pub(super) found: BatchProgress,
    /// True if its reply was received.
    pub(super) replied: bool,
    /// True if it neither replies nor dies any more.
    pub(super) hangs: bool,
}

/// The choice at a point where it may do anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    GoesOn,
    Dies,
    Hangs,
    Lies,
}

impl Actor {
    pub(super) fn new(alone: bool, has_memory: bool) -> Actor {
        Actor {
            alone,
            has_memory,
            greeted: false,
            has_process: false,
            work: None,
            earlier: Vec::new(),
            jobs_given: 0,
            asked_to_leave: false,
            cut: false,
            violation: None,
            violated_earlier: false,
            dying: false,
            resident: 1000,
        }
    }

    pub(super) fn is_batch(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.jobs.end - work.jobs.start > 1)
    }

    /// Returns what its memory shows: nothing, where it has none.
    pub(super) fn found(&self) -> BatchProgress {
        let found = self.work.as_ref().map(|work| work.found).unwrap_or_default();
        if self.has_memory { found } else { BatchProgress::default() }
    }

    /// Returns the job that it is really within, by index.
    pub(super) fn within(&self) -> Option<u64> {
        let work = self.work.as_ref().filter(|work| !work.replied)?;
        (work.found.begun > work.found.results).then(|| work.jobs.start + u64::from(work.found.results))
    }

    /// Returns the verdict on its end, as the engine sees it.
    pub(super) fn verdict(&self, exit: Exit) -> Result<(), Cause> {
        match (&self.violation, exit) {
            (Some(words), _) => Err(Cause::Protocol(words.clone())),
            (None, _) if self.cut => Err(Cause::Cancelled),
            (None, Exit::Code(code)) => Err(Cause::Exit(code)),
            (None, Exit::Signal { signal, core_dumped }) => Err(Cause::Signal { signal, core_dumped }),
        }
    }
}

pub(super) fn fate(drawn: &PoolScenario, faults: bool, generator: &mut Generator) -> Fate {
    let percent = |percent: u64| if faults { percent } else { 0 };
    if generator.chance(percent(drawn.dies)) {
        Fate::Dies
    } else if generator.chance(percent(drawn.hangs)) {
        Fate::Hangs
    } else if generator.chance(percent(drawn.lies)) {
        Fate::Lies
    } else {
        Fate::GoesOn
    }
}

pub(super) fn exit(generator: &mut Generator) -> Exit {
    match generator.below(4) {
        0 => Exit::Code(0),
        1 => Exit::Code(3),
        2 => Exit::Signal { signal: 9, core_dumped: false },
        _ => Exit::Signal { signal: 11, core_dumped: true },
    }
}

/// Returns how a job ends that comes to its end.
pub(super) fn verdict(drawn: &PoolScenario, generator: &mut Generator) -> Result<(), Cause> {
    if !generator.chance(drawn.fails) {
        return Ok(());
    }
    Err(match generator.chance(30) {
        false => Cause::Error("it failed".into()),
        true => {
            Cause::Panic { message: "it panicked".into(), location: String::new(), backtrace: String::new() }
        }
    })
}

/// Returns the time that a piece of work takes: one job, or one of a batch.
pub(super) fn work_time(drawn: &PoolScenario, is_batch: bool, generator: &mut Generator) -> Duration {
    if is_batch && !generator.chance(10) {
        return Duration::from_micros(generator.below(50));
    }
    generator.time(drawn.longest)
}
