//! `--term-seq`: signals, each followed by a wait in milliseconds.

use std::ffi::OsStr;
use std::time::Duration;

use psmith::core::policy::{GRACE, SIGKILL, TermSeq, TermStep};

use super::text;
use crate::error::CliError;
use crate::quote::shown;

/// Names and numbers of the signals, as Linux numbers them everywhere but on MIPS, PA-RISC, Alpha and SPARC.
const SIGNALS: [(&str, i32); 30] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("SYS", 31),
];

/// The number of a signal: a name with or without `SIG`, or the number itself.
#[must_use]
pub fn signal_number(text: &str) -> Option<i32> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (1..=64).contains(number));
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// The name of a signal without `SIG`, if it has one.
#[must_use]
pub fn signal_name(number: i32) -> Option<&'static str> {
    SIGNALS.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

/// `TERM,2000,KILL,25`: pairs of a signal and the milliseconds to wait after it. The last wait may be left out.
///
/// # Errors
/// If a signal or a wait is none.
pub fn term_seq(flag: &str, value: &OsStr) -> Result<TermSeq, CliError> {
    let text = text(flag, value)?;
    let parts: Vec<&str> = text.split(',').collect();
    let mut steps = Vec::new();
    for pair in parts.chunks(2) {
        let Some(signal) = signal_number(pair[0]) else {
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
