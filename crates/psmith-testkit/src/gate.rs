//! A gate at which jobs in other processes wait until the test lets them through: a lock on a file, so no process
//! polls and a job that is killed at the gate leaves nothing behind.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// A closed gate; it opens by [`Gate::open`], or when it is dropped.
pub struct Gate {
    path: PathBuf,
    lock: Option<File>,
    _dir: tempfile::TempDir,
}

impl Gate {
    /// Creates a closed gate.
    ///
    /// # Panics
    /// If no temporary file can be made.
    #[must_use]
    pub fn closed() -> Gate {
        let dir = tempfile::Builder::new().prefix("psmith-gate-").tempdir().expect("a temporary directory");
        let path = dir.path().join("gate");
        let lock = File::create(&path).expect("a file in a fresh directory");
        flock(&lock, FlockOperation::LockExclusive).expect("a lock on a fresh file");
        Gate { path, lock: Some(lock), _dir: dir }
    }

    /// Returns what a job needs to wait here: give it to [`pass`].
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Lets all jobs through, from now on.
    pub fn open(&mut self) {
        self.lock = None;
    }
}

/// Waits at the gate until it is open.
///
/// # Panics
/// If the gate is gone.
pub fn pass(path: &Path) {
    let file = File::open(path).expect("the gate is there");
    rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockShared))
        .expect("the gate can be waited at");
}
