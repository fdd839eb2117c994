//! Workers that never start: the queue is neither failed nor are starts tried without pause.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use psmith::{Cause, EngineError, Isolation, Job, Pool};
use psmith_testkit::leak::{LeakGuard, NONCE};

/// Which starts fail, and the directory in which all of them leave a file.
const BREAKS: &str = "PSMITH_TEST_BREAKS";
const STARTS: &str = "PSMITH_TEST_STARTS";

/// Runs in an executed worker before `main`, as a broken library might.
fn break_start() {
    let (Some(_), Ok(breaks), Some(dir)) =
        (std::env::var_os("PSMITH_WORKER"), std::env::var(BREAKS), std::env::var_os(STARTS))
    else {
        return;
    };
    let dir = Path::new(&dir);
    File::create(dir.join(std::process::id().to_string())).unwrap();
    let is_good = breaks == "all but one" && File::create_new(dir.join("good")).is_ok();
    if !is_good {
        std::process::exit(1);
    }
}

psmith_sys::link_time_entry!(crate::break_start);

fn starts() -> usize {
    std::fs::read_dir(std::env::var_os(STARTS).unwrap()).unwrap().count()
}

/// Runs only this test once more, with workers that are executed.
fn copy(test: &str, breaks: &str) {
    let guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let mut copy = Command::new(std::env::current_exe().unwrap());
    copy.args(["--exact", test, "--nocapture"]).env(BREAKS, breaks).env(STARTS, dir.path());
    let output = copy.env("PSMITH_FORBID", "fork").env(NONCE, guard.nonce()).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
}

// proves: F-59, F-7
#[test]
fn where_no_worker_can_be_started_the_run_ends_with_that_as_its_reason() {
    psmith::init();
    if std::env::var_os(BREAKS).is_none() {
        // return: the copy shows it
        return copy("where_no_worker_can_be_started_the_run_ends_with_that_as_its_reason", "all");
    }
    let pool = Pool::builder().workers(2).window(1000).build().unwrap();
    let handles: Vec<_> = (0..1000).filter_map(|n| pool.submit(Job::new(|n: u32| n, n)).ok()).collect();
    for handle in handles {
        let failure = handle.wait().unwrap_err();
        let trouble = failure.trouble.as_deref();
        let is_told = matches!(trouble, Some(EngineError::Workers { failures: 5, cause: Cause::Exit(1) }));
        assert!(is_told, "{failure}");
        let text = "psmith: no worker can be started (5 times in a row): its process exited with code 1";
        assert_eq!(failure.to_string(), text);
        assert_eq!(failure.attempts, 0);
    }
    // Two at first, and one after each pause; the directory holds nothing else.
    assert!((5..=6).contains(&starts()), "{}", starts());
    let first = psmith::map(0..1000, |n: u32| n).workers(2).into_iter().next().unwrap().unwrap_err();
    assert!(first.to_string().contains("no worker can be started"), "{first}");
}

// proves: F-59
#[test]
fn jobs_stay_for_the_worker_that_started_while_the_other_cannot() {
    psmith::init();
    if std::env::var_os(BREAKS).is_none() {
        // return: the copy shows it
        return copy("jobs_stay_for_the_worker_that_started_while_the_other_cannot", "all but one");
    }
    // The first job lasts until others have failed to start beside it, more often than would end the run.
    let work = |n: u32| {
        while n == 0 && starts() < 8 {
            std::thread::yield_now();
        }
        std::process::id()
    };
    let got = psmith::map(0..300, work).workers(2).isolation(Isolation::Reuse).on_start(|_| {});
    let pids: std::collections::BTreeSet<u32> = got.map(|pid| pid.expect("no job is charged")).collect();
    assert_eq!(pids.len(), 1);
    assert!(starts() < 100, "{} starts", starts());
}
