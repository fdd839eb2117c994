//! Workers that stay: one job after the other in one process, and a worker's end fails only the job that it had.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use psmith::{Cause, Failure, OnError, Retry};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;
use rustix::process::{Signal, getpid, kill_process};

static CALLS: AtomicU64 = AtomicU64::new(0);

/// The worker, and which of its jobs this is, from 1.
fn place(_: u32) -> (u32, u64) {
    (std::process::id(), CALLS.fetch_add(1, Ordering::Relaxed) + 1)
}

fn pids(places: &[(u32, u64)]) -> BTreeSet<u32> {
    places.iter().map(|(pid, _)| *pid).collect()
}

// proves: state-of-worker, reused-workers
#[test]
fn a_worker_keeps_what_a_job_left_in_it_and_the_caller_has_none_of_it() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let places: Vec<_> = psmith::map(0..50, place).workers(1).map(Result::unwrap).collect();
    assert_eq!(pids(&places).len(), 1);
    assert!(places.iter().map(|(_, call)| *call).eq(1..=50));
    assert_eq!(CALLS.load(Ordering::Relaxed), 0);
}

// proves: killed-worker-names-item, reused-workers, any-worker-may-die
#[test]
fn the_end_of_a_worker_is_the_failure_of_the_job_that_it_had_and_of_no_other() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let wicked = |n: u32| match n {
        10 => kill_process(getpid(), Signal::KILL).map(|()| n).map_err(|error| error.to_string()),
        20 => std::process::exit(0),
        30 => std::process::exit(3),
        40 => panic!("forty"),
        50 => std::process::abort(),
        60 => Err("sixty".to_owned()),
        _ => Ok(n),
    };
    let got: Vec<Result<u32, Failure>> =
        psmith::try_map(0..70, wicked).workers(2).output(psmith::Output::Discard).collect();
    assert_eq!(got.len(), 70);
    for (n, got) in got.into_iter().enumerate() {
        let cause = got.map_err(Failure::into_cause);
        match (n, cause) {
            (10, Err(Cause::Signal { signal: 9, .. }))
            | (20, Err(Cause::Exit(0)))
            | (30, Err(Cause::Exit(3)))
            | (50, Err(Cause::Signal { signal: 6, .. })) => {}
            (40, Err(Cause::Panic { message, location, .. })) => {
                assert!(message == "forty" && location.contains("reuse.rs"), "{message} at {location}");
            }
            (60, Err(Cause::Error(text))) => assert_eq!(text, "sixty"),
            (n, cause) => assert_eq!(cause, Ok(u32::try_from(n).unwrap())),
        }
    }
}

// proves: reused-workers
#[test]
fn a_worker_is_replaced_after_a_panic_but_not_after_an_error() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let fail = |n: u32| match n {
        2 => Err("an error".to_owned()),
        4 => panic!("a panic"),
        _ => Ok(std::process::id()),
    };
    let got: Vec<_> = psmith::try_map(0..6, fail).workers(1).collect();
    let pid = |n: usize| *got[n].as_ref().unwrap();
    assert_eq!((pid(0), pid(1)), (pid(1), pid(3)));
    assert_ne!(pid(3), pid(5));
}

// proves: reused-workers, timeouts-and-grace
#[test]
fn a_timeout_ends_its_job_and_the_worker_and_no_neighbour() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let stand = |(n, path): (u32, PathBuf)| {
        if n == 3 {
            gate::pass(&path);
        }
        n
    };
    let limit = Duration::from_millis(300);
    let items = (0..12).map(|n| (n, gate.path()));
    let got: Vec<_> = psmith::map(items, stand).workers(2).timeout(limit).collect();
    for (n, got) in got.iter().enumerate() {
        match got {
            Err(failure) if n == 3 => assert_eq!(failure.cause, Cause::Timeout(limit)),
            got => assert_eq!(got.as_ref().unwrap(), &u32::try_from(n).unwrap()),
        }
    }
}

// proves: reused-workers
#[test]
fn workers_are_replaced_after_a_number_of_jobs() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let places: Vec<_> = psmith::map(0..30, place).workers(2).max_jobs(3).map(Result::unwrap).collect();
    assert!(places.iter().all(|(_, call)| *call <= 3), "{places:?}");
    assert!(pids(&places).len() >= 10, "{places:?}");
}

// proves: reused-workers, F-20
#[test]
fn a_worker_that_grows_is_replaced() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let grow = |n: u32| {
        if n == 5 {
            std::mem::forget(vec![1_u8; 64 << 20]);
        }
        std::process::id()
    };
    let got: Vec<u32> =
        psmith::map(0..10, grow).workers(1).max_rss_growth(32 << 20).map(Result::unwrap).collect();
    assert!(
        got[..6].iter().all(|pid| *pid == got[0]) && got[6..].iter().all(|pid| *pid == got[6]),
        "{got:?}"
    );
    assert_ne!(got[0], got[6]);
}

