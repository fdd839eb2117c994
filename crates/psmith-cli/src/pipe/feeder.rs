//! Feeder of a job with a part of a file: a thread that lets the kernel move the bytes into the job's stdin.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};

use psmith_sys::pipe;
use rustix::io::Errno;

use super::block_jobs::in_memory;
use crate::input::InputError;
use crate::report::display::os_text;

/// The size of the pipe that is asked for: fewer switches between the two processes.
const PIPE_BYTES: usize = 1 << 20;

/// What could not be read of a file after a job had been started on it: the run fails, the jobs end as they will.
pub(crate) type ReadFailure = Arc<OnceLock<String>>;

/// A part of a file.
#[derive(Debug)]
pub(crate) struct Part {
    pub(super) file: Arc<File>,
    pub(super) name: String,
    pub(super) header: Arc<Vec<u8>>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) failure: ReadFailure,
}

impl Part {
    /// Copies the part into a file in memory.
    pub(super) fn copy(&self) -> Result<OwnedFd, InputError> {
        let length = usize::try_from(self.end - self.start).unwrap_or(usize::MAX);
        let mut block = self.header.to_vec();
        let head = block.len();
        block.resize(head + length, 0);
        self.file.read_exact_at(&mut block[head..], self.start).map_err(|error| InputError {
            message: format!("cannot read {}: {}", self.name, os_text(&error)),
        })?;
        in_memory(&block)
    }

    /// Begins to feed a job; returns its stdin.
    pub(super) fn feed(self: &Arc<Part>) -> io::Result<OwnedFd> {
        let (reader, writer) = pipe::pipe()?;
        // A kernel that gives less is slower, not wrong.
        let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE_BYTES);
        let part = Arc::clone(self);
        std::thread::Builder::new().name("psmith-feeder".into()).spawn(move || {
            if let Err(error) = part.pour(&writer) {
                let _ = part.failure.set(format!("cannot read {}: {}", part.name, os_text(&error)));
            }
        })?;
        Ok(reader)
    }

    /// Moves the part to the job, which may close its stdin at any time.
    fn pour(&self, writer: &OwnedFd) -> io::Result<()> {
        let mut header = &self.header[..];
        while !header.is_empty() {
            match rustix::io::write(writer, header) {
                Ok(written) => header = &header[written..],
                Err(Errno::INTR) => {}
                Err(Errno::PIPE) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
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
