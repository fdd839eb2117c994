//! The tree of processes, read from `/proc`.
//!
//! Every result is a snapshot that may be out of date when it is returned: nothing is killed by such a number without
//! [`kill_checked`]. Works without privileges; processes of other users show less (no environment).

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::pidfd;

/// The contents of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The process number.
    pub pid: u32,
    /// The kernel's state letter: `R`, `S`, `D`, `T`, `t`, `Z`, `X`, ...
    pub state: u8,
    /// The number of its parent.
    pub ppid: u32,
    /// The number of its process group.
    pub pgrp: u32,
    /// The number of its session.
    pub session: u32,
    /// The time of its start, in clock ticks since boot: together with the number it identifies a process.
    pub starttime: u64,
    /// True if it was forked and has not executed a program since.
    pub before_exec: bool,
}

impl Stat {
    /// Returns whether it has ended and waits to be reaped.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// The property that distinguishes a process from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessIdentity {
    /// The process started at this time.
    Starttime(u64),
    /// The process is a child of this process.
    Parent(u32),
}

/// Returns the contents of `/proc/PID/stat` for `pid`.
///
/// # Errors
/// `ENOENT` or `ESRCH` if there is no such process.
pub fn stat(pid: u32) -> io::Result<Stat> {
    let text = read(pid, "stat")?;
    parse_stat(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Returns the children of `pid`, of all its threads. Zombies are among them.
///
/// # Errors
/// `ENOENT` if there is no such process, or without CONFIG_PROC_CHILDREN.
pub fn children(pid: u32) -> io::Result<Vec<u32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(file(pid, "task"))? {
        let path = thread?.path().join("children");
        match fs::read_to_string(&path) {
            Ok(text) => {
                children.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok()));
            }
            // A thread that ended meanwhile handed its children to another one.
            Err(error) if is_gone(&error) && path.parent().is_some_and(|thread| !thread.exists()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(children)
}

/// Returns the children of `pid`, their children and so on, without `pid` itself. Processes that are spawned meanwhile
/// may be missing.
///
/// # Errors
/// As [`children`]; a descendant that vanishes meanwhile is no error.
pub fn descendants(pid: u32) -> io::Result<Vec<u32>> {
    let mut found = children(pid)?;
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        // A number that is met twice was reused during the walk; a loop is not followed.
        for child in children(parent).unwrap_or_default() {
            if !found.contains(&child) && child != pid {
                found.push(child);
            }
        }
    }
    Ok(found)
}

/// Returns the environment that `pid` was executed with, as `K=V` words, each ended by NUL.
///
/// # Errors
/// `EACCES` for processes of others, `ENOENT` if there is none.
pub fn environ(pid: u32) -> io::Result<Vec<u8>> {
    read(pid, "environ")
}

/// Returns the command line of `pid` for people: words joined by blanks, or the name in brackets if it has none.
///
/// # Errors
/// `ENOENT` if there is no such process.
pub fn cmdline(pid: u32) -> io::Result<String> {
    let mut line = read(pid, "cmdline")?;
    while line.last() == Some(&0) {
        line.pop();
    }
    if line.is_empty() {
        let name = read(pid, "comm")?;
        return Ok(format!("[{}]", String::from_utf8_lossy(&name).trim_end()));
    }
    for byte in &mut line {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Returns the processes, as far as this user may read them, whose environment holds the word `marker` (`K=V`, no
/// NUL).
#[must_use]
pub fn processes_with_env(marker: &[u8]) -> Vec<u32> {
    let holds = |pid: &u32| {
        environ(*pid).is_ok_and(|words| words.split(|byte| *byte == 0).any(|word| word == marker))
    };
    all().filter(holds).collect()
}

/// Returns the processes that `/proc` shows.
pub fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
}

/// Sends `signal` to `pid` if it still is the process that is meant: opened first, then checked, then signalled
/// through the handle, so that a reused number harms no other process.
///
/// # Errors
/// `ESRCH` if it is gone or another one, `EPERM`.
pub fn kill_checked(pid: u32, expected: ProcessIdentity, signal: i32) -> io::Result<()> {
    let handle = pidfd::open(pid)?;
    let found = stat(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    let is_meant = match expected {
        ProcessIdentity::Starttime(starttime) => found.starttime == starttime,
        ProcessIdentity::Parent(parent) => found.ppid == parent,
    };
    if !is_meant {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    pidfd::signal(handle, signal)
}

/// Returns whether an error means that the process is gone.
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

fn file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

fn read(pid: u32, name: &str) -> io::Result<Vec<u8>> {
    fs::read(file(pid, name))
}

/// "Forked but did not execute", a flag of the kernel's task.
const PF_FORKNOEXEC: u64 = 0x40;

fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The name in parentheses may hold blanks and parentheses itself; the last one ends it.
    let name_end = text.iter().rposition(|byte| *byte == b')')?;
    let text = std::str::from_utf8(text.get(name_end + 1..)?).ok().map(|rest| (text, rest))?;
    let pid = text.0.split(|byte| *byte == b' ').next()?;
    let mut fields = text.1.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let mut number = |skipped: usize| fields.nth(skipped)?.parse::<i64>().ok();
    let ppid = number(0)?;
    let (pgrp, session) = (number(0)?, number(0)?);
    let flags = number(2)?;
    let starttime = number(12)?;
    Some(Stat {
        pid: std::str::from_utf8(pid).ok()?.parse().ok()?,
        state,
        ppid: ppid as u32,
        pgrp: pgrp as u32,
        session: session as u32,
        starttime: starttime as u64,
        before_exec: flags as u64 & PF_FORKNOEXEC != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn stat_is_read_although_the_name_is_wicked() {
        let text = b"42 (a) b (c) S 7 8 9 0 -1 4194368 1 2 3 4 5 6 7 8 20 0 1 0 777 1000 2";
        let found = parse_stat(text).unwrap();
        let wanted =
            Stat { pid: 42, state: b'S', ppid: 7, pgrp: 8, session: 9, starttime: 777, before_exec: true };
        assert_eq!(found, wanted);
        assert_eq!(parse_stat(b"42 (a"), None);
    }

    #[test]
    fn a_tree_is_walked_marked_and_killed_by_identity() {
        let marker = format!("PSMITH_SYS_TEST={}", std::process::id());
        let (name, value) = marker.split_once('=').unwrap();
        // The inner cat ends when this test closes the pipe, whatever happens.
        let mut shell = Command::new("sh")
            .args(["-c", "exec 3<&0; cat <&3 & echo; wait"])
            .env(name, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        io::Read::read_exact(&mut shell.stdout.take().unwrap(), &mut [0]).unwrap();
        assert!(children(std::process::id()).unwrap().contains(&shell.id()));
        let inner = descendants(shell.id()).unwrap();
        assert_eq!(inner.len(), 1);
        let found = stat(shell.id()).unwrap();
        assert_eq!(found.ppid, std::process::id());
        assert!(!found.before_exec);
        assert!(cmdline(shell.id()).unwrap().contains("exec 3<&0; cat <&3 & echo; wait"));
        assert!(processes_with_env(marker.as_bytes()).contains(&shell.id()));

        let other = ProcessIdentity::Starttime(found.starttime + 1);
        let refused = kill_checked(shell.id(), other, libc::SIGKILL).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ESRCH));
        kill_checked(inner[0], ProcessIdentity::Parent(shell.id()), libc::SIGKILL).unwrap();
        shell.wait().unwrap();
        assert!(is_gone(&stat(shell.id()).unwrap_err()));
    }
}
