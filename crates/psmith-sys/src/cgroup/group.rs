//! Groups of the second version: of a run, and of each slot in it. Never limits anything.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};

use super::limits::Controller;
use super::{CgroupError, discover};
use crate::forbid::{KernelFacility, is_forbidden};
use crate::pidfd;

/// The maximum number of times that the list of a group's processes is read again because it had new ones.
const ROUNDS_MAX: usize = 1000;

/// A group, held open by its directory: the files that a job's end needs are opened once.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    dir: OwnedFd,
    procs: OwnedFd,
    events: OwnedFd,
}

impl Cgroup {
    /// Makes a group with this path.
    ///
    /// # Errors
    /// `EEXIST`, `EACCES`, `EROFS`, `ENOSPC` (limit of groups).
    pub fn create(path: &Path) -> Result<Self, CgroupError> {
        fs::create_dir(path).map_err(|error| CgroupError::new("create", path, &error))?;
        Cgroup::open(path).inspect_err(|_| {
            let _ = fs::remove_dir(path);
        })
    }

    /// Opens a group that exists.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`.
    pub fn open(path: &Path) -> Result<Self, CgroupError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty());
        let dir = dir.map_err(|errno| CgroupError::new("open", path, &errno.into()))?;
        Cgroup::of_dir(path.into(), dir)
    }

    fn of_dir(path: PathBuf, dir: OwnedFd) -> Result<Self, CgroupError> {
        let open = |name: &str, flags| {
            rustix::fs::openat(&dir, name, flags | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| CgroupError::new("open", &path.join(name), &errno.into()))
        };
        let procs = open("cgroup.procs", OFlags::WRONLY)?;
        let events = open("cgroup.events", OFlags::RDONLY)?;
        Ok(Cgroup { path, dir, procs, events })
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its directory, to be sent to another process.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Returns the file by which a process joins: it writes `0`.
    #[must_use]
    pub fn procs_file(&self) -> BorrowedFd<'_> {
        self.procs.as_fd()
    }

    /// Returns the file whose change epoll reports as priority: populated or not, frozen or not. It is reported until
    /// this value reads it ([`Cgroup::populated`], [`Cgroup::is_frozen`], [`Cgroup::wait_empty`]), so read, then wait.
    #[must_use]
    pub fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Returns whether a live process is in it or below. Zombies do not count.
    ///
    /// # Errors
    /// `ENODEV` if the group is removed.
    pub fn populated(&self) -> io::Result<bool> {
        self.event("populated")
    }

    /// Returns whether all its processes are frozen.
    ///
    /// # Errors
    /// `ENODEV` if the group is removed.
    pub fn is_frozen(&self) -> io::Result<bool> {
        self.event("frozen")
    }

    /// Kills everything in it and below, also processes that are being spawned. Does not wait for the end.
    ///
    /// # Errors
    /// `EACCES`, `EPERM`; `EOPNOTSUPP` for threaded groups.
    pub fn kill(&self) -> io::Result<()> {
        if !is_forbidden(KernelFacility::CgroupKill) {
            match self.write("cgroup.kill", b"1") {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return other,
            }
        }
        // Before 5.14. Frozen first, so that nothing forks while the list is read; where that fails, the rounds catch
        // up with processes that were spawned meanwhile. SIGKILL ends frozen processes, too.
        let was_frozen = self.freeze(true).is_ok();
        let killed = self.signal_all(libc::SIGKILL);
        if was_frozen {
            self.freeze(false)?;
        }
        killed?;
        self.signal_all(libc::SIGKILL).map(drop)
    }

    /// Freezes or thaws its processes; `frozen` in the events reports when all are frozen.
    ///
    /// # Errors
    /// `EACCES`; `ENOENT` before 5.2.
    pub fn freeze(&self, freeze: bool) -> io::Result<()> {
        self.write("cgroup.freeze", if freeze { b"1" } else { b"0" })
    }

    /// Returns the processes in it and below, at this moment.
    ///
    /// # Errors
    /// `EACCES`, `ENODEV`.
    pub fn procs(&self) -> io::Result<Vec<u32>> {
        procs_below(&self.path)
    }

    /// Signals every process in it and below, each through a handle that was opened before the list was read again, so
    /// that no process outside is hit. Returns the number of processes.
    ///
    /// # Errors
    /// `EPERM` if one of them may not be signalled (the others are).
    pub fn signal_all(&self, signal: i32) -> io::Result<usize> {
        let is_inside = |pid: &u32| self.procs().is_ok_and(|inside| inside.contains(pid));
        let mut signalled = HashSet::new();
        let mut refused = None;
        for _ in 0..ROUNDS_MAX {
            let fresh: Vec<u32> = self.procs()?.into_iter().filter(|pid| !signalled.contains(pid)).collect();
            if fresh.is_empty() {
                break;
            }
            let handles: Vec<(u32, Option<OwnedFd>)> =
                fresh.iter().map(|pid| (*pid, pidfd::open(*pid).ok())).collect();
            let inside: HashSet<u32> = self.procs()?.into_iter().collect();
            for (pid, handle) in handles {
                signalled.insert(pid);
                let Some(handle) = handle.filter(|_| inside.contains(&pid)) else { continue };
                match pidfd::signal(&handle, signal) {
                    Err(error) if error.raw_os_error() != Some(libc::ESRCH) && is_inside(&pid) => {
                        refused = Some(error);
                    }
                    _ => {}
                }
            }
        }
        refused.map_or(Ok(signalled.len()), Err)
    }

    /// Waits until no process is in it; returns whether that came about in time.
    ///
    /// # Errors
    /// `ENODEV` if the group is removed.
    pub fn wait_empty(&self, timeout: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            if !self.populated()? {
                return Ok(true);
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Ok(false);
            }
            let limit = Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: i64::from(rest.subsec_nanos()) };
            let mut polled = [PollFd::new(&self.events, PollFlags::PRI)];
            match rustix::event::poll(&mut polled, Some(&limit)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Moves a running process into it. Resources that the process has used so far stay charged where it was.
    ///
    /// # Errors
    /// `ESRCH` if it is gone, `EACCES` without permission for the group that both are below.
    pub fn adopt(&self, pid: u32) -> io::Result<()> {
        let number = pid.to_string();
        rustix::io::retry_on_intr(|| rustix::io::write(self.procs_file(), number.as_bytes()))?;
        Ok(())
    }

    /// Removes it, with the groups that its processes made in it.
    ///
    /// # Errors
    /// `EBUSY` while a process is in it.
    pub fn remove(&self) -> io::Result<()> {
        remove_below(&self.path)
    }

    fn event(&self, name: &str) -> io::Result<bool> {
        let mut text = [0; 128];
        let filled = rustix::io::retry_on_intr(|| rustix::io::pread(&self.events, &mut text, 0))?;
        let text = std::str::from_utf8(&text[..filled]).unwrap_or("");
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(value.is_some_and(|value| value.trim() == "1"))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = rustix::fs::openat(&self.dir, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::retry_on_intr(|| rustix::io::write(&file, bytes))?;
        Ok(())
    }
}

/// The group of a run. It holds no process itself, only groups, because a group that hands controllers down may not.
#[derive(Debug)]
pub struct RunGroup {
    group: Cgroup,
}

impl RunGroup {
    /// Makes a group with this name (see [`super::run_name`]) in the own group, or the nearest ancestor that may be
    /// written to.
    ///
    /// # Errors
    /// The first refusal, which is that of the own group.
    pub fn create(name: &str) -> Result<Self, CgroupError> {
        RunGroup::create_with(name, &[])
    }

    /// Makes a group as [`RunGroup::create`] does, but prefers the nearest place where all of `wanted` can be handed
    /// down. Where there is none, any place will do: [`RunGroup::hand_down`] fails for those that it lacks.
    ///
    /// # Errors
    /// As [`RunGroup::create`].
    pub fn create_with(name: &str, wanted: &[Controller]) -> Result<Self, CgroupError> {
        let hierarchy = discover::unified()?;
        let mut refused = None;
        let mut spare: Option<RunGroup> = None;
        for place in hierarchy.candidates() {
            let run = match Cgroup::create(&place.join(name)) {
                Ok(group) => RunGroup { group },
                Err(refusal) => {
                    refused.get_or_insert(refusal);
                    continue;
                }
            };
            let has_all = wanted.iter().all(|controller| run.hand_down(*controller).is_ok());
            if has_all {
                if let Some(spare) = spare {
                    let _ = spare.remove();
                }
                return Ok(run);
            }
            match spare {
                None => spare = Some(run),
                Some(_) => drop(run.remove()),
            }
        }
        let nowhere = || CgroupError::missing("create a group in", &hierarchy.own, libc::EACCES);
        spare.ok_or_else(|| refused.unwrap_or_else(nowhere))
    }

    /// Makes a group in it.
    ///
    /// # Errors
    /// As [`Cgroup::create`].
    pub fn slot(&self, name: &str) -> Result<Cgroup, CgroupError> {
        Cgroup::create(&self.group.path.join(name))
    }

    /// Returns the group itself: kills, freezes and watches all that is below it.
    #[must_use]
    pub fn group(&self) -> &Cgroup {
        &self.group
    }

    /// Hands a controller down to the groups in it.
    ///
    /// # Errors
    /// `ENOENT` if it is not available here.
    pub fn hand_down(&self, controller: Controller) -> Result<(), CgroupError> {
        let path = self.group.path.join("cgroup.subtree_control");
        let word = format!("+{}", controller.name());
        let handed = self.group.write("cgroup.subtree_control", word.as_bytes());
        if handed.is_ok() {
            return Ok(());
        }
        // The place may have the controller without handing it down yet. Doing so works in the root, and where no
        // process is in the place itself.
        if let Some(place) = self.group.path.parent() {
            let _ = fs::write(place.join("cgroup.subtree_control"), &word);
        }
        self.group
            .write("cgroup.subtree_control", word.as_bytes())
            .map_err(|error| CgroupError::new(format!("write {word} to"), &path, &error))
    }

    /// Removes it and the groups in it.
    ///
    /// # Errors
    /// `EBUSY` while a process is in it.
    pub fn remove(&self) -> io::Result<()> {
        self.group.remove()
    }
}

/// Returns the processes of a group of either version and of the groups below.
pub(super) fn procs_below(path: &Path) -> io::Result<Vec<u32>> {
    let text = match fs::read_to_string(path.join("cgroup.procs")) {
        // A threaded group lists its processes in its domain only.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => String::new(),
        other => other?,
    };
    // A process of another PID namespace is listed as 0.
    let mut procs: Vec<u32> =
        text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).collect();
    for below in groups_in(path) {
        match procs_below(&below) {
            Ok(more) => procs.extend(more),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(procs)
}

/// Removes a group of either version and those below, the deepest first. A group that is gone already is no error.
pub(super) fn remove_below(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    for below in groups_in(path) {
        remove_below(&below)?;
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(super) fn groups_in(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
