//! Jobs without processes (`workers(0)`): the function is called in the caller's own thread, nothing is encoded. Order,
//! hooks and failures are those of jobs with processes; a panic is caught. Enforces no timeouts and no limits, and
//! isolates nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use psmith_core::outcome::Cause;

use crate::job::failure::{Failure, KeptError};
use crate::job::job::JobRef;
use psmith_engine::EngineError;
use psmith_engine::channel::messages::{FromWorker, Receiver};
use psmith_engine::function::call::encode_error;
use psmith_engine::function::codec::Codec;
use psmith_engine::function::job_function::JobFunction;
use psmith_engine::function::shared_value::SharedValue;
use psmith_engine::scratch::Scratch;
use psmith_engine::worker::context;
use psmith_engine::worker::panics;

/// The job with this index, as it is passed to hooks.
pub(crate) fn job(index: u64) -> JobRef {
    JobRef { index, label: None, slot: 0, pid: std::process::id(), name: None, input: None }
}

/// Calls `f` as the job with this index, whose messages go to `receiver`. Returns what it said, too.
pub(crate) fn call<F, C>(
    f: F,
    input: F::Input,
    index: u64,
    receiver: Receiver,
    (scratch, shared): (Option<&Path>, Option<&SharedValue>),
) -> (Result<F::Value, Failure>, Vec<(FromWorker, Vec<u8>)>)
where
    F: JobFunction,
    C: Codec<F::Value>,
{
    // Of one job: removed at its end.
    let scratch = scratch.map(Scratch::new).transpose();
    let mut scratch = match scratch {
        Ok(scratch) => scratch.as_ref().map(Scratch::of_a_job),
        Err(error) => {
            let error = Arc::new(EngineError::Setting(error.to_string()));
            return (Err(Failure::ours(error, index)), Vec::new());
        }
    };
    let dir = scratch.as_mut().map(|scratch| scratch.of_attempt(1));
    let place = (index + 1, index, 1);
    let call = || F::ready().map(|()| f.call(input));
    // Within the context: what a job that panics has said is received, too.
    let (called, said) = context::inline(place, receiver, dir, || {
        catch_unwind(AssertUnwindSafe(|| match shared {
            Some(shared) => shared.lend(call),
            None => call(),
        }))
    });
    let mut itself = None;
    let cause = match called {
        Ok(Ok(Ok(value))) => return (Ok(value), said),
        Ok(Err(error)) => error.cause("its input"),
        Ok(Ok(Err(error))) => {
            let (text, bytes) = encode_error::<F, C>(&error);
            itself = bytes.zip(C::carried_error());
            Cause::Error(text)
        }
        // Where it was is printed by the program's own panic hook, which is not ours to replace.
        Err(payload) => Cause::Panic {
            message: panics::message(payload.as_ref()),
            location: String::new(),
            backtrace: String::new(),
        },
    };
    let mut failure = Failure::new(cause, index);
    failure.itself = itself.map(|(bytes, carried)| KeptError { bytes, decode: carried.decode });
    failure.attempts = 1;
    failure.pid = std::process::id();
    (Err(failure), said)
}
