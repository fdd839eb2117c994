//! Supervisors: a number of workers kept alive, whatever ends them, and a crash loop that slows down.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use psmith::{Containment, ResourceLimits, Supervisor, SupervisorError};
use psmith_testkit::leak::LeakGuard;
use rustix::process::{Pid, Signal, kill_process};

fn serve(_: u32) {
    loop {
        std::thread::park();
    }
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

fn pids(supervisor: &Supervisor) -> BTreeSet<u32> {
    supervisor.pids().into_iter().collect()
}

// proves: supervisor-keeps-alive, workers-kept-alive
#[test]
fn those_that_are_killed_are_replaced_and_the_others_stay() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut supervisor = Supervisor::new(4, serve);
    supervisor.start().unwrap();
    let before = pids(&supervisor);
    assert_eq!(before.len(), 4);
    let killed: BTreeSet<u32> = before.iter().copied().take(2).collect();
    killed.iter().for_each(|pid| kill(*pid));
    let after = loop {
        let now = pids(&supervisor);
        if now.len() == 4 && now.is_disjoint(&killed) {
            break now;
        }
        std::thread::yield_now();
    };
    assert_eq!(after.intersection(&before).count(), 2);
    assert_eq!(supervisor.restarts(), 2);
    supervisor.stop();
    assert_eq!(supervisor.restarts(), 2, "also after the end");
}

// proves: supervisor-keeps-alive, workers-kept-alive
#[test]
fn a_second_start_is_an_error_a_stray_stop_is_none_and_it_can_be_started_again() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut supervisor = Supervisor::new(1, serve);
    assert_eq!(supervisor.stop().jobs, []);
    for _ in 0..2 {
        supervisor.start().unwrap();
        assert!(matches!(supervisor.start(), Err(SupervisorError::AlreadyRunning)));
        assert_eq!(supervisor.stop().jobs.len(), 1);
        assert!(supervisor.pids().is_empty());
    }
    assert_eq!(supervisor.stop().jobs, []);
}

// proves: supervisor-keeps-alive, workers-kept-alive
#[test]
fn a_worker_that_dies_at_once_is_backed_off_and_logged() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let (sender, lines) = mpsc::channel();
    let die = |_: u32| -> () { std::process::exit(7) };
    let mut supervisor = Supervisor::new(1, die)
        .backoff(Duration::from_millis(20), Duration::from_secs(3600))
        .logger(move |_, text| drop(sender.send(text.to_string())));
    supervisor.start().unwrap();
    let lines: Vec<String> = lines.iter().take(4).collect();
    assert!(lines.iter().all(|line| line.contains("exited with code 7")), "{lines:?}");
    for (line, pause) in lines.iter().zip(["again", "in 20ms", "in 40ms", "in 80ms"]) {
        assert!(line.ends_with(pause), "{lines:?}");
    }
    supervisor.stop();
}

// proves: workers-kept-alive
#[test]
fn a_drain_starts_none_again_and_a_join_waits_for_it() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut supervisor = Supervisor::new(2, serve);
    supervisor.start().unwrap();
    assert!(!supervisor.join_timeout(Duration::from_millis(10)));
    std::thread::scope(|scope| {
        let drains = scope.spawn(|| supervisor.drain());
        // One that is killed before the drain has begun is replaced: that one is killed, too.
        while !drains.is_finished() {
            supervisor.pids().into_iter().for_each(|pid| {
                let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                // It may have ended by now.
                let _ = kill_process(pid, Signal::KILL);
            });
            std::thread::yield_now();
        }
        supervisor.join();
        assert_eq!(drains.join().unwrap().jobs, []);
    });
    assert!(supervisor.pids().is_empty());
    supervisor.start().unwrap();
    assert_eq!(supervisor.stop().jobs.len(), 2);
}

// proves: workers-kept-alive
#[test]
fn limits_of_time_and_of_the_kernel_hold_for_each_process_and_each_gets_the_input() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let body = |number: u32, way: String| {
        let files: Vec<_> = (0..100).map_while(|_| std::fs::File::open("/dev/null").ok()).collect();
        assert_eq!((number, way.as_str(), files.len() < 64), (1, "quiet", true));
        drop(files);
        serve(number);
    };
    let limit = Duration::from_millis(150);
    for (is_idle, reason) in [(true, "gave no sign of life for 150ms"), (false, "timed out after 150ms")] {
        let (sender, lines) = mpsc::channel();
        let supervisor = Supervisor::with_input(1, "quiet".to_owned(), body)
            .limits(ResourceLimits::new().open_files(64))
            .contain(Containment::Group)
            .logger(move |_, text| drop(sender.send(text.to_string())));
        let mut supervisor = if is_idle { supervisor.idle_timeout(limit) } else { supervisor.timeout(limit) };
        supervisor.start().unwrap();
        // Each start gets the input.
        for line in lines.iter().take(2) {
            assert!(line.contains(reason), "{line}");
        }
        supervisor.stop();
        assert!(supervisor.restarts() >= 1);
    }
}
