//! The dry run, `--dry-run`: prints the commands that would run, in the order of the input. Never starts any.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::config::DryRun;
use crate::error::CliError;
use crate::plan::JobStream;
use crate::plan::{JobNumbers, RunPlan};
use crate::report::display::os_text;

/// The result of a dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DryRunEnd {
    /// The number of jobs.
    pub jobs: u64,
    /// Warnings, each fit to follow `psmith: warning: `.
    pub warnings: Vec<String>,
}

/// The number of bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 64 << 10;

/// Prints every job on `out`: a line that can be pasted, or a JSON object.
///
/// A job that could not be started for its inputs is printed all the same; the warnings name the first of them.
///
/// # Errors
/// Fails if the input cannot be read or `out` cannot be written. A reader of `out` that has closed it is no error: the
/// end of the output is the end of the run.
pub fn dry_run(
    plan: &RunPlan,
    mut jobs: JobStream,
    form: DryRun,
    out: &mut impl Write,
) -> Result<DryRunEnd, CliError> {
    let mut text = String::with_capacity(2 * BUFFER_BYTES);
    let mut job = 0;
    let mut warnings = Vec::new();
    for next in jobs.by_ref() {
        let args = match next {
            Ok(args) => args,
            Err(error) => {
                // The jobs before the error are printed all the same.
                let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                return Err(CliError::new(error.message));
            }
        };
        job += 1;
        let place = JobNumbers { job, slot: 1, total: plan.total() };
        match form {
            DryRun::Text => plan.push_text(&args, place, &mut text),
            DryRun::Json => match plan.render(&args, place) {
                Ok(rendered) => {
                    let _ = write!(text, "{{\"job\":{job},\"argv\":");
                    json::push_array(&mut text, rendered.recorded_argv().into_iter());
                    text.push_str(",\"cwd\":");
                    match &rendered.dir {
                        Some(dir) => json::push_bytes(&mut text, dir.as_os_str().as_encoded_bytes()),
                        None => text.push_str("null"),
                    }
                    text.push_str(",\"inputs\":");
                    json::push_array(&mut text, args.iter());
                    text.push('}');
                }
                Err(failure) => {
                    if warnings.is_empty() {
                        warnings.push(format!("job {job}: {}", failure.detail));
                    }
                    let _ = write!(text, "{{\"job\":{job},\"argv\":null,\"cwd\":null,\"inputs\":");
                    json::push_array(&mut text, args.iter());
                    text.push('}');
                }
            },
        }
        text.push('\n');
        if text.len() >= BUFFER_BYTES && !write(out, &mut text)? {
            return Ok(DryRunEnd { jobs: job, warnings });
        }
    }
    if write(out, &mut text)? {
        let _ = out.flush();
    }
    warnings.extend(jobs.warnings());
    Ok(DryRunEnd { jobs: job, warnings })
}

/// Writes what was gathered; returns false if the reader has closed it.
fn write(out: &mut impl Write, text: &mut String) -> Result<bool, CliError> {
    let written = out.write_all(text.as_bytes());
    text.clear();
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::new(format!("cannot write stdout: {}", os_text(&error)))),
    }
}

mod json {
    //! Bytes as JSON: a string, or `{"b64":".."}` if they are not UTF-8.

    pub(super) fn push_array<'a>(out: &mut String, values: impl Iterator<Item = &'a [u8]>) {
        out.push('[');
        for (position, value) in values.enumerate() {
            if position > 0 {
                out.push(',');
            }
            push_bytes(out, value);
        }
        out.push(']');
    }

    pub(super) fn push_bytes(out: &mut String, value: &[u8]) {
        match std::str::from_utf8(value) {
            // A string can always be written as JSON.
            Ok(text) => out.push_str(&serde_json::to_string(text).unwrap_or_default()),
            Err(_) => {
                out.push_str("{\"b64\":\"");
                push_base64(out, value);
                out.push_str("\"}");
            }
        }
    }

    fn push_base64(out: &mut String, value: &[u8]) {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for chunk in value.chunks(3) {
            let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for digit in 0..4 {
                if digit <= chunk.len() {
                    out.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
                } else {
                    out.push('=');
                }
            }
        }
    }
}
