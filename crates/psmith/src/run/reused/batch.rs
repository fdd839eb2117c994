//! Short jobs in batches: takes in and sends their inputs, reads their results from the memory that a worker shares,
//! and reports them in order. Never decides which jobs go together: the pool does.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use psmith_core::worker_pool::{Placement, PoolEvent, Received, WorkerKey, WorkerReport};
use psmith_core::{AttemptId, JobId, JobPolicy, SlotId, Time};

use crate::job::job::Request;
use crate::run::input_block::{InputBlock, ResultBlock};
use crate::run::job_messages::receiver_of;
use crate::run::queue::NextJobs;
use crate::run::reused::{ReusedDriver, ReusedJob};
use crate::run::run_event::RunEvent;
use psmith_engine::channel::frame::Body;
use psmith_engine::channel::messages::{CallEnd, CallUsage, FromWorker, JobRequest, ToWorker};
use psmith_engine::handler::{HandlerReply, WorkerMessage};

/// Limit of the bytes of inputs in a batch: they go by the socket, which should take them at once.
const BATCH_BYTES_MAX: usize = 64 * 1024;

/// Limit of the bytes of inputs that should be on their way.
const WANTED_BYTES_MAX: u64 = 1 << 20;

impl ReusedDriver {
    /// Takes in jobs for one more batch, or one more job; false if there is none.
    pub(crate) fn take_in(&mut self, now: Time) -> bool {
        if let Some(block) = self.pool.next_returned().and_then(|jobs| self.inputs.get(&jobs)) {
            let (fit, waiting) = self.measure(&block);
            self.handle_event(PoolEvent::Returned { fit, waiting }, now);
            return true;
        }
        match self.next_incoming() {
            Some(NextJobs::Many(block)) => {
                let (fit, waiting) = self.measure(&block);
                let jobs = block.index..block.index + block.len() as u64;
                let policy = Arc::clone(block.policy());
                self.inputs.add(block);
                self.handle_event(PoolEvent::Jobs { jobs, fit, waiting, policy }, now);
                true
            }
            Some(NextJobs::One(index, request, policy)) => {
                self.accept_one((index, request), policy, now);
                true
            }
            None => self.close_if_empty(now),
        }
    }

    /// Returns how many of these jobs one message carries, and how many more wait in the queue. Publishes how many
    /// should wait there.
    fn measure(&self, block: &InputBlock) -> (u64, u64) {
        let bytes_each = block.body_len() as u64 / block.len() as u64 + 1;
        let wanted = self.pool.inputs_wanted().min(WANTED_BYTES_MAX / bytes_each);
        self.shared.wanted.store(wanted, Ordering::Relaxed);
        (block.fitting(BATCH_BYTES_MAX) as u64, self.shared.lock().queue.jobs())
    }

    /// Takes the next jobs from the queue.
    fn next_incoming(&self) -> Option<NextJobs> {
        let next = self.shared.lock().queue.next();
        next.or_else(|| {
            self.shared.on_idle_workers();
            self.shared.lock().queue.next().inspect(|_| self.shared.on_work_available())
        })
    }

    /// Ends the source if the queue is empty and closed; true if the source ended now.
    fn close_if_empty(&mut self, now: Time) -> bool {
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
        self.handle_event(PoolEvent::Job { index, policy, placement, cancelled }, now);
    }

    /// Gives all queued jobs to the pool, which has an outcome for each: the run is about to end.
    pub(crate) fn take_in_rest(&mut self, now: Time) {
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
                    self.handle_event(PoolEvent::LastJobs { jobs, policy }, now);
                }
            }
        }
    }

    /// Makes one of several short jobs a single job.
    pub(crate) fn on_single(&mut self, id: JobId, index: u64, worker: Option<WorkerKey>) {
        let Some(block) = self.inputs.take(&(index..index + 1)) else { return };
        let mut job = ReusedJob::new(block.first(), index);
        if let Some(reused) = worker.and_then(|worker| self.workers.get_mut(worker)) {
            job.pid = reused.pid;
            job.slot = SlotId(reused.slot);
            job.name.clone_from(&reused.name);
            job.value = reused.value.take();
        }
        self.jobs.insert(id, job);
    }

    /// The message that gives a worker these jobs.
    pub(crate) fn batch_message(
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
            receiver: receiver_of(self.wants, None),
        };
        Some((ToWorker::Batch(job_request, block.len() as u32), Body::Owned(block.body())))
    }

    /// Handles a worker's report that its batch is over.
    pub(crate) fn on_batch_done(
        &mut self,
        worker: WorkerKey,
        message: WorkerMessage,
        reply: &mut HandlerReply,
    ) {
        let WorkerMessage {
            message: FromWorker::BatchDone { job, values, then, nanos, usage, .. },
            bytes,
            body,
        } = message
        else {
            return;
        };
        let most = self.pool.results_max(worker);
        let Some(reused) = self.workers.get_mut(worker) else { return };
        reused.usage = usage.map(CallUsage::usage);
        let whole = most.map_or(0, |most| reused.read_results(values.min(most)));
        let has_body = then.as_ref().is_some_and(CallEnd::has_body);
        let ended_by = then.is_some();
        let (then, spent) = (then.map(CallEnd::verdict), std::time::Duration::from_nanos(nanos));
        match self.pool.receive(worker, WorkerReport::BatchDone { job, values, whole, then, spent }) {
            Ok(Received::Kept | Received::Final) => {
                reused.value = has_body.then_some((bytes, body));
                reply.reads_output = ended_by;
            }
            Err(violation) => reply.breach = Some(violation.to_string()),
        }
    }

    /// Takes from a worker the jobs of its batch that it has not begun.
    pub(crate) fn take_back(&mut self, worker: WorkerKey, now: Time) {
        let most = self.pool.results_max(worker);
        let (Some(reused), Some(most)) = (self.workers.get_mut(worker), most) else { return };
        // One stays, even if it is not begun: on a busy machine the worker may not have been scheduled yet.
        let stay = reused.region.as_ref().map_or(most, |region| region.take_back(1));
        let results = reused.read_results(most.min(stay));
        self.handle_event(PoolEvent::TakenBack { worker, stay, results }, now);
    }

    /// Reports the results of jobs that have succeeded.
    pub(crate) fn on_results(&mut self, worker: WorkerKey, jobs: &Range<u64>) {
        let (Some(reused), Some(block)) = (self.workers.get_mut(worker), self.inputs.take(jobs)) else {
            return;
        };
        let values = reused.take_values();
        debug_assert_eq!(values.ends.len() as u64, jobs.end - jobs.start, "each has its result");
        let job = reused.job_ref(jobs.start, None);
        let results = ResultBlock { block, job, bytes: values.bytes, ends: values.ends, taken: 0 };
        self.send_event(RunEvent::Results(Box::new(results)));
    }

    /// Sends the event of outcomes to the caller; in an ordered run keeps it until the pool hands these jobs out.
    pub(crate) fn send_event(&mut self, event: RunEvent) {
        if self.is_ordered {
            self.reorder_buffer.insert(event.jobs().0, Box::new(event));
        } else {
            self.shared.send_event(event);
        }
    }

    /// Sends the kept events of these jobs, whose turn has come.
    pub(crate) fn hand_out(&mut self, jobs: &Range<u64>) {
        while let Some(first) = self.reorder_buffer.first().filter(|first| *first < jobs.end)
            && let Some(event) = self.reorder_buffer.remove(first)
        {
            self.shared.send_event(*event);
        }
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
