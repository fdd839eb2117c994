//! The judge: a small model of the contract, fed with every event and every action, that reports the promise which an
//! action breaks. It keeps one record a job and no queue, no timers and no state machine; so it cannot say what must
//! be requested next, but of every action it can say whether it is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use psmith_core::event::HoldReason;
use psmith_core::outcome::Outcome;
use psmith_core::policy::{Halt, HaltCount, HaltMode, HaltOn, LOST_MAX, Leak, Order, REFUSED_MAX};
use psmith_core::{Action, AttemptId, Cause, Event, JobId, Notice, RunPolicy, SlotId, Time};

use super::records::{ReferenceAttempt, ReferenceJob};

/// The facts so far.
#[derive(Debug)]
pub(super) struct Reference {
    run: RunPolicy,
    jobs: BTreeMap<JobId, ReferenceJob>,
    living: BTreeMap<JobId, ReferenceAttempt>,
    slots: BTreeMap<SlotId, AttemptId>,
    slot_limit: u32,
    holds: BTreeSet<HoldReason>,
    reported_hold: Option<HoldReason>,
    warden_ready: bool,
    source_ended: bool,
    /// True once no more starts are allowed; and whether the running are ended.
    stopping: bool,
    ending: bool,
    halted: bool,
    /// The jobs that crashed since an attempt came to another end, and how many broke the circuit.
    crashed: BTreeSet<JobId>,
    broken: Option<u32>,
    total: Option<u64>,
    last_start: Option<Time>,
    handed: BTreeSet<JobId>,
    ended_undelivered: u64,
    pub(super) finished: bool,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
}

macro_rules! must {
    ($holds:expr, $($message:tt)*) => { if !$holds { return Err(format!($($message)*)); } };
}

impl Reference {
    pub(super) fn new(run: &RunPolicy) -> Reference {
        Reference {
            slot_limit: run.slots,
            run: run.clone(),
            jobs: BTreeMap::new(),
            living: BTreeMap::new(),
            slots: BTreeMap::new(),
            holds: BTreeSet::new(),
            reported_hold: None,
            warden_ready: true,
            source_ended: false,
            stopping: false,
            ending: false,
            halted: false,
            crashed: BTreeSet::new(),
            broken: None,
            total: None,
            last_start: None,
            handed: BTreeSet::new(),
            ended_undelivered: 0,
            finished: false,
            ok: 0,
            failed: 0,
            cancelled: 0,
        }
    }

    /// Records an event, before the dispatcher handles it.
    pub(super) fn observe(&mut self, event: &Event) {
        match event {
            Event::Accepted { job, policy } => {
                self.jobs.insert(*job, ReferenceJob::new(Arc::clone(policy)));
            }
            Event::SourceEnded => {
                self.source_ended = true;
                if !self.stopping {
                    self.total = Some(self.jobs.len() as u64);
                }
            }
            Event::TotalKnown(total) => self.total = Some(*total),
            Event::Started { attempt, .. } => {
                if let Some((record, live)) = self.live(*attempt) {
                    live.started = true;
                    record.refused_in_row = 0;
                }
            }
            Event::StartFailed { attempt, failure } => {
                if let Some((_, live)) = self.live(*attempt) {
                    live.start_failed = Some(failure.clone());
                }
            }
            Event::StartRefused { attempt, .. } => {
                let alone = self.living.len() == 1;
                if let Some((record, _)) = self.live(*attempt) {
                    record.refused_in_row = if alone { record.refused_in_row + 1 } else { 0 };
                    self.living.remove(&attempt.job);
                    self.slots.retain(|_, holder| holder != attempt);
                }
            }
            Event::Exited { attempt, exit, evidence, .. } => {
                if let Some((_, live)) = self.live(*attempt) {
                    live.exit = Some(*exit);
                    live.oom_kills = evidence.oom_kills;
                    live.cut = live.signalled || live.killed;
                }
            }
            Event::TreeEmpty { attempt, killed } => {
                if let Some((_, live)) = self.live(*attempt) {
                    live.leaked += killed;
                }
            }
            Event::Reported { attempt, verdict } => {
                if let Some((_, live)) = self.live(*attempt) {
                    // Before the start an end may have been requested that no process was notified of yet.
                    let counts = live.started && !live.signalled && !live.killed;
                    live.reported.get_or_insert_with(|| (verdict.clone(), counts));
                }
            }
            // Signs of life are not requested.
            Event::OutputClosed { .. } | Event::Vanished { .. } | Event::Beat(_) => {}
            Event::WardenLost => self.warden_ready = false,
            Event::WardenReady => self.warden_ready = true,
            Event::Drain => self.stopping = true,
            Event::Stop | Event::Kill => (self.stopping, self.ending) = (true, true),
            Event::Slots(slots) => self.slot_limit = (*slots).max(1),
            Event::Hold { reason, on: true } => drop(self.holds.insert(*reason)),
            Event::Hold { reason, on: false } => drop(self.holds.remove(reason)),
            Event::Preempt => {
                for live in self.living.values_mut() {
                    live.preempted = true;
                }
            }
            Event::Cancel(job) => {
                if let Some(record) = self.jobs.get_mut(job) {
                    record.cancelled = true;
                }
            }
            Event::Delivered(job) => {
                if self.handed.remove(job) {
                    self.jobs.get_mut(job).expect("it was handed over").delivered = true;
                    self.ended_undelivered -= 1;
                }
            }
        }
    }

