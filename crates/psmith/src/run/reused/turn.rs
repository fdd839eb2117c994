//! A turn of the driver: takes in commands, messages and ends, and carries out the pool's actions. Never blocks.

use std::ops::Range;
use std::time::Duration;

use psmith_core::outcome::{Cause, Outcome};
use psmith_core::worker_pool::{BatchProgress, PoolAction, PoolEvent, WorkerKey};
use psmith_core::{AttemptId, JobId, SlotId, Time};
use psmith_sys::proc_memory;

use crate::job::job::JobRef;
use crate::observe::observer::{FinishedJob, ObserverEvent};
use crate::run::job_output::tag_of;
use crate::run::queue::NextJobs;
use crate::run::reused::{ReusedDriver, ReusedJob, WorkerEnd, worker_of};
use crate::run::run_event::{Finished, RunEvent};
use psmith_engine::EngineError;
use psmith_engine::channel::frame::Body;
use psmith_engine::channel::messages::ToWorker;
use psmith_engine::handler::{AttemptOutput, EngineCommand, Handler, MessagesToWorker};

impl ReusedDriver {
    /// Does all that can be done now; returns how long nothing else is due.
    pub(crate) fn turn(&mut self, now: Time, commands: &mut Vec<EngineCommand>) -> Option<Duration> {
        self.take_commands(now, commands);
        self.measure_growth(now);
        self.pool.begin_turn(now, &mut self.actions);
        for end in std::mem::take(&mut self.ends) {
            self.on_end(end, now);
        }
        if !self.takes_output() {
            // A worker whose output nobody reads just now is not idle.
            let workers: Vec<WorkerKey> = self.workers.keys().collect();
            workers.into_iter().for_each(|worker| self.on_activity(worker));
        }
        self.pool.handle_timers(now, &mut self.actions);
        loop {
            self.pool.settle(now, &mut self.actions);
            if !self.actions.is_empty() {
                self.carry_out_all(now, commands);
            } else if !self.accept_next(now)
                && !self.pool.give_next(now, &mut self.actions)
                && !self.keep_budget(now)
            {
                break;
            }
        }
        let next = self.pool.finish_turn(now, &mut self.actions);
        self.carry_out_all(now, commands);
        let next_tokens = self.asks_again.map(|pause| now + pause);
        next.into_iter().chain(next_tokens).min().map(|at| at.since(now))
    }

