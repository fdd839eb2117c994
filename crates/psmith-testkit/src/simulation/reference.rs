//! The judge: a small model of the contract, fed with every event and every action, that says which promise an
//! action breaks. It keeps one ledger a job and no queue, no timers and no state machine; so it cannot say what
//! must be asked for next, but it can say of everything that is asked for whether it may be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use psmith_core::event::HoldReason;
use psmith_core::outcome::{Exit, Outcome, SpawnFailure};
use psmith_core::policy::{
    Halt, HaltCount, HaltMode, HaltOn, JobPolicy, LOST_MAX, Leak, Order, REFUSED_MAX, RetryCause, RetryOn,
    Timeout,
};
use psmith_core::{Action, AttemptId, Cause, Event, JobId, Notice, RunPolicy, SlotId, Time};

/// What is true so far.
#[derive(Debug)]
pub(super) struct Reference {
    run: RunPolicy,
    jobs: BTreeMap<JobId, Ledger>,
    living: BTreeMap<JobId, Live>,
    slots: BTreeMap<SlotId, AttemptId>,
    width: u32,
    holds: BTreeSet<HoldReason>,
    told: Option<HoldReason>,
    warden_ready: bool,
    source_ended: bool,
    /// No more starts; and whether the running are ended.
    stopping: bool,
    ending: bool,
    halted: bool,
    total: Option<u64>,
    last_start: Option<Time>,
    handed: BTreeSet<JobId>,
    ended_undelivered: u64,
    pub(super) finished: bool,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
}

/// One job.
#[derive(Debug)]
struct Ledger {
    policy: Arc<JobPolicy>,
    starts: u32,
    attempts: u32,
    charged: u32,
    lost_in_row: u32,
    refused_in_row: u32,
    cancelled: bool,
    not_before: Time,
    last: Option<(Cause, bool)>,
    ended: bool,
    handed: bool,
    delivered: bool,
}

/// An attempt that is not over.
#[derive(Debug, Default)]
struct Live {
    id: Option<AttemptId>,
    began: Time,
    started: bool,
    signalled: bool,
    killed: bool,
    /// Ended by us before it ended itself.
    cut: bool,
    preempted: bool,
    stuck: bool,
    slow: bool,
    exit: Option<Exit>,
    start_failed: Option<SpawnFailure>,
    leaked: u32,
    stopped_reading: bool,
    released: bool,
    /// What its worker said first, and whether that counts for certain: psmith had done nothing to it.
    said: Option<(Result<(), Cause>, bool)>,
}

macro_rules! must {
    ($holds:expr, $($told:tt)*) => { if !$holds { return Err(format!($($told)*)); } };
}

