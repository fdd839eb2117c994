//! A shell's part of job control, for tests on a terminal.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{BufRead, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use psmith_sys::signals::{self, SignalSet};
use rustix::process::{Pid, Signal, WaitOptions, getpgrp, kill_process_group, setsid, waitpid};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

use crate::{again, become_program, fail};

/// Runs `job-shell TTY PROGRAM ARGS..`: leads a session on TTY and runs the program as its foreground group. Writes
/// `started`, `stopped`, `exited`, `signaled` with a number to stdout. When the program stops, the shell takes the
/// terminal; the command `fg` on stdin gives it back and continues, `bg` continues without it. With `&` before the
/// program it starts in the background.
pub(crate) fn job_shell(args: &[OsString]) -> ExitCode {
    let [tty, program @ ..] = args else { return fail("job-shell TTY [&] PROGRAM ARGS..") };
    let (in_background, program) = match program {
        [first, rest @ ..] if first == "&" => (true, rest),
        _ => (false, program),
    };
    if let Err(error) = setsid() {
        return fail(&format!("setsid: {error}"));
    }
    // A session leader without a terminal gets the first one that it opens.
    let tty: OwnedFd = match OpenOptions::new().read(true).write(true).open(tty) {
        Ok(file) => file.into(),
        Err(error) => return fail(&format!("terminal: {error}")),
    };
    let clone = || tty.try_clone().map_or_else(|_| Stdio::null(), Stdio::from);
    let mut child = match (in_background, program) {
        // The terminal's foreground is this shell's from the start.
        (true, [program, rest @ ..]) => {
            let mut child = Command::new(program);
            child.args(rest);
            child
        }
        _ => {
            let mut child = again("in-foreground");
            child.args(program);
            child
        }
    };
    child.stdin(clone()).stdout(clone()).stderr(clone()).process_group(0);
    let child = match child.spawn() {
        Ok(child) => child,
        Err(error) => return fail(&format!("start: {error}")),
    };
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return fail("pid") };
    // For the kernel a shell that takes the terminal back is in the background, and would be stopped.
    signals::block(SignalSet::of(&[Signal::TTOU.as_raw()]));
    let foreground = if in_background { getpgrp() } else { pid };
    if let Err(error) = tcsetpgrp(&tty, foreground) {
        return fail(&format!("tcsetpgrp: {error}"));
    }
    report("started", pid.as_raw_nonzero().get());
    let Ok(terminal) = tty.try_clone() else { return fail("terminal") };
    std::thread::spawn(move || {
        for order in std::io::stdin().lock().lines().map_while(Result::ok) {
            if order == "fg" {
                let _ = tcsetpgrp(&terminal, pid);
            }
            let _ = kill_process_group(pid, Signal::CONT);
        }
    });
    loop {
        let Ok(Some((_, status))) = waitpid(Some(pid), WaitOptions::UNTRACED) else { return fail("waitpid") };
        if let Some(signal) = status.stopping_signal() {
            let _ = tcsetpgrp(&tty, getpgrp());
            report("stopped", signal);
        } else if let Some(code) = status.exit_status() {
            report("exited", code);
            return ExitCode::SUCCESS;
        } else if let Some(signal) = status.terminating_signal() {
            report("signaled", signal);
            return ExitCode::SUCCESS;
        }
    }
}

/// Runs `in-foreground PROGRAM ARGS..`: becomes the program once the terminal on stdin has it in the foreground.
pub(crate) fn in_foreground(args: &[OsString]) -> ExitCode {
    let [program, rest @ ..] = args else { return fail("in-foreground PROGRAM ARGS..") };
    while tcgetpgrp(std::io::stdin()).ok() != Some(getpgrp()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut command = Command::new(program);
    command.args(rest);
    become_program(command)
}

fn report(word: &str, number: i32) {
    let mut out = std::io::stdout();
    // The reader is gone: the test is over.
    let _ = writeln!(out, "{word} {number}").and_then(|()| out.flush());
}
