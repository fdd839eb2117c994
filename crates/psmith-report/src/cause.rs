//! The wording of each cause, the same wherever it is shown. Never decides a cause.

use psmith_core::outcome::{Cause, LimitKind, Outcome, SpawnFailure, SpawnStep};
use psmith_sys::signals;
use rustix::io::Errno;

use crate::display::{errno_text, visible};
use crate::duration::{asked_for, size};

/// The length at which a job's own text in a cause is cut.
const DETAIL_COLUMNS_MAX: usize = 240;

/// Returns how a job failed, without its tries: `exit 7`, `signal 9 (KILL)`, `timeout after 1s`, `oom at 512M`, `spawn:
/// nosuch: not found in PATH`. `program` is the word that was to be started.
#[must_use]
pub fn cause_text(cause: &Cause, program: &[u8]) -> String {
    let word = cause.kind().word();
    let detail = |text: &str| visible(text.as_bytes(), DETAIL_COLUMNS_MAX);
    match cause {
        Cause::Exit(code) => format!("{word} {code}"),
        Cause::Signal { signal, core_dumped } => {
            let core = if *core_dumped { ", core dumped" } else { "" };
            format!("{word} {}{core}", signal_text(*signal))
        }
        Cause::Timeout(limit) => format!("{word} after {}", asked_for(*limit)),
        Cause::Idle(limit) => format!("{word} for {}", asked_for(*limit)),
        Cause::OutOfMemory { limit_bytes: Some(limit), .. } => format!("{word} at {}", size(*limit)),
        Cause::Limit(LimitKind::CpuTime(limit)) => format!("{word}: CPU time of {}", asked_for(*limit)),
        Cause::Limit(LimitKind::FileSize(limit)) => format!("{word}: file size of {}", size(*limit)),
        Cause::Limit(LimitKind::Processes(1)) => format!("{word}: 1 process"),
        Cause::Limit(LimitKind::Processes(limit)) => format!("{word}: {limit} processes"),
        Cause::Leaked(1) => format!("{word}: 1 process outlived it"),
        Cause::Leaked(count) => format!("{word}: {count} processes outlived it"),
        Cause::CircuitBroken(jobs) => format!("{word}: {jobs} jobs in a row had crashed"),
        Cause::Lost => format!("{word}: its process vanished without a report"),
        Cause::SpawnFailed(failure) => format!("{word}: {}", spawn_text(failure, program)),
        Cause::Panic { message, location, .. } if !location.is_empty() => {
            format!("{word}: {} at {}", detail(message), detail(location))
        }
        Cause::Error(text)
        | Cause::Panic { message: text, .. }
        | Cause::Undecodable(text)
        | Cause::Protocol(text) => format!("{word}: {}", detail(text)),
        // `oom` without a limit of its own, `cancelled`, and causes that the core may add.
        _ => word.to_owned(),
    }
}

/// Returns the cause with the number of its tries, if there were several: `exit 1, 3 tries`.
#[must_use]
pub fn cause_with_tries(outcome: &Outcome, program: &[u8]) -> String {
    let Err(cause) = &outcome.verdict else { return flaky_text(outcome) };
    let text = cause_text(cause, program);
    if outcome.tries > 1 { format!("{text}, {} tries", outcome.tries) } else { text }
}

/// Returns why a start failed: `nosuch: not found in PATH`, `./data: not executable`.
#[must_use]
pub fn spawn_text(failure: &SpawnFailure, program: &[u8]) -> String {
    let detail = visible(failure.detail.as_bytes(), DETAIL_COLUMNS_MAX);
    let program = if detail.is_empty() { visible(program, DETAIL_COLUMNS_MAX) } else { detail.clone() };
    // `Errno` takes no 0, which means here that no system call failed.
    let errno = (1..4096).contains(&failure.errno).then(|| Errno::from_raw_os_error(failure.errno));
    match (failure.step, errno) {
        (SpawnStep::Prepare, _) if !detail.is_empty() => detail,
        (SpawnStep::Lookup, None | Some(Errno::NOENT | Errno::NOTDIR)) => missing(&program),
        (SpawnStep::Lookup | SpawnStep::Exec, Some(Errno::ACCESS)) => format!("{program}: not executable"),
        // The program itself was found before: the missing file is the interpreter that its first line names.
        (SpawnStep::Exec, Some(Errno::NOENT)) => format!("{program}: it or its interpreter was not found"),
        (SpawnStep::Exec, Some(Errno::NOEXEC)) => format!("{program}: not a program, and without a #! line"),
        (step, _) => {
            let of = if detail.is_empty() { String::new() } else { format!(" {detail}") };
            let why =
                if failure.errno == 0 { String::new() } else { format!(": {}", errno_text(failure.errno)) };
            format!("failed to {}{of}{why}", step.verb())
        }
    }
}

/// Returns a signal by number and name: `9 (KILL)`.
#[must_use]
pub fn signal_text(signal: i32) -> String {
    match signal_name(signal) {
        Some(name) => format!("{signal} ({name})"),
        None => format!("{signal}"),
    }
}

