//! The terminal of a job under `--tty`: a stop of the job stops the run with it, as in a shell.

use std::time::{Duration, Instant};

use psmith_sys::terminal::TerminalModes;
use psmith_testkit::leak::SETTLE;
use psmith_testkit::pty::{OnTerminal, ShellReport};
use psmith_testkit::records::RecordedEvents;
use psmith_testkit::{OUTER_LIMIT, Scene, Signal, proc, scene};
use rustix::process::{Pid, kill_process};

const LEVELS: [&[(&str, &str)]; 3] =
    [&[], &[("PSMITH_FORBID", "cgroup")], &[("PSMITH_FORBID", "cgroup,subreaper")]];

fn stopped_by(signal: Signal) -> ShellReport {
    ShellReport::Stopped(signal.as_raw())
}

/// Returns a job that reports that it is ready, then reads a line from the terminal.
fn reading_job(ready: &str) -> String {
    format!("echo up > {ready}; read line; echo \"{{}} got $line\"")
}

// proves: F-48: the user's shell gets the terminal back although only the job received the Ctrl-Z
#[test]
fn ctrl_z_in_a_job_stops_the_run_and_fg_goes_on() {
    for variables in LEVELS {
        let scene = scene!();
        let mut ready = scene.ready("ready");
        let options = ["--tty", "--events", "e", "-s", &reading_job(ready.as_str()), ":::", "a"];
        let mut terminal = OnTerminal::start(&scene, &options, variables);
        ready.wait();
        for round in 1..=3 {
            terminal.type_keys(b"\x1a");
            assert_eq!(terminal.next_report(), stopped_by(Signal::TSTP), "{}", terminal.screen_text());
            terminal.foreground();
            // A Ctrl-Z typed before the run continues is lost with the SIGCONT: the kernel drops it.
            let _ = RecordedEvents::wait_for(&scene.path("e"), "job_continued", round);
        }
        terminal.type_keys(b"hello\n");
        assert_eq!(terminal.next_report(), ShellReport::Exited(0), "{}", terminal.screen_text());
        terminal.wait_for_screen("a got hello");
        assert!(terminal.is_cooked());
    }
}

// proves: F-48: with a keeper between the warden and the job
#[test]
fn ctrl_z_in_a_job_under_a_keeper() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let options = ["--tty", "--contain", "keeper", "-s", &reading_job(ready.as_str()), ":::", "a"];
    let mut terminal = OnTerminal::start(&scene, &options, &[("PSMITH_FORBID", "cgroup")]);
    ready.wait();
    terminal.type_keys(b"\x1a");
    assert_eq!(terminal.next_report(), stopped_by(Signal::TSTP));
    terminal.foreground();
    terminal.type_keys(b"hello\n");
    assert_eq!(terminal.next_report(), ShellReport::Exited(0), "{}", terminal.screen_text());
}

// proves: F-30: a job in the background that needs the terminal does not hang there unseen
#[test]
fn a_job_that_reads_in_the_background_stops_the_run() {
    for variables in LEVELS {
        let scene = scene!();
        let mut ready = scene.ready("ready");
        let options = ["--tty", "-s", &reading_job(ready.as_str()), ":::", "a"];
        let mut terminal = OnTerminal::start(&scene, &options, variables);
        ready.wait();
        terminal.type_keys(b"\x1a");
        assert_eq!(terminal.next_report(), stopped_by(Signal::TSTP));
        terminal.background();
        assert_eq!(terminal.next_report(), stopped_by(Signal::TSTP), "{}", terminal.screen_text());
        terminal.foreground();
        terminal.type_keys(b"hello\n");
        assert_eq!(terminal.next_report(), ShellReport::Exited(0), "{}", terminal.screen_text());
    }
}

// proves: F-30
#[test]
fn a_run_started_in_the_background_takes_no_terminal() {
    let scene = scene!();
    let job = "echo began > began; echo \"{} runs\"";
    let mut terminal = OnTerminal::start_in_background(&scene, &["--tty", "-s", job, ":::", "a"], &[]);
    assert_eq!(terminal.next_report(), stopped_by(Signal::TTOU));
    assert!(!scene.path("began").exists());
    terminal.foreground();
    assert_eq!(terminal.next_report(), ShellReport::Exited(0), "{}", terminal.screen_text());
    terminal.wait_for_screen("a runs");
}

// proves: F-30
#[test]
fn the_next_job_waits_for_the_terminal_that_the_run_has_lost() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    // Both are held open for reading and writing by the test, so that the job waits in `read` alone: a shell that is
    // stopped while it starts a program (vfork) does not count as stopped, for the kernel's part.
    let (go_a, go_b) = (scene.ready("goa"), scene.ready("gob"));
    let job = format!("echo {{}} > {}; read go < go{{}}", ready.as_str());
    let mut terminal = OnTerminal::start(&scene, &["--tty", "-s", &job, ":::", "a", "b"], &[]);
    assert_eq!(ready.lines(1), ["a"]);
    terminal.type_keys(b"\x1a");
    assert_eq!(terminal.next_report(), stopped_by(Signal::TSTP));
    terminal.background();
    std::fs::write(go_a.path(), "\n").expect("the job reads it");
    // The shell has the foreground: a job that ends now must not take it, and the next must not either.
    assert_eq!(terminal.next_report(), stopped_by(Signal::TTOU), "{}", terminal.screen_text());
    std::fs::write(go_b.path(), "\n").expect("the job reads it");
    terminal.foreground();
    assert_eq!(ready.lines(1), ["b"]);
    assert_eq!(terminal.next_report(), ShellReport::Exited(0), "{}", terminal.screen_text());
}

/// A script on a terminal that runs psmith, which is killed once it says that it runs; then the script ends.
fn kill_in_a_script(run: &str) {
    let scene = Scene::new("/bin/sh");
    let mut ready = scene.ready("ready");
    let script =
        format!("{} {run} :::: in; while [ ! -e go ]; do sleep 0.02; done", env!("CARGO_BIN_EXE_psmith"));
    scene.write("in", format!("{}\n", ready.as_str()));
    let mut terminal = OnTerminal::start(&scene, &["-c", &script], &[]);
    let found = TerminalModes::of(terminal.master()).unwrap();
    ready.wait();
    let deadline = Instant::now() + OUTER_LIMIT;
    while terminal.is_cooked() {
        assert!(Instant::now() < deadline, "the terminal was not taken: {}", terminal.screen_text());
        // sleep: nothing tells of a change of modes.
        std::thread::sleep(Duration::from_millis(2));
    }
    let psmith = proc::children(terminal.pid())[0];
    kill_process(Pid::from_raw(psmith).expect("a pid"), Signal::KILL).expect("it is a process of the test");
    let deadline = Instant::now() + SETTLE;
    while !terminal.is_cooked() && Instant::now() < deadline {
        // sleep: as above.
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(TerminalModes::of(terminal.master()).unwrap(), found, "{run}");
    scene.write("go", "");
    assert_eq!(terminal.next_report(), ShellReport::Exited(0));
}

// proves: F-70: no shell puts back the modes of a program that died within its script
#[test]
fn a_terminal_that_a_killed_psmith_had_is_as_it_was_found() {
    kill_in_a_script("--progress board -s 'echo up > {}; sleep 300'");
    // The job's own doing.
    kill_in_a_script("--tty -s 'stty raw -echo; echo up > {}; sleep 300'");
}
