//! The ends of workers, and the consequences for the one job that each had.

use super::event::BatchProgress;
use super::{PoolAction, Worker, WorkerKey, WorkerPool, WorkerStage};
use crate::outcome::{Cause, Evidence, Exit, Usage};
use crate::{AttemptId, Event, Time};

/// The end of a worker.
#[derive(Debug)]
pub(super) struct WorkerEnd {
    pub(super) verdict: Result<(), Cause>,
    pub(super) exit: Option<Exit>,
    pub(super) usage: Usage,
    pub(super) found: BatchProgress,
}

impl WorkerPool {
    pub(super) fn on_ended(&mut self, id: WorkerKey, end: &WorkerEnd, now: Time) {
        // The reply that it has sent comes first.
        self.handle_reply(id, now);
        let Some(worker) = self.take_worker(id) else { return };
        match worker.stage {
            WorkerStage::Busy { .. } if worker.alone => self.on_alone_ended(id, &worker, end),
            WorkerStage::Busy { attempt, began } => {
                self.on_busy_ended(id, &worker, (attempt, began), end, now);
            }
            // A worker that is terminating is not a failed start.
            WorkerStage::Starting if !worker.terminating => {
                self.on_start_failed(end.verdict.clone().err().unwrap_or(Cause::Exit(0)), now);
            }
            WorkerStage::Starting | WorkerStage::Idle(_) | WorkerStage::Leaving(_) => {}
        }
        self.out.push(PoolAction::Gone(id));
    }

    fn on_busy_ended(
        &mut self,
        id: WorkerKey,
        worker: &Worker,
        (attempt, began): (AttemptId, bool),
        end: &WorkerEnd,
        now: Time,
    ) {
        let began = self.salvage(id, worker, attempt, end.found, now) || began;
        match (&end.verdict, end.exit) {
            (Err(Cause::SpawnFailed(failure)), _) => {
                self.leave_job(id, attempt);
                self.events.push_back(Event::StartFailed { attempt, failure: failure.clone() });
            }
            (Ok(()) | Err(_), _) if !began && self.may_wait_again(id, attempt, worker, now) => {
                self.wait_again(attempt, worker, now);
            }
            (verdict, Some(exit)) if (began && !worker.violated) || worker.terminating => {
                self.leave_job(id, attempt);
                let verdict = verdict.clone().and(Err(Cause::Exit(0)));
                self.events.push_back(Event::Reported { attempt, verdict });
                self.end_attempt(attempt, exit, end.usage);
            }
            (Ok(()) | Err(_), _) => {
                self.leave_job(id, attempt);
                self.events.push_back(Event::Vanished { attempt });
            }
        }
    }

    pub(super) fn on_lost(&mut self, id: WorkerKey, found: BatchProgress, now: Time) {
        self.handle_reply(id, now);
        if let Some(worker) = self.take_worker(id) {
            if let WorkerStage::Busy { attempt, began } = worker.stage {
                let began = self.salvage(id, &worker, attempt, found, now) || began;
                if !began && self.may_wait_again(id, attempt, &worker, now) {
                    self.wait_again(attempt, &worker, now);
                } else {
                    self.leave_job(id, attempt);
                    self.events.push_back(Event::Vanished { attempt });
                }
            }
            self.out.push(PoolAction::Gone(id));
        }
        // It would be started again, as one that must run alone: another takes its place.
        self.out.push(PoolAction::Cancel(id));
    }

    fn take_worker(&mut self, id: WorkerKey) -> Option<Worker> {
        self.idle.retain(|idle| *idle != id);
        self.replied.retain(|replied| *replied != id);
        self.workers.remove(id)
    }

    /// Detaches the worker from its job, which ends with it.
    fn leave_job(&mut self, id: WorkerKey, attempt: AttemptId) {
        let Some(job) = self.jobs.get_mut(attempt.job) else { return };
        job.worker = None;
        if job.batch.is_none() {
            self.out.push(PoolAction::Output { worker: id, job: attempt.job });
        }
    }

    /// Reports the end of the attempt to the dispatcher: its worker is free for the next.
    pub(super) fn end_attempt(&mut self, attempt: AttemptId, exit: Exit, usage: Usage) {
        let evidence = Evidence::default();
        self.events.push_back(Event::Exited { attempt, exit, usage, evidence, alive: 0, output_open: false });
    }
}
