//! The world around the pool, and the loop: a driver's turn after each event. The clock jumps to the next event of the
//! world or the pool's next deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use psmith_core::event::HoldReason;
use psmith_core::worker_pool::{Placement, PoolAction, PoolEvent, ToStart, WorkerKey, WorkerPool};
use psmith_core::{JobId, Time};

use super::super::FAULTS_END;
use super::super::generator::Generator;
use super::PoolReport;
use super::actor::Actor;
use super::reference::PoolReference;
use super::scenario::PoolScenario;

/// The maximum number of steps; no run of the sizes that are drawn needs more.
const STEPS_MAX: u64 = 200_000;

/// The minimum pause after a start that failed.
const PAUSE_LEAST: Duration = Duration::from_millis(20);

/// The number of starts in a row that must have failed before a run is given up.
const FAILURES_LEAST: u32 = 5;

/// A run and everything around it.
#[derive(Debug)]
pub(super) struct PoolWorld {
    seed: u64,
    pub(super) generator: Generator,
    pub(super) drawn: PoolScenario,
    pub(super) pool: WorkerPool,
    pub(super) reference: PoolReference,
    pub(super) actors: BTreeMap<WorkerKey, Actor>,
    pub(super) now: Time,
    agenda: BTreeMap<(Time, u64), NextPoolEvent>,
    scheduled: u64,
    /// The time of the pool's next turn.
    due: Option<Time>,
    /// Jobs that the source has, and the first of them that was not taken.
    offered: u64,
    taken: u64,
    /// The number of processes that have room.
    room: u32,
    /// The number of starts that failed in a row, and until when nothing may be started.
    failures: u32,
    paused_until: Option<Time>,
    gave_up: bool,
    /// The actions that the pool has requested since the last turn.
    actions: Vec<PoolAction>,
    report: PoolReport,
}

/// The next event of the world.
#[derive(Clone, Debug)]
pub(super) enum NextPoolEvent {
    Source,
    User,
    WardenDies,
    FaultsEnd,
    /// A worker greets; its process is reported; its start fails.
    Greets(WorkerKey),
    Process(WorkerKey),
    FailsToStart(WorkerKey),
    /// A worker goes on with its work.
    Step(WorkerKey),
    /// A worker is gone.
    Ends(WorkerKey),
}

impl PoolWorld {
    pub(super) fn new(seed: u64) -> PoolWorld {
        let mut generator = Generator::new(seed);
        let drawn = PoolScenario::draw(&mut generator);
        PoolWorld {
            seed,
            pool: WorkerPool::new(drawn.pool.clone()),
            reference: PoolReference::new(&drawn.pool),
            room: drawn.pool.run.slots,
            drawn,
            generator,
            actors: BTreeMap::new(),
            now: Time::ZERO,
            agenda: BTreeMap::new(),
            scheduled: 0,
            due: None,
            offered: 0,
            taken: 0,
            failures: 0,
            paused_until: None,
            gave_up: false,
            actions: Vec::new(),
            report: PoolReport::default(),
        }
    }

    pub(super) fn run(mut self) -> Result<PoolReport, String> {
        match self.go() {
            Ok(()) => Ok(self.report),
            Err(broken) => {
                let last = self.report.actions.iter().rev().take(20).rev();
                let last = last.fold(String::new(), |text, action| format!("{text}\n  {action:?}"));
                Err(format!("seed {} at {:?}: {broken}\nafter:{last}", self.seed, self.now.0))
            }
        }
    }

