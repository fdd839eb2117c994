//! Signals to a program that guards its jobs: each ends them one step harder, and afterwards everything is as before.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use psmith::signals::{self, INT, TERM};
use psmith::{Cause, Isolation, Job, Pool, Retry, Server};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::{LeakGuard, NONCE};
use rustix::process::{Pid, Signal, getpid, kill_process};

const BOTH: [Isolation; 2] = [Isolation::PerJob, Isolation::Reuse];

fn wait_at_gate(path: PathBuf) -> u32 {
    gate::pass(&path);
    7
}

/// Ignores the terminate signal, writes a byte to the socket, and goes on.
fn stubborn(socket: PathBuf) {
    assert!(!psmith::cx().unwrap().cancelled());
    let mut line = UnixStream::connect(socket).unwrap();
    line.write_all(b"!").unwrap();
    loop {
        std::thread::park();
    }
}

fn interrupt() {
    kill_process(getpid(), Signal::INT).unwrap();
}

fn wait_until_running<R>(handle: &psmith::JobHandle<R>) {
    while handle.pid().is_none() {
        assert!(handle.wait_timeout(Duration::from_millis(1)).is_none());
    }
}

// proves: interrupt-guard-for-programs, interrupt-guard
#[test]
fn the_first_signal_ends_every_run_and_those_that_begin_later_and_spends_no_retry() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let signals = signals::guard([INT, TERM]).unwrap();
        let gate = Gate::closed();
        let pools = [0, 1]
            .map(|_| Pool::builder().workers(1).isolation(isolation).retry(Retry::tries(3)).build().unwrap());
        let handles: Vec<_> = pools
            .iter()
            .flat_map(|pool| [0, 1].map(|_| pool.submit(Job::new(wait_at_gate, gate.path())).unwrap()))
            .collect();
        wait_until_running(&handles[0]);
        wait_until_running(&handles[2]);
        interrupt();
        for handle in &handles {
            let failure = handle.wait().unwrap_err();
            assert_eq!(failure.cause, Cause::Cancelled, "{isolation:?}");
            assert!(failure.attempts <= 1);
        }
        assert_eq!(signals.asked(), 1);
        // Nothing is taken from a source that never ends.
        let later: Vec<_> = psmith::map(0_u64.., |n: u64| n).isolation(isolation).window(8).collect();
        assert!(later.len() <= 8, "{}", later.len());
        assert!(later.iter().all(|ended| ended.as_ref().unwrap_err().cause == Cause::Cancelled));
        drop(signals);
        assert_eq!(
            psmith::map([5], |n: u32| n).into_iter().last().unwrap().unwrap(),
            5,
            "as before the guard"
        );
    }
}

// proves: interrupt-guard-for-programs
#[test]
fn the_second_signal_kills_who_does_not_stop_and_at_once_the_first_does() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    for (n, at_once) in [false, true].into_iter().enumerate() {
        let mut signals = signals::guard([INT]).unwrap();
        if at_once {
            signals = signals.at_once();
        }
        let socket = dir.path().join(n.to_string());
        let listener = UnixListener::bind(&socket).unwrap();
        // Had it to be killed after its grace, that would take an hour.
        let pool = Pool::builder().workers(1).grace(Duration::from_secs(3600)).build().unwrap();
        let handle = pool.submit(Job::new(stubborn, socket)).unwrap();
        listener.accept().unwrap().0.read_exact(&mut [0]).unwrap();
        interrupt();
        if !at_once {
            while signals.asked() == 0 {
                std::thread::yield_now();
            }
            assert!(handle.wait_timeout(Duration::from_millis(50)).is_none());
            interrupt();
        }
        assert_eq!(handle.wait().unwrap_err().cause, Cause::Cancelled);
    }
}

// proves: interrupt-guard-for-programs
#[test]
fn a_softer_first_signal_lets_running_jobs_finish_and_cancels_waiting_ones() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let _signals = signals::guard([INT]).unwrap().drain_first();
        let mut gate = Gate::closed();
        let pool = Pool::builder().workers(1).isolation(isolation).build().unwrap();
        let handles = [0, 1].map(|_| pool.submit(Job::new(wait_at_gate, gate.path())).unwrap());
        wait_until_running(&handles[0]);
        interrupt();
        assert_eq!(handles[1].wait().unwrap_err().cause, Cause::Cancelled);
        assert!(!handles[0].is_ready());
        gate.open();
        assert_eq!(handles[0].wait().unwrap(), 7);
    }
}

