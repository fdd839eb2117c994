//! One turn of the driver: what was heard is taken in, and what the pool asks for is done.

use std::ops::Range;
use std::time::Duration;

use psmith_core::outcome::{Cause, Outcome};
use psmith_core::worker_pool::{BatchProgress, PoolAction, PoolEvent, WorkerKey};
use psmith_core::{AttemptId, JobId, SlotId, Time};
use psmith_sys::proc_memory;

use crate::job::job::JobRef;
use crate::observe::observer::{FinishedJob, ObserverEvent};
use crate::run::queue::NextJobs;
use crate::run::reused::{End, ReusedDriver, ReusedJob, worker_of};
use crate::run::run_event::{Finished, RunEvent};
use psmith_engine::EngineError;
use psmith_engine::channel::frame::Body;
use psmith_engine::channel::messages::ToWorker;
use psmith_engine::handler::{EngineCommand, Handler, MessagesToWorker, Output};

impl ReusedDriver {
    /// Does all that can be done now; gives how long nothing else is due.
    pub(crate) fn turn(&mut self, now: Time, orders: &mut Vec<EngineCommand>) -> Option<Duration> {
        self.take_orders(now, orders);
        self.measure_growth(now);
        self.pool.begin_turn(now, &mut self.actions);
        for end in std::mem::take(&mut self.ends) {
            self.on_end(end, now);
        }
        if !self.takes_output() {
            // Those that nobody listens to just now are not idle.
            let workers: Vec<WorkerKey> = self.lives.keys().copied().collect();
            workers.into_iter().for_each(|worker| self.on_sign_of_life(worker));
        }
        self.pool.handle_timers(now, &mut self.actions);
        loop {
            self.pool.settle(now, &mut self.actions);
            if !self.actions.is_empty() {
                self.carry_out_all(now, orders);
            } else if !self.accept_next(now)
                && !self.pool.give_next(now, &mut self.actions)
                && !self.keep_budget(now)
            {
                break;
            }
        }
        let next = self.pool.finish_turn(now, &mut self.actions);
        self.carry_out_all(now, orders);
        let next_tokens = self.asks_again.map(|pause| now + pause);
        next.into_iter().chain(next_tokens).min().map(|at| at.since(now))
    }

