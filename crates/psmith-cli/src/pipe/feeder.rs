//! Feeder of a job: a thread that writes a block, or lets the kernel move a part of a file, into the job's stdin.
//!
//! Stdin is a pipe, as behind any other producer: some programs write otherwise about a file.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use super::block_jobs::in_memory;
use crate::input::InputError;
use crate::report::display::os_text;

/// The size of the pipe that is asked for: fewer switches between the two processes.
const PIPE_BYTES: usize = 1 << 20;

/// What any new pipe takes without a reader.
const FITS_ALWAYS: usize = 4096;

/// What could not be read of a file after a job had been started on it: the run fails, the jobs end as they will.
pub(crate) type ReadFailure = Arc<OnceLock<String>>;

/// What a job is fed with: bytes, then a part of a file, if there is one.
#[derive(Debug)]
pub(crate) struct JobFeed {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) part: Option<Part>,
}

/// A part of a file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) file: Arc<File>,
    pub(super) name: String,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) failure: ReadFailure,
}

impl JobFeed {
    /// Makes the feed of a block.
    pub(super) fn block(bytes: Vec<u8>) -> JobFeed {
        JobFeed { bytes: Arc::new(bytes), part: None }
    }

    /// Copies it into a file in memory.
    pub(super) fn copy(&self) -> Result<OwnedFd, InputError> {
        let Some(part) = &self.part else { return in_memory(&self.bytes) };
        let mut block = self.bytes.to_vec();
        let head = block.len();
        block.resize(head + usize::try_from(part.end - part.start).unwrap_or(usize::MAX), 0);
        part.file.read_exact_at(&mut block[head..], part.start).map_err(|error| InputError {
            message: format!("cannot read {}: {}", part.name, os_text(&error)),
        })?;
        in_memory(&block)
    }

    /// Begins to feed an attempt; returns its stdin.
    pub(super) fn begin(self: &Arc<JobFeed>) -> io::Result<OwnedFd> {
        let (reader, writer) = stdin_pipe()?;
        if self.part.is_none() && self.bytes.len() <= FITS_ALWAYS {
            write(&writer, &self.bytes)?;
            return Ok(reader);
        }
        let feed = Arc::clone(self);
        std::thread::Builder::new().name("psmith-feeder".into()).spawn(move || feed.pour(&writer))?;
        Ok(reader)
    }

    /// Writes everything to the job, which may close its stdin at any time.
    fn pour(&self, writer: &OwnedFd) {
        let poured = write(writer, &self.bytes).and_then(|more| match &self.part {
            Some(part) if more => part.pour(writer),
            _ => Ok(()),
        });
        if let (Err(error), Some(part)) = (poured, &self.part) {
            let _ = part.failure.set(format!("cannot read {}: {}", part.name, os_text(&error)));
        }
    }
}

impl Part {
    fn pour(&self, writer: &OwnedFd) -> io::Result<()> {
        let mut at = self.start;
        while at < self.end {
            let left = usize::try_from(self.end - at).unwrap_or(usize::MAX);
            match rustix::fs::sendfile(writer, &self.file, Some(&mut at), left.min(1 << 30)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::PIPE) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Makes a pipe for a job's stdin: programs expect that it blocks.
pub(super) fn stdin_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // A kernel that gives less is slower, not wrong.
    let _ = psmith_sys::pipe::set_size(&writer, PIPE_BYTES);
    Ok((reader, writer))
}

/// Writes bytes; returns false if nobody reads them any more.
fn write(writer: &OwnedFd, mut bytes: &[u8]) -> io::Result<bool> {
    while !bytes.is_empty() {
        match rustix::io::write(writer, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::PIPE) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}
