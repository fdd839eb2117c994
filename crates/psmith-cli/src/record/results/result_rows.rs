//! A file of records, each written whole or taken back. Never reads one.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::super::stream::CopyError;
use super::super::{Exitval, JobRecord, RecordError, exitval, whole_rows};
use psmith_core::outcome::Exit;

/// The columns that every form has, before the inputs.
pub(super) struct ResultColumns {
    pub(super) starttime: String,
    pub(super) runtime: String,
    pub(super) exitval: i32,
    pub(super) signal: i32,
}

impl ResultColumns {
    pub(super) fn of(record: &JobRecord<'_>) -> ResultColumns {
        let last = record.outcome.last.as_ref();
        let Exitval { exitval, signal } = exitval(record).unwrap_or(Exitval {
            // Cancelled by psmith: the joblog has no row for it, its output is kept all the same.
            exitval: -1,
            signal: match last.and_then(|last| last.exit) {
                Some(Exit::Signal { signal, .. }) => signal,
                Some(Exit::Code(_)) | None => 0,
            },
        });
        ResultColumns {
            starttime: format!("{:.3}", record.started_epoch),
            runtime: format!("{:.3}", last.map_or(0.0, |last| last.wall.as_secs_f64())),
            exitval,
            signal,
        }
    }
}

#[derive(Debug)]
pub(super) struct ResultRows {
    path: PathBuf,
    out: BufWriter<File>,
    regular: bool,
    /// The length up to the last whole record.
    length: u64,
}

impl ResultRows {
    /// Opens the file. With `keep` its records stay, except a last one that is torn; `quoted`: they may hold newlines
    /// in quotes.
    pub(super) fn open(path: &Path, keep: bool, quoted: bool) -> Result<ResultRows, RecordError> {
        let cannot = |source| RecordError::not_writable(path, source);
        let whole = if keep { whole_of(path, quoted)? } else { 0 };
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(cannot)?;
        let regular = file.metadata().map_err(cannot)?.is_file();
        if regular {
            file.set_len(whole).map_err(cannot)?;
        }
        Ok(ResultRows {
            path: path.to_owned(),
            out: BufWriter::with_capacity(64 * 1024, file),
            regular,
            length: whole,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Writes one record, whole or not at all.
    pub(super) fn record(
        &mut self,
        job: u64,
        write: impl FnOnce(&mut dyn std::io::Write) -> Result<(), CopyError>,
    ) -> Result<(), RecordError> {
        let written = write(&mut self.out).and_then(|()| self.out.flush().map_err(CopyError::Write));
        if let Err(error) = written {
            self.take_back();
            return Err(error.into_record(job, &self.path));
        }
        if self.regular {
            let metadata = self.out.get_ref().metadata();
            self.length = metadata.map_err(|source| RecordError::not_writable(&self.path, source))?.len();
        }
        Ok(())
    }

    /// Cuts a partial record off. The reported error is the one that led here: if this fails too, the next run cuts it.
    fn take_back(&mut self) {
        let Ok(file) = self.out.get_ref().try_clone() else { return };
        let broken = std::mem::replace(&mut self.out, BufWriter::with_capacity(64 * 1024, file));
        // Not just dropped: that would write what is still buffered.
        let (file, _unwritten) = broken.into_parts();
        if self.regular {
            let _ = file.set_len(self.length);
        }
    }
}

/// Returns the number of bytes of an earlier run's file that stay. A file that cannot be read does not count as empty.
fn whole_of(path: &Path, quoted: bool) -> Result<u64, RecordError> {
    let cannot = |source| RecordError::not_readable(path, source);
    // Checked before it is opened: the open of a pipe waits for its other end.
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            File::open(path).and_then(|file| whole_rows::whole_until(&file, quoted)).map_err(cannot)
        }
        Ok(_) => Ok(0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(cannot(error)),
    }
}
