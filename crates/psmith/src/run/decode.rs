//! The outcome of a job, decoded as its caller gets it. Never decides anything about the job.

use std::panic::{AssertUnwindSafe, catch_unwind};

use psmith_core::Cause;

use crate::job::failure::{Failure, KeptError};
use crate::job::lost_output::LostOutput;
use crate::run::job_output::pass_on_output;
use crate::run::options::Output;
use crate::run::run_event::Finished;
use psmith_engine::function::codec::CodecError;
use psmith_engine::worker::panics;

/// Decodes the outcome of a job, and passes on what it printed.
pub(crate) fn decode_outcome<R>(
    finished: Finished,
    output: Output,
    decode: impl FnOnce(&[u8]) -> Result<R, CodecError>,
) -> Result<R, Failure> {
    decode_outcome_owned(finished, output, |bytes, body| decode(&bytes[body..]))
}

/// Works as [`decode_outcome`], with a `decode` that takes the bytes as its own.
pub(crate) fn decode_outcome_owned<R>(
    mut finished: Finished,
    output: Output,
    decode: impl FnOnce(Vec<u8>, usize) -> Result<R, CodecError>,
) -> Result<R, Failure> {
    pass_on_output(&mut finished, output, false, None);
    let verdict = finished.verdict();
    let lost = LostOutput::of(&finished.output);
    let Finished { job, request, outcome, mut value, output: mut written, .. } = finished;
    let itself = match &verdict {
        Err(Cause::Error(_)) => value.take().zip(request.callee.errors),
        Err(_) | Ok(()) => None,
    };
    let value = verdict.and_then(|()| {
        decoded(|| {
            let (bytes, body) = match &request.command {
                None => value.unwrap_or_default(),
                Some(_) => (
                    crate::job::command_job::value(&mut written, request.frame_bytes_max)
                        .map_err(CodecError::new)?,
                    0,
                ),
            };
            decode(bytes, body)
        })
    });
    value.map_err(|cause| {
        let mut failure = Failure::of(outcome, cause, job.index);
        failure.stdout_tail = written.stdout_tail;
        failure.stderr_tail = written.stderr_tail;
        failure.lost_output = lost;
        failure.label = job.label;
        failure.input = request.kept_input();
        failure.itself = itself.map(|((mut bytes, body), carried)| {
            bytes.drain(..body);
            KeptError { bytes, decode: carried.decode }
        });
        failure
    })
}

/// Decodes a value. A type whose decoding panics costs its own item, and no other.
pub(crate) fn decoded<R>(decode: impl FnOnce() -> Result<R, CodecError>) -> Result<R, Cause> {
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    let decoded = decoded.unwrap_or_else(|payload| {
        Err(CodecError::new(format!("its decoding panicked: {}", panics::message(payload.as_ref()))))
    });
    decoded.map_err(|error| error.cause("its result"))
}
