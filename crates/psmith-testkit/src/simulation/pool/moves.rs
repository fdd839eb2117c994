//! The events of simulated workers, and their own acts. Judges nothing itself.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use psmith_core::outcome::{Cause, Exit, SpawnFailure, SpawnStep, Usage};
use psmith_core::worker_pool::{
    BatchProgress, PoolEvent, Received, RunEnd, Violation, WorkerKey, WorkerReport,
};
use psmith_core::{AttemptId, SlotId};

use super::actor::{self, Actor, Fate, Work};
use super::world::{NextPoolEvent, PoolWorld};

impl PoolWorld {
    pub(super) fn greets(&mut self, worker: WorkerKey) -> Result<(), String> {
        let Some(actor) = self.actors.get_mut(&worker).filter(|actor| !actor.dying) else { return Ok(()) };
        actor.greeted = true;
        if !self.pool.greet(worker, actor.has_memory, self.now) {
            self.saw("came too late");
            self.dies(worker);
            return Ok(());
        }
        self.on_start_success();
        self.may_die_idle(worker);
        Ok(())
    }

    pub(super) fn has_process(&mut self, worker: WorkerKey) -> Result<(), String> {
        let Some(actor) = self.actors.get_mut(&worker) else { return Ok(()) };
        actor.has_process = true;
        self.feed(PoolEvent::Process { worker, pid: worker.0 as u32 + 100 })
    }

    pub(super) fn fails_to_start(&mut self, worker: WorkerKey) -> Result<(), String> {
        let Some(actor) = self.actors.get(&worker).filter(|actor| !actor.dying) else { return Ok(()) };
        if !actor.cut {
            self.on_start_failure();
        }
        self.is_gone(worker);
        let failure =
            SpawnFailure { step: SpawnStep::Clone, errno: 11, detail: String::new(), permanent: false };
        let verdict =
            if self.generator.chance(50) { Err(Cause::SpawnFailed(failure)) } else { Err(Cause::Exit(127)) };
        let exit = matches!(verdict, Err(Cause::Exit(_))).then_some(Exit::Code(127));
        let (usage, found) = (Usage::default(), BatchProgress::default());
        self.feed(PoolEvent::Ended { worker, verdict, exit, usage, found })
    }

    /// Starts a process for one attempt alone.
    pub(super) fn begins_alone(&mut self, worker: WorkerKey, attempt: AttemptId) -> Result<(), String> {
        self.saw("alone");
        let mut actor = Actor::new(true, false);
        let index = self.reference.index_of(attempt.job).ok_or("an attempt at no job")?;
        actor.work = Some(Work {
            slot: SlotId(0),
            jobs: index..index + 1,
            limit: 1,
            found: BatchProgress { begun: 1, results: 0 },
            replied: false,
            hangs: false,
        });
        self.actors.insert(worker, actor);
        let (latency, life) = (self.generator.time(2), self.generator.time(self.drawn.longest));
        if !self.generator.chance(20) {
            self.plan(latency, NextPoolEvent::Process(worker));
        }
        self.plan(latency + life, NextPoolEvent::Ends(worker));
        Ok(())
    }

    pub(super) fn is_given(
        &mut self,
        worker: WorkerKey,
        slot: SlotId,
        jobs: Range<u64>,
    ) -> Result<(), String> {
        let actor = self.actors.get(&worker).ok_or("a job for a worker that is no more")?;
        let has_work = actor.work.as_ref().is_some_and(|work| !work.replied);
        if has_work || !actor.greeted || actor.asked_to_leave || actor.alone {
            return Err(format!("a job for {worker:?}, which is not idle"));
        }
        let count = jobs.end - jobs.start;
        if count > 1 && !actor.has_memory {
            return Err(format!("a batch for {worker:?}, which can do none"));
        }
        if self.drawn.pool.max_jobs.is_some_and(|most| actor.jobs_given + count > most) {
            return Err(format!("{worker:?} is given {count} jobs after {}", actor.jobs_given));
        }
        self.reference.on_give(worker, slot, &jobs)?;
        self.saw(if count > 1 { "batch" } else { "job" });
        let work = Work {
            slot,
            limit: count as u32,
            jobs,
            found: BatchProgress::default(),
            replied: false,
            hangs: false,
        };
        if let Some(actor) = self.actors.get_mut(&worker) {
            actor.work = Some(work);
            actor.jobs_given += count;
            if actor.dying {
                // It has died, and that is not known yet.
                return Ok(());
            }
        }
        let soon = self.generator.time(2);
        self.plan(soon, NextPoolEvent::Step(worker));
        Ok(())
    }