// proves: interrupt-guard-for-programs, producer-that-blocks
#[test]
fn a_guarded_server_ends_clean_though_its_producer_blocks() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let signals = signals::guard([INT, TERM]).unwrap();
    let gate = Gate::closed();
    let (ends, blocks) = std::sync::mpsc::channel::<()>();
    let mut paths = vec![gate.path(), gate.path()].into_iter();
    let (alive_sender, gone) = std::sync::mpsc::channel::<()>();
    let producer = move || {
        let _alive = &alive_sender;
        paths.next().map(|path| Job::new(wait_at_gate, path)).or_else(|| {
            // Until this test is over.
            let _ = blocks.recv();
            None
        })
    };
    let mut started = 0;
    let mut causes = Vec::new();
    let report = Server::new(producer)
        .logger(|level, line| {
            started += u32::from(line.to_string().contains("runs as"));
            if started == 2 && level == psmith::LogLevel::Info {
                interrupt();
            }
        })
        .consumer(|_, ended| causes.push(ended.unwrap_err().into_cause()))
        .run()
        .unwrap();
    assert_eq!((report.jobs, report.failed), (2, 2));
    assert_eq!(causes, [Cause::Cancelled, Cause::Cancelled]);
    drop(signals);
    drop(ends);
    // The producer's thread, and what it owns, is gone.
    gone.recv().unwrap_err();
}

/// The variable that makes a test of this file play the host of another.
const HOST: &str = "PSMITH_TEST_HOST";

/// A copy of this program that runs only the test `name`, and the lines that it says.
fn host(
    name: &str,
    way: &str,
    guard: &LeakGuard,
) -> (std::process::Child, impl Iterator<Item = String> + use<>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(HOST, way).env(NONCE, guard.nonce());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut host = command.spawn().unwrap();
    let lines = BufReader::new(host.stdout.take().unwrap()).lines().map_while(Result::ok);
    (host, lines)
}

fn send(host: &std::process::Child, signal: Signal) {
    kill_process(Pid::from_child(host), signal).unwrap();
}

// proves: interrupt-guard-for-programs
#[test]
fn the_third_signal_ends_the_program_by_it_and_leaves_nothing_behind() {
    psmith::init();
    if std::env::var_os(HOST).is_some() {
        let _signals = signals::guard([INT]).unwrap();
        let forever = |_: ()| -> () {
            drop(Command::new("/bin/sleep").arg("1000").spawn().unwrap());
            psmith::cx().unwrap().progress(0, 1);
            loop {
                std::thread::park();
            }
        };
        let ended = psmith::map([()], forever)
            .on_progress(|_, _, _| println!("runs"))
            .into_iter()
            .last()
            .unwrap()
            .unwrap_err();
        println!("first: {}", ended.cause.kind().word());
        loop {
            std::thread::park();
        }
    }
    let mut guard = LeakGuard::new();
    let name = "the_third_signal_ends_the_program_by_it_and_leaves_nothing_behind";
    let (mut host, mut lines) = host(name, "1", &guard);
    assert!(lines.any(|line| line.contains("runs")));
    send(&host, Signal::INT);
    assert!(lines.any(|line| line.contains("first: cancelled")));
    send(&host, Signal::INT);
    send(&host, Signal::INT);
    // Two that come close together may be received as one.
    let ended = loop {
        match host.try_wait().unwrap() {
            Some(status) => break status,
            None => {
                send(&host, Signal::INT);
                // sleep: no event shows that a signal was received.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    };
    assert_eq!(ended.signal(), Some(2));
    assert_eq!(guard.survivors_after(psmith_testkit::leak::SETTLE), Vec::<i32>::new());
    guard.check();
}

// proves: interrupt-guard
#[test]
fn signals_not_guarded_and_no_longer_guarded_have_their_former_effect() {
    psmith::init();
    if let Ok(way) = std::env::var(HOST) {
        let signals = signals::guard(if way == "other" { [TERM] } else { [INT] }).unwrap();
        if way == "over" {
            drop(signals);
        }
        println!("guarded");
        loop {
            std::thread::park();
        }
    }
    let name = "signals_not_guarded_and_no_longer_guarded_have_their_former_effect";
    for way in ["other", "over"] {
        let guard = LeakGuard::new();
        let (mut host, mut lines) = host(name, way, &guard);
        assert!(lines.any(|line| line.contains("guarded")));
        send(&host, Signal::INT);
        assert_eq!(host.wait().unwrap().signal(), Some(2), "{way}");
    }
}

// proves: interrupt-guard-for-programs
#[test]
fn an_ignored_signal_stays_ignored() {
    psmith::init();
    if std::env::var_os(HOST).is_some() {
        let guard = signals::guard([INT, TERM]).unwrap();
        println!("guarded");
        let gate = std::io::stdin().read_to_end(&mut Vec::new());
        println!("asked {} {gate:?}", guard.asked());
        // return: this copy only plays the host
        return;
    }
    let guard = LeakGuard::new();
    let name = "an_ignored_signal_stays_ignored";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "trap '' INT; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    shell.args(["--exact", name, "--nocapture"]).env(HOST, "1").env(NONCE, guard.nonce());
    let mut host = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(host.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("guarded")));
    send(&host, Signal::INT);
    drop(host.stdin.take());
    assert!(lines.any(|line| line.contains("asked 0")));
    assert!(host.wait().unwrap().success());
}