// proves: any-worker-may-die, F-6
#[test]
fn a_job_that_has_finished_is_not_run_again_because_its_worker_dies() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    // Each job leaves a mark; every third dies after its predecessor's answer, and is tried again.
    let mark = |(n, dir): (u32, PathBuf)| {
        let attempt = psmith::cx().unwrap().attempt();
        std::fs::File::create_new(dir.join(format!("{n}.{attempt}"))).unwrap();
        if n % 3 == 2 && attempt == 1 {
            std::process::abort();
        }
        n
    };
    let items = (0..30).map(|n| (n, dir.path().to_owned()));
    let got: Vec<u32> =
        psmith::map(items, mark).workers(2).retry(Retry::tries(2)).map(Result::unwrap).collect();
    assert!(got.into_iter().eq(0..30));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 30 + 10);
}

// proves: reused-workers: what a job prints is its own, also where its neighbours in the same worker print.
#[test]
fn the_end_of_standard_error_is_that_of_the_job_that_failed() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let speak = |n: u32| {
        eprintln!("words of {n}");
        if n % 2 == 1 { Err("odd") } else { Ok(n) }
    };
    for (n, got) in
        psmith::try_map(0..10, speak).workers(1).output(psmith::Output::Discard).into_iter().enumerate()
    {
        if let Err(failure) = got {
            assert_eq!(String::from_utf8_lossy(&failure.stderr_tail), format!("words of {n}\n"));
        }
    }
}

// proves: uneven-jobs-overlap, slot-numbers
#[test]
fn uneven_items_keep_all_workers_busy_and_slots_stay_below_their_number() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut gate = Gate::closed();
    let stand = |(n, path): (u32, PathBuf)| {
        if n == 0 {
            gate::pass(&path);
        }
        (n, psmith::cx().unwrap().slot())
    };
    let path = gate.path();
    let items = (0..40).map(move |n| (n, path.clone()));
    let mut map = psmith::map(items, stand).workers(3).window(40).unordered().into_iter();
    // All others come by while the first stands.
    let mut slots = BTreeSet::new();
    for _ in 1..40 {
        let (n, slot) = map.next().unwrap().unwrap();
        assert_ne!(n, 0);
        slots.insert(slot);
    }
    gate.open();
    let (first, slot) = map.next().unwrap().unwrap();
    assert_eq!(first, 0);
    slots.insert(slot);
    assert!(slots.iter().all(|slot| *slot < 3), "{slots:?}");
}

// proves: running-items-finish, policy-at-failure
#[test]
fn with_stop_the_first_failure_starts_no_more() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let fail = |(n, dir): (u32, PathBuf)| {
        std::fs::write(dir.join(n.to_string()), b"").unwrap();
        Err::<(), _>("no")
    };
    let items = (0..100).map(|n| (n, dir.path().to_owned()));
    let failed = psmith::try_each(items, fail).workers(1).on_error(OnError::Stop).run();
    assert!(failed.is_err());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

// proves: job-knows-itself: a job that asked whether it is to stop leaves no deaf worker behind.
#[test]
fn a_job_that_never_asks_is_ended_at_once_after_one_that_did() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let stand = |(n, path): (u32, PathBuf)| {
        if n == 0 {
            assert!(!psmith::cx().unwrap().cancelled());
        } else {
            gate::pass(&path);
        }
    };
    let items = (0..2).map(|n| (n, gate.path()));
    let got: Vec<_> = psmith::map(items, stand)
        .workers(1)
        .timeout(Duration::from_millis(200))
        // Were it deaf, this test would hang.
        .grace(Duration::from_secs(3600))
        .collect();
    assert!(got[0].is_ok());
    assert!(matches!(got[1].as_ref().unwrap_err().cause, Cause::Timeout(_)));
}

// proves: nothing-lives-on
#[test]
fn dropping_the_iterator_ends_all_workers_with_all_that_they_started() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let stand = |(n, path): (u32, PathBuf)| {
        if n > 3 {
            drop(std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap());
            gate::pass(&path);
        }
        n
    };
    let items = (0..).map(|n| (n, gate.path()));
    let mut map = psmith::map(items, stand).workers(3).into_iter();
    assert_eq!(map.next().unwrap().unwrap(), 0);
    drop(map);
    // What is left, the guard finds.
}

// proves: many-workers-few-left, short-runs-end
#[test]
fn many_short_jobs_and_many_short_runs_come_to_their_end() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let sum: u64 = psmith::map(0..10_000_u64, |n: u64| n).workers(2).map(Result::unwrap).sum();
    assert_eq!(sum, 10_000 * 9_999 / 2);
    for n in 0..20 {
        assert_eq!(psmith::map([n], |n: u32| n).workers(2).into_iter().next().unwrap().unwrap(), n);
    }
}
