//! Jobs that leave descendants: double forks, sessions of their own, ignored signals, held pipes.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::{WAIT_MAX, again, become_program, fail, number};

/// Runs `wait`: sleeps for a helper's longest time.
pub(crate) fn wait() -> ExitCode {
    std::thread::sleep(WAIT_MAX);
    ExitCode::SUCCESS
}

/// Runs `ignore-term FILE [PIDFILE]`: ignores what can be ignored, says so in FILE, waits.
///
/// The shell sets the dispositions, because they survive exec and this program may not: it has no unsafe code.
pub(crate) fn ignore_signals(args: &[OsString]) -> ExitCode {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg("trap '' HUP INT QUIT TERM USR1 USR2 ALRM TSTP TTIN TTOU; exec \"$@\"").arg("sh");
    shell.arg(own_path()).arg("announce-and-wait").args(args);
    become_program(shell)
}

/// Runs `announce-and-wait FILE [PIDFILE]`: appends a line to FILE, and pid and start time to PIDFILE; waits.
pub(crate) fn announce_and_wait(args: &[OsString]) -> ExitCode {
    if let Some(pid_file) = args.get(1)
        && let Err(error) = append_own_pid(Path::new(pid_file))
    {
        return fail(&format!("pid file: {error}"));
    }
    if let Some(file) = args.first()
        && let Err(error) = append(Path::new(file), "ready\n")
    {
        return fail(&format!("readiness: {error}"));
    }
    wait()
}

/// Runs `fork-twice DEPTH PIDFILE [clear-env] [redirect] [ignore]`: leaves a daemon behind a chain of DEPTH forks,
/// each in a session of its own, and exits 0 when the daemon has written its pid.
pub(crate) fn fork_twice(args: &[OsString]) -> ExitCode {
    let Some(pid_file) = args.get(1) else { return fail("fork-twice DEPTH PIDFILE ..") };
    let has = |word: &str| args[2..].iter().any(|arg| arg == word);
    // A file of this daemon's own is written when it is ready; the pid file is shared by many.
    let mut ready = pid_file.clone();
    ready.push(format!(".ready.{}", std::process::id()));
    let mut step = again("daemon-step");
    step.arg(number(args, 0).max(1).to_string()).arg(pid_file).arg(&ready);
    if has("ignore") {
        step.arg("ignore");
    }
    if has("clear-env") {
        step.env_clear();
    }
    if has("redirect") {
        step.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    }
    match step.spawn() {
        // The first step has nothing to wait for but the next: no zombie of it may remain.
        Ok(mut child) => drop(child.wait()),
        Err(error) => return fail(&format!("fork: {error}")),
    }
    let deadline = Instant::now() + WAIT_MAX;
    while !Path::new(&ready).exists() {
        if Instant::now() > deadline {
            return fail("the daemon never stood");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = std::fs::remove_file(&ready);
    ExitCode::SUCCESS
}

/// Runs `daemon-step N PIDFILE READY [ignore]`: a session of its own, then the next step, or the daemon itself.
pub(crate) fn daemon_step(args: &[OsString]) -> ExitCode {
    // Fails only for a leader of a group, which the next fork is not.
    let _ = rustix::process::setsid();
    let left = number(args, 0);
    if left > 0 {
        let mut next = again("daemon-step");
        next.arg((left - 1).to_string()).args(&args[1..]);
        return match next.spawn() {
            Ok(_orphan_to_be) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("fork: {error}")),
        };
    }
    let (Some(pid_file), Some(ready)) = (args.get(1), args.get(2)) else { return fail("daemon-step") };
    if args.get(3).is_some() {
        return ignore_signals(&[ready.clone(), pid_file.clone()]);
    }
    announce_and_wait(&[ready.clone(), pid_file.clone()])
}

/// Runs `hold-stdout [PIDFILE]`: a grandchild keeps stdout and stderr open; the job itself exits 0 at once.
pub(crate) fn hold_stdout(args: &[OsString]) -> ExitCode {
    let mut holder = again("wait");
    match holder.spawn() {
        Ok(child) => {
            if let Some(pid_file) = args.first() {
                let line = format!("{} {}\n", child.id(), start_time(&child.id().to_string()));
                if let Err(error) = append(Path::new(pid_file), &line) {
                    return fail(&format!("pid file: {error}"));
                }
            }
            println!("held");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&format!("fork: {error}")),
    }
}

/// Runs `fork-many N`: starts up to N waiting children, prints how many were created, exits 0 if all were, else 11.
pub(crate) fn fork_many(args: &[OsString]) -> ExitCode {
    let wanted = number(args, 0);
    let mut count = 0;
    while count < wanted {
        match again("wait").stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(_left_to_the_leak_policy) => count += 1,
            Err(error) => {
                println!("{count}");
                eprintln!("fork {count}: {error}");
                return ExitCode::from(11);
            }
        }
    }
    println!("{count}");
    ExitCode::SUCCESS
}

fn own_path() -> std::path::PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into())
}

fn append(file: &Path, line: &str) -> std::io::Result<()> {
    OpenOptions::new().append(true).create(true).open(file)?.write_all(line.as_bytes())
}

fn append_own_pid(file: &Path) -> std::io::Result<()> {
    append(file, &format!("{} {}\n", std::process::id(), start_time("self")))
}

/// Returns the start time, which together with the pid identifies a process.
fn start_time(pid: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rfind(')').map_or("", |at| &stat[at + 1..]);
    rest.split_whitespace().nth(19).and_then(|field| field.parse().ok()).unwrap_or(0)
}

pub(crate) fn parent_of(pid: &str) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_whitespace().nth(1).map(str::to_owned)
}
