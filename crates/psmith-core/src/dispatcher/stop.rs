//! The ways in which a run comes to an early end, and how single jobs are ended. Decides no verdict on an attempt.

use alloc::vec::Vec;

use super::attempt::AttemptContext;
use super::job::JobState;
use super::verdict::CutReason;
use super::{Dispatcher, halt};
use crate::action::Notice;
use crate::policy::HaltMode;
use crate::{Action, Cause, JobId, Time};

/// The progress of a run towards its end; it never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RunPhase {
    /// Jobs are started.
    Open,
    /// Starts have ended; the running attempts finish.
    Draining,
    /// Starts have ended; the running attempts are ended by their ladder.
    Stopping,
    /// Starts have ended; the running attempts are killed.
    Killing,
}

impl Dispatcher {
    /// Advances to `phase`, if the run is not that far yet.
    pub(super) fn stop_to(&mut self, phase: RunPhase, now: Time, actions: &mut Vec<Action>) {
        if phase <= self.phase {
            return;
        }
        self.phase = phase;
        match phase {
            RunPhase::Open | RunPhase::Draining => {}
            RunPhase::Stopping => self.end_running(false, now, actions),
            RunPhase::Killing => self.end_running(true, now, actions),
        }
        self.holds.refusal.end(&mut self.timers);
        self.timers.clear(&mut self.gap, super::Timer::Gap);
        let unstarted: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|(_, job)| match job.state {
                JobState::Ready(_) | JobState::Delayed(_) => true,
                JobState::Live(_) => false,
            })
            .map(|(id, _)| id)
            .collect();
        for id in unstarted {
            self.end_unstarted(id, now, actions);
        }
    }

    /// Gives a job that will not be started any more its outcome.
    pub(super) fn end_unstarted(&mut self, id: JobId, now: Time, actions: &mut Vec<Action>) {
        let Some(mut job) = self.jobs.remove(id) else { return };
        match &mut job.state {
            JobState::Ready(place) => self.queue.remove(*place),
            JobState::Delayed(until) => {
                self.timers.clear(until, super::Timer::Delay(id));
                self.delayed -= 1;
            }
            JobState::Live(_) => debug_assert!(false, "a live attempt is ended, not forgotten"),
        }
        let reason = self.broken.map_or(Cause::Cancelled, Cause::CircuitBroken);
        let verdict = if job.cancelled { Err(Cause::Cancelled) } else { job.verdict_unstarted(reason) };
        self.end_job(id, job, verdict, now, actions);
    }

    pub(super) fn on_cancel(&mut self, id: JobId, now: Time, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(id) else {
            // The job has its outcome, or was never accepted.
            return;
        };
        job.cancelled = true;
        match &mut job.state {
            JobState::Ready(_) | JobState::Delayed(_) => self.end_unstarted(id, now, actions),
            JobState::Live(attempt) => {
                attempt.end(
                    CutReason::Cancelled,
                    false,
                    &job.policy,
                    &mut AttemptContext { now, timers: &mut self.timers, actions },
                );
            }
        }
    }

    /// Kills the youngest attempt that makes progress; never the only one that does.
    pub(super) fn on_preempt(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.phase != RunPhase::Open {
            // Nothing new will start, so memory comes back by itself; and the job could not run again.
            return;
        }
        let mut at_work = self.live_attempts().filter(|attempt| attempt.is_at_work());
        let Some(oldest) = at_work.next().map(|attempt| attempt.turn) else { return };
        drop(at_work);
        let youngest = self.live.from(oldest + 1).rev().map(|(_, id)| *id).find(|id| {
            self.jobs.get(*id).is_some_and(|job| match &job.state {
                JobState::Live(attempt) => attempt.is_at_work(),
                JobState::Ready(_) | JobState::Delayed(_) => false,
            })
        });
        if let Some(id) = youngest {
            self.end_attempt(id, CutReason::Preempted, true, now, actions);
        }
    }

    /// Halts the run, once, if its policy is met.
    pub(super) fn halt_if_met(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.halted || self.phase >= RunPhase::Stopping {
            return;
        }
        let Some(mode) = halt::met(&self.policy.halt, &self.sums) else { return };
        self.halted = true;
        let (now_too, phase) = match mode {
            HaltMode::Soon => (false, RunPhase::Draining),
            HaltMode::Now => (true, RunPhase::Stopping),
        };
        actions.push(Action::Notice(Notice::Halted { now: now_too }));
        self.stop_to(phase, now, actions);
    }

    /// Breaks the circuit, once, if there is nothing but crashes.
    pub(super) fn break_if_met(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.phase != RunPhase::Open {
            return;
        }
        let Some(jobs) = self.breaker.met() else { return };
        self.broken = Some(jobs);
        actions.push(Action::Notice(Notice::Broken { jobs }));
        self.stop_to(RunPhase::Draining, now, actions);
    }

    fn end_running(&mut self, kill: bool, now: Time, actions: &mut Vec<Action>) {
        let running: Vec<JobId> = self.live.values().copied().collect();
        for id in running {
            self.end_attempt(id, CutReason::Cancelled, kill, now, actions);
        }
    }

    fn end_attempt(&mut self, id: JobId, why: CutReason, kill: bool, now: Time, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        match &mut job.state {
            JobState::Live(attempt) => {
                attempt.end(
                    why,
                    kill,
                    &job.policy,
                    &mut AttemptContext { now, timers: &mut self.timers, actions },
                );
            }
            JobState::Ready(_) | JobState::Delayed(_) => {
                debug_assert!(false, "only a live attempt can be ended");
            }
        }
    }
}