    /// Continues a worker with what it was given: it begins a job, or comes to the end of one.
    pub(super) fn step(&mut self, worker: WorkerKey) -> Result<(), String> {
        let faults = self.faults();
        let Some(actor) = self.actors.get(&worker).filter(|actor| !actor.dying) else { return Ok(()) };
        let Some(work) = actor.work.as_ref().filter(|work| !work.replied) else { return Ok(()) };
        let is_within = work.found.begun > work.found.results;
        let is_batch = actor.is_batch();
        let count = if is_batch { (work.jobs.end - work.jobs.start) / 4 } else { 1 };
        // In a batch each job has its chance, but not each batch the end.
        let fate = match self.generator.below(count.max(1)) {
            0 => actor::fate(&self.drawn, faults, &mut self.generator),
            _ => Fate::GoesOn,
        };
        match fate {
            Fate::Dies => {
                self.saw(match (is_within, is_batch) {
                    (false, false) => "died before the begin",
                    (true, false) => "died within",
                    (false, true) => "died between two",
                    (true, true) => "died within a batch",
                });
                self.dies(worker);
                Ok(())
            }
            Fate::Hangs => {
                self.saw("hung");
                if let Some(work) = self.actors.get_mut(&worker).and_then(|actor| actor.work.as_mut()) {
                    work.hangs = true;
                }
                Ok(())
            }
            Fate::Lies => self.breaks_protocol(worker),
            Fate::GoesOn if is_within => self.finishes_one(worker),
            Fate::GoesOn => self.begins_one(worker),
        }
    }

    fn begins_one(&mut self, worker: WorkerKey) -> Result<(), String> {
        let Some(actor) = self.actors.get_mut(&worker) else { return Ok(()) };
        let (has_memory, is_batch) = (actor.has_memory, actor.is_batch());
        let Some(work) = actor.work.as_mut() else { return Ok(()) };
        if work.found.begun >= work.limit {
            // The rest was taken back.
            return self.replies_for_batch(worker, None);
        }
        let index = work.jobs.start + u64::from(work.found.results);
        work.found.begun += 1;
        self.reference.on_begin(index)?;
        if !has_memory {
            self.must_accept(worker, WorkerReport::Began { job: index + 1 })?;
        }
        let while_at_it = actor::work_time(&self.drawn, is_batch, &mut self.generator);
        if self.generator.chance(10) {
            self.pool.on_beat(worker);
        }
        self.plan(while_at_it, NextPoolEvent::Step(worker));
        Ok(())
    }

    fn finishes_one(&mut self, worker: WorkerKey) -> Result<(), String> {
        let verdict = actor::verdict(&self.drawn, &mut self.generator);
        let Some(actor) = self.actors.get_mut(&worker) else { return Ok(()) };
        let is_batch = actor.is_batch();
        let Some(work) = actor.work.as_mut() else { return Ok(()) };
        let index = work.jobs.start + u64::from(work.found.results);
        if !is_batch {
            return self.replies(worker, index, verdict);
        }
        if verdict.is_err() {
            return self.replies_for_batch(worker, Some((index, verdict)));
        }
        work.found.results += 1;
        let is_last = work.found.results >= work.limit;
        self.reference.on_finish(index, true);
        if is_last {
            return self.replies_for_batch(worker, None);
        }
        self.plan(Duration::from_micros(1), NextPoolEvent::Step(worker));
        Ok(())
    }

    /// Ends a single job with a reply.
    fn replies(&mut self, worker: WorkerKey, index: u64, verdict: Result<(), Cause>) -> Result<(), String> {
        // What a value decides is decided by a run's functions, which all are of one kind.
        let decides = !self.drawn.pool.batches && verdict.is_ok() && self.generator.chance(1);
        let ends = decides.then(|| if self.generator.chance(50) { RunEnd::Drain } else { RunEnd::Kill });
        let is_ok = verdict.is_ok();
        let report = WorkerReport::Done { job: index + 1, verdict, ends };
        self.must_accept(worker, report.clone())?;
        // The reply of a worker that is being ended does not count.
        if self.actors.get(&worker).is_some_and(|actor| !actor.cut) {
            self.reference.on_finish(index, is_ok);
        }
        if ends == Some(RunEnd::Kill) {
            self.reference.on_ending();
        }
        if self.drawn.pool.max_rss_growth.is_some() {
            let grown = self.generator.below(80);
            let Some(actor) = self.actors.get_mut(&worker) else { return Ok(()) };
            actor.resident += grown;
            let bytes = actor.resident;
            self.feed(PoolEvent::Resident { worker, bytes })?;
        }
        self.has_replied(worker, report)
    }

