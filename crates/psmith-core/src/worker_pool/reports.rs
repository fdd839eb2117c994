//! Reports of workers about their jobs: checked when they are received, handled in the next turn.

use super::event::{Received, RunEnd, Violation, WorkerReport};
use super::job::length;
use super::worker::Reply;
use super::{PoolAction, WorkerKey, WorkerPool, WorkerStage};
use crate::outcome::{Cause, Exit, Usage};
use crate::{Event, Time};

impl WorkerPool {
    /// Records that a worker has introduced itself; returns false if it is not wanted any more. `batches`: it can do
    /// several jobs in a row.
    pub fn greet(&mut self, id: WorkerKey, batches: bool, now: Time) -> bool {
        match self.workers.get_mut(id) {
            Some(worker) if worker.stage == WorkerStage::Starting && !worker.terminating => {
                worker.stage = WorkerStage::Idle(now);
                worker.batches = batches;
                self.idle.push(id);
                self.backoff.on_success();
                true
            }
            // It was given up before it came.
            Some(_) | None => false,
        }
    }

    /// Checks and records a report of a worker.
    ///
    /// # Errors
    /// Fails if the worker may not make this report; then it is to be ended.
    pub fn receive(&mut self, id: WorkerKey, report: WorkerReport) -> Result<Received, Violation> {
        match report {
            WorkerReport::Began { job } => self.on_began(id, job),
            WorkerReport::Done { job, verdict, ends } => self.on_single_reply(id, job, verdict, ends),
            WorkerReport::BatchDone { job, values, whole, then, spent } => {
                let is_whole = self.check_batch(id, job, (values, whole), then.is_some())?;
                self.keep(id, Reply::Batch { results: values, is_whole, then, spent });
                Ok(Received::Kept)
            }
        }
    }

    fn on_began(&mut self, id: WorkerKey, number: u64) -> Result<Received, Violation> {
        let Some(worker) = self.workers.get_mut(id) else { return Err(Violation::NotItsToBegin(number)) };
        let attempt = worker.attempt().filter(|_| worker.reply.is_none());
        match attempt.and_then(|attempt| Some((attempt, self.jobs.get(attempt.job)?))) {
            Some((attempt, job)) if job.number() == number => {
                worker.stage = WorkerStage::Busy { attempt, began: true };
                Ok(Received::Kept)
            }
            Some(_) | None => Err(Violation::NotItsToBegin(number)),
        }
    }

    fn on_single_reply(
        &mut self,
        id: WorkerKey,
        number: u64,
        verdict: Result<(), Cause>,
        ends: Option<RunEnd>,
    ) -> Result<Received, Violation> {
        if !self.is_at(id, number) {
            let job = self.job_of(id).map(|(_, job)| job.number());
            if let Some(worker) = self.workers.get_mut(id) {
                // The report was not about the job that it has.
                worker.violated |= worker.reply.is_none() && job.is_some_and(|job| number < job);
            }
            return Err(Violation::NotItsToAnswer(number));
        }
        if self.workers.get(id).is_some_and(|worker| worker.alone) {
            return Ok(Received::Final);
        }
        self.keep(id, Reply::Single { verdict, ends });
        Ok(Received::Kept)
    }

    /// Checks a reply for a batch. Returns whether no job of the batch had been taken back.
    fn check_batch(
        &mut self,
        id: WorkerKey,
        number: u64,
        (values, whole): (u32, u32),
        more: bool,
    ) -> Result<bool, Violation> {
        let Some(worker) = self.workers.get(id) else { return Err(Violation::NotItsBatch(number)) };
        let Some(attempt) = worker.attempt().filter(|_| worker.reply.is_none()) else {
            return Err(Violation::Twice(number));
        };
        let Some(job) = self.jobs.get_mut(attempt.job) else { return Err(Violation::NotItsBatch(number)) };
        let jobs = length(&job.jobs);
        let Some(batch) = job.batch.as_mut().filter(|batch| worker.batches && batch.first + 1 == number)
        else {
            return Err(Violation::NotItsBatch(number));
        };
        let new = values.checked_sub(batch.results).map(|new| u64::from(new) + u64::from(more));
        if new.is_none_or(|new| new > jobs) {
            return Err(Violation::TooMany(values));
        }
        if whole != values {
            return Err(Violation::NotWhole { values, whole });
        }
        // Nothing is taken back from a batch that is over, however late its reply is handled.
        Ok(batch.given.take().is_some())
    }

    fn keep(&mut self, id: WorkerKey, reply: Reply) {
        if let Some(worker) = self.workers.get_mut(id) {
            worker.reply = Some(reply);
            self.replied.push_back(id);
        }
    }

    /// Handles the reply of this worker.
    pub(super) fn handle_reply(&mut self, id: WorkerKey, now: Time) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        match worker.reply.take() {
            Some(Reply::Single { verdict, ends }) => {
                // The time that it took determines how many jobs might go together.
                if verdict.is_ok() {
                    self.sizer.on_whole(1, now.since(worker.given));
                }
                self.on_done(id, (verdict, ends), now);
            }
            Some(Reply::Batch { results, is_whole, then, spent }) => {
                let Some(attempt) = worker.attempt() else { return };
                let Some(job) = self.jobs.get(attempt.job) else { return };
                // Jobs that it gave back are not counted as its own.
                let taken = job.batch.map_or(0, |batch| u64::from(batch.results));
                let replied = u64::from(results) - taken + u64::from(then.is_some());
                worker.jobs = worker.jobs.saturating_sub(length(&job.jobs).saturating_sub(replied));
                self.settle_batch(id, attempt, (results, is_whole, then.is_some()), spent, now);
                self.on_done(id, (then.unwrap_or(Ok(())), None), now);
            }
            None => {}
        }
    }

    fn on_done(&mut self, id: WorkerKey, (verdict, ends): (Result<(), Cause>, Option<RunEnd>), now: Time) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        let Some(attempt) = worker.attempt() else { return };
        // Output written in a batch without ending it cannot be assigned to one of its jobs: the next job gets it.
        if self.jobs.get(attempt.job).is_some_and(|job| job.batch.is_none()) {
            self.out.push(PoolAction::Output { worker: id, job: attempt.job });
        }
        let panicked = matches!(verdict, Err(Cause::Panic { .. }));
        if worker.terminating || panicked || worker.is_spent(&self.policy) {
            worker.stage = WorkerStage::Leaving(now + self.policy.grace);
            self.out.push(PoolAction::Leave(id));
        } else {
            worker.stage = WorkerStage::Idle(now);
            self.idle.push(id);
        }
        if let Some(job) = self.jobs.get_mut(attempt.job) {
            job.worker = None;
        }
        self.events.push_back(Event::Reported { attempt, verdict });
        // After the report, and before its slot is free for another.
        match ends {
            None => {}
            Some(RunEnd::Drain) => self.end_run(Event::Drain, now),
            Some(RunEnd::Kill) => self.end_run(Event::Kill, now),
        }
        self.end_attempt(attempt, Exit::Code(0), Usage::default());
        if ends == Some(RunEnd::Kill) {
            self.give_up_waiting(|_| true);
        }
    }
}
