//! Records of a run for programs to read: joblog, events, results; and the reader of an earlier run's joblog.
//!
//! Each record receives a job when it has ended and writes it down. None decides how a job ends, starts a thread, or
//! keeps memory for each job (except [`resume`], which documents it). Every failure to write names the path and ends
//! the run with 125.

pub mod event_log;
pub mod joblog;
pub mod json;
pub mod record_error;
pub mod results;
pub mod resume;

pub(crate) mod trace_log;
pub(crate) mod whole_file;

mod hash;
mod joblog_row;
mod stream;
mod whole_rows;

use std::io::{Read, Seek};

#[cfg(test)]
pub(crate) use psmith_report::sample;
pub use psmith_report::{Exitval, JobRecord, Status, exitval};
pub use record_error::{RecordError, RecordErrorKind};

/// A job's output, readable from the beginning and more than once.
pub trait Stream: Read + Seek {}
impl<T: Read + Seek> Stream for T {}

/// The output of a job. Records rewind each stream before they read it and never hold it in memory whole.
pub struct JobStreams<'a> {
    /// Standard output.
    pub stdout: &'a mut dyn Stream,
    /// Standard error.
    pub stderr: &'a mut dyn Stream,
}
