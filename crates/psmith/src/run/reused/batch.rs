//! Short jobs in batches: which go together is the pool's to decide. Here inputs are handed in and sent, and results are
//! read from the memory that a worker shares, and told in order.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use psmith_core::worker_pool::{Placement, PoolEvent, Received, WorkerKey, WorkerReport};
use psmith_core::{AttemptId, JobId, JobPolicy, SlotId, Time};

use crate::job::job::Request;
use crate::run::input_block::{InputBlock, ResultBlock};
use crate::run::queue::NextJobs;
use crate::run::reused::{ReusedDriver, ReusedJob};
use crate::run::run_event::RunEvent;
use psmith_engine::channel::frame::Body;
use psmith_engine::channel::messages::{CallEnd, FromWorker, JobRequest, ToWorker};
use psmith_engine::handler::{HandlerReply, WorkerMessage};

/// The inputs of a batch: they go by the socket, which should take them at once.
const BATCH_BYTES_MAX: usize = 64 * 1024;

/// The inputs that should be on their way, at most.
const WANTED_BYTES_MAX: u64 = 1 << 20;

impl ReusedDriver {
    /// Takes in what makes one more batch, or one more job; false if there is none.
    pub(crate) fn take_in(&mut self, now: Time) -> bool {
        if let Some(block) = self.pool.next_returned().and_then(|jobs| self.inputs.get(&jobs)) {
            let (fit, waiting) = self.measure(&block);
            self.happens(PoolEvent::Returned { fit, waiting }, now);
            return true;
        }
        match self.next_incoming() {
            Some(NextJobs::Many(block)) => {
                let (fit, waiting) = self.measure(&block);
                let jobs = block.index..block.index + block.len() as u64;
                let policy = Arc::clone(block.policy());
                self.inputs.add(block);
                self.happens(PoolEvent::Jobs { jobs, fit, waiting, policy }, now);
                true
            }
            Some(NextJobs::One(index, request, policy)) => {
                self.accept_one((index, request), policy, now);
                true
            }
            None => self.ends_here(now),
        }
    }

    /// How many of these one message carries, and how many more wait outside. Says how many should.
    fn measure(&self, block: &InputBlock) -> (u64, u64) {
        let bytes_each = block.body_len() as u64 / block.len() as u64 + 1;
        let wanted = self.pool.inputs_wanted().min(WANTED_BYTES_MAX / bytes_each);
        self.shared.wanted.store(wanted, Ordering::Relaxed);
        (block.fitting(BATCH_BYTES_MAX) as u64, self.shared.lock().queue.jobs())
    }

    /// The jobs whose turn it is.
    fn next_incoming(&self) -> Option<NextJobs> {
        let next = self.shared.lock().queue.next();
        next.or_else(|| {
            self.shared.on_idle_workers();
            self.shared.lock().queue.next().inspect(|_| self.shared.on_work_available())
        })
    }

    /// Nothing was taken in: is that the end?
    fn ends_here(&mut self, now: Time) -> bool {
        let state = self.shared.lock();
        let is_closed = state.closed && state.queue.is_empty();
        drop(state);
        is_closed && self.close_source(now)
    }

    pub(crate) fn accept_one(&mut self, (index, request): (u64, Request), policy: Arc<JobPolicy>, now: Time) {
        let cancelled = request.cancelled;
        let placement = if request.refused.is_some() {
            Placement::Refused
        } else if request.is_alone() {
            Placement::Alone
        } else {
            Placement::Shared
        };
        self.jobs.insert(self.pool.next_job(), ReusedJob::new(request, index));
        self.happens(PoolEvent::Job { index, policy, placement, cancelled }, now);
    }

    /// The run is about to end: all that waits is told to the pool, which has an outcome for each.
    pub(crate) fn take_all_in(&mut self, now: Time) {
        if !self.wants.blocks || self.pool.source_has_ended() {
            return;
        }
        while let Some(next) = self.next_incoming() {
            match next {
                NextJobs::One(index, request, policy) => self.accept_one((index, request), policy, now),
                NextJobs::Many(block) => {
                    let jobs = block.index..block.index + block.len() as u64;
                    let policy = Arc::clone(block.policy());
                    self.inputs.add(block);
                    self.happens(PoolEvent::LastJobs { jobs, policy }, now);
                }
            }
        }
    }