    /// Judges an action; `is_alive` returns whether a process of an attempt is alive.
    pub(super) fn judge(
        &mut self,
        action: &Action,
        now: Time,
        is_alive: &dyn Fn(AttemptId) -> bool,
    ) -> Result<(), String> {
        must!(!self.finished, "nothing comes after the end");
        match action {
            Action::Start { attempt, slot, memory_bytes } => {
                let limit = self.jobs.get(&attempt.job).and_then(|record| record.memory_bytes);
                must!(*memory_bytes == limit, "a limit of {memory_bytes:?}, not {limit:?}");
                self.judge_start(*attempt, *slot, now, is_alive)
            }
            Action::Signal { attempt, signal } => {
                let (record, live) = self.live(*attempt).ok_or("a signal for an attempt that is over")?;
                must!(live.started && !live.killed, "signals come between the start and the kill");
                let named = record.policy.term_seq.steps().iter().any(|step| step.signal == *signal);
                must!(named && *signal != 9, "only signals of the ladder are sent");
                live.signalled = true;
                Ok(())
            }
            Action::KillTree { attempt } => {
                let (_, live) = self.live(*attempt).ok_or("a kill for an attempt that is over")?;
                must!(live.started && !live.killed, "a tree is killed once, when there is one");
                live.killed = true;
                Ok(())
            }
            Action::ReleaseTree { attempt } => {
                let (record, live) = self.live(*attempt).ok_or("a release for an attempt that is over")?;
                must!(live.exit.is_some() && record.policy.leak == Leak::Allow, "who may go on is let go");
                must!(!std::mem::replace(&mut live.released, true), "once");
                Ok(())
            }
            Action::StopReading { attempt } => {
                let (_, live) = self.live(*attempt).ok_or("no more reading for an attempt that is over")?;
                must!(live.exit.is_some(), "output is read while the process lives");
                must!(!std::mem::replace(&mut live.stopped_reading, true), "once");
                Ok(())
            }
            Action::Discard { attempt } => {
                must!(self.live(*attempt).is_some(), "output is dropped when its attempt ends, once");
                Ok(())
            }
            Action::Head { job } => {
                must!(self.run.order == Order::Submission, "only an order has a head");
                let before = self.jobs.range(..job).all(|(_, record)| record.delivered);
                must!(before && self.jobs.get(job).is_some_and(|record| !record.ended), "the head is next");
                Ok(())
            }
            Action::End { job, outcome } => self.judge_end(*job, outcome, now),
            Action::Deliver { job } => {
                let before = self.jobs.range(..job).all(|(_, record)| record.handed);
                must!(before || self.run.order == Order::Completion, "outcomes come in submission order");
                let record = self.jobs.get_mut(job).ok_or("a delivery of an unknown job")?;
                must!(record.ended && !record.handed, "an outcome is delivered once, when it is there");
                record.handed = true;
                self.handed.insert(*job);
                Ok(())
            }
            Action::Notice(notice) => self.judge_notice(notice, now),
            Action::Finish => {
                must!(self.source_ended, "the end comes after the last job");
                must!(self.jobs.values().all(|record| record.delivered), "the end comes after all outcomes");
                self.finished = true;
                Ok(())
            }
        }
    }

