//! Output of each job, kept in files (`--results P`), in one of four forms that P selects.
//!
//! Copies streams of any length in small pieces. A record is there whole or not at all: files and directories are
//! renamed when they are written, a row that fails is taken back.

mod csv;
mod dir;
mod files;
mod jsonl;
mod name_set;
mod result_rows;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::{JobRecord, JobStreams, RecordError};

/// The place of results, by the form of P.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultsPlace {
    /// An object on each line; P ends in `.jsonl` or `.json`.
    JsonLines(PathBuf),
    /// A row for each job; P ends in `.csv`.
    Csv(PathBuf),
    /// A file for each job, at the path that P becomes; P holds a replacement string.
    Files(OsString),
    /// A directory; any other P.
    Directory(PathBuf),
}

impl ResultsPlace {
    /// Returns the place that P names; `replaced`: whether it holds a replacement string.
    #[must_use]
    pub fn of(p: &[u8], replaced: bool) -> ResultsPlace {
        let path = PathBuf::from(OsStr::from_bytes(p));
        let ends_in = |end: &[u8]| p.ends_with(end);
        if ends_in(b".jsonl") || ends_in(b".json") {
            ResultsPlace::JsonLines(path)
        } else if ends_in(b".csv") {
            ResultsPlace::Csv(path)
        } else if replaced {
            ResultsPlace::Files(path.into_os_string())
        } else {
            ResultsPlace::Directory(path)
        }
    }
}

/// Results, open for writing.
#[derive(Debug)]
pub struct ResultsWriter {
    form: Form,
}

#[derive(Debug)]
enum Form {
    JsonLines(jsonl::JsonLines),
    Csv(csv::Csv),
    Files(files::Files),
    Directory(dir::Directory),
}

impl ResultsWriter {
    /// Opens or makes the files. `keep` leaves the rows of earlier runs in place (`--resume`).
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub fn open(place: &ResultsPlace, keep: bool) -> Result<ResultsWriter, RecordError> {
        let form = match place {
            ResultsPlace::JsonLines(path) => Form::JsonLines(jsonl::JsonLines::open(path, keep)?),
            ResultsPlace::Csv(path) => Form::Csv(csv::Csv::open(path, keep)?),
            ResultsPlace::Files(template) => {
                let template = template.as_bytes();
                let start = memchr::memchr(b'{', template).unwrap_or(template.len());
                Form::Files(files::Files::open(&template[..start])?)
            }
            ResultsPlace::Directory(path) => Form::Directory(dir::Directory::open(path)?),
        };
        Ok(ResultsWriter { form })
    }

    /// Returns whether each job has a path of its own, rendered from P, to be claimed before it starts.
    #[must_use]
    pub fn needs_path(&self) -> bool {
        matches!(self.form, Form::Files(_))
    }

    /// Claims the path of a job, once and before its first start, and makes the directories above it.
    ///
    /// # Errors
    /// Fails with [`RecordErrorKind::Job`](super::RecordErrorKind::Job) if this job cannot have it (the name is taken,
    /// leads out of the directory, or is none): the job fails, the run goes on. Any other error ends the run.
    pub fn claim(&mut self, path: &[u8]) -> Result<(), RecordError> {
        match &mut self.form {
            Form::Files(files) => files.claim(path),
            Form::JsonLines(_) | Form::Csv(_) | Form::Directory(_) => Ok(()),
        }
    }

    /// Stores a job's output. `path` is the claimed one, if any; `epoch` is now, in seconds since 1970; `run` is the
    /// run's name.
    ///
    /// # Errors
    /// Fails if it cannot be written, or the streams cannot be read.
    pub fn write(
        &mut self,
        record: &JobRecord<'_>,
        streams: &mut JobStreams<'_>,
        path: &[u8],
        epoch: f64,
        run: &str,
    ) -> Result<(), RecordError> {
        match &mut self.form {
            Form::JsonLines(lines) => lines.write(record, streams),
            Form::Csv(rows) => rows.write(record, streams),
            Form::Files(files) => files.write(record.job, streams, path),
            Form::Directory(directory) => directory.write(record, streams, epoch, run),
        }
    }
}

#[cfg(test)]
mod tests;
