//! Processes as `/proc` shows them: state, parents, and the run that they belong to. Never signals one.

use std::fs;
use std::path::Path;

/// The fields of `/proc/PID/stat` that tests use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcStat {
    /// The state letter: `R`, `S`, `D`, `T`, `Z`, ...
    pub state: char,
    /// The parent.
    pub ppid: i32,
    /// The process group.
    pub pgrp: i32,
    /// The session.
    pub session: i32,
    /// The start time in clock ticks since boot: with the pid it identifies a process.
    pub start: u64,
}

/// Returns the process ids there are, in ascending order.
#[must_use]
pub fn pids() -> Vec<i32> {
    let mut pids: Vec<i32> = fs::read_dir("/proc")
        .map(|entries| {
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
        })
        .unwrap_or_default();
    pids.sort_unstable();
    pids
}

/// Returns the state of a process, or `None` if there is no such process.
#[must_use]
pub fn stat(pid: i32) -> Option<ProcStat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The name in parentheses may hold anything, parentheses included.
    let rest = &text[text.rfind(')')? + 1..];
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(ProcStat {
        state: fields.first()?.chars().next()?,
        ppid: fields.get(1)?.parse().ok()?,
        pgrp: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

/// Returns whether the process runs, sleeps or is stopped: there, and not merely waiting to be reaped.
#[must_use]
pub fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

/// Returns the words of a process's command line, joined by blanks.
#[must_use]
pub fn command_line(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = words.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    words.join(" ").trim_end().to_owned()
}

/// Returns the children of a process, zombies included.
#[must_use]
pub fn children(pid: i32) -> Vec<i32> {
    pids().into_iter().filter(|child| stat(*child).is_some_and(|stat| stat.ppid == pid)).collect()
}

/// Returns the warden of a psmith, which is its one child, if it has one just now.
#[must_use]
pub fn warden_of(psmith: i32) -> Option<i32> {
    children(psmith).into_iter().find(|pid| is_alive(*pid))
}

/// Returns the live processes whose environment, as it was at their exec, holds this `NAME=VALUE`.
#[must_use]
pub fn with_environment(assignment: &str) -> Vec<i32> {
    let wanted = assignment.as_bytes();
    pids()
        .into_iter()
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|text| text.split(|byte| *byte == 0).any(|entry| entry == wanted))
        })
        .filter(|pid| is_alive(*pid))
        .collect()
}

/// Returns a line that describes a process, fit for a failure message.
#[must_use]
pub fn describe(pid: i32) -> String {
    match stat(pid) {
        None => format!("pid {pid} (gone)"),
        Some(stat) => format!(
            "pid {pid} (state {}, parent {}, group {}, session {}): {}",
            stat.state,
            stat.ppid,
            stat.pgrp,
            stat.session,
            command_line(pid)
        ),
    }
}

/// Returns all that helps to see why a process hangs, one paragraph.
#[must_use]
pub fn dump(pid: i32) -> String {
    let mut text = describe(pid);
    for file in ["wchan", "syscall", "stack", "cgroup"] {
        if let Ok(content) = fs::read_to_string(format!("/proc/{pid}/{file}")) {
            text.push_str(&format!("\n    {file}: {}", content.trim_end().replace('\n', "\n      ")));
        }
    }
    if let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) {
        for line in status.lines().filter(|line| line.starts_with("Sig") || line.starts_with("Threads")) {
            text.push_str(&format!("\n    {line}"));
        }
    }
    if let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) {
        for entry in entries.flatten() {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            text.push_str(&format!(
                "\n    fd {} -> {}",
                entry.file_name().to_string_lossy(),
                target.display()
            ));
        }
    }
    text
}

/// Returns the descriptors that this process holds open, with what they are.
#[must_use]
pub fn own_descriptors() -> Vec<(i32, String)> {
    let own = Path::new("/proc/self/fd");
    let mut open: Vec<(i32, String)> = fs::read_dir(own)
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|entry| {
                    let number = entry.file_name().to_str()?.parse().ok()?;
                    let target = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
                    Some((number, target))
                })
                .collect()
        })
        .unwrap_or_default();
    // The descriptor that lists the directory is closed by now.
    let listing = format!("/proc/{}/fd", std::process::id());
    open.retain(|(_, target)| *target != listing);
    open.sort();
    open
}

/// Returns the threads of this process: number and name.
#[must_use]
pub fn own_threads() -> Vec<(i32, String)> {
    fs::read_dir("/proc/self/task")
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|entry| {
                    let number = entry.file_name().to_str()?.parse().ok()?;
                    let name = fs::read_to_string(entry.path().join("comm")).ok()?.trim_end().to_owned();
                    Some((number, name))
                })
                .collect()
        })
        .unwrap_or_default()
}
