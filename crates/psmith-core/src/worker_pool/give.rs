//! The assignment of attempts to workers, and the actions that the dispatcher requests.

use alloc::string::String;

use super::event::Placement;
use super::job::{length, split_off};
use super::{PoolAction, WorkerPool, WorkerStage};
use crate::action::Notice;
use crate::outcome::{Exit, SpawnFailure, SpawnStep, Usage};
use crate::policy::SIGTERM;
use crate::{Action, AttemptId, Event, JobId, SlotId, Time};

impl WorkerPool {
    pub(super) fn carry_out(&mut self, action: Action, now: Time) {
        match action {
            Action::Start { attempt, slot, memory_bytes } => self.start(attempt, slot, memory_bytes),
            Action::Signal { attempt, .. } => match self.worker_with(attempt) {
                // The driver takes the same ladder, with the same waits.
                Some(worker) => {
                    self.terminate(worker);
                    self.out.push(PoolAction::Cancel(worker));
                }
                None => self.end_unbegun(attempt),
            },
            Action::KillTree { attempt } => match self.worker_with(attempt) {
                Some(worker) => {
                    self.terminate(worker);
                    if self.workers.get(worker).is_some_and(|worker| worker.alone) {
                        // The process may not exist; then there is nothing to kill.
                        self.out.push(PoolAction::Cancel(worker));
                    }
                    self.out.push(PoolAction::Kill(worker));
                }
                None => self.end_unbegun(attempt),
            },
            // Never requested: an attempt here ends with no descendant alive and no output open.
            Action::ReleaseTree { attempt } => self.events.push_back(Event::TreeEmpty { attempt, killed: 0 }),
            Action::StopReading { attempt } => self.events.push_back(Event::OutputClosed { attempt }),
            Action::Discard { attempt } => {
                if let Some(job) = self.jobs.get_mut(attempt.job) {
                    job.worker = None;
                    job.has_process = false;
                }
                self.out.push(PoolAction::Discard(attempt.job));
            }
            Action::End { job, outcome } => {
                let jobs = self.jobs.get(job).map_or(0..0, |job| job.jobs.clone());
                if !jobs.is_empty() {
                    self.out.push(PoolAction::End { job, jobs, outcome });
                }
            }
            Action::Deliver { job } => self.deliver(job),
            Action::Notice(notice) => self.on_notice(&notice, now),
            Action::Head { .. } => {}
            Action::Finish => {
                self.finished = true;
                // So that the driver pulls once more, and learns that there are none.
                self.out.extend([PoolAction::Pull, PoolAction::Finish]);
            }
        }
    }

    fn on_notice(&mut self, notice: &Notice, now: Time) {
        match notice {
            Notice::Halted { now: at_once } => {
                self.accept_returned(now);
                self.end_source();
                if *at_once {
                    self.give_up_waiting(|_| true);
                }
            }
            Notice::Broken { jobs } => {
                self.out.push(PoolAction::Broken { jobs: *jobs });
                self.accept_returned(now);
                self.end_source();
            }
            Notice::Retry { attempt, .. } => self.out.push(PoolAction::Retry(attempt.job)),
            Notice::Slow { .. } | Notice::Held { .. } | Notice::Slots { .. } | Notice::Unkillable { .. } => {}
        }
    }

    fn start(&mut self, attempt: AttemptId, slot: SlotId, memory_bytes: Option<u64>) {
        let Some(job) = self.jobs.get_mut(attempt.job) else { return };
        job.slot = slot;
        if job.batch.is_none() {
            self.out.push(PoolAction::Attempt { attempt, slot });
        }
        match job.placement {
            Placement::Refused => {
                let (step, detail) = (SpawnStep::Prepare, String::new());
                let failure = SpawnFailure { step, errno: 0, detail, permanent: true };
                self.events.push_back(Event::StartFailed { attempt, failure });
            }
            // As in `give_up_waiting`: it was cancelled before it came here.
            Placement::Shared | Placement::Alone if job.cancelled => {
                self.events.push_back(Event::Started { attempt, pid: 0 });
            }
            Placement::Alone => self.queue_alone(attempt, memory_bytes),
            Placement::Shared => self.waiting.push_back((attempt, slot)),
        }
    }

