//! Directories that jobs may fill and that are gone with them.
//!
//! A run has one directory, whose name nobody can guess and which nobody but its user may enter; each attempt that asks
//! has one in it. What an attempt leaves is removed when its job's outcome is handed out, on the thread that takes it;
//! what a run leaves, when it ends. If this program is killed its warden removes the run's directory, and if the warden
//! is killed as well, the next run that has such directories in the same place. Knows no job.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use psmith_sys::cgroup;

/// The environment variable that tells a command's job its directory.
pub const VARIABLE: &str = "PSMITH_SCRATCH";

/// How often a directory in which something is still being made is cleared anew.
const ROUNDS_MAX: u32 = 8;

/// The directory of a run.
#[derive(Debug)]
pub struct Scratch {
    root: PathBuf,
    /// The process that made it: a forked copy of it removes nothing.
    process: u32,
    jobs: AtomicU64,
}

impl Scratch {
    /// Makes one in `parent`, and removes those there whose programs are gone.
    pub fn new(parent: &Path) -> io::Result<Arc<Scratch>> {
        let parent = std::path::absolute(parent)?;
        sweep_stale(&parent);
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        // The name tells whether its owner still lives.
        let root = parent.join(format!("{}{:032x}", cgroup::run_name(), u128::from_ne_bytes(random)));
        make(&root).map_err(|error| {
            io::Error::new(error.kind(), format!("no scratch directory in {}: {error}", parent.display()))
        })?;
        Ok(Arc::new(Scratch { root, process: std::process::id(), jobs: AtomicU64::new(0) }))
    }

    /// The directory that holds those of all attempts.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directories of one job's attempts; none exists yet.
    pub fn of_a_job(self: &Arc<Scratch>) -> JobScratch {
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        JobScratch { run: Arc::clone(self), number, attempts: 0 }
    }

    /// Removes all of it: nothing of the run lives any more.
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

/// The directories of a job's attempts. Dropped, they are removed.
#[derive(Debug)]
pub struct JobScratch {
    run: Arc<Scratch>,
    number: u64,
    /// So many attempts may have made theirs.
    attempts: u32,
}

impl JobScratch {
    /// Where this attempt's is to be, whether it exists or not. Those of earlier attempts are removed, by a thread of
    /// their own: this one may be the engine's, and they may be large.
    pub fn of_attempt(&mut self, attempt: u32) -> PathBuf {
        let earlier: Vec<PathBuf> = (1..=self.attempts.min(attempt.saturating_sub(1)))
            .map(|attempt| self.path(attempt))
            .filter(|path| path.exists())
            .collect();
        if !earlier.is_empty() {
            // Without a thread they stay until the job's end.
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

/// Makes a directory that only its user may enter, whatever the mask.
pub fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Removes a directory with all that is in it. Follows no link. What cannot be removed stays, and nobody is told.
pub fn remove(path: &Path) {
    for _ in 0..ROUNDS_MAX {
        match fs::remove_dir_all(path) {
            // A directory that its job has locked.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => open_up(path),
            // Somebody else removes it, too, or a process that is on its way out still makes something in it.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            Ok(()) | Err(_) if fs::symlink_metadata(path).is_err() => return,
            Ok(()) | Err(_) => {}
        }
    }
}

/// Lets this user read and change all directories below, and this one.
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
