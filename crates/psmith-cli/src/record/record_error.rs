//! Error of a record that could not be written or read: psmith's own failure, exit 125.

use std::fmt;
use std::io;
use std::path::Path;

use psmith_report::display::{os_text, visible_path};

/// An error of a record that could not be opened, written or read.
#[derive(Debug)]
pub struct RecordError {
    kind: RecordErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<io::Error>,
}

/// The kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordErrorKind {
    /// The file, or its directory, cannot be written.
    NotWritable,
    /// The file cannot be read.
    NotReadable,
    /// Another run is using the file.
    InUse,
    /// The joblog belongs to another command.
    OtherCommand,
    /// The output of a job could not be read back from its spool.
    Spool,
    /// A descriptor that is not open, or not for writing.
    BadDescriptor,
    /// The results of one job cannot be written to their place: that job fails (cause `spawn`), the run goes on.
    Job,
}

impl RecordError {
    /// Returns the kind of failure.
    #[must_use]
    pub fn kind(&self) -> RecordErrorKind {
        self.kind
    }

    /// Returns a hint at what can be typed to repair it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns the error of the operating system behind it.
    #[must_use]
    pub fn os_error(&self) -> Option<&io::Error> {
        self.source.as_ref()
    }

    pub(crate) fn new(kind: RecordErrorKind, message: String) -> RecordError {
        RecordError { kind, message, hint: None, source: None }
    }

    pub(crate) fn with_hint(mut self, hint: String) -> RecordError {
        self.hint = Some(hint);
        self
    }

    pub(crate) fn not_writable(path: &Path, source: io::Error) -> RecordError {
        // The file itself would be made: its directory is missing.
        let why = match source.kind() {
            io::ErrorKind::NotFound => "no such directory".to_owned(),
            _ => os_text(&source),
        };
        let message = format!("cannot write {}: {why}", visible_path(path));
        RecordError { kind: RecordErrorKind::NotWritable, message, hint: None, source: Some(source) }
    }

    pub(crate) fn not_readable(path: &Path, source: io::Error) -> RecordError {
        let message = format!("cannot read {}: {}", visible_path(path), os_text(&source));
        RecordError { kind: RecordErrorKind::NotReadable, message, hint: None, source: Some(source) }
    }

    pub(crate) fn spool(job: u64, source: io::Error) -> RecordError {
        let message = format!("cannot read the output of job {job} back: {}", os_text(&source));
        RecordError { kind: RecordErrorKind::Spool, message, hint: None, source: Some(source) }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RecordError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
