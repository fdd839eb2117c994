//! The outcome of a job, decoded as its caller gets it. Never decides anything about the job.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use psmith_core::Cause;

use crate::job::failure::{Failure, KeptError};
use crate::run::options::Output;
use crate::run::run_event::Finished;
use psmith_engine::function::codec::CodecError;
use psmith_engine::spool::Spool;
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
    if let Some([stdout, stderr]) = to_pass_on(&mut finished, output) {
        pass_on(stdout, std::io::stdout().lock());
        pass_on(stderr, std::io::stderr().lock());
    }
    let verdict = verdict(&finished);
    let Finished { job, request, outcome, mut value, output: written, .. } = finished;
    let itself = match &verdict {
        Err(Cause::Error(_)) => value.take().zip(request.callee.errors),
        Err(_) | Ok(()) => None,
    };
    let value = verdict.and_then(|()| {
        decoded(|| {
            let (bytes, body) = match &request.command {
                None => value.unwrap_or_default(),
                Some(_) => (
                    crate::job::command_job::value(written.stdout, request.frame_bytes_max)
                        .map_err(CodecError::new)?,
                    0,
                ),
            };
            decode(bytes, body)
        })
    });
    value.map_err(|cause| {
        let mut failure = Failure::of(outcome, cause, job.index);
        failure.stderr_tail = written.stderr_tail;
        failure.label = job.label;
        failure.input = request.kept_input();
        failure.itself = itself.map(|((mut bytes, body), carried)| {
            bytes.drain(..body);
            KeptError { bytes, decode: carried.decode }
        });
        failure
    })
}

/// Returns how the job ended, before its value is decoded.
fn verdict(finished: &Finished) -> Result<(), Cause> {
    finished.request.refused.clone().map_or_else(|| finished.outcome.verdict.clone(), Err)
}

/// Returns which of standard output and error are to be passed on, as far as they have bytes. The standard output of a
/// command that succeeded is its value, and is not passed on.
fn passes(finished: &Finished, output: Output) -> [bool; 2] {
    let has_failed = verdict(finished).is_err();
    match output {
        Output::PassOn => {}
        Output::OnFailure if has_failed => {}
        Output::OnFailure | Output::Discard => return [false; 2],
    }
    let is_value = finished.request.command.is_some() && !has_failed;
    let written = &finished.output;
    [!is_value && !written.stdout.is_empty(), !written.stderr.is_empty()]
}

/// Returns whether some output of the job is to be passed on.
pub(crate) fn has_to_pass_on(finished: &Finished, output: Output) -> bool {
    passes(finished, output) != [false; 2]
}

/// Takes the output that is to be passed on: standard output and error.
pub(crate) fn to_pass_on(finished: &mut Finished, output: Output) -> Option<[Spool; 2]> {
    let [stdout, stderr] = passes(finished, output);
    let written = &mut finished.output;
    let take = |is_wanted: bool, stream: &mut Spool| {
        if is_wanted { std::mem::take(stream) } else { Spool::default() }
    };
    (stdout || stderr).then(|| [take(stdout, &mut written.stdout), take(stderr, &mut written.stderr)])
}

/// Passes output on without the locks of the standard streams: a thread that holds one may be waiting for this very
/// job.
pub(crate) fn pass_on_unlocked([stdout, stderr]: [Spool; 2]) {
    let streams = [
        (stdout, std::io::stdout().as_fd().try_clone_to_owned()),
        (stderr, std::io::stderr().as_fd().try_clone_to_owned()),
    ];
    for (spool, stream) in streams {
        if let Ok(stream) = stream {
            pass_on(spool, std::fs::File::from(stream));
        }
    }
}

fn pass_on(spool: Spool, mut stream: impl Write + IsTerminal) {
    if spool.is_empty() {
        return;
    }
    let write = |stream: &mut dyn Write| {
        // A closed standard output is no failure of the job's.
        let _ = std::io::copy(&mut spool.into_reader(), stream);
        let _ = stream.flush();
    };
    #[cfg(feature = "board")]
    psmith_board::beside_rows(&mut stream, |stream| write(stream));
    #[cfg(not(feature = "board"))]
    write(&mut stream);
}

/// Decodes a value. A type whose decoding panics costs its own item, and no other.
pub(crate) fn decoded<R>(decode: impl FnOnce() -> Result<R, CodecError>) -> Result<R, Cause> {
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    let decoded = decoded.unwrap_or_else(|payload| {
        Err(CodecError::new(format!("its decoding panicked: {}", panics::message(payload.as_ref()))))
    });
    decoded.map_err(|error| error.cause("its result"))
}