    fn carry_out_all(&mut self, now: Time, commands: &mut Vec<EngineCommand>) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            self.carry_out(action, now, commands);
        }
        // The actions that these led to come next; the allocation is kept.
        actions.append(&mut self.actions);
        self.actions = actions;
    }

    fn take_commands(&mut self, now: Time, commands: &mut Vec<EngineCommand>) {
        let mut state = self.shared.lock();
        let requested = std::mem::take(&mut state.orders);
        let with_messages = std::mem::take(&mut state.with_messages);
        drop(state);
        self.listeners.send(&with_messages, commands);
        for command in requested {
            match command {
                EngineCommand::Drain => self.end_source(PoolEvent::Drain, now),
                EngineCommand::Stop => self.end_source(PoolEvent::Stop, now),
                EngineCommand::Kill => self.end_source(PoolEvent::Kill, now),
                EngineCommand::Cancel(job) => self.handle_event(PoolEvent::Cancel(job), now),
                EngineCommand::KillNow(job) => self.handle_event(PoolEvent::KillNow(job), now),
                EngineCommand::Signal(job, signal) => {
                    if let Some(worker) = self.pool.worker_of(job) {
                        commands.push(EngineCommand::Signal(job_id_of(worker), signal));
                    }
                }
                EngineCommand::Hold(reason, on) => self.handle_event(PoolEvent::Hold { reason, on }, now),
                EngineCommand::Slots(workers) => self.resize(workers, now),
                other => commands.push(other),
            }
        }
    }

    /// Ends the run early: takes in no more jobs than are queued.
    fn end_source(&mut self, why: PoolEvent, now: Time) {
        self.take_in_rest(now);
        self.handle_event(why, now);
    }

    /// Reports to the pool that there will be no more jobs; false if it knew.
    pub(crate) fn close_source(&mut self, now: Time) -> bool {
        let is_new = !self.pool.source_has_ended();
        if is_new {
            self.handle_event(PoolEvent::SourceEnded, now);
        }
        is_new
    }

    /// Reports to the pool how much memory the workers hold that have finished a job.
    fn measure_growth(&mut self, now: Time) {
        for worker in std::mem::take(&mut self.growing) {
            match self.workers.get(worker).map(|reused| reused.pid) {
                // The measurement waits until its process is known.
                Some(0) => self.growing.push(worker),
                Some(pid) => {
                    if let Ok(bytes) = proc_memory::resident_of_tree(pid, 1) {
                        self.handle_event(PoolEvent::Resident { worker, bytes }, now);
                    }
                }
                None => {}
            }
        }
    }

    /// Takes a job, or a batch, from the caller's side; false if there is none, or no room.
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
        if let Some(reused) = self.workers.get_mut(worker) {
            reused.pid = pid;
        }
        self.handle_event(PoolEvent::Process { worker, pid }, now);
        self.report_start(worker);
    }

    fn on_end(&mut self, end: WorkerEnd, now: Time) {
        let (worker, outcome) = match end {
            WorkerEnd::Ended(worker, outcome) => (worker, outcome),
            WorkerEnd::Lost(worker) => {
                let found = self.progress_of(worker);
                return self.handle_event(PoolEvent::Lost { worker, found }, now);
            }
        };
        let last = outcome.last.as_ref();
        let exit = last.and_then(|last| last.exit);
        if let (Some(reused), Some(last), true) = (self.workers.get_mut(worker), last, exit.is_some()) {
            reused.pid = last.pid;
        }
        let usage = last.map(|last| last.usage).unwrap_or_default();
        if let Some(reused) = self.workers.get_mut(worker) {
            reused.on_used(usage);
        }
        let found = self.progress_of(worker);
        let verdict = outcome.verdict;
        self.handle_event(PoolEvent::Ended { worker, verdict, exit, usage, found }, now);
    }

    fn progress_of(&mut self, worker: WorkerKey) -> BatchProgress {
        let most = self.pool.results_max(worker);
        self.workers.get_mut(worker).map(|reused| reused.progress(most)).unwrap_or_default()
    }

    fn carry_out(&mut self, action: PoolAction, now: Time, commands: &mut Vec<EngineCommand>) {
        match action {
            // The engine asks when it is woken.
            PoolAction::Pull => self.shared.waker.wake(),
            PoolAction::Give { worker, attempt, slot, jobs } => {
                self.give(worker, attempt, slot, &jobs, commands);
            }
            PoolAction::TakeBack(worker) => self.take_back(worker, now),
            PoolAction::Leave(worker) => commands.push(send_to(worker, (ToWorker::Leave, Body::None))),
            PoolAction::Cancel(worker) => commands.push(EngineCommand::Cancel(job_id_of(worker))),
            PoolAction::Kill(worker) => commands.push(EngineCommand::KillNow(job_id_of(worker))),
            PoolAction::Gone(worker) => drop(self.workers.remove(worker)),
            PoolAction::Single { job, index, worker } => self.on_single(job, index, worker),
            PoolAction::Output { worker, job } => self.on_output(worker, job),
            PoolAction::Results { worker, jobs } => self.on_results(worker, &jobs),
            PoolAction::HandOut(jobs) => self.hand_out(&jobs),
            PoolAction::Attempt { attempt, slot } => {
                self.listeners.next_attempt(attempt.job);
                if let Some(job) = self.jobs.get_mut(attempt.job) {
                    (job.slot, job.pid, job.name) = (slot, 0, None);
                }
            }
            PoolAction::Discard(job) => {
                if let Some(job) = self.jobs.get_mut(job) {
                    (job.output, job.value) = (AttemptOutput::default(), None);
                }
            }
            PoolAction::Retry(job) => {
                if let Some(retried) = self.jobs.get(job) {
                    self.live.break_off(job, tag_of(&retried.job_ref()));
                    self.shared.show(|| ObserverEvent::Retried(retried.index));
                }
            }
            PoolAction::End { job, jobs, outcome } => self.on_outcome(job, &jobs, outcome),
            PoolAction::Deliver { job, jobs } => self.deliver_job(job, &jobs),
            PoolAction::Room(room) => commands.push(EngineCommand::Slots(room)),
            PoolAction::Broken { jobs } => self.shared.on_broken(jobs),
            PoolAction::GiveUp { failures, cause } => {
                commands.push(EngineCommand::GiveUp(Box::new(EngineError::Workers { failures, cause })));
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
        commands: &mut Vec<EngineCommand>,
    ) {
        let Some(reused) = self.workers.get_mut(worker) else { return };
        reused.prepare((jobs.end - jobs.start) as u32);
        reused.slot = slot.0;
        let message = match self.jobs.get_mut(attempt.job) {
            Some(job) => {
                job.slot = slot;
                job.pid = reused.pid;
                job.name.clone_from(&reused.name);
                let request = job.job_request(attempt, self.wants, false);
                request.map(|request| (ToWorker::Job(request), Body::Shared(job.request.input.clone())))
            }
            None => self.batch_message(attempt, slot, jobs),
        };
        commands.extend(message.map(|message| send_to(worker, message)));
        self.report_start(worker);
    }

    /// Reports that the first attempt of a job has a process, once that is known.
    fn report_start(&mut self, worker: WorkerKey) {
        let wants_starts = self.wants.starts;
        let pid = self.workers.get(worker).map_or(0, |reused| reused.pid);
        let Some((attempt, job)) = self.job_of(worker) else { return };
        job.pid = pid;
        if pid == 0 {
            return;
        }
        let is_new = job.shown_attempt < attempt.number;
        job.shown_attempt = job.shown_attempt.max(attempt.number);
        let is_first = wants_starts && !std::mem::replace(&mut job.start_reported, wants_starts);
        if !is_new && !is_first {
            return;
        }
        let job = job.job_ref();
        if is_new {
            self.shared.show(|| ObserverEvent::Began(&job, attempt.number));
        }
        if is_first {
            self.shared.send_event(RunEvent::Started(job));
        }
    }

    /// Moves the output of a worker to its job.
    fn on_output(&mut self, worker: WorkerKey, job: JobId) {
        if let (Some(reused), Some(job)) = (self.workers.get_mut(worker), self.jobs.get_mut(job)) {
            job.usage = reused.take_usage();
            job.output = reused.take_output();
            job.pid = reused.pid;
        }
    }

    fn on_outcome(&mut self, id: JobId, jobs: &Range<u64>, mut outcome: Box<Outcome>) {
        let cut_short = matches!(outcome.verdict, Err(Cause::Cancelled));
        if outcome.verdict.is_err() && !cut_short {
            self.shared.on_failed(JobId(jobs.start + 1));
        }
        let Some(job) = self.jobs.get_mut(id) else {
            self.outcomes.insert(id, outcome);
            return;
        };
        if let (Some(usage), Some(last)) = (job.usage, &mut outcome.last) {
            last.usage = usage;
        }
        // Where a run is observed there are no batches.
        let (job_ref, refused) = (job.job_ref(), job.request.refused.as_ref());
        let ended = || FinishedJob { job: &job_ref, outcome: &outcome, refused, output: &job.output };
        self.shared.show(|| ObserverEvent::Ended(ended()));
        job.outcome = Some(outcome);
        if self.wants.slots {
            self.shared.send_event(RunEvent::SlotFreed);
        }
    }

    fn deliver_job(&mut self, id: JobId, jobs: &Range<u64>) {
        let Some(ended) = self.jobs.remove(id) else { return self.deliver_unbegun(id, jobs) };
        self.listeners.remove(id);
        let job = ended.job_ref();
        let ReusedJob { request, value, output, outcome: Some(mut outcome), pid, .. } = ended else { return };
        if let Some(last) = &mut outcome.last {
            last.pid = pid;
        }
        let mut finished = Finished::new(job, request, *outcome);
        (finished.value, finished.output) = (value, output);
        if self.output.is_live() {
            finished.live = self.live.end(id, &mut finished);
        }
        self.send_event(RunEvent::Done(Box::new(finished)));
    }

    /// Delivers the outcome of short jobs of which none was begun, to each of them.
    fn deliver_unbegun(&mut self, id: JobId, jobs: &Range<u64>) {
        let Some(outcome) = self.outcomes.remove(id) else { return };
        for index in jobs.clone() {
            let Some(block) = self.inputs.take(&(index..index + 1)) else { continue };
            let request = block.first();
            let job = JobRef::unstarted(index, &request);
            let finished = Finished::new(job, request, (*outcome).clone());
            self.send_event(RunEvent::Done(Box::new(finished)));
        }
    }
}

/// Returns the job of the engine that this worker is.
pub(crate) fn job_id_of(worker: WorkerKey) -> JobId {
    let id = JobId(worker.0);
    debug_assert_eq!(worker_of(id), worker);
    id
}

fn send_to(worker: WorkerKey, message: (ToWorker, Body)) -> EngineCommand {
    EngineCommand::Send(job_id_of(worker), MessagesToWorker(vec![message]))
}
