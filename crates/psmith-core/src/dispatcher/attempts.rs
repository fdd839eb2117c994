//! The events of attempts, and the consequences for their jobs: an outcome, another try, or the queue again. Starts
//! nothing itself.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::attempt::{Attempt, AttemptStep, ExitReport};
use super::job::{JobEntry, JobState};
use super::retry::RetryDecision;
use super::stop::RunPhase;
use super::timers::Timer;
use super::verdict::{CutReason, ObservedEnd, verdict};
use super::{Dispatcher, Stuck, limit_of, median, retry};
use crate::action::Notice;
use crate::outcome::{Cause, SpawnFailure};
use crate::policy::{LOST_MAX, REFUSED_MAX};
use crate::{Action, AttemptId, JobId, Time};

impl Dispatcher {
    pub(super) fn on_started(&mut self, id: AttemptId, pid: u32, now: Time, actions: &mut Vec<Action>) {
        self.holds.refusal.on_concluded(id);
        let Some((attempt, policy, mut context)) = self.at_work(id, now, actions) else { return };
        attempt.on_started(pid, policy, &mut context);
        if let Some(job) = self.jobs.get_mut(id.job) {
            job.refused_in_row = 0;
        }
    }

    pub(super) fn on_start_failed(
        &mut self,
        id: AttemptId,
        failure: SpawnFailure,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        self.holds.refusal.on_concluded(id);
        match self.at_work(id, now, actions) {
            Some((attempt, ..)) => {
                let progress = attempt.on_start_failed(failure);
                self.go_on(id.job, progress, now, actions);
            }
            None => self.free_stuck(id),
        }
    }

    /// Handles a refused start: the job is next again, uncharged, when the machine has resources to give.
    pub(super) fn on_start_refused(
        &mut self,
        id: AttemptId,
        failure: SpawnFailure,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let Some((attempt, ..)) = self.at_work(id, now, actions) else { return };
        debug_assert!(!attempt.has_exited(), "a start is refused before the program runs");
        let Some((mut job, attempt)) = self.take_attempt(id.job) else { return };
        self.slots.give_back(attempt.slot);
        self.holds.refusal.on_refused(id, now, &mut self.timers, &mut self.random);
        job.refused_in_row = if self.live.is_empty() { job.refused_in_row + 1 } else { 0 };
        if job.refused_in_row >= REFUSED_MAX {
            self.end_job(id.job, job, Err(Cause::SpawnFailed(failure)), now, actions);
        } else {
            job.state = JobState::Ready(self.queue.push_front(id.job, attempt.turn));
            self.jobs.insert(id.job, job);
            if self.phase != RunPhase::Open || self.jobs.get(id.job).is_some_and(|job| job.cancelled) {
                self.end_unstarted(id.job, now, actions);
            }
        }
        if self.phase != RunPhase::Open {
            self.holds.refusal.end(&mut self.timers);
        }
    }

    /// Handles a worker's report about its function. The attempt itself goes on until its process has ended.
    pub(super) fn on_reported(
        &mut self,
        id: AttemptId,
        verdict: Result<(), Cause>,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        if let Some((attempt, ..)) = self.at_work(id, now, actions) {
            attempt.on_reported(verdict);
        }
    }

    pub(super) fn on_exited(
        &mut self,
        id: AttemptId,
        report: ExitReport,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        match self.at_work(id, now, actions) {
            Some((attempt, policy, mut context)) => {
                let progress = attempt.on_exited(report, policy, &mut context);
                self.go_on(id.job, progress, now, actions);
            }
            None if report.alive == 0 => self.free_stuck(id),
            None => {
                if let Some(stuck) = self.stuck.get_mut(id.job).filter(|stuck| stuck.id == id) {
                    stuck.exited = true;
                }
            }
        }
    }

    pub(super) fn on_tree_empty(&mut self, id: AttemptId, killed: u32, now: Time, actions: &mut Vec<Action>) {
        match self.at_work(id, now, actions) {
            Some((attempt, policy, mut context)) => {
                let progress = attempt.on_tree_empty(killed, policy, &mut context);
                self.go_on(id.job, progress, now, actions);
            }
            None => {
                if self.stuck.get(id.job).is_some_and(|stuck| stuck.id == id && stuck.exited) {
                    self.free_stuck(id);
                }
            }
        }
    }

    pub(super) fn on_output_closed(&mut self, id: AttemptId, now: Time, actions: &mut Vec<Action>) {
        let Some((attempt, ..)) = self.at_work(id, now, actions) else { return };
        let progress = attempt.on_output_closed();
        self.go_on(id.job, progress, now, actions);
    }

    /// Handles the loss of a single attempt: its keeper is gone, and with it the only reporter of its end.
    pub(super) fn on_vanished(&mut self, id: AttemptId, now: Time, actions: &mut Vec<Action>) {
        self.holds.refusal.on_concluded(id);
        match self.at_work(id, now, actions) {
            Some(_) => self.conclude(id.job, false, now, actions),
            None => self.free_stuck(id),
        }
    }