    fn carry_out_all(&mut self, now: Time, orders: &mut Vec<EngineCommand>) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            self.carry_out(action, now, orders);
        }
        // What these led to comes next; its room is kept.
        actions.append(&mut self.actions);
        self.actions = actions;
    }

    fn take_orders(&mut self, now: Time, orders: &mut Vec<EngineCommand>) {
        let mut state = self.shared.lock();
        let (wishes, mail) = (std::mem::take(&mut state.orders), std::mem::take(&mut state.with_messages));
        drop(state);
        self.listeners.send(&mail, orders);
        for wish in wishes {
            match wish {
                EngineCommand::Drain => self.end_source(PoolEvent::Drain, now),
                EngineCommand::Stop => self.end_source(PoolEvent::Stop, now),
                EngineCommand::Kill => self.end_source(PoolEvent::Kill, now),
                EngineCommand::Cancel(job) => self.happens(PoolEvent::Cancel(job), now),
                EngineCommand::KillNow(job) => self.happens(PoolEvent::KillNow(job), now),
                EngineCommand::Signal(job, signal) => {
                    if let Some(worker) = self.pool.worker_of(job) {
                        orders.push(EngineCommand::Signal(life_of(worker), signal));
                    }
                }
                EngineCommand::Hold(reason, on) => self.happens(PoolEvent::Hold { reason, on }, now),
                EngineCommand::Slots(workers) => self.resize(workers, now),
                other => orders.push(other),
            }
        }
    }

    /// No more jobs are wanted.
    fn end_source(&mut self, why: PoolEvent, now: Time) {
        self.take_all_in(now);
        self.happens(why, now);
    }

    /// There will be no more jobs; false if that was known.
    pub(crate) fn close_source(&mut self, now: Time) -> bool {
        let is_news = !self.pool.source_has_ended();
        if is_news {
            self.happens(PoolEvent::SourceEnded, now);
        }
        is_news
    }

    /// How much memory those hold that have answered.
    fn measure_growth(&mut self, now: Time) {
        for worker in std::mem::take(&mut self.growing) {
            match self.lives.get(&worker).map(|life| life.pid) {
                // Its answer waits for news of its process, too.
                Some(0) => self.growing.push(worker),
                Some(pid) => {
                    if let Ok(bytes) = proc_memory::resident_of_tree(pid, 1) {
                        self.happens(PoolEvent::Resident { worker, bytes }, now);
                    }
                }
                None => {}
            }
        }
    }

    /// Takes one job, or one batch, from the caller's side; false if there is none, or no room.
    fn accept_next(&mut self, now: Time) -> bool {
        if self.is_out_of_budget() || !self.pool.wants_jobs() {
            return false;
        }
        if self.wants.blocks {
            return self.take_in(now);
        }
        let mut state = self.shared.lock();
        let Some(NextJobs::One(index, request, policy)) = state.queue.next() else {
            let is_closed = state.closed;
            drop(state);
            return is_closed && self.close_source(now);
        };
        drop(state);
        self.accept_one((index, request), policy, now);
        true
    }

    pub(crate) fn on_process(&mut self, worker: WorkerKey, pid: u32, now: Time) {
        if let Some(life) = self.lives.get_mut(&worker) {
            life.pid = pid;
        }
        self.happens(PoolEvent::Process { worker, pid }, now);
        self.tell_start(worker);
    }

    fn on_end(&mut self, end: End, now: Time) {
        let (worker, outcome) = match end {
            End::Ended(worker, outcome) => (worker, outcome),
            End::Lost(worker) => {
                let found = self.progress_of(worker);
                return self.happens(PoolEvent::Lost { worker, found }, now);
            }
        };
        let last = outcome.last.as_ref();
        let exit = last.and_then(|last| last.exit);
        if let (Some(life), Some(last), true) = (self.lives.get_mut(&worker), last, exit.is_some()) {
            life.pid = last.pid;
        }
        let usage = last.map(|last| last.usage).unwrap_or_default();
        let found = self.progress_of(worker);
        let verdict = outcome.verdict;
        self.happens(PoolEvent::Ended { worker, verdict, exit, usage, found }, now);
    }

    fn progress_of(&mut self, worker: WorkerKey) -> BatchProgress {
        let most = self.pool.results_max(worker);
        self.lives.get_mut(&worker).map(|life| life.progress(most)).unwrap_or_default()
    }

    fn carry_out(&mut self, action: PoolAction, now: Time, orders: &mut Vec<EngineCommand>) {
        match action {
            // The engine asks when it is woken.
            PoolAction::Pull => self.shared.waker.wake(),
            PoolAction::Give { worker, attempt, slot, jobs } => {
                self.give(worker, attempt, slot, &jobs, orders);
            }
            PoolAction::TakeBack(worker) => self.take_back(worker, now),
            PoolAction::Leave(worker) => orders.push(tell(worker, (ToWorker::Leave, Body::None))),
            PoolAction::Cancel(worker) => orders.push(EngineCommand::Cancel(life_of(worker))),
            PoolAction::Kill(worker) => orders.push(EngineCommand::KillNow(life_of(worker))),
            PoolAction::Gone(worker) => drop(self.lives.remove(&worker)),
            PoolAction::Single { job, index, worker } => self.on_single(job, index, worker),
            PoolAction::Output { worker, job } => self.on_output(worker, job),
            PoolAction::Results { worker, jobs } => self.on_results(worker, &jobs),
            PoolAction::HandOut(jobs) => self.hand_out(&jobs),
            PoolAction::Attempt { attempt, slot } => {
                if let Some(held) = self.jobs.get_mut(&attempt.job) {
                    (held.slot, held.pid, held.name) = (slot, 0, None);
                }
            }
            PoolAction::Discard(job) => {
                if let Some(held) = self.jobs.get_mut(&job) {
                    (held.output, held.value) = (Output::default(), None);
                }
            }
            PoolAction::Retry(job) => {
                if let Some(held) = self.jobs.get(&job) {
                    self.shared.show(|| ObserverEvent::Retried(held.index));
                }
            }
            PoolAction::End { job, jobs, outcome } => self.on_outcome(job, &jobs, outcome),
            PoolAction::Deliver { job, jobs } => self.deliver_job(job, &jobs),
            PoolAction::Room(room) => orders.push(EngineCommand::Slots(room)),
            PoolAction::Broken { jobs } => self.shared.on_broken(jobs),
            PoolAction::GiveUp { failures, cause } => {
                orders.push(EngineCommand::GiveUp(Box::new(EngineError::Workers { failures, cause })));
            }
            PoolAction::Finish => {}
        }
    }

    fn give(
        &mut self,
        worker: WorkerKey,
        attempt: AttemptId,
        slot: SlotId,
        jobs: &Range<u64>,
        orders: &mut Vec<EngineCommand>,
    ) {
        let Some(life) = self.lives.get_mut(&worker) else { return };
        life.prepare((jobs.end - jobs.start) as u32);
        life.slot = slot.0;
        let letter = match self.jobs.get_mut(&attempt.job) {
            Some(held) => {
                held.slot = slot;
                held.pid = life.pid;
                held.name.clone_from(&life.name);
                let request = held.job_request(attempt, false);
                request.map(|request| (ToWorker::Job(request), Body::Shared(held.request.input.clone())))
            }
            None => self.batch_letter(attempt, slot, jobs),
        };
        orders.extend(letter.map(|letter| tell(worker, letter)));
        self.tell_start(worker);
    }

    /// Says that the first attempt of a job has a process, once that is known.
    fn tell_start(&mut self, worker: WorkerKey) {
        let wants_starts = self.wants.starts;
        let pid = self.lives.get(&worker).map_or(0, |life| life.pid);
        let Some((attempt, held)) = self.job_of(worker) else { return };
        held.pid = pid;
        if pid == 0 {
            return;
        }
        let is_new = held.shown_attempt < attempt.number;
        held.shown_attempt = held.shown_attempt.max(attempt.number);
        let is_first = wants_starts && !std::mem::replace(&mut held.told_start, wants_starts);
        if !is_new && !is_first {
            return;
        }
        let job = held.job();
        if is_new {
            self.shared.show(|| ObserverEvent::Began(&job, attempt.number));
        }
        if is_first {
            self.shared.send_event(RunEvent::Started(job));
        }
    }

    /// What this worker wrote is this job's.
    fn on_output(&mut self, worker: WorkerKey, job: JobId) {
        if let (Some(life), Some(held)) = (self.lives.get_mut(&worker), self.jobs.get_mut(&job)) {
            held.output = life.take_output();
            held.pid = life.pid;
        }
    }

    fn on_outcome(&mut self, job: JobId, jobs: &Range<u64>, outcome: Box<Outcome>) {
        let cut_short = matches!(outcome.verdict, Err(Cause::Cancelled));
        if outcome.verdict.is_err() && !cut_short {
            self.shared.lock().first.failed.get_or_insert(JobId(jobs.start + 1));
        }
        let Some(held) = self.jobs.get_mut(&job) else {
            self.outcomes.insert(job, outcome);
            return;
        };
        // Where a run is observed there are no batches.
        let (its, refused) = (held.job(), held.request.refused.as_ref());
        let ended = || FinishedJob { job: &its, outcome: &outcome, refused, output: &held.output };
        self.shared.show(|| ObserverEvent::Ended(ended()));
        held.outcome = Some(outcome);
    }

    fn deliver_job(&mut self, id: JobId, jobs: &Range<u64>) {
        let Some(held) = self.jobs.remove(&id) else { return self.deliver_unbegun(id, jobs) };
        self.listeners.remove(id);
        let job = held.job();
        let ReusedJob { request, value, output, outcome: Some(mut outcome), pid, .. } = held else { return };
        if let Some(last) = &mut outcome.last {
            last.pid = pid;
        }
        self.send_event(RunEvent::Done(Box::new(Finished {
            job,
            request,
            outcome: *outcome,
            value,
            output,
        })));
    }

    /// Short jobs of which none was begun.
    fn deliver_unbegun(&mut self, id: JobId, jobs: &Range<u64>) {
        let Some(outcome) = self.outcomes.remove(&id) else { return };
        for index in jobs.clone() {
            let Some(block) = self.inputs.take(&(index..index + 1)) else { continue };
            let job = JobRef { index, label: None, slot: 0, pid: 0, name: None };
            let (outcome, output) = ((*outcome).clone(), Output::default());
            let finished = Finished { job, request: block.first(), outcome, value: None, output };
            self.send_event(RunEvent::Done(Box::new(finished)));
        }
    }
}

/// What the engine calls it.
fn life_of(worker: WorkerKey) -> JobId {
    let life = JobId(worker.0);
    debug_assert_eq!(worker_of(life), worker);
    life
}

fn tell(worker: WorkerKey, letter: (ToWorker, Body)) -> EngineCommand {
    EngineCommand::Send(life_of(worker), MessagesToWorker(vec![letter]))
}
