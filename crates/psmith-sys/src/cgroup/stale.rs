//! The removal of groups that hosts left behind when they and their guardians were killed. Never touches a group whose
//! owner may be alive.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::group::{groups_in, procs_below, remove_below};
use super::{Cgroup, CgroupError, Controller, Hierarchy, discover};
use crate::proc_tree;

const PREFIX: &str = "psmith-";
/// The time that a killed group may take to become empty.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(2);

/// The result of a sweep.
#[derive(Debug, Default)]
pub struct SweepReport {
    /// The number of groups that were removed.
    pub removed_count: usize,
    /// The number of processes that were still in them, and were killed.
    pub killed_count: usize,
    /// The groups that could not be removed.
    pub refused: Vec<CgroupError>,
}

/// Returns a name for the group of a run of this process: `psmith-PID-STARTTIME-NONCE`. It shows whether its owner is
/// still alive; the nonce begins with the PID namespace, since the number means something in there only.
#[must_use]
pub fn run_name() -> String {
    run_name_of(std::process::id())
}

/// Returns a name, as [`run_name`] does, for a run that belongs to process `pid`.
#[must_use]
pub fn run_name_of(pid: u32) -> String {
    let starttime = proc_tree::stat(pid).map_or(0, |found| found.starttime);
    let mut random = [0; 4];
    let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::NONBLOCK).unwrap_or(0);
    let random = if filled == random.len() {
        u32::from_ne_bytes(random)
    } else {
        crate::clock::monotonic().subsec_nanos()
    };
    format!("{PREFIX}{pid}-{starttime}-{:x}.{random:08x}", pid_namespace())
}

/// Kills and removes the groups of runs whose owner is gone, next to where a run of this process would be.
#[must_use]
pub fn sweep_stale() -> SweepReport {
    let mut swept = SweepReport::default();
    if let Ok(hierarchy) = discover::unified() {
        sweep(&hierarchy, &mut swept, remove_unified);
    }
    for controller in Controller::ALL {
        if let Ok(hierarchy) = discover::legacy(controller.name()) {
            sweep(&hierarchy, &mut swept, remove_legacy);
        }
    }
    swept
}

fn sweep(hierarchy: &Hierarchy, swept: &mut SweepReport, remove: impl Fn(&Path) -> io::Result<usize>) {
    let stale = hierarchy.candidates().flat_map(groups_in).filter(|path| is_stale(path));
    for path in stale {
        match remove(&path) {
            Ok(killed) => {
                swept.removed_count += 1;
                swept.killed_count += killed;
            }
            Err(error) => swept.refused.push(CgroupError::new("remove", &path, &error)),
        }
    }
}

/// Returns whether a name that [`run_name`] begins belongs to a process that is gone for certain.
#[must_use]
pub fn is_stale(path: &Path) -> bool {
    let owner = path.file_name().and_then(|name| name.to_str()).and_then(parse_name);
    let Some((pid, starttime, namespace)) = owner else { return false };
    // A number of another PID namespace means nothing here.
    namespace == pid_namespace() && starttime != 0 && !is_alive(pid, starttime)
}

fn is_alive(pid: u32, starttime: u64) -> bool {
    match proc_tree::stat(pid) {
        Ok(found) => found.starttime == starttime && !found.is_zombie(),
        // In doubt (no `/proc`, hidden processes) it is alive.
        Err(error) => !proc_tree::is_gone(&error) || fs::metadata("/proc/self").is_err() || is_hidden(pid),
    }
}

/// Returns whether the process exists although `/proc` does not show it (`hidepid`).
fn is_hidden(pid: u32) -> bool {
    crate::pidfd::open(pid).is_ok()
}

fn remove_unified(path: &Path) -> io::Result<usize> {
    let group = Cgroup::open(path)?;
    let killed = group.procs()?.len();
    group.kill()?;
    group.wait_empty(EMPTY_TIMEOUT)?;
    group.remove()?;
    Ok(killed)
}

/// Removes a group of the first version. That version does not notify when a group becomes empty, so a group with live
/// processes is removed by a later sweep; mostly the second version's group held, and killed, the same processes.
fn remove_legacy(path: &Path) -> io::Result<usize> {
    let inside = procs_below(path)?;
    for pid in &inside {
        let handle = crate::pidfd::open(*pid);
        let is_still_inside = procs_below(path)?.contains(pid);
        if let Ok(handle) = handle
            && is_still_inside
        {
            let _ = crate::pidfd::signal(&handle, libc::SIGKILL);
            let _ = wait_ended(&handle);
        }
    }
    remove_below(path)?;
    Ok(inside.len())
}

fn wait_ended(handle: &std::os::fd::OwnedFd) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec};
    let limit = Timespec { tv_sec: EMPTY_TIMEOUT.as_secs() as i64, tv_nsec: 0 };
    let mut polled = [PollFd::new(handle, PollFlags::IN)];
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, Some(&limit)))?;
    Ok(())
}

fn pid_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino())
}

fn parse_name(name: &str) -> Option<(u32, u64, u64)> {
    let mut parts = name.strip_prefix(PREFIX)?.split('-');
    let (pid, starttime) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let (namespace, _) = parts.next()?.split_once('.')?;
    let namespace = u64::from_str_radix(namespace, 16).ok()?;
    parts.next().is_none().then_some((pid, starttime, namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_owner_and_a_living_owner_keeps_its_groups() {
        let name = run_name();
        let (pid, starttime, namespace) = parse_name(&name).unwrap();
        assert_eq!((pid, namespace), (std::process::id(), pid_namespace()));
        assert_eq!(starttime, proc_tree::stat(pid).unwrap().starttime);
        assert!(!is_stale(Path::new(&name)));
        let late = format!("{PREFIX}{pid}-{}-{namespace:x}.0", starttime + 1);
        assert!(is_stale(Path::new(&late)));
        let elsewhere = format!("{PREFIX}{pid}-{}-{:x}.0", starttime + 1, namespace + 1);
        assert!(!is_stale(Path::new(&elsewhere)));
        for foreign in ["psmith-1", "psmith-x-2-3.4", "psmith-1-2-3", "psmith-1-2-3.4-5", "system.slice"] {
            assert!(!is_stale(Path::new(foreign)), "{foreign}");
        }
    }
}
