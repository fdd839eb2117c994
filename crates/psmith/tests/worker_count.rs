//! The number of workers: detected where the program does not set it, and the one asked for where it does.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::{LeakGuard, NONCE};
use psmith_testkit::need;
use psmith_testkit::need::{Need, OneCpu};

/// Makes a test of this file count workers for another, which expects this number of this many items to run at once.
const COUNTS: &str = "PSMITH_TEST_COUNTS";

/// Runs until exactly this number of items run at once; returns the slots that there were.
fn slots_at_once(expected: u32, items: u32, given: Option<u32>) -> u32 {
    let gate = Mutex::new(Gate::closed());
    let path = gate.lock().unwrap().path();
    let stand = |path: std::path::PathBuf| {
        psmith::cx().unwrap().progress(0, 1);
        gate::pass(&path);
        psmith::cx().unwrap().slot()
    };
    let mut started = 0;
    let mut map = psmith::map((0..items).map(|_| path.clone()), stand).window(items);
    if let Some(given) = given {
        map = map.workers(given);
    }
    // With too few of them the gate stays closed.
    let slots = map.total_timeout(Duration::from_secs(60)).on_progress(|_, _, _| {
        started += 1;
        if started == expected {
            gate.lock().unwrap().open();
        }
    });
    slots.map(|slot| slot.expect("so many run at once") + 1).max().unwrap()
}

/// The same in a copy of this program, started by this.
fn counted_by(mut copy: Command, expected: u32, guard: &LeakGuard) -> u32 {
    let test =
        "by_default_there_is_a_worker_for_each_processor_of_the_quota_or_as_many_as_the_environment_sets";
    copy.args(["--exact", test, "--nocapture"]).env(NONCE, guard.nonce()).env(COUNTS, expected.to_string());
    let output = copy.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let slots = stdout.lines().find_map(|line| line.split("slots: ").nth(1));
    slots.unwrap_or_else(|| panic!("{stdout}{}", String::from_utf8_lossy(&output.stderr))).parse().unwrap()
}

fn copy(program: &Path) -> Command {
    let mut copy = Command::new(program);
    copy.env_remove("PSMITH_WORKERS");
    copy
}

// proves: worker-count
#[test]
fn by_default_there_is_a_worker_for_each_processor_of_the_quota_or_as_many_as_the_environment_sets() {
    psmith::init();
    if let Ok(expected) = std::env::var(COUNTS) {
        let expected = expected.parse().unwrap();
        println!("\nslots: {}", slots_at_once(expected, expected + 4, None));
        // return: the copy has counted, the rest is the other's
        return;
    }
    let guard = LeakGuard::alone();
    let program = std::env::current_exe().unwrap();
    let detected = std::thread::available_parallelism().unwrap().get() as u32;
    assert_eq!(counted_by(copy(&program), detected, &guard), detected);
    let mut ten = copy(&program);
    ten.env("PSMITH_WORKERS", "10");
    assert_eq!(counted_by(ten, 10, &guard), 10);
    assert_eq!(slots_at_once(5, 9, Some(5)), 5);
    assert_eq!(slots_at_once(3, 3, Some(8)), 3);
}

// proves: worker-count
#[test]
fn a_group_with_a_quota_of_one_processor_has_one_worker() {
    psmith::init();
    let guard = LeakGuard::alone();
    need!("worker-count", Need::CpuGroup);
    let group = OneCpu::make().unwrap();
    let mut copy = group.command(&std::env::current_exe().unwrap());
    copy.env_remove("PSMITH_WORKERS");
    assert_eq!(counted_by(copy, 1, &guard), 1);
}