    /// Ends a batch with a reply: its jobs are over, or one did not plainly succeed, or the rest was taken back.
    fn replies_for_batch(
        &mut self,
        worker: WorkerKey,
        then: Option<(u64, Result<(), Cause>)>,
    ) -> Result<(), String> {
        let Some(work) = self.actors.get(&worker).and_then(|actor| actor.work.as_ref()) else {
            return Ok(());
        };
        let (job, values) = (work.jobs.start + 1, work.found.results);
        let spent = Duration::from_micros(u64::from(values) * self.generator.below(100));
        let verdict = then.as_ref().map(|(_, verdict)| verdict.clone());
        let report = WorkerReport::BatchDone { job, values, whole: values, then: verdict, spent };
        self.must_accept(worker, report.clone())?;
        if let Some(actor) = self.actors.get_mut(&worker)
            && let Some(work) = &actor.work
        {
            // What it did not begin is not its own.
            actor.jobs_given -= u64::from(work.limit - values) - u64::from(then.is_some());
        }
        if let Some((index, verdict)) = then {
            self.reference.on_finish(index, verdict.is_ok());
            self.saw("a batch ended early");
        }
        self.has_replied(worker, report)
    }

    fn has_replied(&mut self, worker: WorkerKey, report: WorkerReport) -> Result<(), String> {
        let fate = actor::fate(&self.drawn, self.faults(), &mut self.generator);
        let Some(actor) = self.actors.get_mut(&worker) else { return Ok(()) };
        let left = actor.work.as_mut().map(|work| {
            work.replied = true;
            (work.slot, work.jobs.clone())
        });
        match fate {
            Fate::Dies => {
                self.saw("died after its answer");
                self.dies(worker);
            }
            Fate::Lies => {
                self.saw("answered twice");
                self.must_refuse(worker, report)?;
            }
            Fate::GoesOn | Fate::Hangs => {}
        }
        // It may be given another as soon as that is handled.
        let Some(actor) = self.actors.get_mut(&worker) else { return Ok(()) };
        if let Some((slot, jobs)) = left {
            actor.earlier.push(jobs.start + 1);
            self.reference.on_left(Some(slot), jobs);
        }
        Ok(())
    }

    /// Makes a report that it may not make.
    fn breaks_protocol(&mut self, worker: WorkerKey) -> Result<(), String> {
        let which = self.generator.below(6);
        let Some(actor) = self.actors.get_mut(&worker) else { return Ok(()) };
        let is_batch = actor.is_batch();
        let Some(work) = &actor.work else { return Ok(()) };
        let (own, jobs) = (work.jobs.start + 1, (work.jobs.end - work.jobs.start) as u32);
        let done = |job| WorkerReport::Done { job, verdict: Ok(()), ends: None };
        let batch = |job, values, whole| {
            let (then, spent) = (None, Duration::ZERO);
            WorkerReport::BatchDone { job, values, whole, then, spent }
        };
        let (words, report) = match (which, actor.earlier.last().filter(|earlier| **earlier < own)) {
            (0, _) => ("began another's", WorkerReport::Began { job: own + 1 }),
            (1, Some(&earlier)) => {
                actor.violated_earlier = true;
                ("answered for an earlier job", done(earlier))
            }
            (2, _) if is_batch => ("answered singly for a batch", done(own)),
            (3, _) if is_batch => ("claimed too much", batch(own, jobs + 1, jobs + 1)),
            (4, _) if is_batch => ("claimed what is not there", batch(own, jobs, jobs - 1)),
            (5, _) => ("answered for another batch", batch(own + 1, 1, 1)),
            _ => ("answered for another's", done(own + 1)),
        };
        self.saw(words);
        self.must_refuse(worker, report)
    }

    fn must_accept(&mut self, worker: WorkerKey, report: WorkerReport) -> Result<(), String> {
        match self.pool.receive(worker, report.clone()) {
            Ok(Received::Kept) => Ok(()),
            other => Err(format!("{worker:?} said {report:?}, which is true, and is told {other:?}")),
        }
    }

    fn must_refuse(&mut self, worker: WorkerKey, report: WorkerReport) -> Result<(), String> {
        let violation: Violation = match self.pool.receive(worker, report.clone()) {
            Err(violation) => violation,
            Ok(_) => return Err(format!("{worker:?} lied, and is believed: {report:?}")),
        };
        if let Some(actor) = self.actors.get_mut(&worker) {
            actor.violation = Some(violation.to_string());
        }
        self.dies(worker);
        Ok(())
    }

    /// Takes back the jobs of its batch that are not begun. Returns how many jobs stay, and what it has done.
    pub(super) fn gives_back(&mut self, worker: WorkerKey) -> Result<(u32, u32), String> {
        let actor = self.actors.get_mut(&worker).ok_or("a batch is taken from nobody")?;
        let work = actor.work.as_mut().filter(|work| !work.replied).ok_or("a batch is taken that is over")?;
        work.limit = work.limit.min(work.found.begun.max(1));
        let (stay, results) = (work.limit, work.found.results);
        let others = work.jobs.start + u64::from(stay)..work.jobs.end;
        actor.jobs_given -= others.end - others.start;
        self.reference.on_left(None, others);
        Ok((stay, results))
    }

