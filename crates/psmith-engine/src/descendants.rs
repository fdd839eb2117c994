//! Descendants of a process, found through `/proc` and signalled without ever hitting an unrelated process. Never
//! decides which process is to be signalled.

use psmith_sys::{pidfd, proc_tree};

/// Sends `signal` to every descendant of `leader` that is not in the process group `spared`, but not to `leader`
/// itself; returns those that it reached.
///
/// Processes spawned during the scan may be missed: the caller scans again once the killing has begun.
pub(crate) fn signal_descendants(leader: u32, spared: Option<u32>, signal: i32) -> Vec<u32> {
    let found = proc_tree::descendants(leader).unwrap_or_default();
    let mut reached = Vec::new();
    for &pid in &found {
        let Ok(stat) = proc_tree::stat(pid) else { continue };
        if stat.is_zombie()
            || Some(stat.pgrp) == spared
            || (stat.ppid != leader && !found.contains(&stat.ppid))
        {
            continue;
        }
        let same = proc_tree::ProcessIdentity::Starttime(stat.starttime);
        if proc_tree::kill_checked(pid, same, signal).is_ok() {
            reached.push(pid);
        }
    }
    reached
}

/// Returns the number of live processes in a process group.
pub(crate) fn members_of_group(group: u32) -> u32 {
    let is_alive =
        |&pid: &u32| proc_tree::stat(pid).is_ok_and(|stat| stat.pgrp == group && !stat.is_zombie());
    u32::try_from(proc_tree::all().filter(is_alive).count()).unwrap_or(u32::MAX)
}

/// Kills every process whose environment holds `marker` (`K=V`), except this one; returns how many.
pub(crate) fn kill_marked(marker: &[u8]) -> u32 {
    let mut killed = 0;
    for pid in proc_tree::processes_with_env(marker) {
        if pid == std::process::id() {
            continue;
        }
        // The pidfd is opened first, the environment read again, then the signal sent: a process id that was reused
        // meanwhile harms no other process.
        let Ok(process) = pidfd::open(pid) else { continue };
        let still = proc_tree::environ(pid)
            .is_ok_and(|words| words.split(|&byte| byte == 0).any(|word| word == marker));
        if still && pidfd::signal(&process, psmith_core::policy::SIGKILL).is_ok() {
            killed += 1;
        }
    }
    killed
}

/// Returns whether a debugger traces this process.
pub(crate) fn is_traced(pid: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}
