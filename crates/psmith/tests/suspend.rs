//! Ctrl-Z in a program that has pools: jobs and clocks are suspended with it.

use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use psmith::signals::suspend_guard;
use psmith::{Isolation, Job, Pool};
use psmith_testkit::leak::{LeakGuard, NONCE};
use rustix::process::{Pid, Signal, kill_process};

/// The variable that makes a test of this file play the program.
const PROGRAM: &str = "PSMITH_TEST_PROGRAM";

/// How long a job may run, and, longer, how long the program is stopped.
const LIMIT: Duration = Duration::from_secs(2);
const STOPPED: Duration = Duration::from_secs(3);

/// Reads the clock until it may end; returns the longest time between two readings.
fn watch_clock(go: PathBuf) -> Duration {
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    // Not before the clock was read: it may be stopped at once.
    std::fs::write(go.with_extension(std::process::id().to_string()), b"it looks").unwrap();
    loop {
        let may_go = go.exists();
        let now = Instant::now();
        longest = longest.max(now - last);
        last = now;
        if may_go {
            return longest;
        }
    }
}

fn state_of(pid: u32) -> u8 {
    psmith_sys::proc_tree::stat(pid).unwrap().state
}

// proves: job-control
#[test]
fn a_stop_from_the_terminal_stops_jobs_and_their_clocks_with_the_program() {
    psmith::init();
    if let Some(go) = std::env::var_os(PROGRAM) {
        let _guard = suspend_guard().unwrap();
        let pool = |isolation| Pool::builder().workers(1).isolation(isolation);
        // Their own time, too, is shorter than the stop.
        let pools = [Isolation::Reuse, Isolation::PerJob]
            .map(|isolation| pool(isolation).timeout(LIMIT).total_timeout(LIMIT * 5 / 4).build().unwrap());
        let jobs =
            pools.each_ref().map(|pool| pool.submit(Job::new(watch_clock, PathBuf::from(&go))).unwrap());
        let dir = Path::new(&go).parent().unwrap();
        while std::fs::read_dir(dir).unwrap().count() < 2 {
            std::thread::yield_now();
        }
        println!("\nready");
        for job in jobs {
            println!("\nlongest {}", job.wait().expect("the time of the stop does not count").as_millis());
        }
        // return: the rest is the terminal's part
        return;
    }
    let guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "a_stop_from_the_terminal_stops_jobs_and_their_clocks_with_the_program"]);
    program.arg("--nocapture").env(PROGRAM, &go).env(NONCE, guard.nonce());
    // A group of its own, as a shell gives: a process in its parent's group could not be stopped by the terminal.
    let mut program = program.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "ready"));
    kill_process(Pid::from_child(&program), Signal::TSTP).unwrap();
    while state_of(program.id()) != b'T' {
        std::thread::yield_now();
    }
    // sleep: longer than a job may run, so that it would be ended if its clock went on.
    std::thread::sleep(STOPPED);
    kill_process(Pid::from_child(&program), Signal::CONT).unwrap();
    std::fs::write(&go, b"").unwrap();
    let longest = lines.filter_map(|line| line.strip_prefix("longest ").map(|ms| ms.parse::<u64>().unwrap()));
    let longest: Vec<u64> = longest.collect();
    assert!(program.wait().unwrap().success());
    // They did not read the clock for as long as the program was stopped.
    assert!(
        longest.len() == 2 && longest.iter().all(|ms| u128::from(*ms) >= STOPPED.as_millis()),
        "{longest:?}"
    );
}

// proves: job-control
#[test]
fn a_program_has_one_suspend_guard_and_another_after_it() {
    let _guard = LeakGuard::alone();
    let first = suspend_guard().unwrap();
    assert_eq!(suspend_guard().unwrap_err().kind(), ErrorKind::AlreadyExists);
    drop(first);
    drop(suspend_guard().unwrap());
}
