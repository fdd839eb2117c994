//! A job of a command run. Starts and judges nothing.

use std::sync::{Arc, Mutex, PoisonError};

use psmith_core::outcome::SpawnFailure;

use crate::input::JobArgs;
use crate::pipe::JobStdin;

/// A job of a command run.
#[derive(Debug)]
pub(super) struct RunJob {
    pub(super) number: u64,
    pub(super) args: JobArgs,
    /// Its own stdin, until no attempt can need it any more.
    pub(super) stdin: Mutex<Option<JobStdin>>,
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
    pub(super) fn new(number: u64, args: JobArgs, stdin: Option<JobStdin>) -> RunJob {
        RunJob {
            number,
            args,
            stdin: Mutex::new(stdin),
            argv: Vec::new(),
            text: String::new(),
            tag: None,
            results_path: Vec::new(),
            streamed: false,
            claimed: None,
        }
    }

    /// Lets go of its stdin: the job has its outcome, but may wait for its turn for long.
    pub(super) fn drop_stdin(&self) {
        *self.stdin.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
