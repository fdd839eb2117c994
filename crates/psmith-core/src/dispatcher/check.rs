//! Consistency checks of the dispatcher's tables. Each takes time in proportion to the attempts; only tests call it.

use super::Dispatcher;
use super::job::JobState;
use super::timers::Timer;

impl Dispatcher {
    /// Panics unless all tables agree. Tests call it after every step; changes nothing.
    #[doc(hidden)]
    pub fn check(&self) {
        let (mut ready, mut delayed, mut live, mut timers) = (0, 0, 0, 0);
        for (id, job) in self.jobs.iter() {
            match &job.state {
                JobState::Ready(place) => {
                    ready += 1;
                    assert_eq!(self.queue.at(*place), Some(id), "a ready job is at its place");
                }
                JobState::Delayed(until) => {
                    delayed += 1;
                    timers += 1;
                    let until = until.expect("a delayed job knows until when");
                    assert!(self.timers.has(until, Timer::Delay(id)), "its timer runs");
                }
                JobState::Live(attempt) => {
                    live += 1;
                    assert_eq!(attempt.id.job, id, "an attempt is with its job");
                    assert_eq!(attempt.id.number, job.number, "the last start is the live one");
                    assert_eq!(
                        self.live.get(attempt.turn),
                        Some(&id),
                        "a live attempt is in the order of starts"
                    );
                    let own = [
                        (attempt.deadline, Timer::Deadline(attempt.id)),
                        (attempt.idle, Timer::Idle(attempt.id)),
                        (attempt.step, Timer::Step(attempt.id)),
                    ];
                    if let Some(at) = attempt.slow {
                        assert!(
                            self.slow.is_some_and(|next| next <= at),
                            "who is to be named slow is waited for"
                        );
                    }
                    for (at, timer) in own {
                        if let Some(at) = at {
                            timers += 1;
                            assert!(self.timers.has(at, timer), "{timer:?} runs");
                        }
                    }
                }
            }
            assert!(job.tries <= job.attempts && job.attempts <= job.number, "only starts are charged");
        }
        let single = [
            (self.gap, Timer::Gap),
            (self.holds.refusal.timer(), Timer::Resources),
            (self.slow, Timer::Slow),
        ];
        for (at, timer) in single {
            if let Some(at) = at {
                timers += 1;
                assert!(self.timers.has(at, timer), "{timer:?} runs");
            }
        }
        assert_eq!(ready, self.queue.len(), "who is queued is ready");
        assert_eq!(delayed, self.delayed, "the delayed are counted");
        assert_eq!(live, self.live.len(), "who is in the order of starts is live");
        assert_eq!(timers, self.timers.len(), "no timer outlives its owner");
        assert_eq!(live + self.stuck.len(), self.slots.taken() as usize, "a slot is taken by one attempt");
        self.slots.check();
        let sums = &self.sums;
        assert_eq!(sums.ended, sums.ok + sums.failed + sums.cancelled, "an outcome is of one kind");
        assert_eq!(
            sums.accepted,
            sums.ended + self.jobs.len() as u64,
            "every accepted job has an outcome or is here"
        );
    }
}
