//! Parser of `--term-seq`: signals, each followed by a wait in milliseconds.

use std::ffi::OsStr;
use std::time::Duration;

use psmith_core::policy::{GRACE, SIGKILL, TermSeq, TermStep};
use psmith_sys::signals;

use super::text;
use crate::error::CliError;
use crate::quote::shown;

/// Parses `TERM,2000,KILL,25`: pairs of a signal and the milliseconds to wait after it. The last wait may be left out.
///
/// # Errors
/// Fails if a signal or a wait is none.
pub fn term_seq(flag: &str, value: &OsStr) -> Result<TermSeq, CliError> {
    let text = text(flag, value)?;
    let parts: Vec<&str> = text.split(',').collect();
    let mut steps = Vec::new();
    for pair in parts.chunks(2) {
        let Some(signal) = signals::parse(pair[0]) else {
            return Err(CliError::new(format!("{flag}: '{}' is not a signal", shown(pair[0].as_bytes())))
                .hint(format!("{flag} TERM,2000,KILL,25")));
        };
        let wait = match pair.get(1) {
            None => GRACE,
            Some(wait) => match wait.parse::<u32>() {
                Ok(ms) => Duration::from_millis(u64::from(ms)),
                Err(_) => {
                    return Err(CliError::new(format!(
                        "{flag}: '{}' is not a wait in milliseconds",
                        shown(wait.as_bytes())
                    ))
                    .hint(format!("{flag} TERM,2000,KILL,25")));
                }
            },
        };
        steps.push(TermStep { signal, wait });
        // Nothing is left to be signalled after a kill.
        if signal == SIGKILL {
            break;
        }
    }
    Ok(TermSeq::new(steps))
}