    /// Handles the loss of the warden: attempts that had not ended are lost; the others are judged by what is known of
    /// them.
    pub(super) fn on_warden_lost(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.warden_ready = false;
        // The reporter of their end is gone. The next warden sweeps them.
        for (_, stuck) in self.stuck.drain() {
            self.slots.give_back(stuck.slot);
        }
        let live: Vec<JobId> = self.live.values().copied().collect();
        for id in live {
            self.conclude(id, false, now, actions);
        }
    }

    pub(super) fn on_deadline(&mut self, id: AttemptId, now: Time, actions: &mut Vec<Action>) {
        let Some((attempt, policy, mut context)) = self.at_work(id, now, actions) else {
            debug_assert!(false, "an attempt that is over has no timers");
            return;
        };
        attempt.deadline = None;
        attempt.end(CutReason::Timeout(attempt.limit()), false, policy, &mut context);
    }

    pub(super) fn on_beat(&mut self, id: AttemptId, now: Time, actions: &mut Vec<Action>) {
        if let Some((attempt, ..)) = self.at_work(id, now, actions) {
            attempt.on_beat(now);
        }
    }

    pub(super) fn on_idle(&mut self, id: AttemptId, now: Time, actions: &mut Vec<Action>) {
        let Some((attempt, policy, mut context)) = self.at_work(id, now, actions) else {
            debug_assert!(false, "an attempt that is over has no timers");
            return;
        };
        attempt.on_idle(policy, &mut context);
    }

    pub(super) fn on_step(&mut self, id: AttemptId, now: Time, actions: &mut Vec<Action>) {
        let Some((attempt, policy, mut context)) = self.at_work(id, now, actions) else {
            debug_assert!(false, "an attempt that is over has no timers");
            return;
        };
        let progress = attempt.on_step(policy, &mut context);
        self.go_on(id.job, progress, now, actions);
    }

    /// Reports the attempts that have become slow, and sets the timer for the next. The timer may have been set for an
    /// attempt that is over by now: an attempt that ends in time, as nearly all do, has no timer to clear.
    pub(super) fn on_slow(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.slow = None;
        for (turn, id) in self.live.from(self.slow_turn + 1) {
            let Some(JobState::Live(attempt)) = self.jobs.get_mut(*id).map(|job| &mut job.state) else {
                continue;
            };
            match attempt.slow {
                Some(at) if at > now => {
                    self.timers.set(&mut self.slow, at, Timer::Slow);
                    return;
                }
                Some(_) => {
                    attempt.slow = None;
                    let after = now - attempt.began;
                    actions.push(Action::Notice(Notice::Slow { attempt: attempt.id, after }));
                }
                None => {}
            }
            self.slow_turn = turn;
        }
    }

    fn go_on(&mut self, id: JobId, progress: AttemptStep, now: Time, actions: &mut Vec<Action>) {
        match progress {
            AttemptStep::Alive => {}
            AttemptStep::Over => self.conclude(id, false, now, actions),
            AttemptStep::Unkillable => self.conclude(id, true, now, actions),
        }
    }

