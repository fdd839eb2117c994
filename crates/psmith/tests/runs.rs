//! Whole runs: many of them, large ones, interrupted ones, and their end with their host.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use psmith::{Cause, Failure};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::{LeakGuard, NONCE};

// proves: values-survive
#[test]
fn values_come_back_as_a_serial_map_would_give_them() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let turn = |mut list: Vec<Option<Vec<u64>>>| {
        list.reverse();
        list
    };
    let items: Vec<Vec<Option<Vec<u64>>>> = vec![
        vec![],
        vec![None],
        vec![None, Some(vec![]), Some(vec![1])],
        (0..500).map(|n| Some((0..n).collect())).collect(),
    ];
    let serial: Vec<_> = items.clone().into_iter().map(turn).collect();
    let got: Result<Vec<_>, Failure> = psmith::map(items, turn).workers(2).collect();
    assert!(got.unwrap() == serial);
    let got: Vec<u64> = psmith::map(0..1000, |n: u64| n * n).workers(4).map(Result::unwrap).collect();
    assert!(got.into_iter().eq((0..1000).map(|n| n * n)));
}

// proves: many-workers-few-left, descriptors-come-back
#[test]
fn two_hundred_workers_leave_no_process_and_no_descriptor() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let got: Vec<u32> = psmith::map(0..201, |n: u32| n).workers(200).map(Result::unwrap).collect();
    assert!(got.into_iter().eq(0..201));
}

// proves: sources-that-block
#[test]
fn a_channel_is_a_source_that_ends_with_its_senders() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let (send, receive) = mpsc::channel();
    let sender = std::thread::spawn(move || (0..30).for_each(|n: u32| send.send(n).unwrap()));
    let got: Vec<u32> = psmith::map(receive, |n: u32| n + 1).workers(2).map(Result::unwrap).collect();
    assert!(got.into_iter().eq(1..31));
    sender.join().unwrap();
}

// proves: short-runs-end
#[test]
fn short_runs_one_after_the_other_all_come_to_their_end() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for round in 0..60 {
        let got: Vec<u32> = psmith::map(0..round % 4, |n: u32| n).workers(2).map(Result::unwrap).collect();
        assert!(got.into_iter().eq(0..round % 4));
    }
}

// proves: timeouts-and-grace
#[test]
fn the_time_of_the_whole_run_bounds_it_and_what_was_not_begun_is_told() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let items = (0..4).map(|_| gate.path());
    let got: Vec<(Cause, Option<u64>)> = psmith::map(items, |path: PathBuf| gate::pass(&path))
        .workers(2)
        .total_timeout(Duration::from_millis(300))
        .map(|got| got.map_err(|failure| (failure.cause.clone(), failure.left)).unwrap_err())
        .collect();
    assert_eq!(got, [None, None, Some(2)].map(|left| (Cause::Cancelled, left)));
}

// proves: F-37b, P-6
#[test]
fn jobs_survive_the_death_of_the_warden() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Mutex::new(Gate::closed());
    let work = |(n, path): (u32, PathBuf)| {
        psmith::cx().unwrap().send(&std::process::id()).unwrap();
        gate::pass(&path);
        (n, psmith::cx().unwrap().attempt())
    };
    let items = (0..4).map(|n| (n, gate.lock().unwrap().path()));
    let mut started = 0;
    let got: Vec<(u32, u32)> = psmith::map(items, work)
        .workers(2)
        .on_message(|_, pid: u32| {
            started += 1;
            if started == 2 {
                let warden = psmith_sys::proc_tree::stat(pid).unwrap().ppid;
                let warden = rustix::process::Pid::from_raw(warden as i32).unwrap();
                rustix::process::kill_process(warden, rustix::process::Signal::KILL).unwrap();
                gate.lock().unwrap().open();
            }
        })
        .map(Result::unwrap)
        .collect();
    assert_eq!(got.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

/// What this process does with signals, as the kernel says.
fn dispositions() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .filter(|line| line.starts_with("Sig") && !line.starts_with("SigQ"))
        .map(str::to_owned)
        .collect()
}

// proves: F-50a, interrupt-guard
#[test]
fn a_host_with_many_threads_keeps_its_signals_and_is_no_subreaper() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let before = dispositions();
    let barrier = std::sync::Barrier::new(33);
    std::thread::scope(|scope| {
        for from in 0..32_u64 {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                if from % 8 == 0 {
                    let got: Vec<u64> = psmith::map(from..from + 5, |n: u64| n).map(Result::unwrap).collect();
                    assert!(got.into_iter().eq(from..from + 5));
                }
                barrier.wait();
            });
        }
        barrier.wait();
        assert_eq!(dispositions(), before);
        barrier.wait();
    });
    assert_eq!(dispositions(), before);
    // An orphan of a child of ours does not become our own child.
    let script = "sleep 1000 >/dev/null 2>&1 & echo $!";
    let output = Command::new("/bin/sh").args(["-c", script]).stderr(Stdio::null()).output().unwrap();
    let orphan: u32 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    let parent = psmith_sys::proc_tree::stat(orphan).unwrap().ppid;
    let pid = rustix::process::Pid::from_raw(orphan as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_ne!(parent, std::process::id());
}

