//! Directories of results, one for each job: `DIR/<seq/1000>/<seq>/{stdout,stderr,job.json}`, written under a dot name,
//! renamed when whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::super::event_log::{JobEnd, LoggedEvent};
use super::super::json::BytesList;
use super::super::stream::copy;
use super::super::{JobRecord, JobStreams, RecordError, Stream};

/// The number of jobs that share one directory.
const JOBS_PER_DIRECTORY: u64 = 1000;

#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Directory, RecordError> {
        fs::create_dir_all(path).map_err(|source| RecordError::not_writable(path, source))?;
        Ok(Directory { path: path.to_owned() })
    }

    pub(super) fn write(
        &mut self,
        record: &JobRecord<'_>,
        streams: &mut JobStreams<'_>,
        epoch: f64,
        run: &str,
    ) -> Result<(), RecordError> {
        let job = record.job;
        let parent = self.path.join((job / JOBS_PER_DIRECTORY).to_string());
        let (growing, whole) = (parent.join(format!(".{job}")), parent.join(job.to_string()));
        make_empty(&growing).map_err(|source| RecordError::not_writable(&growing, source))?;
        write_file(job, &growing.join("stdout"), streams.stdout)?;
        write_file(job, &growing.join("stderr"), streams.stderr)?;
        let description = growing.join("job.json");
        fs::write(&description, job_json(record, epoch, run))
            .map_err(|source| RecordError::not_writable(&description, source))?;
        put_in_place(&growing, &whole).map_err(|source| RecordError::not_writable(&whole, source))
    }
}

/// Makes a new directory; one that a crash left half written is removed first.
fn make_empty(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_dir_all(path)?;
            fs::create_dir(path)
        }
        made => made,
    }
}

fn write_file(job: u64, path: &Path, stream: &mut dyn Stream) -> Result<(), RecordError> {
    let mut file = File::create_new(path).map_err(|source| RecordError::not_writable(path, source))?;
    copy(stream, &mut file).map_err(|error| error.into_record(job, path))
}

/// Returns the `job_end` object, with the job's facts.
fn job_json(record: &JobRecord<'_>, epoch: f64, run: &str) -> Vec<u8> {
    let mut text = Vec::new();
    LoggedEvent::JobEnd(JobEnd::of(record)).write_line(&mut text, epoch, run);
    text.truncate(text.len() - b"}\n".len());
    let list = |list: Result<String, serde_json::Error>| list.expect("lists of bytes are JSON");
    let argv = list(serde_json::to_string(&BytesList(record.argv)));
    let inputs = list(serde_json::to_string(&BytesList(record.inputs)));
    writeln!(text, ",\"argv\":{argv},\"inputs\":{inputs}}}").expect("a Vec takes every write");
    text
}

/// Renames the directory to its name. One of an earlier run is exchanged with it, so that at each instant there is a
/// whole one, and removed.
fn put_in_place(growing: &Path, whole: &Path) -> io::Result<()> {
    match fs::rename(growing, whole) {
        // The kernel reports one or the other for a directory that is not empty.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {}
        renamed => return renamed,
    }
    if renameat_with(CWD, growing, CWD, whole, RenameFlags::EXCHANGE).is_err() {
        // Not every file system can exchange; then there is an instant with neither.
        fs::remove_dir_all(whole)?;
        return fs::rename(growing, whole);
    }
    fs::remove_dir_all(growing)
}
