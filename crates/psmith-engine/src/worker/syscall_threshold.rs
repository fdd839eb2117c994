//! Whether a short job may have called the kernel, judged by how long it took.
//!
//! To ask the kernel whether a job wrote something costs more than a short job takes. A job that was over sooner than the
//! shortest write takes has written nothing, so nothing is asked after it; forking takes longer still. What else a job may
//! have changed in the process is looked for only if one took as long as the shortest call of all.
//!
//! Why the clock may be trusted with that, and what if it may not:
//! - The clock is the processor's counter, which runs at one rate whatever the processor's speed. Spans are compared with
//!   spans of the same clock.
//! - The floor is half of the shortest write to a pipe that nobody reads, which is the quickest write there is. It is
//!   measured anew at each batch, and the shortest ever counts: a processor that has become faster lowers the floor, and
//!   the half is for what it gains within one batch.
//! - A clock that is set forward makes a span longer, and one that is set back by more than the span wraps around to a
//!   huge one: both only cost a question. A step back by a part of the span, as when a virtual machine moves within these
//!   nanoseconds, could hide a write.
//! - What is missed for whatever reason is found: after the last job of each batch the kernel is asked however short that
//!   job was. It goes to that job, and from then on this process asks after every job.

use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use psmith_sys::clock::ticks;
use psmith_sys::pipe;

use crate::channel::shared_region::SharedRegion;

/// Something was missed in this process: the clock is not asked any more.
static HAS_MISSED: AtomicBool = AtomicBool::new(false);

/// The shortest times seen in this process.
static SHORTEST: Mutex<Option<ShortestTime>> = Mutex::new(None);

/// Measurements before the first batch, and before each later one.
const MEASUREMENTS_FIRST: usize = 16;
const MEASUREMENTS_LATER: usize = 4;

/// Judges the jobs of a batch, one after the other.
pub(super) struct SyscallThreshold {
    floor: ShortestTime,
    /// When the time of the next job begins, at the latest.
    from: u64,
    /// The clock is read before each job, too: what lies between two jobs is too long by itself.
    exact: bool,
    /// One of the jobs took as long as a call of the kernel.
    was_long: bool,
    /// The kernel is asked after every job.
    always: bool,
}

/// A job that took less has not made such a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ShortestTime {
    call: u64,
    write: u64,
}

/// Why the kernel is asked about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// It took long enough to have written something.
    LongEnough,
    /// It is the last of its batch, and took less.
    LastOfBatch,
}

impl ShortestTime {
    fn measured(times: usize) -> ShortestTime {
        let shortest = |call: &dyn Fn()| {
            let ask = || {
                let from = ticks();
                call();
                ticks().wrapping_sub(from)
            };
            std::iter::repeat_with(ask).take(times).min().unwrap_or(0) / 2
        };
        let call = shortest(&|| {
            let _ = pipe::bytes_waiting(io::stdout());
        });
        // To where nobody reads: with a reader to wake it takes longer.
        let write = pipe::pipe().map_or(0, |(_reader, writer)| {
            shortest(&|| {
                let _ = rustix::io::write(&writer, b"x");
            })
        });
        ShortestTime { call, write: write.max(call) }
    }

    fn or_shorter(self, other: ShortestTime) -> ShortestTime {
        ShortestTime { call: self.call.min(other.call), write: self.write.min(other.write) }
    }
}

impl SyscallThreshold {
    /// Makes the threshold for a batch that begins now.
    pub(super) fn for_batch() -> SyscallThreshold {
        SyscallThreshold::with_floor(|before| match before {
            None => ShortestTime::measured(MEASUREMENTS_FIRST),
            Some(before) => before.or_shorter(ShortestTime::measured(MEASUREMENTS_LATER)),
        })
    }

    /// Makes the threshold for a single job, after which the kernel is asked what it wrote in any case. So it is measured
    /// for the first one only: to measure it for each takes as long as some jobs.
    pub(super) fn for_single_job() -> SyscallThreshold {
        SyscallThreshold::with_floor(|before| {
            before.unwrap_or_else(|| ShortestTime::measured(MEASUREMENTS_FIRST))
        })
    }

    fn with_floor(floor: impl FnOnce(Option<ShortestTime>) -> ShortestTime) -> SyscallThreshold {
        let mut shortest = SHORTEST.lock().unwrap_or_else(PoisonError::into_inner);
        let floor = floor(*shortest);
        *shortest = Some(floor);
        SyscallThreshold::new(floor, HAS_MISSED.load(Ordering::Relaxed))
    }

    fn new(floor: ShortestTime, always: bool) -> SyscallThreshold {
        SyscallThreshold { floor, from: 0, exact: false, was_long: false, always }
    }

    /// Begins the next job.
    pub(super) fn begin(&mut self) {
        if self.exact || self.from == 0 {
            self.from = ticks();
        }
    }