/// The variable that makes a test of this file play the host of another.
const HOST: &str = "PSMITH_TEST_HOST";

/// Starts a copy of this program that runs only the test `name`, as the host of this one.
fn host(name: &str, argument: &str, guard: &LeakGuard) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(HOST, argument).env(NONCE, guard.nonce());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

// proves: F-37a, P-4, nothing-lives-on, no-process-left
#[test]
fn a_host_that_is_killed_takes_its_jobs_and_all_that_they_started_along() {
    psmith::init();
    if let Some(path) = std::env::var_os(HOST) {
        let stand = |path: PathBuf| {
            drop(Command::new("/bin/sleep").arg("1000").spawn().unwrap());
            psmith::cx().unwrap().progress(0, 1);
            gate::pass(&path);
        };
        let paths = [PathBuf::from(&path), PathBuf::from(path)];
        let mut started = 0;
        psmith::map(paths, stand)
            .workers(2)
            .on_progress(|_, _, _| {
                started += 1;
                if started == 2 {
                    println!("both run");
                }
            })
            .for_each(drop);
        // return: this copy only plays the host
        return;
    }
    let mut guard = LeakGuard::new();
    let gate = Gate::closed();
    let name = "a_host_that_is_killed_takes_its_jobs_and_all_that_they_started_along";
    let mut host = host(name, gate.path().to_str().unwrap(), &guard).spawn().unwrap();
    let output = BufReader::new(host.stdout.take().unwrap());
    let mut lines = output.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("both run")), "the host's jobs run");
    host.kill().unwrap();
    host.wait().unwrap();
    let left = guard.survivors_after(psmith_testkit::leak::SETTLE);
    assert_eq!(left, Vec::<i32>::new());
    guard.check();
}

// proves: output-above-rows
#[test]
fn the_output_of_jobs_is_passed_on_whole_and_in_the_order_of_the_items() {
    psmith::init();
    if std::env::var_os(HOST).is_some() {
        let print = |n: u32| {
            for part in 0..3 {
                println!("out {n} {part}");
                eprintln!("err {n} {part}");
            }
        };
        psmith::map(0..5, print).workers(3).for_each(|got| got.unwrap());
        // return: this copy only plays the host
        return;
    }
    let guard = LeakGuard::new();
    let name = "the_output_of_jobs_is_passed_on_whole_and_in_the_order_of_the_items";
    let output = host(name, "1", &guard).output().unwrap();
    for (stream, bytes) in [("out", &output.stdout), ("err", &output.stderr)] {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(stream)).collect();
        let expected: Vec<String> =
            (0..5).flat_map(|n| (0..3).map(move |part| format!("{stream} {n} {part}"))).collect();
        assert_eq!(lines, expected, "{text}");
    }
}

// proves: cap-on-workers
#[test]
fn a_senseless_number_of_workers_in_the_environment_is_an_error_before_anything_runs() {
    psmith::init();
    if std::env::var_os(HOST).is_some() {
        let failure = psmith::map(0..3, |n: u32| n).into_iter().next().unwrap().unwrap_err();
        println!("told: {failure}");
        // return: this copy only plays the host
        return;
    }
    let guard = LeakGuard::new();
    let name = "a_senseless_number_of_workers_in_the_environment_is_an_error_before_anything_runs";
    let output = host(name, "1", &guard).env("PSMITH_WORKERS", "many").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("told: psmith: PSMITH_WORKERS=many is no number of workers"), "{text}");
}

// proves: process-a-job
#[test]
fn every_level_of_containment_holds_workers() {
    psmith::init();
    if let Ok(level) = std::env::var(HOST) {
        let level = psmith::Containment::of_word(&level).unwrap();
        let work = |n: u32| {
            drop(Command::new("/bin/sleep").arg("1000").spawn().unwrap());
            match n {
                1 => std::process::abort(),
                2 => loop {
                    std::thread::park();
                },
                _ => n,
            }
        };
        let limit = Duration::from_millis(500);
        let map = psmith::map(0..5, work).workers(2).contain(level).timeout(limit);
        let causes: Vec<Option<Cause>> = map.map(|got| got.err().map(Failure::into_cause)).collect();
        assert!(matches!(causes[1], Some(Cause::Signal { signal: 6, .. })), "{causes:?}");
        assert_eq!(causes[2], Some(Cause::Timeout(limit)));
        assert_eq!(causes.iter().flatten().count(), 2, "{causes:?}");
        println!("held");
        // return: this copy only plays the host
        return;
    }
    for (forbidden, level) in
        [("", "group"), ("cgroup", "keeper"), ("cgroup", "sweep"), ("cgroup,subreaper", "group")]
    {
        let mut guard = LeakGuard::new();
        let name = "every_level_of_containment_holds_workers";
        let output = host(name, level, &guard).env("PSMITH_FORBID", forbidden).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("held"), "{level}: {text}{errors}");
        guard.check();
    }
}