    /// Gives the attempt that waits longest to an idle worker; returns false if one of the two is missing.
    pub fn give_next(&mut self, now: Time, actions: &mut alloc::vec::Vec<PoolAction>) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        let Some(id) = self.idle.pop() else { return false };
        let (Some(worker), Some((attempt, slot))) = (self.workers.get_mut(id), self.waiting.pop_front())
        else {
            debug_assert!(false, "an idle worker lives, and an attempt waits");
            return true;
        };
        let Some(job) = self.jobs.get_mut(attempt.job) else {
            debug_assert!(false, "an attempt that waits has a job");
            return true;
        };
        if !job.has_process {
            job.has_process = true;
            self.dispatcher.handle(Event::Started { attempt, pid: worker.pid }, now, &mut self.asked);
            let is_cut = self.asked.iter().any(|action| match action {
                Action::Signal { attempt: cut, .. } | Action::KillTree { attempt: cut } => *cut == attempt,
                _ => false,
            });
            if is_cut {
                // Its time was up before it had a worker.
                self.idle.push(id);
                return true;
            }
        }
        let most = self.policy.max_jobs.map_or(u64::MAX, |most| most.saturating_sub(worker.jobs));
        let most = if worker.batches { most.max(1) } else { 1 };
        let surplus = match &mut job.batch {
            Some(batch) => {
                batch.given = Some(now);
                split_off(&mut job.jobs, most)
            }
            None => 0..0,
        };
        let (jobs, policy) = (job.jobs.clone(), alloc::sync::Arc::clone(&job.policy));
        job.worker = Some(id);
        worker.stage = WorkerStage::Busy { attempt, began: false };
        worker.jobs += length(&jobs);
        worker.given = now;
        if job.batch.is_some() && length(&jobs) == 1 {
            self.make_single(attempt, Some(id));
        }
        self.out.push(PoolAction::Give { worker: id, attempt, slot, jobs });
        if !surplus.is_empty() {
            self.give_back(surplus, policy, now);
        }
        actions.append(&mut self.out);
        true
    }

    /// Ends attempts that are about to be ended and have no worker: nothing is started for them. To the dispatcher
    /// their process is reported as started and ended, because a requested end waits for a process.
    pub(super) fn give_up_waiting(&mut self, which: impl Fn(JobId) -> bool) {
        self.give_up_alone(&which);
        for (attempt, slot) in core::mem::take(&mut self.waiting) {
            // An attempt that was with a worker before has a process already, and is ended like any other.
            let is_new = self.jobs.get(attempt.job).is_some_and(|job| !job.has_process);
            if is_new && which(attempt.job) {
                self.events.push_back(Event::Started { attempt, pid: 0 });
            } else {
                self.waiting.push_back((attempt, slot));
            }
        }
    }

    /// Ends an attempt that had no worker yet.
    fn end_unbegun(&mut self, attempt: AttemptId) {
        self.waiting.retain(|(waiting, _)| *waiting != attempt);
        self.forget_alone(attempt);
        self.end_attempt(attempt, Exit::Signal { signal: SIGTERM, core_dumped: false }, Usage::default());
    }

    /// Delivers the outcome to the consumer: of a batch that of jobs which have no result; none of them was begun.
    fn deliver(&mut self, id: JobId) {
        self.events.push_back(Event::Delivered(id));
        let Some(job) = self.jobs.remove(id) else { return };
        if !job.jobs.is_empty() {
            self.out.push(PoolAction::Deliver { job: id, jobs: job.jobs.clone() });
            self.hand_out(job.jobs);
        }
    }
}