    /// Checks the rules between any two steps; `ready` jobs are in the queue.
    pub(super) fn judge_rest(
        &mut self,
        ready: u64,
        now: Time,
        is_alive: &dyn Fn(AttemptId) -> bool,
    ) -> Result<(), String> {
        must!(
            self.halted || self.ending || self.halt_met().is_none(),
            "a halt policy was met and not obeyed"
        );
        must!(self.stopping || self.breaker_met().is_none(), "nothing but crashes, and it goes on");
        if self.stopping {
            must!(ready == 0, "a job waits for a start that will never come");
            return Ok(());
        }
        must!(
            !self.holds.contains(&HoldReason::Paused) || self.reported_hold == Some(HoldReason::Paused),
            "a pause is told"
        );
        must!(
            !self.holds.contains(&HoldReason::Events)
                || matches!(self.reported_hold, Some(HoldReason::Events | HoldReason::Paused)),
            "a reader of events that holds up the run is told"
        );
        self.free_slots(is_alive);
        let gap_over = self.last_start.is_none_or(|last| now >= last + self.run.start_gap);
        let free = (self.slots.len() as u32) < self.slot_limit;
        let suspects = self.jobs.values().any(|record| !record.ended && record.is_suspect());
        let idle = free && self.warden_ready && gap_over && !suspects && self.reported_hold.is_none();
        must!(!idle || ready == 0, "{ready} jobs are ready, a slot is free, and nothing is started");
        Ok(())
    }

    /// Frees slots: one is taken as long as its attempt is not over, or a process of it is alive.
    fn free_slots(&mut self, is_alive: &dyn Fn(AttemptId) -> bool) {
        self.slots.retain(|_, holder| {
            self.living.get(&holder.job).is_some_and(|live| live.id == Some(*holder)) || is_alive(*holder)
        });
    }

    fn judge_start(
        &mut self,
        attempt: AttemptId,
        slot: SlotId,
        now: Time,
        is_alive: &dyn Fn(AttemptId) -> bool,
    ) -> Result<(), String> {
        must!(!self.stopping && self.warden_ready, "starts are over, or there is no warden");
        self.free_slots(is_alive);
        must!((self.slots.len() as u32) < self.slot_limit, "never more attempts than slots");
        must!(!self.slots.contains_key(&slot), "a slot has one attempt");
        must!(
            (0..slot.0).all(|lower| self.slots.contains_key(&SlotId(lower))),
            "the lowest free slot is taken"
        );
        must!(!self.holds.contains(&HoldReason::Paused), "a pause holds all");
        must!(!self.holds.contains(&HoldReason::Events), "a reader of events that takes no more holds all");
        let others: Vec<&ReferenceJob> = self.living.keys().map(|job| &self.jobs[job]).collect();
        must!(self.holds.is_empty() || others.is_empty(), "load and memory hold all but one");
        must!(!others.iter().any(|other| other.is_suspect()), "a suspect runs alone");
        let is_alone = others.is_empty();
        let gap = self.last_start.is_none_or(|last| now >= last + self.run.start_gap);
        must!(gap, "starts keep their distance");
        let full = self.ended_undelivered >= u64::from(self.run.window);
        let lowest = self.jobs.iter().find(|(_, record)| !record.ended).map(|(job, _)| *job);
        let is_head =
            self.run.order == Order::Submission && self.handed.is_empty() && lowest == Some(attempt.job);
        must!(!full || is_head, "a full window holds all but the head");
        let new =
            self.jobs.iter().find(|(_, record)| !record.ended && record.starts == 0).map(|(job, _)| *job);
        let record = self.jobs.get_mut(&attempt.job).ok_or("a start of an unknown job")?;
        let is_over = !self.living.contains_key(&attempt.job);
        must!(!record.ended && is_over && now >= record.not_before, "a job is started when ready");
        must!(record.starts > 0 || new == Some(attempt.job), "new jobs are started in their order");
        must!(!record.is_suspect() || is_alone, "a suspect is started alone");
        record.starts += 1;
        must!(attempt.number == record.starts, "starts are numbered");
        self.living.insert(
            attempt.job,
            ReferenceAttempt { id: Some(attempt), began: now, ..ReferenceAttempt::default() },
        );
        self.slots.insert(slot, attempt);
        self.last_start = Some(now);
        Ok(())
    }