    /// What was one of several jobs is now a job of its own.
    pub(crate) fn on_single(&mut self, job: JobId, index: u64, worker: Option<WorkerKey>) {
        let Some(block) = self.inputs.take(&(index..index + 1)) else { return };
        let mut held = ReusedJob::new(block.first(), index);
        if let Some(life) = worker.and_then(|worker| self.lives.get_mut(&worker)) {
            held.pid = life.pid;
            held.slot = SlotId(life.slot);
            held.name.clone_from(&life.name);
            held.value = life.value.take();
        }
        self.jobs.insert(job, held);
    }

    /// The message that gives a worker these jobs.
    pub(crate) fn batch_letter(
        &self,
        attempt: AttemptId,
        slot: SlotId,
        jobs: &Range<u64>,
    ) -> Option<(ToWorker, Body)> {
        let block = self.inputs.get(jobs)?;
        let job_request = JobRequest {
            job: jobs.start + 1,
            index: jobs.start,
            attempt: attempt.number,
            slot: slot.0,
            function: block.callee().function.clone().ok()?,
            last: false,
            scratch: None,
        };
        Some((ToWorker::Batch(job_request, block.len() as u32), Body::Owned(block.body())))
    }

    /// A worker says that its batch is over.
    pub(crate) fn on_batch_done(
        &mut self,
        worker: WorkerKey,
        letter: WorkerMessage,
        mail: &mut HandlerReply,
    ) {
        let WorkerMessage { message: FromWorker::BatchDone { job, values, then, nanos, .. }, bytes, body } =
            letter
        else {
            return;
        };
        let most = self.pool.results_max(worker);
        let Some(life) = self.lives.get_mut(&worker) else { return };
        let whole = most.map_or(0, |most| life.read_results(values.min(most)));
        let has_body = then.as_ref().is_some_and(CallEnd::has_body);
        let ended_by = then.is_some();
        let (then, spent) = (then.map(CallEnd::verdict), std::time::Duration::from_nanos(nanos));
        match self.pool.receive(worker, WorkerReport::BatchDone { job, values, whole, then, spent }) {
            Ok(Received::Kept | Received::Final) => {
                life.value = has_body.then_some((bytes, body));
                mail.reads_output = ended_by;
            }
            Err(violation) => mail.breach = Some(violation.to_string()),
        }
    }

    /// Takes from a worker what it has not begun of its batch.
    pub(crate) fn take_back(&mut self, worker: WorkerKey, now: Time) {
        let most = self.pool.results_max(worker);
        let (Some(life), Some(most)) = (self.lives.get_mut(&worker), most) else { return };
        // One stays, even if it is not begun: on a busy machine the worker may not even have looked.
        let stay = life.region.as_ref().map_or(most, |region| region.take_back(1));
        let results = life.read_results(most.min(stay));
        self.happens(PoolEvent::TakenBack { worker, stay, results }, now);
    }

    /// Jobs have succeeded: their results were read.
    pub(crate) fn on_results(&mut self, worker: WorkerKey, jobs: &Range<u64>) {
        let (Some(life), Some(block)) = (self.lives.get_mut(&worker), self.inputs.take(jobs)) else { return };
        let values = life.take_values();
        debug_assert_eq!(values.ends.len() as u64, jobs.end - jobs.start, "each has its result");
        let job = life.job(jobs.start);
        let results = ResultBlock { block, job, bytes: values.bytes, ends: values.ends, taken: 0 };
        self.send_event(RunEvent::Results(Box::new(results)));
    }

    /// Tells outcomes, or keeps them until it is their turn if there is an order.
    pub(crate) fn send_event(&mut self, event: RunEvent) {
        if self.is_ordered {
            self.shelf.insert(event.jobs().0, event);
        } else {
            self.shared.send_event(event);
        }
    }

    /// It is the turn of the outcomes of these jobs.
    pub(crate) fn hand_out(&mut self, jobs: &Range<u64>) {
        while let Some(first) = self.shelf.first_entry().filter(|first| *first.key() < jobs.end) {
            self.shared.send_event(first.remove());
        }
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
