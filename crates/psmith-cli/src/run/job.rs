//! A job of a command run, and the name of the file that its results go to. Starts and judges nothing.

use std::sync::Arc;

use psmith_core::outcome::{SpawnFailure, SpawnStep};

use super::handler::{RunHandler, record_error};
use crate::input::JobArgs;
use crate::plan;
use crate::record::RecordErrorKind;

/// A job of a command run.
#[derive(Debug)]
pub(super) struct RunJob {
    pub(super) number: u64,
    pub(super) args: JobArgs,
    pub(super) argv: Vec<Vec<u8>>,
    pub(super) text: String,
    pub(super) tag: Option<Arc<[u8]>>,
    pub(super) results_path: Vec<u8>,
    /// Output of its present attempt has been passed on live.
    pub(super) streamed: bool,
    /// Its results path was asked for; `Err`: it cannot have it.
    pub(super) claimed: Option<Result<(), SpawnFailure>>,
}

impl RunJob {
    /// A job that has just been read, with its position in the input, from 1.
    pub(super) fn new(number: u64, args: JobArgs) -> RunJob {
        RunJob {
            number,
            args,
            argv: Vec::new(),
            text: String::new(),
            tag: None,
            results_path: Vec::new(),
            streamed: false,
            claimed: None,
        }
    }
}

impl RunHandler {
    /// Takes the name of the job's results file, once a job.
    pub(super) fn claim_results(&mut self, job: &mut RunJob, place: plan::Place) -> Result<(), SpawnFailure> {
        let Some(names) = &mut self.names else { return Ok(()) };
        if job.claimed.is_none() {
            let path = self.plan.results_path(&job.args, place).unwrap_or_default();
            job.results_path = path.into_os_string().into_encoded_bytes();
            let claimed = names.claim(&job.results_path).map_err(|error| {
                if error.kind() != RecordErrorKind::Job {
                    self.failure.get_or_insert(record_error(&error));
                }
                job.results_path.clear();
                let detail = error.to_string();
                SpawnFailure { step: SpawnStep::Prepare, errno: 0, detail, permanent: true }
            });
            job.claimed = Some(claimed);
        }
        job.claimed.clone().unwrap_or(Ok(()))
    }
}
