//! State that a job leaked into its process in the kernel: checked between the jobs of a worker that stays, restored
//! where that takes one call, else a reason for the worker to exit.
//!
//! The state is compared with that before the first job, after the set-up functions, whose changes are meant to stay.
//! State of the program itself (statics, threads, memory) is not checked. The check takes two dozen short calls of the
//! kernel, so it is made once for a batch of short jobs, at its end, and once for every other job, after its reply is
//! on its way: then only the worker's next job waits for it. After jobs that took less than the shortest call of the
//! kernel (`batch::SyscallThreshold`) no check is made: they cannot have changed that state.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::OnceLock;

use psmith_sys::rlimit::{self, Resource, Rlimit};
use psmith_sys::signals::{self, SignalSet};
use rustix::fs::{Mode, fstat, stat};
use rustix::process;

/// The identity of a file: device and inode.
type FileId = Option<(u64, u64)>;

/// A process as it was before its first job.
#[derive(Debug)]
struct InitialState {
    dir: FileId,
    dir_path: Option<PathBuf>,
    mask: SignalSet,
    umask: Mode,
    rest: LeakedState,
}

/// The state that cannot be restored, or not safely: another thread may be using it.
#[derive(Debug, PartialEq, Eq)]
struct LeakedState {
    environment: u64,
    nice: Option<i32>,
    limits: Vec<Option<Rlimit>>,
    streams: [FileId; 3],
}

static BEFORE: OnceLock<InitialState> = OnceLock::new();

/// Stores the present state of the process. The first call counts.
pub(super) fn remember() {
    BEFORE.get_or_init(|| {
        // No call only reads the umask. With this value other threads create nothing that others can read meanwhile.
        let umask = process::umask(Mode::from_raw_mode(0o077));
        process::umask(umask);
        InitialState {
            dir: directory(),
            dir_path: std::env::current_dir().ok(),
            mask: signals::blocked(),
            umask,
            rest: LeakedState::now(),
        }
    });
}

/// Restores what can be restored; returns false if something else has changed.
pub(super) fn are_removed() -> bool {
    let Some(before) = BEFORE.get() else { return true };
    if signals::blocked() != before.mask {
        signals::restore(before.mask);
    }
    process::umask(before.umask);
    if directory() != before.dir {
        let restored = before.dir_path.as_ref().is_some_and(|dir| std::env::set_current_dir(dir).is_ok());
        if !restored || directory() != before.dir {
            return false;
        }
    }
    LeakedState::now() == before.rest
}

fn directory() -> FileId {
    stat(".").ok().map(|it| (it.st_dev, it.st_ino))
}

impl LeakedState {
    fn now() -> LeakedState {
        let stdio = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let streams = [stdio.0.as_fd(), stdio.1.as_fd(), stdio.2.as_fd()];
        LeakedState {
            environment: environment(),
            nice: process::getpriority_process(None).ok(),
            limits: Resource::ALL.iter().map(|resource| rlimit::get(*resource).ok()).collect(),
            streams: streams.map(|stream| fstat(stream).ok().map(|it| (it.st_dev, it.st_ino))),
        }
    }
}

/// Returns a hash of all variables in their order.
fn environment() -> u64 {
    let mut hasher = DefaultHasher::new();
    std::env::vars_os().for_each(|variable| variable.hash(&mut hasher));
    hasher.finish()
}
