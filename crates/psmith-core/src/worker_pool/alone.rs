//! Attempts with a process of their own beside workers for any number of jobs: commands, and functions with limits of
//! their own, whose process is a worker for this one job.
//!
//! To the dispatcher each is an attempt like any other: it keeps their slot, deadline, tries and ladder. This module
//! holds what differs: such an attempt waits for no worker, and the end of the process is the end of the attempt.
//!
//! Idle workers stay meanwhile, because the state that they keep between jobs may be expensive. So room is requested
//! for as many such processes as workers; where there is not that much, idle workers leave as attempts wait.

use alloc::vec::Vec;

use super::ends::WorkerEnd;
use super::{PoolAction, ToStart, Worker, WorkerKey, WorkerPool, WorkerStage};
use crate::outcome::Cause;
use crate::{AttemptId, Event, JobId, Time};

impl WorkerPool {
    /// Returns what is to be started next, if anything is now.
    pub fn pull(&mut self) -> Option<ToStart> {
        if let Some((attempt, memory_bytes)) = self.alone.as_mut().and_then(|alone| alone.pop_front()) {
            let mut process = Worker::new(WorkerStage::Busy { attempt, began: true });
            process.alone = true;
            let worker = self.add_worker(process);
            if let Some(job) = self.jobs.get_mut(attempt.job) {
                job.worker = Some(worker);
            }
            return Some(ToStart::Alone { worker, attempt, memory_bytes });
        }
        self.wanted = self.wanted.checked_sub(1)?;
        Some(ToStart::Worker(self.add_worker(Worker::new(WorkerStage::Starting))))
    }

    fn add_worker(&mut self, worker: Worker) -> WorkerKey {
        self.started += 1;
        let id = WorkerKey(self.started);
        self.workers.insert(id, worker);
        id
    }

    /// Queues an attempt that needs a process of its own.
    pub(super) fn queue_alone(&mut self, attempt: AttemptId, memory_bytes: Option<u64>) {
        if self.alone.is_none() {
            self.alone = Some(Default::default());
            self.out.push(PoolAction::Room(self.room()));
        }
        self.alone.get_or_insert_default().push_back((attempt, memory_bytes));
        self.out.push(PoolAction::Pull);
    }

    /// Returns the number of processes to make room for.
    pub(super) fn room(&self) -> u32 {
        if self.alone.is_some() { self.workers_max.saturating_mul(2) } else { self.workers_max }
    }

    /// Returns how many more workers may be started; needed only where there are other processes, which the driver's
    /// room alone does not count.
    pub(super) fn room_for_workers(&self) -> usize {
        match self.alone {
            None => usize::MAX,
            Some(_) => {
                let workers = self.workers.values().filter(|worker| !worker.alone).count();
                (self.workers_max as usize).saturating_sub(workers)
            }
        }
    }

    /// Records that the process of an attempt exists.
    pub(super) fn on_alone_started(&mut self, worker: WorkerKey, pid: u32) {
        let Some(attempt) = self.workers.get(worker).and_then(Worker::attempt) else { return };
        if let Some(job) = self.jobs.get_mut(attempt.job)
            && !core::mem::replace(&mut job.has_process, true)
        {
            self.events.push_back(Event::Started { attempt, pid });
        }
    }

    /// Records that the process of an attempt has ended.
    pub(super) fn on_alone_ended(&mut self, id: WorkerKey, worker: &Worker, end: &WorkerEnd) {
        let Some(attempt) = worker.attempt() else { return };
        let Some(job) = self.jobs.get_mut(attempt.job) else { return };
        self.out.push(PoolAction::Output { worker: id, job: attempt.job });
        job.worker = None;
        let is_known = core::mem::replace(&mut job.has_process, true);
        match (&end.verdict, end.exit) {
            // Also for a process that was reported as started: exec comes last.
            (Err(Cause::SpawnFailed(failure)), None) => {
                self.events.push_back(Event::StartFailed { attempt, failure: failure.clone() });
            }
            (verdict, Some(exit)) => {
                if !is_known {
                    self.events.push_back(Event::Started { attempt, pid: worker.pid });
                }
                self.events.push_back(Event::Reported { attempt, verdict: verdict.clone() });
                self.end_attempt(attempt, exit, end.usage);
            }
            // The end was not observed, or it was ended before it began.
            (Ok(()) | Err(_), None) => self.events.push_back(Event::Vanished { attempt }),
        }
    }

    /// Ends attempts that are about to be ended and have no process: to the dispatcher their process is reported as
    /// started and ended, because a requested end waits for a process.
    pub(super) fn give_up_alone(&mut self, which: impl Fn(JobId) -> bool) {
        let queued = self.alone.iter().flatten().map(|(attempt, _)| *attempt);
        let pulled = self.workers.values().filter(|worker| worker.alone).filter_map(Worker::attempt);
        let attempts: Vec<AttemptId> = queued.chain(pulled).filter(|attempt| which(attempt.job)).collect();
        for attempt in attempts {
            if let Some(job) = self.jobs.get_mut(attempt.job)
                && !core::mem::replace(&mut job.has_process, true)
            {
                self.events.push_back(Event::Started { attempt, pid: 0 });
            }
        }
    }

    /// Removes an attempt that was ended before the driver pulled it.
    pub(super) fn forget_alone(&mut self, attempt: AttemptId) {
        if let Some(alone) = &mut self.alone {
            alone.retain(|(waiting, _)| *waiting != attempt);
        }
    }

    /// Dismisses idle workers for attempts that find no room among `room` processes, those first that have been idle
    /// longest. Called before a turn, because at its end the requests of that turn have not been carried out.
    pub fn make_room(&mut self, room: u32, now: Time, actions: &mut Vec<PoolAction>) {
        let Some(queued) = self.alone.as_ref().map(|alone| alone.len()) else { return };
        let (mut staying, mut waiting) = (queued, queued);
        for worker in self.workers.values() {
            staying += usize::from(!worker.is_leaving());
            waiting += usize::from(worker.alone && worker.pid == 0);
        }
        self.dismiss(staying.saturating_sub(room as usize).min(waiting), now);
        actions.append(&mut self.out);
    }
}