    fn go(&mut self) -> Result<(), String> {
        self.plan(Duration::ZERO, NextPoolEvent::Source);
        self.plan(FAULTS_END, NextPoolEvent::FaultsEnd);
        for _ in 0..self.drawn.user_deeds {
            let when = self.generator.time(60);
            self.plan(when, NextPoolEvent::User);
        }
        for _ in 0..self.drawn.warden_losses {
            let when = self.generator.time(60);
            self.plan(when, NextPoolEvent::WardenDies);
        }
        while !self.gave_up && (!self.reference.finished || !self.actors.is_empty()) {
            self.report.steps += 1;
            if self.report.steps > STEPS_MAX {
                return Err("the run does not come to its end".into());
            }
            let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
            match (planned, self.due) {
                (None, None) => return Err("nothing can happen any more, and the run is not over".into()),
                (planned, Some(due)) if planned.is_none_or(|planned| due <= planned) => {
                    self.now = self.now.max(due);
                    self.turn()?;
                    if self.due.is_some_and(|next| next <= self.now) {
                        return Err("what was due is due again at once".into());
                    }
                }
                (_, _) => {
                    // Several events may come before the driver's turn.
                    loop {
                        let ((at, _), next) = self.agenda.pop_first().expect("it was looked at");
                        self.now = self.now.max(at);
                        self.happen(next)?;
                        let more = self.agenda.first_key_value().is_some_and(|((at, _), _)| *at <= self.now);
                        if !more || self.generator.chance(30) {
                            break;
                        }
                    }
                    self.turn()?;
                }
            }
        }
        if self.gave_up {
            return Ok(());
        }
        let counts = self.pool.counts();
        if counts.running + counts.ready + counts.delayed + counts.undelivered > 0 {
            return Err(format!("something is left at the end: {counts:?}"));
        }
        self.reference.settle_accounts()
    }

    fn happen(&mut self, next: NextPoolEvent) -> Result<(), String> {
        match next {
            NextPoolEvent::Source => {
                self.offered = (self.offered + 1 + self.generator.below(40)).min(self.drawn.jobs);
                if self.offered < self.drawn.jobs {
                    let soon = self.generator.time(4);
                    self.plan(soon, NextPoolEvent::Source);
                }
                Ok(())
            }
            NextPoolEvent::User => self.user_does_something(),
            NextPoolEvent::WardenDies => self.warden_dies(),
            NextPoolEvent::FaultsEnd => {
                self.feed(PoolEvent::Hold { reason: HoldReason::Paused, on: false })?;
                // Workers that hang are ended from outside.
                for worker in Vec::from_iter(self.actors.keys().copied()) {
                    if self.actors[&worker].work.as_ref().is_some_and(|work| work.hangs) {
                        self.dies(worker);
                    }
                }
                Ok(())
            }
            NextPoolEvent::Greets(worker) => self.greets(worker),
            NextPoolEvent::Process(worker) => self.has_process(worker),
            NextPoolEvent::FailsToStart(worker) => self.fails_to_start(worker),
            NextPoolEvent::Step(worker) => self.step(worker),
            NextPoolEvent::Ends(worker) => self.ends(worker),
        }
    }

    /// Takes a driver's turn.
    pub(super) fn turn(&mut self) -> Result<(), String> {
        let mut actions = std::mem::take(&mut self.actions);
        self.pool.make_room(self.room, self.now, &mut actions);
        self.pool.begin_turn(self.now, &mut actions);
        self.pool.handle_timers(self.now, &mut actions);
        loop {
            self.carry_out(&mut actions)?;
            if !self.supply(&mut actions) && !self.pool.give_next(self.now, &mut actions) {
                break;
            }
        }
        self.due = self.pool.finish_turn(self.now, &mut actions);
        self.carry_out(&mut actions)?;
        self.pool.check();
        self.pull()
    }

    /// Submits the jobs that the pool wants; returns false if there are none.
    fn supply(&mut self, actions: &mut Vec<PoolAction>) -> bool {
        if !self.pool.wants_jobs() {
            return false;
        }
        let waiting = self.offered - self.taken;
        let fit = 1 + self.generator.below(100);
        let event = if self.pool.next_returned().is_some() {
            PoolEvent::Returned { fit, waiting }
        } else if waiting == 0 {
            if self.offered < self.drawn.jobs || self.pool.source_has_ended() {
                return false;
            }
            PoolEvent::SourceEnded
        } else if self.drawn.pool.batches && !self.generator.chance(5 + self.drawn.alone) {
            let jobs = self.taken..self.offered;
            self.taken = jobs.end;
            let policy = self.some_policy(jobs.clone(), Placement::Shared);
            PoolEvent::Jobs { jobs, fit, waiting: 0, policy }
        } else {
            self.next_job()
        };
        self.pool.handle(event, self.now, actions);
        true
    }