/// Returns the name of a signal without `SIG`; a real-time signal is named by its distance from the first.
#[must_use]
pub fn signal_name(signal: i32) -> Option<String> {
    signals::name(signal).map(str::to_owned).or_else(|| signals::real_time_name(signal))
}

/// Returns the text for a success that took several tries and counts as a failure (`--flaky fail`).
fn flaky_text(outcome: &Outcome) -> String {
    format!("flaky, {} tries", outcome.tries)
}

fn missing(program: &str) -> String {
    if program.contains('/') {
        format!("{program}: no such file")
    } else {
        format!("{program}: not found in PATH")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use std::time::Duration;

    fn text(cause: Cause) -> String {
        cause_text(&cause, b"prog")
    }

    fn spawn(step: SpawnStep, errno: i32, detail: &str) -> String {
        text(Cause::SpawnFailed(SpawnFailure { step, errno, detail: detail.to_owned(), permanent: false }))
    }

    #[test]
    fn each_cause_has_one_wording() {
        let signal = |signal, core_dumped| text(Cause::Signal { signal, core_dumped });
        assert_eq!(text(Cause::Exit(7)), "exit 7");
        assert_eq!(signal(9, false), "signal 9 (KILL)");
        assert_eq!(signal(11, true), "signal 11 (SEGV), core dumped");
        assert_eq!(signal(40, false), "signal 40 (RTMIN+6)");
        assert_eq!(text(Cause::Timeout(Duration::from_secs(1))), "timeout after 1s");
        assert_eq!(text(Cause::OutOfMemory { limit_bytes: Some(512 << 20), kills: 1 }), "oom at 512M");
        assert_eq!(text(Cause::OutOfMemory { limit_bytes: None, kills: 1 }), "oom");
        assert_eq!(text(Cause::Limit(LimitKind::CpuTime(Duration::from_secs(10)))), "limit: CPU time of 10s");
        assert_eq!(text(Cause::Limit(LimitKind::FileSize(1 << 20))), "limit: file size of 1M");
        assert_eq!(text(Cause::Limit(LimitKind::Processes(64))), "limit: 64 processes");
        assert_eq!(text(Cause::Leaked(1)), "leak: 1 process outlived it");
        assert_eq!(text(Cause::Leaked(2)), "leak: 2 processes outlived it");
        assert_eq!(text(Cause::Lost), "lost: its process vanished without a report");
        assert_eq!(text(Cause::Cancelled), "cancelled");
        assert_eq!(text(Cause::Error("no\x1b".into())), "error: no\\x1b");
        let panic = |location: &str| {
            text(Cause::Panic { message: "boom".into(), location: location.into(), backtrace: String::new() })
        };
        assert_eq!(panic("src/a.rs:1:2"), "panic: boom at src/a.rs:1:2");
        assert_eq!(panic(""), "panic: boom");
        assert_eq!(text(Cause::Undecodable("result".into())), "undecodable: result");
        assert_eq!(text(Cause::Protocol("closed early".into())), "protocol: closed early");
    }

    #[test]
    fn a_failed_start_shows_what_a_user_can_repair() {
        assert_eq!(spawn(SpawnStep::Lookup, 2, "nosuch"), "spawn: nosuch: not found in PATH");
        assert_eq!(spawn(SpawnStep::Lookup, 0, ""), "spawn: prog: not found in PATH");
        assert_eq!(spawn(SpawnStep::Lookup, 2, "./nosuch"), "spawn: ./nosuch: no such file");
        assert_eq!(spawn(SpawnStep::Exec, 13, "./data"), "spawn: ./data: not executable");
        assert_eq!(spawn(SpawnStep::Exec, 2, ""), "spawn: prog: it or its interpreter was not found");
        assert_eq!(spawn(SpawnStep::Exec, 8, ""), "spawn: prog: not a program, and without a #! line");
        assert_eq!(
            spawn(SpawnStep::Prepare, 0, "input holds a NUL byte, which no argument can"),
            "spawn: input holds a NUL byte, which no argument can"
        );
        assert_eq!(
            spawn(SpawnStep::WorkingDirectory, 2, "/nodir"),
            "spawn: failed to enter the working directory /nodir: no such file or directory"
        );
        assert_eq!(
            spawn(SpawnStep::Exec, 7, ""),
            "spawn: failed to execute the program: argument list too long"
        );
    }

    #[test]
    fn tries_are_shown_if_there_were_several() {
        let mut outcome = sample::failed(Cause::Exit(1));
        assert_eq!(cause_with_tries(&outcome, b""), "exit 1");
        outcome.tries = 3;
        assert_eq!(cause_with_tries(&outcome, b""), "exit 1, 3 tries");
        outcome.verdict = Ok(());
        assert_eq!(cause_with_tries(&outcome, b""), "flaky, 3 tries");
    }
}
