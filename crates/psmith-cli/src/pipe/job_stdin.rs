//! Stdin of a job of `--pipe`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};

use super::feeder::Part;

/// What a job of `--pipe` reads.
#[derive(Clone, Debug)]
pub(crate) enum JobStdin {
    /// A block in memory, opened anew for each attempt; or by the job itself, which was given its name.
    Block { file: Arc<OwnedFd>, by_name: bool },
    /// A part of a file.
    Part(Arc<Part>),
    /// Blocks as they come. Only the first attempt can read them.
    Stream(Arc<Mutex<Option<OwnedFd>>>),
}

impl JobStdin {
    /// Opens it for an attempt; `None`: the job has no other stdin than all.
    pub(crate) fn open(&self) -> io::Result<Option<OwnedFd>> {
        Ok(Some(match self {
            JobStdin::Block { by_name: true, .. } => return Ok(None),
            JobStdin::Block { file, .. } => {
                rustix::fs::open(name_of(file, "self"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?
            }
            JobStdin::Part(part) => part.feed()?,
            JobStdin::Stream(stream) => {
                let taken = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
                taken.ok_or_else(|| {
                    io::Error::other("what a job of --round-robin has read cannot be read again")
                })?
            }
        }))
    }
}

/// Returns a name by which a process can open a file of this one.
pub(super) fn name_of(file: &OwnedFd, process: &str) -> String {
    format!("/proc/{process}/fd/{}", file.as_raw_fd())
}
