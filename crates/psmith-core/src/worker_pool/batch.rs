//! Batches of short jobs: made of jobs that wait when a worker is free, never waited for, and taken apart as soon as a
//! job in them is not a plain success.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use super::event::{BatchProgress, Placement};
use super::job::{Batch, PoolJob, length, split_off, split_to};
use super::worker::Worker;
use super::{PoolAction, WorkerKey, WorkerPool};
use crate::outcome::{Exit, Usage};
use crate::policy::JobPolicy;
use crate::{AttemptId, Event, Time};

/// The time after which a batch gives back the jobs that are not begun.
const BATCH_TIME_MAX: Duration = Duration::from_millis(10);

/// The number of times that a job may be with a worker that ends before it calls the function; then it counts as lost.
pub const UNBEGUN_MAX: u32 = 32;

impl WorkerPool {
    /// Accepts as many of these jobs as should go together; the others are queued here.
    pub(super) fn accept_some(
        &mut self,
        (mut jobs, policy): (Range<u64>, Arc<JobPolicy>),
        fit: u64,
        waiting: u64,
        now: Time,
    ) {
        // So that jobs are left for the other workers.
        let waiting = waiting + self.returned_jobs() + length(&jobs);
        let share = waiting.div_ceil(u64::from(self.slots.max(1)));
        let count = self.sizer.jobs.min(share).min(fit).max(1);
        let rest = split_off(&mut jobs, count);
        if !rest.is_empty() {
            self.returned.push_front((rest, Arc::clone(&policy)));
        }
        self.accept_jobs(jobs, policy, now);
    }

    /// Accepts these jobs as one.
    pub(super) fn accept_jobs(&mut self, jobs: Range<u64>, policy: Arc<JobPolicy>, now: Time) {
        let job = PoolJob::new(jobs, policy, Placement::Shared);
        if job.batch.is_none() {
            let (job, index) = (self.next_job(), job.jobs.start);
            self.out.push(PoolAction::Single { job, index, worker: None });
        }
        self.accept(job, now);
    }

    pub(super) fn accept(&mut self, job: PoolJob, now: Time) {
        let id = self.next_job();
        let (policy, cancelled) = (Arc::clone(&job.policy), job.cancelled);
        self.jobs.insert(id, job);
        self.dispatcher.handle(Event::Accepted { job: id, policy }, now, &mut self.asked);
        if cancelled {
            self.events.push_back(Event::Cancel(id));
        }
    }

    /// Queues jobs that were not begun again, in the order of all.
    pub(super) fn give_back(&mut self, mut jobs: Range<u64>, policy: Arc<JobPolicy>, now: Time) {
        if !self.source_ended {
            if !jobs.is_empty() {
                let place = self.returned.partition_point(|(other, _)| other.start < jobs.start);
                self.returned.insert(place, (jobs, policy));
            }
            return;
        }
        // No more jobs will be requested, so they are accepted at once; in pieces, so that all workers can help.
        let piece = length(&jobs).div_ceil(u64::from(self.slots.max(1))).max(1);
        while !jobs.is_empty() {
            self.accept_jobs(split_to(&mut jobs, piece), Arc::clone(&policy), now);
        }
    }

    /// Passes on the new results of this attempt's batch, of which there are `results` by now.
    fn pass_results(&mut self, worker: WorkerKey, attempt: AttemptId, results: u32) {
        let Some(job) = self.jobs.get_mut(attempt.job) else { return };
        let Some(batch) = &mut job.batch else { return };
        let new = results.saturating_sub(core::mem::replace(&mut batch.results, results));
        let jobs = split_to(&mut job.jobs, u64::from(new));
        if !jobs.is_empty() {
            self.out.push(PoolAction::Results { worker, jobs: jobs.clone() });
            self.hand_out(jobs);
        }
    }

    /// Hands out the outcomes of these jobs, which are complete.
    pub(super) fn hand_out(&mut self, jobs: Range<u64>) {
        if let Some(turn) = self.reorder.as_mut().and_then(|reorder| reorder.push(jobs)) {
            self.out.push(PoolAction::HandOut(turn));
        }
    }

    /// Settles a batch that is over. The job that ended it, if one did, is now the attempt's own.
    pub(super) fn settle_batch(
        &mut self,
        worker: WorkerKey,
        attempt: AttemptId,
        (results, is_whole, more): (u32, bool, bool),
        spent: Duration,
        now: Time,
    ) {
        self.pass_results(worker, attempt, results);
        let Some(job) = self.jobs.get_mut(attempt.job) else { return };
        let rest = split_off(&mut job.jobs, u64::from(more));
        let policy = Arc::clone(&job.policy);
        if more || !rest.is_empty() {
            self.sizer.on_part(u64::from(results));
        } else if is_whole {
            self.sizer.on_whole(u64::from(results), spent);
        }
        if more {
            self.make_single(attempt, Some(worker));
        }
        self.give_back(rest, policy, now);
    }

