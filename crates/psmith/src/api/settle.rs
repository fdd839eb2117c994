//! What a job came to, as its caller gets it. Decides nothing about the job.

use std::panic::{AssertUnwindSafe, catch_unwind};

use psmith_core::Cause;

use super::failure::Failure;
use super::options::Output;
use super::run::Finished;
use crate::function::codec::CodecError;
use crate::worker::panics;

/// What a job came to, decoded; what it printed is passed on.
pub(super) fn settle<R>(
    finished: Finished,
    output: Output,
    decode: impl FnOnce(&[u8]) -> Result<R, CodecError>,
) -> Result<R, Failure> {
    settle_owned(finished, output, |bytes, body| decode(&bytes[body..]))
}

/// The same where decoding may have the bytes.
pub(super) fn settle_owned<R>(
    finished: Finished,
    output: Output,
    decode: impl FnOnce(Vec<u8>, usize) -> Result<R, CodecError>,
) -> Result<R, Failure> {
    let Finished { job, request, outcome, value, output: mut written, .. } = finished;
    let tail = written.stderr_tail.clone();
    let value = match &request.command {
        None => Ok(value.unwrap_or_default()),
        // What it wrote is its value, and not passed on.
        Some(_) => super::command::value(std::mem::take(&mut written.stdout)).map(|bytes| (bytes, 0)),
    };
    if output == Output::PassOn {
        // A closed standard output is no failure of the job's.
        let _ = std::io::copy(&mut written.stdout.into_reader(), &mut std::io::stdout().lock());
        let _ = std::io::copy(&mut written.stderr.into_reader(), &mut std::io::stderr().lock());
    }
    let verdict = match request.refused.clone() {
        Some(cause) => Err(cause),
        None => outcome.verdict.clone(),
    };
    let cause = match verdict {
        Err(cause) => cause,
        Ok(()) => {
            let decoded = decoded(|| {
                let (bytes, body) = value.map_err(CodecError::new)?;
                decode(bytes, body)
            });
            match decoded {
                Ok(value) => return Ok(value),
                Err(cause) => cause,
            }
        }
    };
    let mut failure = Failure::of(outcome, cause, job.index);
    failure.stderr_tail = tail;
    failure.label = job.label;
    failure.input = request.kept_input();
    Err(failure)
}

/// A value, decoded. A type whose decoding panics costs its own item, and no other.
pub(super) fn decoded<R>(decode: impl FnOnce() -> Result<R, CodecError>) -> Result<R, Cause> {
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    let decoded = decoded.unwrap_or_else(|payload| {
        Err(CodecError::new(format!("its decoding panicked: {}", panics::message(payload.as_ref()))))
    });
    decoded.map_err(|error| Cause::Undecodable(format!("its result: {error}")))
}