impl Reference {
    pub(super) fn new(run: &RunPolicy) -> Reference {
        Reference {
            width: run.slots,
            run: run.clone(),
            jobs: BTreeMap::new(),
            living: BTreeMap::new(),
            slots: BTreeMap::new(),
            holds: BTreeSet::new(),
            told: None,
            warden_ready: true,
            source_ended: false,
            stopping: false,
            ending: false,
            halted: false,
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

    /// Takes in an event, before the dispatcher does.
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Accepted { job, policy } => {
                self.jobs.insert(*job, Ledger::new(Arc::clone(policy)));
            }
            Event::SourceEnded => {
                self.source_ended = true;
                if !self.stopping {
                    self.total = Some(self.jobs.len() as u64);
                }
            }
            Event::TotalKnown(total) => self.total = Some(*total),
            Event::Started { attempt, .. } => {
                if let Some((ledger, live)) = self.live(*attempt) {
                    live.started = true;
                    ledger.refused_in_row = 0;
                }
            }
            Event::StartFailed { attempt, failure } => {
                if let Some((_, live)) = self.live(*attempt) {
                    live.start_failed = Some(failure.clone());
                }
            }
            Event::StartRefused { attempt, .. } => {
                let alone = self.living.len() == 1;
                if let Some((ledger, _)) = self.live(*attempt) {
                    ledger.refused_in_row = if alone { ledger.refused_in_row + 1 } else { 0 };
                    self.living.remove(&attempt.job);
                    self.slots.retain(|_, holder| holder != attempt);
                }
            }
            Event::Exited { attempt, exit, .. } => {
                if let Some((_, live)) = self.live(*attempt) {
                    live.exit = Some(*exit);
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
                    // Before the start an end may have been asked for of which nobody was told yet.
                    let counts = live.started && !live.signalled && !live.killed;
                    live.said.get_or_insert_with(|| (verdict.clone(), counts));
                }
            }
            // Nobody is asked for signs of life.
            Event::OutputClosed { .. } | Event::Vanished { .. } | Event::Beat(_) => {}
            Event::WardenLost => self.warden_ready = false,
            Event::WardenReady => self.warden_ready = true,
            Event::Drain => self.stopping = true,
            Event::Stop | Event::Kill => (self.stopping, self.ending) = (true, true),
            Event::Width(width) => self.width = (*width).max(1),
            Event::Hold { reason, on: true } => drop(self.holds.insert(*reason)),
            Event::Hold { reason, on: false } => drop(self.holds.remove(reason)),
            Event::Preempt => {
                for live in self.living.values_mut() {
                    live.preempted = true;
                }
            }
            Event::Cancel(job) => {
                if let Some(ledger) = self.jobs.get_mut(job) {
                    ledger.cancelled = true;
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

    /// Judges an action; `lives` tells whether anything of an attempt lives.
    pub(super) fn judge(
        &mut self,
        action: &Action,
        now: Time,
        lives: &dyn Fn(AttemptId) -> bool,
    ) -> Result<(), String> {
        must!(!self.finished, "nothing comes after the end");
        match action {
            Action::Start { attempt, slot } => self.judge_start(*attempt, *slot, now, lives),
            Action::Signal { attempt, signal } => {
                let (ledger, live) = self.live(*attempt).ok_or("a signal for an attempt that is over")?;
                must!(live.started && !live.killed, "signals come between the start and the kill");
                let named = ledger.policy.term_seq.steps().iter().any(|step| step.signal == *signal);
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
                let (ledger, live) = self.live(*attempt).ok_or("a release for an attempt that is over")?;
                must!(live.exit.is_some() && ledger.policy.leak == Leak::Allow, "who may go on is let go");
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
                let before = self.jobs.range(..job).all(|(_, ledger)| ledger.delivered);
                must!(before && self.jobs.get(job).is_some_and(|ledger| !ledger.ended), "the head is next");
                Ok(())
            }
            Action::End { job, outcome } => self.judge_end(*job, outcome, now),
            Action::Deliver { job } => {
                let before = self.jobs.range(..job).all(|(_, ledger)| ledger.handed);
                must!(before || self.run.order == Order::Completion, "outcomes come in submission order");
                let ledger = self.jobs.get_mut(job).ok_or("a delivery of an unknown job")?;
                must!(ledger.ended && !ledger.handed, "an outcome is delivered once, when it is there");
                ledger.handed = true;
                self.handed.insert(*job);
                Ok(())
            }
            Action::Notice(notice) => self.judge_notice(notice, now),
            Action::Finish => {
                must!(self.source_ended, "the end comes after the last job");
                must!(self.jobs.values().all(|ledger| ledger.delivered), "the end comes after all outcomes");
                self.finished = true;
                Ok(())
            }
        }
    }

    /// What must hold between any two steps; `ready` jobs are in the queue.
    pub(super) fn judge_rest(
        &mut self,
        ready: u64,
        now: Time,
        lives: &dyn Fn(AttemptId) -> bool,
    ) -> Result<(), String> {
        must!(
            self.halted || self.ending || self.halt_met().is_none(),
            "a halt policy was met and not obeyed"
        );
        if self.stopping {
            must!(ready == 0, "a job waits for a start that will never come");
            return Ok(());
        }
        must!(
            !self.holds.contains(&HoldReason::Paused) || self.told == Some(HoldReason::Paused),
            "a pause is told"
        );
        must!(
            !self.holds.contains(&HoldReason::Events)
                || matches!(self.told, Some(HoldReason::Events | HoldReason::Paused)),
            "a reader of events that holds up the run is told"
        );
        self.free_slots(lives);
        let gap_over = self.last_start.is_none_or(|last| now >= last + self.run.start_gap);
        let free = (self.slots.len() as u32) < self.width;
        let suspects = self.jobs.values().any(|ledger| !ledger.ended && ledger.is_suspect());
        let idle = free && self.warden_ready && gap_over && !suspects && self.told.is_none();
        must!(!idle || ready == 0, "{ready} jobs are ready, a slot is free, and nothing is started");
        Ok(())
    }

    /// A slot is taken as long as its attempt is not over, or anything of it lives.
    fn free_slots(&mut self, lives: &dyn Fn(AttemptId) -> bool) {
        self.slots.retain(|_, holder| {
            self.living.get(&holder.job).is_some_and(|live| live.id == Some(*holder)) || lives(*holder)
        });
    }

    fn judge_start(
        &mut self,
        attempt: AttemptId,
        slot: SlotId,
        now: Time,
        lives: &dyn Fn(AttemptId) -> bool,
    ) -> Result<(), String> {
        must!(!self.stopping && self.warden_ready, "starts are over, or there is no warden");
        self.free_slots(lives);
        must!((self.slots.len() as u32) < self.width, "never more attempts than slots");
        must!(!self.slots.contains_key(&slot), "a slot has one attempt");
        must!(
            (0..slot.0).all(|lower| self.slots.contains_key(&SlotId(lower))),
            "the lowest free slot is taken"
        );
        must!(!self.holds.contains(&HoldReason::Paused), "a pause holds all");
        must!(!self.holds.contains(&HoldReason::Events), "a reader of events that takes no more holds all");
        let others: Vec<&Ledger> = self.living.keys().map(|job| &self.jobs[job]).collect();
        must!(self.holds.is_empty() || others.is_empty(), "load and memory hold all but one");
        must!(!others.iter().any(|other| other.is_suspect()), "a suspect runs alone");
        let is_alone = others.is_empty();
        let gap = self.last_start.is_none_or(|last| now >= last + self.run.start_gap);
        must!(gap, "starts keep their distance");
        let full = self.ended_undelivered >= u64::from(self.run.window);
        let lowest = self.jobs.iter().find(|(_, ledger)| !ledger.ended).map(|(job, _)| *job);
        let is_head =
            self.run.order == Order::Submission && self.handed.is_empty() && lowest == Some(attempt.job);
        must!(!full || is_head, "a full window holds all but the head");
        let new =
            self.jobs.iter().find(|(_, ledger)| !ledger.ended && ledger.starts == 0).map(|(job, _)| *job);
        let ledger = self.jobs.get_mut(&attempt.job).ok_or("a start of an unknown job")?;
        let is_over = !self.living.contains_key(&attempt.job);
        must!(!ledger.ended && is_over && now >= ledger.not_before, "a job is started when ready");
        must!(ledger.starts > 0 || new == Some(attempt.job), "new jobs are started in their order");
        must!(!ledger.is_suspect() || is_alone, "a suspect is started alone");
        ledger.starts += 1;
        must!(attempt.number == ledger.starts, "starts are numbered");
        self.living.insert(attempt.job, Live { id: Some(attempt), began: now, ..Live::default() });
        self.slots.insert(slot, attempt);
        self.last_start = Some(now);
        Ok(())
    }

    fn judge_notice(&mut self, notice: &Notice, now: Time) -> Result<(), String> {
        match notice {
            Notice::Retry { attempt, cause, delay, charged } => {
                let (ending, stopping) = (self.ending, self.stopping);
                let (ledger, live) = self.live(*attempt).ok_or("a retry of an attempt that is over")?;
                must!(!stopping && !ledger.cancelled && !live.stuck, "nobody comes back after a stop");
                must!(live.allows(cause, ledger, *charged, ending, now), "{cause:?} is no end of {live:?}");
                let (tries, first) = (ledger.policy.tries, ledger.policy.backoff.first);
                if *charged {
                    ledger.charged += 1;
                    must!(ledger.wants_retry(cause), "{cause:?} is not to be tried again");
                    must!(tries == 0 || ledger.charged < tries, "tries are total tries");
                    let (least, most) = match ledger.policy.backoff.max {
                        None => (first, first),
                        Some(max) => {
                            let nominal =
                                (0..ledger.charged - 1).fold(first, |pause, _| (pause * 2).min(max)).min(max);
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
                ledger.lost_in_row = if *cause == Cause::Lost { ledger.lost_in_row + 1 } else { 0 };
                must!(ledger.lost_in_row < LOST_MAX, "who is lost too often is lost");
                ledger.attempts += 1;
                ledger.last = Some((cause.clone(), *charged));
                ledger.not_before = now + *delay;
                self.living.remove(&attempt.job);
                self.slots.retain(|_, holder| holder != attempt);
            }
            Notice::Slow { attempt, after } => {
                let slow = self.run.slow;
                let (_, live) = self.live(*attempt).ok_or("slow news of an attempt that is over")?;
                must!(slow.is_some_and(|slow| *after >= slow), "slow is what takes long");
                must!(!std::mem::replace(&mut live.slow, true), "once an attempt");
            }
            Notice::Held { reason, .. } => {
                must!(*reason != self.told, "news is new");
                self.told = *reason;
            }
            Notice::Width { slots } => must!(*slots == self.width, "the width is as asked"),
            Notice::Halted { now } => {
                let mode = if *now { HaltMode::Now } else { HaltMode::Soon };
                must!(!self.halted && self.halt_met() == Some(mode), "a halt has a policy that is met");
                (self.halted, self.stopping, self.ending) = (true, true, self.ending || *now);
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
        let ledger = self.jobs.get_mut(&job).ok_or("an outcome of an unknown job")?;
        must!(!std::mem::replace(&mut ledger.ended, true), "one outcome");
        let verdict = &outcome.verdict;
        match self.living.remove(&job) {
            None if ledger.refused_in_row >= REFUSED_MAX => {
                must!(matches!(verdict, Err(Cause::SpawnFailed(_))), "it was refused too often");
            }
            None => {
                must!(ledger.cancelled || stopping, "a job that waits will be started");
                let stands = ledger.last.clone().filter(|(_, charged)| *charged && !ledger.cancelled);
                let expected = stands.map_or(Cause::Cancelled, |(cause, _)| cause);
                must!(*verdict == Err(expected), "{verdict:?} for a job that is not started again");
            }
            Some(live) => {
                ledger.attempts += 1;
                let charged = !matches!(verdict, Err(Cause::Cancelled | Cause::Lost));
                ledger.charged += u32::from(charged);
                match verdict {
                    Ok(()) => must!(live.succeeded(ledger), "a success of {live:?}"),
                    Err(cause) => {
                        let given_up = *cause == Cause::Cancelled && (stopping || ledger.cancelled);
                        let allowed = live.allows(cause, ledger, charged, ending, now);
                        must!(allowed || (given_up && live.is_unseen()), "{cause:?} is no end of {live:?}");
                        let tries = ledger.policy.tries;
                        let more =
                            charged && ledger.wants_retry(cause) && (tries == 0 || ledger.charged < tries);
                        must!(!more || stopping || ledger.cancelled || live.stuck, "it had another try");
                        let lost = *cause == Cause::Lost && !live.stuck;
                        must!(!lost || ledger.lost_in_row + 1 >= LOST_MAX, "it is not lost yet");
                        if lost {
                            self.jobs.values_mut().for_each(|other| other.lost_in_row = 0);
                        }
                    }
                }
                if !live.stuck {
                    self.slots.retain(|_, holder| Some(*holder) != live.id);
                }
            }
        }
        let ledger = &self.jobs[&job];
        must!(outcome.attempts == ledger.attempts, "{} attempts, not {}", ledger.attempts, outcome.attempts);
        must!(outcome.tries == ledger.charged, "{} tries, not {}", ledger.charged, outcome.tries);
        let history = outcome.earlier.len() + usize::from(outcome.last.is_some());
        must!(history == outcome.attempts.min(33) as usize, "a history of {history}");
        self.ended_undelivered += 1;
        match verdict {
            Ok(()) => self.ok += 1,
            Err(Cause::Cancelled) => self.cancelled += 1,
            Err(_) => self.failed += 1,
        }
        Ok(())
    }

    /// How to halt, if the policy is met.
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

    fn live(&mut self, attempt: AttemptId) -> Option<(&mut Ledger, &mut Live)> {
        let live = self.living.get_mut(&attempt.job).filter(|live| live.id == Some(attempt))?;
        Some((self.jobs.get_mut(&attempt.job)?, live))
    }
}

impl Ledger {
    fn new(policy: Arc<JobPolicy>) -> Ledger {
        Ledger {
            policy,
            starts: 0,
            attempts: 0,
            charged: 0,
            lost_in_row: 0,
            refused_in_row: 0,
            cancelled: false,
            not_before: Time::ZERO,
            last: None,
            ended: false,
            handed: false,
            delivered: false,
        }
    }

    fn is_suspect(&self) -> bool {
        self.lost_in_row == LOST_MAX - 1
    }

    fn wants_retry(&self, cause: &Cause) -> bool {
        let permanent = matches!(cause, Cause::SpawnFailed(failure) if failure.permanent);
        let named = match &self.policy.retry_on {
            RetryOn::Any => true,
            RetryOn::Only(only) => only.iter().any(|one| match (one, cause) {
                (RetryCause::Kind(kind), cause) => *kind == cause.kind(),
                (RetryCause::ExitCodes(codes), Cause::Exit(code)) => codes.contains(code),
                (RetryCause::ExitCodes(_), _) => false,
            }),
        };
        named && !permanent
    }
}

impl Live {
    /// Nobody saw how it ended.
    fn is_unseen(&self) -> bool {
        self.exit.is_none() && self.start_failed.is_none()
    }

    fn leaks(&self) -> u32 {
        self.leaked.max(u32::from(self.stopped_reading))
    }

    /// Whether its worker may have said this, to be believed.
    fn may_have_said(&self, verdict: &Result<(), Cause>) -> bool {
        self.said.as_ref().is_some_and(|(said, _)| said == verdict)
    }

    /// What its worker said for certain: it stands, whatever became of the process.
    fn word(&self) -> Option<&Result<(), Cause>> {
        self.said.as_ref().filter(|(_, counts)| *counts).map(|(said, _)| said)
    }

    fn succeeded(&self, ledger: &Ledger) -> bool {
        let clean = ledger.policy.leak != Leak::Fail || self.leaks() == 0 || self.killed || ledger.cancelled;
        let well = !self.cut && self.exit == Some(Exit::Code(0));
        match self.word() {
            Some(word) => word.is_ok() && (clean || self.signalled),
            None => (well || self.may_have_said(&Ok(()))) && clean,
        }
    }

    /// Whether this cause can be true of it.
    fn allows(&self, cause: &Cause, ledger: &Ledger, charged: bool, ending: bool, now: Time) -> bool {
        let policy = &ledger.policy;
        let is_leak = matches!(cause, Cause::Leaked(_));
        match self.word() {
            Some(Ok(())) if !is_leak => return false,
            Some(Err(said)) => return charged && said == cause,
            Some(Ok(())) | None => {}
        }
        if charged && self.may_have_said(&Err(cause.clone())) {
            return true;
        }
        let by_itself = !self.cut && charged;
        let by_us = self.cut || self.exit.is_none();
        match cause {
            Cause::Timeout(limit) => {
                let limited = match policy.timeout {
                    Timeout::Never => false,
                    Timeout::After(asked) => asked == *limit,
                    Timeout::PercentOfMedian(_) => true,
                };
                let in_time = by_us || policy.leak == Leak::Wait;
                charged && limited && in_time && now - self.began >= *limit
            }
            Cause::Cancelled => !charged && by_us && (self.preempted || ending || ledger.cancelled),
            Cause::Lost => !charged && ((self.is_unseen() && !self.killed) || (self.stuck && self.preempted)),
            Cause::SpawnFailed(failure) => charged && self.start_failed.as_ref() == Some(failure),
            Cause::Exit(code) => by_itself && *code != 0 && self.exit == Some(Exit::Code(*code)),
            Cause::Signal { signal, core_dumped } => {
                let exit = Exit::Signal { signal: *signal, core_dumped: *core_dumped };
                by_itself && self.exit == Some(exit)
            }
            Cause::Leaked(leaked) => {
                // Whom we killed on request within their grace were no leak; who holds the output still is.
                let ended = ending || ledger.cancelled || self.signalled || self.killed;
                let holders = ended && *leaked == u32::from(self.stopped_reading);
                let declared =
                    policy.leak == Leak::Fail && *leaked > 0 && (holders || *leaked == self.leaks());
                let well = by_itself && self.exit == Some(Exit::Code(0));
                declared && (well || (charged && self.may_have_said(&Ok(()))))
            }
            _ => false,
        }
    }
}