    /// Returns whether the one job that began took so long that it may have called the kernel.
    pub(super) fn is_long(&self) -> bool {
        self.always || ticks().wrapping_sub(self.from) >= self.floor.call
    }

    /// Returns whether one of the jobs did.
    pub(super) fn was_long(&self) -> bool {
        self.was_long
    }

    /// Returns whether there is something that the host has to know of the job that has ended, and of no other.
    pub(super) fn has_more_to_tell(&mut self, own: u32, region: &SharedRegion, is_last: bool) -> bool {
        let Some(question) = self.on_end(ticks(), is_last) else { return false };
        let wrote = pipe::bytes_waiting(io::stdout()).unwrap_or(0) > 0
            || pipe::bytes_waiting(io::stderr()).unwrap_or(0) > 0;
        // In this order: who finds a pipe empty because it was read finds the word that was said before.
        let found = wrote || region.output_was_read() || std::process::id() != own;
        self.on_answer(question, found);
        if self.always {
            HAS_MISSED.store(true, Ordering::Relaxed);
        }
        // What was asked is no time of the next job's.
        self.from = ticks();
        found
    }

    /// A job ended at this time: whether, and why, the kernel is to be asked about it.
    fn on_end(&mut self, now: u64, is_last: bool) -> Option<Question> {
        let spent = now.wrapping_sub(self.from);
        self.from = now;
        self.was_long |= self.always || spent >= self.floor.call;
        if self.always || spent >= self.floor.write {
            // A short job that was measured with what lies around it may have been short enough.
            self.exact |= spent < self.floor.write.saturating_mul(2);
            return Some(Question::LongEnough);
        }
        is_last.then_some(Question::LastOfBatch)
    }

    /// The kernel's answer: something was found, or not.
    fn on_answer(&mut self, question: Question, found: bool) {
        match question {
            Question::LongEnough => {}
            Question::LastOfBatch => {
                self.always |= found;
                self.was_long |= found;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: ShortestTime = ShortestTime { call: 100, write: 300 };

    /// A threshold whose next job begins at this time.
    fn at(from: u64) -> SyscallThreshold {
        SyscallThreshold { from, ..SyscallThreshold::new(FLOOR, false) }
    }

    #[test]
    fn only_jobs_that_took_as_long_as_a_write_are_asked_about() {
        let mut threshold = at(1_000);
        assert_eq!(threshold.on_end(1_099, false), None);
        assert!(!threshold.was_long());
        assert_eq!(threshold.on_end(1_398, false), None);
        assert!(threshold.was_long());
        assert_eq!(threshold.on_end(1_698, false), Some(Question::LongEnough));
        assert!(threshold.exact);
    }

    #[test]
    fn a_clock_that_steps_costs_a_question_and_hides_nothing() {
        // Forward, and back by more than the job took.
        for now in [1_000_000, 1_001_000, 900_000, 0] {
            assert_eq!(
                at(1_000_050).on_end(now, false).is_some(),
                !(1_000_050..1_000_350).contains(&now),
                "{now}"
            );
        }
    }

    // The adversary: a floor that is far too high, so that every write is missed by the clock.
    #[test]
    fn what_the_clock_misses_is_found_at_the_end_of_the_batch_and_ends_the_trust_in_it() {
        let blind = ShortestTime { call: u64::MAX, write: u64::MAX };
        let mut threshold = SyscallThreshold { from: 1, ..SyscallThreshold::new(blind, false) };
        assert_eq!(threshold.on_end(1_000_000, false), None);
        let question = threshold.on_end(2_000_000, true).expect("the last one is always asked about");
        assert_eq!(question, Question::LastOfBatch);
        threshold.on_answer(question, true);
        assert!(threshold.always && threshold.was_long());
        // From now on each job, however short.
        assert_eq!(threshold.on_end(2_000_001, false), Some(Question::LongEnough));
    }

    #[test]
    fn a_quiet_end_of_a_batch_changes_nothing() {
        let mut threshold = at(1_000);
        let question = threshold.on_end(1_001, true).expect("the last one is always asked about");
        threshold.on_answer(question, false);
        assert!(!threshold.always);
        assert_eq!(threshold.on_end(1_002, false), None);
    }

    #[test]
    fn the_shortest_time_ever_is_the_floor() {
        let faster = ShortestTime { call: 120, write: 200 };
        assert_eq!(FLOOR.or_shorter(faster), ShortestTime { call: 100, write: 200 });
        let own = SyscallThreshold::for_batch().floor;
        assert!(own.call <= own.write, "a write is a call");
        let later = SyscallThreshold::for_batch().floor;
        assert!(later.call <= own.call && later.write <= own.write, "{later:?} after {own:?}");
    }
}
