//! A shell's part of job control, for tests on a terminal.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{BufRead, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpgrp, kill_process_group, setsid, waitpid};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

use crate::{again, become_program, fail};

/// `job-shell TTY PROGRAM ARGS..`: leads a session on TTY and runs the program as its foreground group. Tells
/// `started`, `stopped`, `exited`, `signaled` with a number on stdout; the order `fg` on stdin continues.
pub(crate) fn job_shell(args: &[OsString]) -> ExitCode {
    let [tty, program @ ..] = args else { return fail("job-shell TTY PROGRAM ARGS..") };
    if let Err(error) = setsid() {
        return fail(&format!("setsid: {error}"));
    }
    // A session leader without a terminal gets the first one that it opens.
    let tty: OwnedFd = match OpenOptions::new().read(true).write(true).open(tty) {
        Ok(file) => file.into(),
        Err(error) => return fail(&format!("terminal: {error}")),
    };
    let clone = || tty.try_clone().map_or_else(|_| Stdio::null(), Stdio::from);
    let mut child = again("in-foreground");
    child.args(program).stdin(clone()).stdout(clone()).stderr(clone()).process_group(0);
    let child = match child.spawn() {
        Ok(child) => child,
        Err(error) => return fail(&format!("start: {error}")),
    };
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return fail("pid") };
    if let Err(error) = tcsetpgrp(&tty, pid) {
        return fail(&format!("tcsetpgrp: {error}"));
    }
    tell("started", pid.as_raw_nonzero().get());
    std::thread::spawn(move || {
        for order in std::io::stdin().lock().lines().map_while(Result::ok) {
            if order == "fg" {
                let _ = kill_process_group(pid, Signal::CONT);
            }
        }
    });
    loop {
        let Ok(Some((_, status))) = waitpid(Some(pid), WaitOptions::UNTRACED) else { return fail("waitpid") };
        if let Some(signal) = status.stopping_signal() {
            tell("stopped", signal);
        } else if let Some(code) = status.exit_status() {
            tell("exited", code);
            return ExitCode::SUCCESS;
        } else if let Some(signal) = status.terminating_signal() {
            tell("signaled", signal);
            return ExitCode::SUCCESS;
        }
    }
}

/// `in-foreground PROGRAM ARGS..`: becomes the program once the terminal on stdin has it in the foreground.
pub(crate) fn in_foreground(args: &[OsString]) -> ExitCode {
    let [program, rest @ ..] = args else { return fail("in-foreground PROGRAM ARGS..") };
    while tcgetpgrp(std::io::stdin()).ok() != Some(getpgrp()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut command = Command::new(program);
    command.args(rest);
    become_program(command)
}

fn tell(word: &str, number: i32) {
    let mut out = std::io::stdout();
    // Nobody listens any more: the test is over.
    let _ = writeln!(out, "{word} {number}").and_then(|()| out.flush());
}
