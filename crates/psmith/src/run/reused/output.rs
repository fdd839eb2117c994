//! What reused workers write: it belongs to the job that the worker has at the time. Never reads a stream.

use std::io::Read;

use psmith_core::worker_pool::WorkerKey;

use crate::run::job_output::tag_of;
use crate::run::reused::{EngineJob, ReusedDriver, job_id_of};
use psmith_engine::spool::Spool;

impl ReusedDriver {
    /// Returns whether the job of this process is a command.
    pub(crate) fn is_command(&self, job: EngineJob) -> bool {
        let EngineJob::Alone(id) = job else { return false };
        let job = self.pool.job_at(WorkerKey(id.0)).and_then(|(attempt, _)| self.jobs.get(attempt.job));
        job.is_some_and(|job| job.request.command.is_some())
    }

    /// Takes what a worker wrote: passes it on, or keeps it for its job.
    pub(crate) fn take_output(&mut self, worker: WorkerKey, job: EngineJob, stream: u8, bytes: &[u8]) {
        if job == EngineJob::Worker {
            let kept = self.output.kept(false, 0);
            let keeps = !self.output.is_live();
            if let Some(reused) = self.workers.get_mut(worker) {
                reused.append_output(stream, bytes, &kept, keeps.then_some(&self.spool_dir));
            }
        }
        if !self.output.is_live() {
            return;
        }
        let (id, tag) = match self.job_of(worker) {
            Some((attempt, job)) => (attempt.job, tag_of(&job.job_ref())),
            // Between two jobs; no job of the pool has a number as large.
            None => {
                let pid = self.workers.get(worker).map_or(0, |reused| reused.pid);
                let tag = format!("worker process {pid}: ");
                (psmith_core::JobId(u64::MAX - job_id_of(worker).0), tag.into_bytes().into())
            }
        };
        self.live.pass_on(id, stream, bytes, tag);
    }

    /// Takes what was read at a worker's very end.
    pub(crate) fn take_rest(&mut self, worker: WorkerKey, stream: u8, rest: &Spool) {
        let Ok(rest) = rest.share() else { return };
        let (mut reader, mut buffer) = (rest.into_reader(), vec![0; 64 * 1024]);
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            self.take_output(worker, EngineJob::Worker, stream, &buffer[..length]);
        }
    }
}
