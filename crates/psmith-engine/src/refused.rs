//! Errors of calls without which no job runs, in words that name the call. Makes no call itself.

use std::io;

use psmith_sys::c_strings::os_text;
use rustix::io::Errno;

/// Returns an error of the kernel with the call that it refused, and what psmith wanted that for: said of calls without
/// which no job runs.
///
/// ```
/// use psmith_engine::refused::refused;
/// let error = refused("pidfd_open", "to watch the warden", std::io::Error::from_raw_os_error(38));
/// assert!(error.to_string().starts_with("pidfd_open, to watch the warden: function not implemented"));
/// ```
#[must_use]
pub fn refused(call: &str, purpose: &str, error: io::Error) -> io::Error {
    let text = format!("{call}, {purpose}: {}", os_text(&error));
    // What the machine has too little of just now is nothing that it lacks.
    let scarce = [Errno::AGAIN, Errno::NOMEM, Errno::NFILE, Errno::MFILE];
    let is_scarce = scarce.iter().any(|errno| Some(errno.raw_os_error()) == error.raw_os_error());
    let hint = if is_scarce { "" } else { " (psmith doctor tells what this machine lacks)" };
    io::Error::new(error.kind(), format!("{text}{hint}"))
}
