//! Commands beside workers that stay: each attempt at one is a job of the engine's for itself, with a process of its own.
//! So is each attempt at a function that has limits for itself, whose process is a worker for this one job.
//!
//! When they start and what their ends mean is the pool's affair. Here is what they are started with.

use std::sync::Arc;

use psmith_core::outcome::SpawnFailure;
use psmith_core::worker_pool::WorkerKey;
use psmith_core::{AttemptId, JobId};

use crate::job::command_job::attempted;
use crate::job::job::refused;
use crate::run::reused::{Life, ReusedDriver};
use psmith_engine::channel::frame::Body;
use psmith_engine::channel::messages::ToWorker;
use psmith_engine::command::{Launch, Numbers, WorkerStart};
use psmith_engine::handler::{HandlerReply, Pull};
use psmith_engine::limits::LimitsInForce;

/// What a job of the engine is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineJob {
    /// A worker's life.
    Worker,
    /// The life of a process for one attempt alone, by its number.
    Command(JobId),
}

impl ReusedDriver {
    pub(crate) fn pull_command(
        &mut self,
        worker: WorkerKey,
        attempt: AttemptId,
        memory_bytes: Option<u64>,
    ) -> Pull<EngineJob> {
        self.lives.insert(worker, Life::of_command());
        let mut policy = Arc::clone(&self.life_policy);
        if let Some(own) = self.jobs.get(&attempt.job).and_then(|held| held.request.limits()) {
            Arc::make_mut(&mut policy).limits = own.named;
        }
        if policy.limits.memory_bytes != memory_bytes {
            Arc::make_mut(&mut policy).limits.memory_bytes = memory_bytes;
        }
        Pull::Job(EngineJob::Command(JobId(worker.0)), policy)
    }

    /// Limits that the job of this life has for itself.
    pub(crate) fn limits_of(&self, kind: EngineJob) -> Option<Arc<LimitsInForce>> {
        let EngineJob::Command(life) = kind else { return None };
        let (attempt, _) = self.pool.job_at(WorkerKey(life.0))?;
        self.jobs.get(&attempt.job)?.request.limits().cloned()
    }

    /// The worker of one job gets it.
    pub(crate) fn greet_alone(&mut self, life: JobId, mail: &mut HandlerReply) {
        let Some((attempt, held)) = self.job_of(WorkerKey(life.0)) else { return };
        let Some(request) = held.job_request(attempt, true) else { return };
        mail.messages.push((ToWorker::Job(request), Body::Shared(Arc::clone(&held.request.input))));
    }

    pub(crate) fn launch_command(&mut self, life: JobId) -> Result<Launch, SpawnFailure> {
        let Some((attempt, held)) = self.job_of(WorkerKey(life.0)) else {
            return Err(refused("its job is over".into()));
        };
        held.value = None;
        if held.request.command.is_none() {
            return Ok(Launch::Worker(WorkerStart { single: true, ..self.worker.clone() }));
        }
        let told = Numbers { job: Some(held.index + 1), place: Some((held.slot.0, attempt.number)) };
        let command = held.request.command_of(told);
        let scratch = held.request.scratch(attempt.number);
        // It cannot tell that it begins a run.
        self.budget.share();
        let command = command.ok_or_else(|| refused("it is no command".into()))?;
        attempted(command, scratch).map(Launch::Command)
    }
}
