//! Jobs that report what they were spawned with.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use rustix::process::{Resource, getrlimit, parent_process_death_signal};

/// Runs `list-fds`: the numbers of its open descriptors, one a line, without the one that lists them.
pub(crate) fn list_fds() -> ExitCode {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        if let (Some(number), Ok(target)) = (
            entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()),
            std::fs::read_link(entry.path()),
        ) && !target.ends_with("fd")
        {
            open.push(number);
        }
    }
    open.sort_unstable();
    open.iter().for_each(|number| println!("{number}"));
    ExitCode::SUCCESS
}

/// Runs `print-status`: `name value` lines. Signal mask and dispositions are the kernel's view of this process, in
/// which Rust's runtime ignores SIGPIPE and catches SIGSEGV and SIGBUS; `cat /proc/self/status` shows a process
/// without a runtime.
pub(crate) fn print_status() -> ExitCode {
    // `pid (name) state ppid pgrp session ..`: a session that was made outside of this PID namespace has number 0.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(1).collect();
    println!("pid {}", std::process::id());
    for (name, number) in ["ppid", "pgrp", "session"].iter().zip(fields) {
        println!("{name} {number}");
    }
    let death = parent_process_death_signal().ok().flatten();
    println!("pdeathsig {}", death.map_or(0, |signal| signal.as_raw()));
    let files = getrlimit(Resource::Nofile);
    println!("nofile {}", files.current.map_or("unlimited".to_owned(), |limit| limit.to_string()));
    println!(
        "core {}",
        getrlimit(Resource::Core).current.map_or("unlimited".to_owned(), |limit| limit.to_string())
    );
    println!("tty {}", if std::fs::File::open("/dev/tty").is_ok() { "yes" } else { "no" });
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("Sig") || line.starts_with("NoNewPrivs")) {
        println!("{}", line.replace(":\t", " "));
    }
    ExitCode::SUCCESS
}

/// Runs `print-argv-hex ARGS..`: each argument in hexadecimal, one a line, `-` for an empty one.
pub(crate) fn print_argv_hex(args: &[OsString]) -> ExitCode {
    // One write, so that lines of several jobs do not mix even where they share a descriptor.
    let mut text = String::new();
    for arg in args {
        if arg.is_empty() {
            text.push('-');
        }
        for byte in arg.as_bytes() {
            text.push_str(&format!("{byte:02x}"));
        }
        text.push('\n');
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
