//! Where the output of jobs goes: what is kept of it, what is passed on and when, and what is told of that which was
//! lost.

use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::job::job::JobRef;
use crate::job::lost_output::LostOutput;
use crate::job::run_summary::LogLevel;
use crate::run::options::{Logger, Options, Output};
use crate::run::run_event::Finished;
use psmith_engine::handler::{Live, LossReason, OutputKept, TAIL_BYTES_MAX};
use psmith_engine::lines::write_all;
use psmith_engine::spool::Spool;

/// The number of warnings about lost output on standard error; of more only the failures and the summary tell.
const WARNINGS_MAX: u32 = 20;

/// The characters of a job's name before its lines; of a longer one the first.
const TAG_CHARS_MAX: usize = 40;

/// The settings of a run that concern output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputPolicy {
    output: Output,
    bytes_max: u64,
}

impl OutputPolicy {
    pub(crate) fn of(options: &Options) -> OutputPolicy {
        OutputPolicy { output: options.output, bytes_max: options.output_bytes_max }
    }

    pub(crate) fn is_live(self) -> bool {
        self.output == Output::Lines
    }

    /// Returns which output of a job is passed on while it runs. The standard output of a command is its value.
    pub(crate) fn live(self, is_command: bool) -> Live {
        match self.output {
            Output::Lines if is_command => Live::Stderr,
            Output::Lines => Live::Both,
            _ => Live::Nothing,
        }
    }

    /// Returns what is kept of a job's output; of the value of a command as many bytes as a value may have.
    pub(crate) fn kept(self, is_command: bool, frame_bytes_max: u64) -> OutputKept {
        let bytes_max = match self.output {
            // Live output that comes too late for that is kept.
            Output::Whole | Output::OnFailure | Output::Lines => self.bytes_max,
            Output::Inherit | Output::Keep(_) | Output::Discard => 0,
        };
        let tails = match self.output {
            Output::Keep(bytes) => [bytes, bytes],
            _ => [0, TAIL_BYTES_MAX],
        };
        let stdout = if is_command { frame_bytes_max } else { bytes_max };
        OutputKept { bytes_max: [stdout, bytes_max], tails }
    }
}

/// Returns how the lines of a job begin.
pub(crate) fn tag_of(job: &JobRef) -> Arc<[u8]> {
    let mut tag = match &job.label {
        Some(label) => {
            label.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TAG_CHARS_MAX).collect()
        }
        None => format!("item {}", job.index),
    };
    tag.push_str(": ");
    tag.into_bytes().into()
}

/// Returns which of standard output and error are to be passed on at the end, as far as they have bytes. The standard
/// output of a command that succeeded is its value, and is not passed on.
fn passes(finished: &Finished, output: Output) -> [bool; 2] {
    let has_failed = finished.verdict().is_err();
    match output {
        Output::Whole => {}
        Output::OnFailure if has_failed => {}
        _ => return [false; 2],
    }
    let is_value = finished.request.command.is_some() && !has_failed;
    let written = &finished.output;
    [!is_value && !written.stdout.is_empty(), !written.stderr.is_empty()]
}

/// Returns whether passing on the job's output may block.
pub(crate) fn has_to_pass_on(finished: &Finished, output: Output) -> bool {
    finished.live.is_some() || passes(finished, output) != [false; 2] || finished.output.lost_why.is_some()
}

/// Passes on what a job printed, and tells what was lost; returns the number of bytes of that. `unlocked`: past the locks
/// of the standard streams, because a thread that holds one may be waiting for this very job.
pub(crate) fn pass_on_output(
    finished: &mut Finished,
    output: Output,
    unlocked: bool,
    logger: Option<&Logger>,
) -> u64 {
    if std::mem::replace(&mut finished.is_passed_on, true) {
        return 0;
    }
    if let Some(end) = finished.live.take() {
        end.wait(&mut finished.output);
    }
    for (wanted, stream) in passes(finished, output).into_iter().zip([1_u8, 2]) {
        if !wanted {
            continue;
        }
        let written = &mut finished.output;
        let spool = std::mem::take(if stream == 1 { &mut written.stdout } else { &mut written.stderr });
        let lost = match (stream, unlocked) {
            (1, false) => pass_on(spool, std::io::stdout().lock()),
            (1, true) => pass_on(spool, std::io::stdout()),
            (_, false) => pass_on(spool, std::io::stderr().lock()),
            (_, true) => pass_on(spool, std::io::stderr()),
        };
        if let Some((bytes, error)) = lost {
            written.lose(stream, bytes, || LossReason::of_stream(&error));
        }
    }
    let Some(lost) = LostOutput::of(&finished.output) else { return 0 };
    tell(&finished.job, &lost, logger);
    lost.stdout_bytes + lost.stderr_bytes
}

/// Tells what was lost of a job's output.
fn tell(job: &JobRef, lost: &LostOutput, logger: Option<&Logger>) {
    static WARNINGS: AtomicU32 = AtomicU32::new(0);
    let name = match &job.label {
        Some(label) => format!("item {} ({label})", job.index),
        None => format!("item {}", job.index),
    };
    if let Some(logger) = logger {
        return logger.log(LogLevel::Error, format_args!("{name}: {lost}"));
    }
    let last = match WARNINGS.fetch_add(1, Ordering::Relaxed) + 1 {
        WARNINGS_MAX => " (further losses are not told here)",
        count if count > WARNINGS_MAX => return,
        _ => "",
    };
    let line = format!("psmith: warning: {name}: {lost}{last}\n");
    let mut stderr = std::io::stderr();
    // Where this is lost, too, the failure and the summary still tell.
    beside_rows(&mut stderr, |stderr| drop(write_all(stderr, line.as_bytes())));
}

/// Writes beside the rows of boards, if there are any.
pub(crate) fn beside_rows<S: IsTerminal>(stream: &mut S, write: impl FnOnce(&mut S)) {
    #[cfg(feature = "board")]
    psmith_board::beside_rows(stream, write);
    #[cfg(not(feature = "board"))]
    write(stream);
}

/// Passes a spool on; returns how many bytes of it could not be written, and why.
fn pass_on(spool: Spool, mut stream: impl Write + IsTerminal + AsFd) -> Option<(u64, std::io::Error)> {
    let mut left = spool.len();
    let mut failed = None;
    beside_rows(&mut stream, |stream| {
        // What the program itself has printed comes first.
        let _ = stream.flush();
        let (mut reader, mut buffer) = (spool.into_reader(), vec![0; 64 * 1024]);
        // What the spool could not keep has been counted.
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            match write_all(stream, &buffer[..length]) {
                Ok(()) => left -= length as u64,
                Err((written, error)) => {
                    left -= written as u64;
                    failed = Some(error);
                    return;
                }
            }
        }
    });
    failed.map(|error| (left, error))
}