    fn judge_notice(&mut self, notice: &Notice, now: Time) -> Result<(), String> {
        match notice {
            Notice::Retry { attempt, cause, delay, charged } => {
                let (ending, stopping) = (self.ending, self.stopping);
                let (record, live) = self.live(*attempt).ok_or("a retry of an attempt that is over")?;
                must!(!stopping && !record.cancelled && !live.stuck, "nobody comes back after a stop");
                must!(live.allows(cause, record, *charged, ending, now), "{cause:?} is no end of {live:?}");
                let (tries, first) = (record.policy.tries, record.policy.backoff.first);
                if *charged {
                    record.charged += 1;
                    record.crashes += u32::from(cause.is_crash());
                    must!(record.wants_retry(cause), "{cause:?} is not to be tried again");
                    must!(!record.is_quarantined(cause), "it has crashed as often as it may");
                    if let (Cause::OutOfMemory { .. }, Some(limit)) = (cause, &mut record.memory_bytes) {
                        *limit = *limit * u64::from(record.policy.grow_memory_percent.max(100)) / 100;
                    }
                    must!(tries == 0 || record.charged < tries, "tries are total tries");
                    let (least, most) = match record.policy.backoff.max {
                        None => (first, first),
                        Some(max) => {
                            let nominal =
                                (0..record.charged - 1).fold(first, |pause, _| (pause * 2).min(max)).min(max);
                            (nominal * 3 / 4, nominal * 5 / 4)
                        }
                    };
                    must!(
                        *delay >= least && *delay <= most,
                        "a pause of {delay:?}, not {least:?} to {most:?}"
                    );
                } else {
                    must!(delay.is_zero(), "what is forgiven does not wait");
                }
                record.lost_in_row = if *cause == Cause::Lost { record.lost_in_row + 1 } else { 0 };
                must!(record.lost_in_row < LOST_MAX, "who is lost too often is lost");
                record.attempts += 1;
                record.last = Some((cause.clone(), *charged));
                record.not_before = now + *delay;
                self.living.remove(&attempt.job);
                self.slots.retain(|_, holder| holder != attempt);
                if *charged {
                    self.note_end(attempt.job, cause.is_crash());
                }
            }
            Notice::Slow { attempt, after } => {
                let slow = self.run.slow;
                let (_, live) = self.live(*attempt).ok_or("slow notice of an attempt that is over")?;
                must!(slow.is_some_and(|slow| *after >= slow), "slow is what takes long");
                must!(!std::mem::replace(&mut live.slow, true), "once an attempt");
            }
            Notice::Held { reason, .. } => {
                must!(*reason != self.reported_hold, "news is new");
                self.reported_hold = *reason;
            }
            Notice::Slots { slots } => must!(*slots == self.slot_limit, "the number of slots is as asked"),
            Notice::Halted { now } => {
                let mode = if *now { HaltMode::Now } else { HaltMode::Soon };
                must!(!self.halted && self.halt_met() == Some(mode), "a halt has a policy that is met");
                (self.halted, self.stopping, self.ending) = (true, true, self.ending || *now);
            }
            Notice::Broken { jobs } => {
                must!(!self.stopping && self.breaker_met() == Some(*jobs), "a circuit breaks by crashes");
                (self.broken, self.stopping) = (Some(*jobs), true);
            }
            Notice::Unkillable { attempt } => {
                let (_, live) = self.live(*attempt).ok_or("an attempt that is over cannot be unkillable")?;
                must!(live.killed, "unkillable is what was killed");
                live.stuck = true;
            }
        }
        Ok(())
    }