    fn next_job(&mut self) -> PoolEvent {
        let index = self.taken;
        self.taken += 1;
        let placement = match self.generator.chance(self.drawn.alone) {
            true if self.generator.chance(20) => Placement::Refused,
            true => Placement::Alone,
            false => Placement::Shared,
        };
        let policy = self.some_policy(index..index + 1, placement);
        self.reference.on_single(self.pool.next_job(), index);
        let cancelled = self.drawn.user_deeds > 0 && self.generator.chance(2);
        if cancelled {
            self.reference.on_cancel(self.pool.next_job());
        }
        PoolEvent::Job { index, policy, placement, cancelled }
    }

    fn some_policy(&mut self, jobs: Range<u64>, placement: Placement) -> Arc<psmith_core::JobPolicy> {
        let policy = self.generator.one_of(&self.drawn.policies);
        self.reference.on_accepted(jobs, &policy, placement);
        policy
    }

    /// Starts the workers that are to be started.
    fn pull(&mut self) -> Result<(), String> {
        while (self.actors.len() as u32) < self.room {
            let Some(start) = self.pool.pull() else { break };
            let faults = self.faults();
            match start {
                ToStart::Worker(worker) => {
                    if self.paused_until.is_some_and(|until| self.now < until) {
                        return Err(format!("{worker:?} is started right after a start that failed"));
                    }
                    let has_memory = !self.generator.chance(self.drawn.without_memory);
                    self.actors.insert(worker, Actor::new(false, has_memory));
                    let (first, then) = (self.generator.time(2), self.generator.time(2));
                    if faults && self.generator.chance(self.drawn.start_fails) {
                        if self.generator.chance(50) {
                            self.plan(first, NextPoolEvent::Process(worker));
                        }
                        self.plan(first + then, NextPoolEvent::FailsToStart(worker));
                    } else {
                        // Either may be reported first.
                        self.plan(first, NextPoolEvent::Process(worker));
                        self.plan(then, NextPoolEvent::Greets(worker));
                    }
                }
                ToStart::Alone { worker, attempt, .. } => self.begins_alone(worker, attempt)?,
            }
        }
        Ok(())
    }

    fn user_does_something(&mut self) -> Result<(), String> {
        if !self.faults() {
            return Ok(());
        }
        let some_job = JobId(1 + self.generator.below(self.pool.next_job().0));
        let event = match self.generator.below(22) {
            0..=5 => PoolEvent::Cancel(some_job),
            6..=8 => PoolEvent::KillNow(some_job),
            9..=11 => PoolEvent::Workers(1 + self.generator.below(6) as u32),
            12..=14 => PoolEvent::Slots(1 + self.generator.below(6) as u32),
            15..=18 => PoolEvent::Hold { reason: HoldReason::Paused, on: self.generator.chance(40) },
            19 => PoolEvent::Drain,
            20 => PoolEvent::Stop,
            _ => PoolEvent::Kill,
        };
        match event {
            PoolEvent::Cancel(_) | PoolEvent::KillNow(_) if self.drawn.pool.batches => return Ok(()),
            PoolEvent::Cancel(job) | PoolEvent::KillNow(job) => self.reference.on_cancel(job),
            PoolEvent::Drain | PoolEvent::Stop | PoolEvent::Kill => {
                if !matches!(event, PoolEvent::Drain) {
                    self.reference.on_ending();
                }
                self.hand_in_the_rest()?;
            }
            _ => {}
        }
        self.feed(event)
    }

    /// Submits the rest, because the run is about to end: where jobs come in ranges the pool has an outcome for each
    /// that waits.
    fn hand_in_the_rest(&mut self) -> Result<(), String> {
        if !self.drawn.pool.batches || self.pool.source_has_ended() {
            return Ok(());
        }
        let jobs = self.taken..self.offered;
        self.taken = self.offered;
        if jobs.is_empty() {
            return Ok(());
        }
        let policy = self.some_policy(jobs.clone(), Placement::Shared);
        self.feed(PoolEvent::LastJobs { jobs, policy })
    }

    /// Feeds an event outside of a turn. The requested actions wait for the next.
    pub(super) fn feed(&mut self, event: PoolEvent) -> Result<(), String> {
        let mut actions = std::mem::take(&mut self.actions);
        self.pool.handle(event, self.now, &mut actions);
        self.actions = actions;
        Ok(())
    }

