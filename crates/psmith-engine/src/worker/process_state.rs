//! What a job left in its process where the kernel keeps it: looked for between the jobs of a worker that stays, put back
//! where that is one call, else a reason for the worker to leave.
//!
//! Compared is with what was there before the first job, after the set-up functions: what those did is meant to stay.
//! What the program itself keeps (statics, threads, memory) is not looked at. The look takes two dozen short calls of the
//! kernel, so a batch of short jobs is looked at once, at its end, and every other job once, after its answer is on its
//! way: then nobody waits for it but the worker's next job. After jobs that took less than the shortest call of the kernel
//! (`batch::Quiet`) nobody looks: they have not changed what it keeps.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::OnceLock;

use psmith_sys::rlimit::{self, Resource, Rlimit};
use psmith_sys::signals::{self, SignalSet};
use rustix::fs::{Mode, fstat, stat};
use rustix::process;

/// A file by what the kernel knows it by.
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

/// What cannot be put back, or not safely: another thread may be using it.
#[derive(Debug, PartialEq, Eq)]
struct LeakedState {
    environment: u64,
    nice: Option<i32>,
    limits: Vec<Option<Rlimit>>,
    streams: [FileId; 3],
}

static BEFORE: OnceLock<InitialState> = OnceLock::new();

/// Remembers how the process is now. The first call counts.
pub(super) fn remember() {
    BEFORE.get_or_init(|| {
        // There is no call that only looks. This one lets other threads create nothing that others can read meanwhile.
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

/// Puts back what can be put back; false if something else is not as it was.
pub(super) fn are_removed() -> bool {
    let Some(before) = BEFORE.get() else { return true };
    if signals::blocked() != before.mask {
        signals::restore(before.mask);
    }
    process::umask(before.umask);
    if directory() != before.dir {
        let went = before.dir_path.as_ref().is_some_and(|dir| std::env::set_current_dir(dir).is_ok());
        if !went || directory() != before.dir {
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

/// All variables in their order, as a number.
fn environment() -> u64 {
    let mut hasher = DefaultHasher::new();
    std::env::vars_os().for_each(|variable| variable.hash(&mut hasher));
    hasher.finish()
}
