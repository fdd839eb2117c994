//! A job of a command run. Starts and judges nothing.

use std::sync::Arc;

use psmith_core::outcome::SpawnFailure;

use crate::input::JobArgs;

/// A job of a command run.
#[derive(Debug)]
pub(super) struct RunJob {
    pub(super) number: u64,
    pub(super) args: JobArgs,
    pub(super) argv: Vec<Vec<u8>>,
    pub(super) text: String,
    pub(super) tag: Option<Arc<[u8]>>,
    pub(super) results_path: Vec<u8>,
    /// True if output of its present attempt has been passed on live.
    pub(super) streamed: bool,
    /// The answer to the claim of its results path; `Err`: it cannot have it.
    pub(super) claimed: Option<Result<(), SpawnFailure>>,
}

impl RunJob {
    /// Makes a job that has just been read, with its position in the input, from 1.
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
