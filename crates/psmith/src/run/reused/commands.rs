//! Commands beside reused workers: each attempt at a command is a job of the engine by itself, with a process of its
//! own. So is each attempt at a function that has limits of its own, whose process is a worker for this one job.
//!
//! Gives the engine what such processes are started with. Never decides when they start or what their ends mean: the
//! pool does.

use std::sync::Arc;

use psmith_core::outcome::SpawnFailure;
use psmith_core::worker_pool::WorkerKey;
use psmith_core::{AttemptId, JobId};

use crate::job::command_job::attempted;
use crate::job::job::refused;
use crate::run::reused::{ReusedDriver, ReusedWorker};
use psmith_engine::channel::frame::Body;
use psmith_engine::channel::messages::ToWorker;
use psmith_engine::command::{Launch, Numbers, OwnSurroundings, WorkerStart};
use psmith_engine::handler::{HandlerReply, Pull};
use psmith_engine::limits::LimitsInForce;

/// A job of the engine, as this driver uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineJob {
    /// A reused worker, from its start to its end.
    Worker,
    /// A process for one attempt alone, by its number.
    Alone(JobId),
}

impl ReusedDriver {
    pub(crate) fn pull_alone(
        &mut self,
        worker: WorkerKey,
        attempt: AttemptId,
        memory_bytes: Option<u64>,
    ) -> Pull<EngineJob> {
        self.workers.insert(worker, ReusedWorker::alone());
        let mut policy = Arc::clone(&self.worker_policy);
        if let Some(own) = self.jobs.get(attempt.job).and_then(|job| job.request.limits()) {
            Arc::make_mut(&mut policy).limits = own.named;
        }
        if policy.limits.memory_bytes != memory_bytes {
            Arc::make_mut(&mut policy).limits.memory_bytes = memory_bytes;
        }
        Pull::Job(EngineJob::Alone(JobId(worker.0)), policy)
    }

    /// Limits that the job of this process has of its own.
    pub(crate) fn limits_of(&self, job: EngineJob) -> Option<Arc<LimitsInForce>> {
        let EngineJob::Alone(id) = job else { return None };
        let (attempt, _) = self.pool.job_at(WorkerKey(id.0))?;
        self.jobs.get(attempt.job)?.request.limits().cloned()
    }

    /// The surroundings of this process: those of its job, or of now, for a worker that may serve many.
    pub(crate) fn surroundings_of(&self, job: EngineJob) -> Option<Arc<OwnSurroundings>> {
        let EngineJob::Alone(id) = job else { return self.surroundings.changed() };
        let (attempt, _) = self.pool.job_at(WorkerKey(id.0))?;
        let request = &self.jobs.get(attempt.job)?.request;
        if request.command.is_some() { request.surroundings.clone() } else { self.surroundings.changed() }
    }

    /// Sends a worker that has one job the request of this job.
    pub(crate) fn send_single_request(&mut self, id: JobId, reply: &mut HandlerReply) {
        let wants = self.wants;
        let Some((attempt, job)) = self.job_of(WorkerKey(id.0)) else { return };
        let Some(request) = job.job_request(attempt, wants, true) else { return };
        reply.messages.push((ToWorker::Job(request), Body::Shared(Arc::clone(&job.request.input))));
    }

    pub(crate) fn launch_alone(&mut self, id: JobId) -> Result<Launch, SpawnFailure> {
        let Some((attempt, job)) = self.job_of(WorkerKey(id.0)) else {
            return Err(refused("its job is over".into()));
        };
        job.value = None;
        if job.request.command.is_none() {
            return Ok(Launch::Worker(WorkerStart { single: true, ..self.worker_start.clone() }));
        }
        let numbers = Numbers { job: Some(job.index + 1), place: Some((job.slot.0, attempt.number)) };
        let command = job.request.command_of(numbers);
        let scratch = job.request.scratch(attempt.number);
        // A command cannot report that it begins a run.
        self.budget.share();
        let command = command.ok_or_else(|| refused("it is no command".into()))?;
        attempted(command, scratch).map(Launch::Command)
    }
}