    /// Concludes an attempt that is over or, if `stuck`, given up: its job gets an outcome or is queued again.
    fn conclude(&mut self, id: JobId, stuck: bool, now: Time, actions: &mut Vec<Action>) {
        let Some((mut job, attempt)) = self.take_attempt(id) else { return };
        self.holds.refusal.on_concluded(attempt.id);
        if stuck {
            let stuck = Stuck { id: attempt.id, slot: attempt.slot, exited: attempt.has_exited() };
            self.stuck.insert(attempt.id.job, stuck);
            actions.push(Action::Notice(Notice::Unkillable { attempt: attempt.id }));
        } else {
            self.slots.give_back(attempt.slot);
            self.holds.refusal.on_room(&mut self.timers);
        }
        let facts = attempt.facts();
        let report = attempt.report(&job.policy, now);
        let is_lost = matches!((&facts.end, facts.cut, &facts.reported), (ObservedEnd::Nothing, None, None));
        let may_return = !stuck && !job.cancelled && self.phase == RunPhase::Open;

        if facts.cut == Some(CutReason::Preempted) && facts.reported.is_none() {
            job.lost_in_row = 0;
            job.record(report, Some(Cause::Cancelled), false);
            if may_return {
                self.retry(attempt.id, job, Cause::Cancelled, Duration::ZERO, false, now, actions);
            } else {
                // It gave way to others and cannot run again: not the job's fault, either way.
                let cause = if stuck { Cause::Lost } else { Cause::Cancelled };
                self.end_job(id, job, Err(cause), now, actions);
            }
            return;
        }
        if is_lost {
            job.lost_in_row += 1;
            job.record(report, Some(Cause::Lost), false);
            if job.lost_in_row >= LOST_MAX {
                self.end_job(id, job, Err(Cause::Lost), now, actions);
                // It ran alone, so the culprit is found.
                self.jobs.for_each_mut(|_, other| other.lost_in_row = 0);
            } else if may_return {
                self.retry(attempt.id, job, Cause::Lost, Duration::ZERO, false, now, actions);
            } else {
                self.end_job(id, job, Err(Cause::Cancelled), now, actions);
            }
            return;
        }

        job.lost_in_row = 0;
        let wall = report.wall;
        let verdict = verdict(&facts, job.policy.leak, &job.limits());
        match &verdict {
            Ok(()) => self.breaker.on_end(false, &mut job.crashed_in),
            Err(Cause::Cancelled) => {}
            Err(cause) => self.breaker.on_end(cause.is_crash(), &mut job.crashed_in),
        }
        match verdict {
            Ok(()) => {
                job.record(report, None, true);
                self.learn_time(wall);
                self.end_job(id, job, Ok(()), now, actions);
            }
            Err(cause) => {
                let charged = cause != Cause::Cancelled;
                job.record(report, Some(cause.clone()), charged);
                let next = retry::next(&job.policy, &cause, job.tries, job.crashes);
                job.quarantined = may_return && next == RetryDecision::Quarantine;
                if may_return && next == RetryDecision::Again {
                    if let Cause::OutOfMemory { .. } = cause {
                        job.grow_memory();
                    }
                    let pause = retry::pause(&job.policy.backoff, job.tries, &mut self.random);
                    self.retry(attempt.id, job, cause, pause, charged, now, actions);
                } else {
                    self.end_job(id, job, Err(cause), now, actions);
                }
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one sentence; a struct would only name them twice"
    )]
    fn retry(
        &mut self,
        attempt: AttemptId,
        mut job: Box<JobEntry>,
        cause: Cause,
        delay: Duration,
        charged: bool,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        actions.push(Action::Discard { attempt });
        actions.push(Action::Notice(Notice::Retry { attempt, cause, delay, charged }));
        let id = attempt.job;
        job.state = if delay.is_zero() {
            JobState::Ready(self.queue.push_returned(id))
        } else {
            let mut until = None;
            self.timers.set(&mut until, now + delay, Timer::Delay(id));
            self.delayed += 1;
            JobState::Delayed(until)
        };
        self.jobs.insert(id, job);
    }

    /// Gives `job`, which is in no table any more, its final outcome.
    pub(super) fn end_job(
        &mut self,
        id: JobId,
        job: Box<JobEntry>,
        verdict: Result<(), Cause>,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        debug_assert!(self.jobs.get(id).is_none(), "a job with an outcome is in no table at {now:?}");
        let outcome = job.into_outcome(verdict);
        self.sums.ended += 1;
        match &outcome.verdict {
            Ok(()) => {
                self.sums.ok += 1;
                self.sums.flaky += u64::from(outcome.tries > 1);
            }
            Err(Cause::Cancelled | Cause::CircuitBroken(_)) => self.sums.cancelled += 1,
            Err(_) => self.sums.failed += 1,
        }
        self.sums.quarantined += u64::from(outcome.quarantined);
        if let Some(last) = &outcome.last {
            self.sums.leaked += u64::from(last.leaked > 0);
            self.sums.busy = self.sums.busy.saturating_add(last.wall);
        }
        actions.push(Action::End { job: id, outcome: Box::new(outcome) });
        self.delivery.on_ended(id, |job| actions.push(Action::Deliver { job }));
    }

    /// Takes a running attempt and its job out of the tables; its slot stays taken.
    fn take_attempt(&mut self, id: JobId) -> Option<(Box<JobEntry>, Box<Attempt>)> {
        let mut job = self.jobs.remove(id)?;
        match core::mem::replace(&mut job.state, JobState::Delayed(None)) {
            JobState::Live(mut attempt) => {
                attempt.clear_timers(&mut self.timers);
                self.live.remove(attempt.turn);
                if self.live.is_empty() {
                    self.timers.clear(&mut self.slow, Timer::Slow);
                }
                if self.alone == Some(id) {
                    self.alone = None;
                }
                Some((job, attempt))
            }
            other @ (JobState::Ready(_) | JobState::Delayed(_)) => {
                debug_assert!(false, "only a live attempt can be over");
                job.state = other;
                self.jobs.insert(id, job);
                None
            }
        }
    }

    /// Frees the slot of an attempt that was given up and is over after all.
    fn free_stuck(&mut self, id: AttemptId) {
        if self.stuck.get(id.job).is_some_and(|stuck| stuck.id == id)
            && let Some(stuck) = self.stuck.remove(id.job)
        {
            self.slots.give_back(stuck.slot);
            self.holds.refusal.on_room(&mut self.timers);
        }
    }

    /// Records the time of a success. The first times that make a median set the deadlines of the running attempts.
    fn learn_time(&mut self, wall: Duration) {
        let Some(median) = &mut self.median else { return };
        median.add(wall);
        if median.count() != median::SUCCESSES_MIN {
            return;
        }
        for id in self.live.values() {
            let Some(job) = self.jobs.get_mut(*id) else { continue };
            if let (JobState::Live(attempt), Some(limit)) =
                (&mut job.state, limit_of(job.policy.timeout, self.median.as_ref()))
            {
                attempt.limit_to(limit, &job.policy, &mut self.timers);
            }
        }
    }
}