    pub(super) fn is_asked_to_leave(&mut self, worker: WorkerKey) -> Result<(), String> {
        let stays = self.faults() && self.generator.chance(self.drawn.stays);
        // It may learn of it by a reply that is handled at its end.
        let Some(actor) = self.actors.get_mut(&worker) else { return Ok(()) };
        if actor.asked_to_leave || !actor.greeted {
            return Err(format!("{worker:?} is told to leave"));
        }
        actor.asked_to_leave = true;
        if stays {
            self.saw("stayed");
        } else if !actor.dying {
            self.dies(worker);
        }
        Ok(())
    }

    /// Ends a worker as the pool requests: by a ladder that it may ignore for a while, or by a kill.
    pub(super) fn is_cut(&mut self, worker: WorkerKey, kill: bool) {
        let Some(actor) = self.actors.get_mut(&worker) else { return };
        actor.cut = true;
        // The reply of one that leaves has been handled.
        let is_open = !actor.alone && !actor.asked_to_leave && !actor.is_batch();
        let reported = actor.work.as_ref().filter(|work| is_open && work.replied);
        if let Some(jobs) = reported.map(|work| work.jobs.clone()) {
            self.reference.on_cut(jobs);
        }
        self.saw(if kill { "killed" } else { "cancelled worker" });
        let Some(actor) = self.actors.get_mut(&worker) else { return };
        if actor.dying {
            return;
        }
        if !kill && self.faults() && self.generator.chance(30) {
            // It takes its time.
            let later = self.generator.time(40);
            self.plan(later, NextPoolEvent::Ends(worker));
            return;
        }
        self.dies(worker);
    }

    fn may_die_idle(&mut self, worker: WorkerKey) {
        if self.faults() && self.generator.chance(self.drawn.dies / 2) {
            self.saw("died idle");
            self.dies(worker);
        }
    }

    /// Ends the worker; that becomes known soon.
    pub(super) fn dies(&mut self, worker: WorkerKey) {
        if let Some(actor) = self.actors.get_mut(&worker) {
            actor.dying = true;
            let soon = self.generator.time(2);
            self.plan(soon, NextPoolEvent::Ends(worker));
        }
    }

    pub(super) fn ends(&mut self, worker: WorkerKey) -> Result<(), String> {
        let Some(actor) = self.actors.get(&worker) else { return Ok(()) };
        let exit = if actor.violation.is_some() {
            Exit::Signal { signal: 9, core_dumped: false }
        } else {
            actor::exit(&mut self.generator)
        };
        let unobserved = !actor.cut && actor.violation.is_none() && self.generator.chance(5);
        let verdict = if unobserved { Err(Cause::Lost) } else { actor.verdict(exit) };
        let (cut, blameless, found) = (actor.cut, actor.violated_earlier, actor.found());
        if let Some(index) = actor.within().filter(|_| !actor.alone) {
            self.reference.on_death_within(index, !unobserved && !cut && !blameless);
        }
        if !actor.greeted && !actor.alone && !cut {
            self.on_start_failure();
        }
        self.is_gone(worker);
        let (exit, usage) = ((!unobserved).then_some(exit), Usage::default());
        self.feed(PoolEvent::Ended { worker, verdict, exit, usage, found })
    }

    /// Removes the worker: nothing of it is left, and it does not have its work any more.
    fn is_gone(&mut self, worker: WorkerKey) {
        self.forget_plans(&BTreeSet::from([worker]));
        let Some(actor) = self.actors.remove(&worker) else { return };
        if let Some(work) = actor.work.as_ref().filter(|work| !work.replied && !actor.alone) {
            let jobs = work.jobs.start..work.jobs.start + u64::from(work.limit);
            self.reference.on_left(Some(work.slot), jobs);
        }
    }

    pub(super) fn warden_dies(&mut self) -> Result<(), String> {
        if !self.faults() {
            return Ok(());
        }
        self.saw("the warden died");
        for worker in Vec::from_iter(self.actors.keys().copied()) {
            let Some(actor) = self.actors.get(&worker) else { continue };
            let found = actor.found();
            if let Some(index) = actor.within().filter(|_| !actor.alone) {
                self.reference.on_death_within(index, false);
            }
            self.is_gone(worker);
            self.feed(PoolEvent::Lost { worker, found })?;
            // A late report of the engine about it.
            if self.generator.chance(30) {
                let (verdict, exit) = (Err(Cause::Cancelled), None);
                self.feed(PoolEvent::Ended { worker, verdict, exit, usage: Usage::default(), found })?;
            }
        }
        Ok(())
    }
}
