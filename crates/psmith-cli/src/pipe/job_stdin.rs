//! Stdin of a job of `--pipe`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use super::feeder::JobFeed;

/// What a job of `--pipe` reads.
#[derive(Clone, Debug)]
pub(crate) enum JobStdin {
    /// A block or a part of a file, given anew to each attempt.
    Feed(Arc<JobFeed>),
    /// A block in a file in memory that the job opens by the name that it was given.
    Named(#[expect(dead_code, reason = "held open for the job")] Arc<OwnedFd>),
    /// Blocks as they come. Only the first attempt can read them.
    Stream(Arc<Mutex<Option<OwnedFd>>>),
}

impl JobStdin {
    /// Opens it for an attempt; `None`: the job has no stdin of its own.
    pub(crate) fn open(&self) -> io::Result<Option<OwnedFd>> {
        match self {
            JobStdin::Named(_) => Ok(None),
            JobStdin::Feed(feed) => feed.begin().map(Some),
            JobStdin::Stream(stream) => {
                let taken = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
                let again = || io::Error::other("what a job of --round-robin has read cannot be read again");
                taken.map(Some).ok_or_else(again)
            }
        }
    }
}

/// Returns the name by which a job can open a file of psmith's.
pub(super) fn name_of(file: &OwnedFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}
