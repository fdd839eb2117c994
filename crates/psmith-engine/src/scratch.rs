//! Directories that jobs may fill and that are removed with them.
//!
//! A run has one directory, with a name that cannot be guessed and open to its user alone; each attempt that asks has
//! one in it. An attempt's directory is removed when its job's outcome is handed out, on the thread that takes it; the
//! run's, when the run ends. If this program is killed, its warden removes the run's directory; if the warden is killed
//! as well, the next run that has such directories in the same place does. Knows no job.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use psmith_sys::cgroup;

/// The environment variable that holds the path of a command's directory.
pub const VARIABLE: &str = "PSMITH_SCRATCH";

/// The most times that a directory in which something is still being made is cleared anew.
const ROUNDS_MAX: u32 = 8;

/// The directory of a run.
#[derive(Debug)]
pub struct Scratch {
    root: PathBuf,
    /// The process that made it: a forked copy of that process removes nothing.
    process: u32,
    jobs: AtomicU64,
}

impl Scratch {
    /// Makes a run's directory in `parent`, and removes those there whose programs are gone.
    pub fn new(parent: &Path) -> io::Result<Arc<Scratch>> {
        let parent = std::path::absolute(parent)?;
        sweep_stale(&parent);
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        // The name tells whether its owner is still running.
        let root = parent.join(format!("{}{:032x}", cgroup::run_name(), u128::from_ne_bytes(random)));
        make(&root).map_err(|error| {
            io::Error::new(error.kind(), format!("no scratch directory in {}: {error}", parent.display()))
        })?;
        Ok(Arc::new(Scratch { root, process: std::process::id(), jobs: AtomicU64::new(0) }))
    }

    /// Returns the directory that holds those of all attempts.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the directories of one job's attempts; none exists yet.
    pub fn of_a_job(self: &Arc<Scratch>) -> JobScratch {
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        JobScratch { run: Arc::clone(self), number, attempts: 0 }
    }

    /// Removes the run's directory: no process of the run is left.
    pub fn remove(&self) {
        if self.process == std::process::id() {
            remove(&self.root);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The directories of a job's attempts, which are removed when it is dropped.
#[derive(Debug)]
pub struct JobScratch {
    run: Arc<Scratch>,
    number: u64,
    /// The number of attempts that may have made theirs.
    attempts: u32,
}

impl JobScratch {
    /// Returns the path of this attempt's directory, whether it exists or not. Removes those of earlier attempts, on a
    /// thread of its own: the caller may be the engine's, and they may be large.
    pub fn of_attempt(&mut self, attempt: u32) -> PathBuf {
        let earlier: Vec<PathBuf> = (1..=self.attempts.min(attempt.saturating_sub(1)))
            .map(|attempt| self.path(attempt))
            .filter(|path| path.exists())
            .collect();
        if !earlier.is_empty() {
            // If no thread can be started they stay until the job's end.
            let sweeper = std::thread::Builder::new().name("psmith-scratch".into());
            let _ = sweeper.spawn(move || earlier.iter().for_each(|path| remove(path)));
        }
        self.attempts = self.attempts.max(attempt);
        self.path(attempt)
    }

    fn path(&self, attempt: u32) -> PathBuf {
        self.run.root.join(format!("{}.{attempt}", self.number))
    }
}

impl Drop for JobScratch {
    fn drop(&mut self) {
        if self.run.process == std::process::id() {
            (1..=self.attempts).for_each(|attempt| remove(&self.path(attempt)));
        }
    }
}

/// Makes a directory that only its user may enter, whatever the umask.
pub fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Removes a directory with all that is in it. Follows no link. What cannot be removed stays, without an error.
pub fn remove(path: &Path) {
    for _ in 0..ROUNDS_MAX {
        match fs::remove_dir_all(path) {
            // The job has taken away its own permissions.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => open_up(path),
            // Another process removes it, too, or one that is about to exit still makes something in it.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            Ok(()) | Err(_) if fs::symlink_metadata(path).is_err() => return,
            Ok(()) | Err(_) => {}
        }
    }
}

/// Lets this user read and change this directory and all below it.
fn open_up(dir: &Path) {
    if !fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir()) {
        return;
    }
    let _ = fs::set_permissions(dir, Permissions::from_mode(0o700));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|found| found.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Removes the directories in `parent` that belong to this user and whose programs are gone.
pub fn sweep_stale(parent: &Path) {
    let own = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_own = || fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir() && found.uid() == own);
        if cgroup::is_stale(&path) && is_own() {
            remove(&path);
        }
    }
}
