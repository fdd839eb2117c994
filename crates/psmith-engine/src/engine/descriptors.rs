//! What all runs of this process have to share: the descriptors that it may open. Each run reckons its slots from those
//! that are open when it begins, and cannot know what others, and the program itself, open later.
//!
//! Opens and closes none.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use psmith_sys::rlimit;
use rustix::io::Errno;

use crate::engine::SPARE_DESCRIPTORS;

/// The descriptors that another run may have open for a moment, in the midst of a start.
const START_DESCRIPTORS: u64 = 16;

/// The number of starts whose report is on its way to a run of this process, each with a descriptor.
static REPORTS: AtomicU64 = AtomicU64::new(0);

/// The number of engines in this process.
static ENGINES: AtomicU64 = AtomicU64::new(0);

/// One that is counted for as long as it is there.
#[derive(Debug)]
pub(crate) struct Counted(&'static AtomicU64);

impl Counted {
    fn of(count: &'static AtomicU64) -> Counted {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }

    /// Counts the report of a start that is about to be ordered.
    pub(super) fn report() -> Counted {
        Counted::of(&REPORTS)
    }

    /// Counts an engine.
    pub(super) fn engine() -> Counted {
        Counted::of(&ENGINES)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Checks that of `nofile` descriptors enough are left to take in all reports that are awaited, once those of `given`,
/// which a start is about to send, are closed.
///
/// # Errors
///
/// `EMFILE`: such a report would be lost, and the warden with it.
pub(super) fn check(nofile: u64, given: &[OwnedFd]) -> io::Result<()> {
    // The lowest free number is given out first, so as long as these are low there is no need to count.
    let highest = given.iter().map(|fd| fd.as_raw_fd() as u64).max().unwrap_or(0);
    if highest < nofile / 2 {
        return Ok(());
    }
    let Some(open) = rlimit::open_files() else { return Ok(()) };
    let others = ENGINES.load(Ordering::Relaxed).saturating_sub(1) * START_DESCRIPTORS;
    let staying = open.saturating_sub(given.len() as u64) + REPORTS.load(Ordering::Relaxed);
    if staying + others + SPARE_DESCRIPTORS > nofile { Err(Errno::MFILE.into()) } else { Ok(()) }
}
