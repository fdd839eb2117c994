//! The joblog: one line for each job, in GNU parallel's nine columns, in a file that one run at a time may hold.
//!
//! Writes whole rows or none: a write that fails half way is taken back. Never reads what it wrote; that is
//! [`super::resume`]'s task.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use psmith_core::Time;
use rustix::fs::{FlockOperation, flock};

use super::joblog_row::{HEADER, parse_row, write_row};
use super::{JobRecord, RecordError, RecordErrorKind, whole_rows};
use psmith_report::display::visible_path;

/// The time between two syncs of the file to its disk while rows arrive.
pub const SYNC_EVERY: Duration = Duration::from_secs(1);
/// The number of waiting bytes at which rows are passed to the kernel at the latest.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The treatment of rows that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobLogMode {
    /// Rows are replaced (`--joblog F`).
    Replace,
    /// Rows are kept (`--joblog +F`, `--resume`).
    Append,
}

/// A joblog open for writing, locked until it is dropped.
#[derive(Debug)]
pub struct JobLog {
    path: PathBuf,
    file: File,
    /// False for a pipe or a device, which takes rows, but no lock, no cut and no sync.
    regular: bool,
    rows: Vec<u8>,
    /// The length of the file up to the last whole row.
    length: u64,
    unsynced: bool,
    synced_at: Time,
    dropped_torn_row: bool,
}

impl JobLog {
    /// Opens and locks the file, and writes its header if it has none.
    ///
    /// # Errors
    /// Fails with [`RecordErrorKind::InUse`] if another run holds it, [`RecordErrorKind::NotWritable`] otherwise.
    pub fn open(path: &Path, mode: JobLogMode) -> Result<JobLog, RecordError> {
        let cannot = |source| RecordError::not_writable(path, source);
        // Not truncated by the open: until the lock is held, the rows are another run's. Not opened for reading: we
        // would be the reader of our own pipe, and never learn that the other one has closed it.
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(cannot)?;
        let regular = file.metadata().map_err(cannot)?.is_file();
        let mut log = JobLog {
            path: path.to_owned(),
            file,
            regular,
            rows: Vec::new(),
            length: 0,
            unsynced: false,
            synced_at: Time::ZERO,
            dropped_torn_row: false,
        };
        if regular {
            log.lock()?;
            match mode {
                JobLogMode::Replace => log.file.set_len(0).map_err(cannot)?,
                JobLogMode::Append => log.mend_last_line()?,
            }
        }
        if log.length == 0 {
            log.rows.extend_from_slice(HEADER);
            log.write_rows()?;
        }
        Ok(log)
    }

    /// Returns whether the last row of an earlier run was cut short, and was dropped. Worth a warning.
    #[must_use]
    pub fn dropped_torn_row(&self) -> bool {
        self.dropped_torn_row
    }

    /// Adds a job whose output has been delivered. A job that psmith cancelled gets no row.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn append(&mut self, record: &JobRecord<'_>) -> Result<(), RecordError> {
        if write_row(&mut self.rows, record) && self.rows.len() >= BUFFER_BYTES_MAX {
            self.write_rows()?;
        }
        Ok(())
    }

    /// Passes waiting rows to the kernel, and each second to the disk. Must be called each turn of the run's loop: then
    /// the end of psmith, however sudden, loses no row, and the end of the machine those of a second.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn tick(&mut self, now: Time) -> Result<(), RecordError> {
        self.write_rows()?;
        if self.unsynced && now.since(self.synced_at) >= SYNC_EVERY {
            self.sync(now)?;
        }
        Ok(())
    }

    /// Returns the time of the next necessary call of [`JobLog::tick`], if nothing else happens.
    #[must_use]
    pub fn next_tick(&self) -> Option<Time> {
        (self.unsynced || !self.rows.is_empty()).then(|| self.synced_at + SYNC_EVERY)
    }

    /// Writes and syncs what is left, and unlocks the file.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn finish(mut self) -> Result<(), RecordError> {
        self.write_rows()?;
        let now = self.synced_at;
        self.sync(now)?;
        if self.regular {
            // Closing would unlock it, except while a process of ours is between fork and exec.
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
        Ok(())
    }

    /// Locks the file. `flock` belongs to the open file: it ends with this run, however it ends, and no child inherits
    /// it.
    fn lock(&self) -> Result<(), RecordError> {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let message = format!("{} is in use by another run", visible_path(&self.path));
                Err(RecordError::new(RecordErrorKind::InUse, message)
                    .with_hint("another --joblog".to_owned()))
            }
            // A file system without locks is no reason to refuse the run.
            Err(rustix::io::Errno::NOLCK | rustix::io::Errno::NOTSUP | rustix::io::Errno::NOSYS) => Ok(()),
            Err(errno) => Err(RecordError::not_writable(&self.path, errno.into())),
        }
    }

    /// Repairs a last line without newline, which was torn by a crash or typed by hand. As a row it could be read as
    /// another job's (`gzip a1`, torn from `gzip a10`), so it is dropped; any other line is ended.
    fn mend_last_line(&mut self) -> Result<(), RecordError> {
        let unreadable = |source| RecordError::not_readable(&self.path, source);
        let unwritable = |source| RecordError::not_writable(&self.path, source);
        let rows = File::open(&self.path).map_err(unreadable)?;
        let length = rows.metadata().map_err(unreadable)?.len();
        let whole = whole_rows::whole_until(&rows, false).map_err(unreadable)?;
        self.length = length;
        if whole == length {
            return Ok(());
        }
        let mut torn = vec![0; usize::try_from(length - whole).unwrap_or(usize::MAX).min(BUFFER_BYTES_MAX)];
        rows.read_exact_at(&mut torn, whole).map_err(unreadable)?;
        if parse_row(&torn).is_some() {
            self.file.set_len(whole).map_err(unwritable)?;
            self.length = whole;
            self.dropped_torn_row = true;
        } else {
            (&self.file).write_all(b"\n").map_err(unwritable)?;
            self.length += 1;
        }
        Ok(())
    }

    fn write_rows(&mut self) -> Result<(), RecordError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        if let Err(source) = self.file.write_all(&self.rows) {
            if self.regular {
                // The first error is the one reported; a row that stays torn is repaired by the next run.
                let _ = self.file.set_len(self.length);
            }
            return Err(RecordError::not_writable(&self.path, source));
        }
        self.length += self.rows.len() as u64;
        self.rows.clear();
        self.unsynced = self.regular;
        Ok(())
    }

    fn sync(&mut self, now: Time) -> Result<(), RecordError> {
        self.synced_at = now;
        if self.unsynced {
            self.file.sync_data().map_err(|source| RecordError::not_writable(&self.path, source))?;
            self.unsynced = false;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "joblog_tests.rs"]
mod tests;