    /// Makes the attempt one of a single job: the one that is left of its batch.
    pub(super) fn make_single(&mut self, attempt: AttemptId, worker: Option<WorkerKey>) {
        let Some(job) = self.jobs.get_mut(attempt.job) else { return };
        job.batch = None;
        let index = job.jobs.start;
        self.out.push(PoolAction::Single { job: attempt.job, index, worker });
    }

    /// Settles an attempt whose worker is gone: results that it finished of a batch are passed on, jobs that it did
    /// not begin are queued again. Returns whether a job was begun: that one is now the attempt's own.
    pub(super) fn salvage(
        &mut self,
        id: WorkerKey,
        worker: &Worker,
        attempt: AttemptId,
        found: BatchProgress,
        now: Time,
    ) -> bool {
        let Some(job) = self.jobs.get_mut(attempt.job) else { return false };
        if !worker.batches {
            return false;
        }
        let Some(batch) = job.batch else { return found.begun > 0 };
        // The worker's claim is not trusted.
        let results = found.results.min(batch.results + length(&job.jobs) as u32).max(batch.results);
        self.pass_results(id, attempt, results);
        self.sizer.on_part(u64::from(results));
        let Some(job) = self.jobs.get_mut(attempt.job) else { return false };
        let at_work = !job.jobs.is_empty() && found.begun > results;
        if at_work {
            let (rest, policy) = (split_off(&mut job.jobs, 1), Arc::clone(&job.policy));
            self.make_single(attempt, Some(id));
            self.give_back(rest, policy, now);
        } else {
            job.batch = Some(Batch::new(&job.jobs));
        }
        at_work
    }

    /// Returns whether an attempt whose worker ended before it began is to wait instead of being reported as lost. A
    /// row of workers that never come to a job is not waited out.
    pub(super) fn may_wait_again(
        &mut self,
        id: WorkerKey,
        attempt: AttemptId,
        worker: &Worker,
        now: Time,
    ) -> bool {
        let Some(job) = self.jobs.get_mut(attempt.job) else { return false };
        match job.batch {
            Some(_) if worker.terminating || job.jobs.is_empty() => true,
            None if worker.terminating => false,
            Some(_) | None if job.returns < UNBEGUN_MAX => true,
            None => false,
            Some(_) => {
                // The first job is the one that is lost.
                let (rest, policy) = (split_off(&mut job.jobs, 1), Arc::clone(&job.policy));
                self.make_single(attempt, Some(id));
                self.give_back(rest, policy, now);
                false
            }
        }
    }

    /// Queues an attempt whose worker ended between two jobs for another one. The attempt's start was the
    /// dispatcher's; no job is to blame, and nothing is counted. If it is to end, or there is nothing left to do, it
    /// ends.
    pub(super) fn wait_again(&mut self, attempt: AttemptId, worker: &Worker, now: Time) {
        let Some(job) = self.jobs.get_mut(attempt.job) else { return };
        job.worker = None;
        job.returns += 1;
        if job.batch.is_some() && (job.jobs.is_empty() || worker.terminating) {
            let (rest, policy) = (split_off(&mut job.jobs, 0), Arc::clone(&job.policy));
            self.events.push_back(Event::Reported { attempt, verdict: Ok(()) });
            self.end_attempt(attempt, Exit::Code(0), Usage::default());
            self.give_back(rest, policy, now);
        } else {
            let slot = job.slot;
            self.waiting.push_front((attempt, slot));
        }
    }

    /// Returns the batches that were given, each with the time when the jobs that are not begun are taken back.
    fn batches_due(&self) -> impl Iterator<Item = (WorkerKey, Time)> {
        self.workers.iter().filter_map(|(id, worker)| {
            let batch = self.jobs.get(worker.attempt()?.job)?.batch?;
            Some((id, batch.given? + BATCH_TIME_MAX))
        })
    }

    /// Takes the jobs that are not begun from batches that last too long.
    pub(super) fn take_back_overdue(&mut self, now: Time) {
        let late: Vec<WorkerKey> =
            self.batches_due().filter(|(_, due)| *due <= now).map(|(worker, _)| worker).collect();
        for worker in late {
            if let Some(attempt) = self.workers.get(worker).and_then(Worker::attempt)
                && let Some(batch) = self.jobs.get_mut(attempt.job).and_then(|job| job.batch.as_mut())
            {
                batch.given = None;
                self.out.push(PoolAction::TakeBack(worker));
            }
        }
    }

    pub(super) fn next_late_batch(&self) -> Option<Time> {
        self.batches_due().map(|(_, due)| due).min()
    }

    /// Leaves a worker the job that it runs, or would run next, and takes the others of its batch.
    pub(super) fn on_taken_back(&mut self, id: WorkerKey, stay: u32, results: u32, now: Time) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        let Some(attempt) = worker.attempt() else { return };
        let Some(job) = self.jobs.get_mut(attempt.job) else { return };
        let Some(batch) = job.batch else { return };
        let rest = split_off(&mut job.jobs, u64::from(stay - batch.results.min(stay)));
        worker.jobs = worker.jobs.saturating_sub(length(&rest));
        let policy = Arc::clone(&job.policy);
        self.pass_results(id, attempt, results);
        self.sizer.on_part(u64::from(results) / 2);
        self.give_back(rest, policy, now);
    }
}