    fn judge_end(&mut self, job: JobId, outcome: &Outcome, now: Time) -> Result<(), String> {
        let (ending, stopping) = (self.ending, self.stopping);
        let record = self.jobs.get_mut(&job).ok_or("an outcome of an unknown job")?;
        must!(!std::mem::replace(&mut record.ended, true), "one outcome");
        let verdict = &outcome.verdict;
        match self.living.remove(&job) {
            None if record.refused_in_row >= REFUSED_MAX => {
                must!(matches!(verdict, Err(Cause::SpawnFailed(_))), "it was refused too often");
            }
            None => {
                must!(record.cancelled || stopping, "a job that waits will be started");
                let stands = record.last.clone().filter(|(_, charged)| *charged && !record.cancelled);
                let reason = self.broken.filter(|_| !record.cancelled);
                let reason = reason.map_or(Cause::Cancelled, Cause::CircuitBroken);
                let expected = stands.map_or(reason, |(cause, _)| cause);
                must!(!outcome.quarantined, "nobody is put aside while he waits");
                must!(*verdict == Err(expected), "{verdict:?} for a job that is not started again");
            }
            Some(live) => {
                record.attempts += 1;
                let charged = !matches!(verdict, Err(Cause::Cancelled | Cause::Lost));
                record.charged += u32::from(charged);
                let crashed = verdict.as_ref().is_err_and(Cause::is_crash);
                record.crashes += u32::from(charged && crashed);
                match verdict {
                    Ok(()) => must!(live.succeeded(record) && !outcome.quarantined, "a success of {live:?}"),
                    Err(cause) => {
                        let given_up = *cause == Cause::Cancelled && (stopping || record.cancelled);
                        let allowed = live.allows(cause, record, charged, ending, now);
                        must!(
                            allowed || (given_up && live.is_unobserved()),
                            "{cause:?} is no end of {live:?}"
                        );
                        let tries = record.policy.tries;
                        let more =
                            charged && record.wants_retry(cause) && (tries == 0 || record.charged < tries);
                        let more = more && !stopping && !record.cancelled && !live.stuck;
                        must!(more == outcome.quarantined, "it had another try");
                        must!(!more || record.is_quarantined(cause), "it may crash once more");
                        let lost = *cause == Cause::Lost && !live.stuck;
                        must!(!lost || record.lost_in_row + 1 >= LOST_MAX, "it is not lost yet");
                        if lost {
                            self.jobs.values_mut().for_each(|other| other.lost_in_row = 0);
                        }
                    }
                }
                if !live.stuck {
                    self.slots.retain(|_, holder| Some(*holder) != live.id);
                }
                if charged {
                    self.note_end(job, crashed);
                }
            }
        }
        let record = &self.jobs[&job];
        must!(outcome.attempts == record.attempts, "{} attempts, not {}", record.attempts, outcome.attempts);
        must!(outcome.tries == record.charged, "{} tries, not {}", record.charged, outcome.tries);
        let history = outcome.earlier.len() + usize::from(outcome.last.is_some());
        must!(history == outcome.attempts.min(33) as usize, "a history of {history}");
        self.ended_undelivered += 1;
        match verdict {
            Ok(()) => self.ok += 1,
            Err(Cause::Cancelled | Cause::CircuitBroken(_)) => self.cancelled += 1,
            Err(_) => self.failed += 1,
        }
        Ok(())
    }

    /// Records that an attempt came to an end of its own.
    fn note_end(&mut self, job: JobId, crashed: bool) {
        if crashed {
            self.crashed.insert(job);
        } else {
            self.crashed.clear();
        }
    }

    /// Returns the number of jobs in a row that have crashed, if that breaks the circuit.
    fn breaker_met(&self) -> Option<u32> {
        let jobs = self.crashed.len() as u32;
        (self.run.breaker > 0 && jobs >= self.run.breaker).then_some(jobs)
    }

    /// Returns how to halt, if the policy is met.
    fn halt_met(&self) -> Option<HaltMode> {
        let Halt::When { what, count, mode } = self.run.halt else { return None };
        let done = self.ok + self.failed;
        let reached = match what {
            HaltOn::Fail => self.failed,
            HaltOn::Success => self.ok,
            HaltOn::Done => done,
        };
        let needed = match (count, self.total) {
            (HaltCount::Number(number), _) => number as f64,
            (HaltCount::Percent(share), Some(total)) => share / 100.0 * total as f64,
            (HaltCount::Percent(share), None) if done >= 3 => share / 100.0 * done as f64,
            (HaltCount::Percent(_), None) => return None,
        };
        (reached > 0 && reached as f64 >= needed - 1e-9).then_some(mode)
    }

    fn live(&mut self, attempt: AttemptId) -> Option<(&mut ReferenceJob, &mut ReferenceAttempt)> {
        let live = self.living.get_mut(&attempt.job).filter(|live| live.id == Some(attempt))?;
        Some((self.jobs.get_mut(&attempt.job)?, live))
    }
}