    /// Carries out the pool's actions, and what they lead to at once.
    fn carry_out(&mut self, actions: &mut Vec<PoolAction>) -> Result<(), String> {
        loop {
            self.pool.settle(self.now, actions);
            if actions.is_empty() {
                return Ok(());
            }
            for action in std::mem::take(actions) {
                self.report.actions.push(action.clone());
                self.act(action, actions)?;
            }
        }
    }

    fn act(&mut self, action: PoolAction, actions: &mut Vec<PoolAction>) -> Result<(), String> {
        match action {
            PoolAction::Give { worker, slot, jobs, .. } => self.is_given(worker, slot, jobs)?,
            PoolAction::TakeBack(worker) => {
                let (stay, results) = self.gives_back(worker)?;
                self.saw("taken back");
                self.pool.handle(PoolEvent::TakenBack { worker, stay, results }, self.now, actions);
            }
            PoolAction::Leave(worker) => self.is_asked_to_leave(worker)?,
            PoolAction::Cancel(worker) => self.is_cut(worker, false),
            PoolAction::Kill(worker) => self.is_cut(worker, true),
            PoolAction::Gone(worker) => {
                if self.actors.contains_key(&worker) {
                    return Err(format!("{worker:?} lives, and is forgotten"));
                }
            }
            PoolAction::Single { job, index, .. } => {
                self.reference.on_single(job, index);
                self.saw("single");
            }
            PoolAction::Results { jobs, .. } => {
                self.saw("results");
                self.reference.on_results(&jobs)?;
            }
            PoolAction::End { jobs, outcome, .. } => {
                self.saw(outcome.verdict.as_ref().map_or_else(|cause| cause.kind().word(), |()| "ok"));
                self.reference.on_end(&jobs, &outcome)?;
            }
            PoolAction::Deliver { jobs, .. } => self.reference.on_deliver(&jobs)?,
            PoolAction::HandOut(jobs) => {
                self.saw("in order");
                self.reference.on_hand_out(&jobs)?;
            }
            PoolAction::Room(room) => self.room = room,
            PoolAction::GiveUp { failures, .. } => {
                self.saw("given up");
                if failures < FAILURES_LEAST || self.failures < FAILURES_LEAST {
                    return Err(format!("given up after {} failed starts", self.failures));
                }
                if self.actors.values().any(|actor| actor.greeted && !actor.asked_to_leave && !actor.dying) {
                    return Err("given up although there are workers".into());
                }
                self.gave_up = true;
            }
            PoolAction::Retry(_) => self.saw("retry"),
            PoolAction::Broken { .. } => self.saw("circuit broken"),
            PoolAction::Finish => self.reference.finished = true,
            PoolAction::Pull
            | PoolAction::Attempt { .. }
            | PoolAction::Output { .. }
            | PoolAction::Discard(_) => {}
        }
        Ok(())
    }

    /// Records a worker that never came. Failures within the pause count once.
    pub(super) fn on_start_failure(&mut self) {
        self.saw("failed start");
        if self.paused_until.is_none_or(|until| until <= self.now) {
            self.failures += 1;
            self.paused_until = Some(self.now + PAUSE_LEAST);
        }
    }

    pub(super) fn on_start_success(&mut self) {
        (self.failures, self.paused_until) = (0, None);
    }

    pub(super) fn saw(&mut self, what: &'static str) {
        self.report.seen.insert(what);
    }

    pub(super) fn faults(&self) -> bool {
        self.now.0 < FAULTS_END
    }

    pub(super) fn plan(&mut self, after: Duration, next: NextPoolEvent) {
        self.scheduled += 1;
        self.agenda.insert((self.now + after, self.scheduled), next);
    }

    /// Removes the planned events of these workers.
    pub(super) fn forget_plans(&mut self, workers: &BTreeSet<WorkerKey>) {
        self.agenda.retain(|_, next| match next {
            NextPoolEvent::Greets(worker)
            | NextPoolEvent::FailsToStart(worker)
            | NextPoolEvent::Step(worker) => !workers.contains(worker),
            NextPoolEvent::Process(worker) | NextPoolEvent::Ends(worker) => !workers.contains(worker),
            NextPoolEvent::Source
            | NextPoolEvent::User
            | NextPoolEvent::WardenDies
            | NextPoolEvent::FaultsEnd => true,
        });
    }
}
