//! The wicked helper: one subcommand per hazard that a job can be. Tests run it as a job.
//!
//! It never outlives its test by much: a wait "for ever" here ends by itself after [`WAIT_MAX`], so that a failed leak
//! check costs minutes, not a machine.

mod crashes;
mod descendants;
mod flood;
mod report;
mod resources;
mod terminal;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// The time that stands for "for ever" in a helper.
const WAIT_MAX: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let hazard = args.next().unwrap_or_default();
    let rest: Vec<OsString> = args.collect();
    let Some(hazard) = hazard.to_str() else { return usage("a hazard's name is ASCII") };
    match hazard {
        "ignore-term" => descendants::ignore_signals(&rest),
        "announce-and-wait" => descendants::announce_and_wait(&rest),
        "fork-twice" => descendants::fork_twice(&rest),
        "daemon-step" => descendants::daemon_step(&rest),
        "hold-stdout" => descendants::hold_stdout(&rest),
        "fork-many" => descendants::fork_many(&rest),
        "wait" => descendants::wait(),
        "flood" => flood::flood(&rest),
        "no-newline" => flood::no_newline(&rest),
        "escape-sequences" => flood::escape_sequences(),
        "close-stdio" => flood::close_stdio(),
        "segv" => crashes::real_fault("SEGV"),
        "abort" => std::process::abort(),
        "ill" => crashes::real_fault("ILL"),
        "fpe" => crashes::real_fault("FPE"),
        "stack-overflow" => crashes::stack_overflow(),
        "exit" => ExitCode::from(u8::try_from(number(&rest, 0)).unwrap_or(u8::MAX)),
        "kill-self" => crashes::die_from(&text(&rest, 0)),
        "stop-self" => crashes::stop_self(),
        "kill-parent" => crashes::kill_parent(),
        "kill-neighbours" => crashes::kill_neighbours(),
        "exec-fail" => crashes::exec_fail(),
        "eat-memory" => resources::eat_memory(&rest),
        "burn-cpu" => resources::burn_cpu(),
        "write-file" => resources::write_file(&rest),
        "open-files" => resources::open_files(&rest),
        "list-fds" => report::list_fds(),
        "print-status" => report::print_status(),
        "print-argv-hex" => report::print_argv_hex(&rest),
        "job-shell" => terminal::job_shell(&rest),
        "in-foreground" => terminal::in_foreground(&rest),
        "refuse" => resources::refuse(&rest),
        other => usage(&format!("no hazard {other:?}")),
    }
}

fn usage(what: &str) -> ExitCode {
    eprintln!("psmith-wicked: {what}");
    ExitCode::from(64)
}

fn fail(what: &str) -> ExitCode {
    eprintln!("psmith-wicked: {what}");
    ExitCode::from(70)
}

/// Returns the argument as text; empty if it is missing.
fn text(args: &[OsString], index: usize) -> String {
    args.get(index).map(|arg| arg.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Returns the argument as a number; 0 if it is missing or none.
fn number(args: &[OsString], index: usize) -> u64 {
    text(args, index).parse().unwrap_or(0)
}

/// Returns a command for this program with another hazard.
fn again(hazard: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("psmith-wicked").arg(hazard);
    command
}

/// Becomes another program; returns only if that fails.
fn become_program(mut command: Command) -> ExitCode {
    let error = command.exec();
    fail(&format!("cannot exec {:?}: {error}", command.get_program()))
}
