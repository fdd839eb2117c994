//! Ordered fan-out: what goes in comes out in order, each item in a process of its own, and a failure is data.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use psmith::{Cause, Failure, OnError};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;

fn pid(_: u32) -> u32 {
    std::process::id()
}

// proves: map-in-order, process-a-job, ordered-map
#[test]
fn items_are_doubled_in_order_each_in_a_process_of_its_own() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let doubled: Result<Vec<u32>, Failure> = psmith::map([1, 2, 3, 4], |n: u32| n * 2).workers(4).collect();
    assert_eq!(doubled.unwrap(), [2, 4, 6, 8]);
    let pids: BTreeSet<u32> =
        psmith::map(0..4, pid).workers(4).isolation(psmith::Isolation::PerJob).map(Result::unwrap).collect();
    assert_eq!(pids.len(), 4);
    assert!(!pids.contains(&std::process::id()));
}

// proves: crash-is-no-answer, serde-values, failure-in-one-line
#[test]
fn bytes_come_back_byte_for_byte_and_a_crash_is_never_an_empty_answer() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let strings = [b"".to_vec(), b"\0".to_vec(), b"\xff\xfe".to_vec(), b"die".to_vec(), vec![7; 300_000]];
    let echo = |bytes: Vec<u8>| {
        if bytes == b"die" {
            std::process::abort();
        }
        bytes
    };
    let got: Vec<Result<Vec<u8>, Failure>> =
        psmith::map(strings.clone(), echo).codec::<psmith::codec::Raw>().workers(2).collect();
    for (index, (got, sent)) in got.iter().zip(&strings).enumerate() {
        match got {
            Ok(bytes) => assert!(bytes == sent, "item {index}"),
            Err(failure) => {
                assert_eq!((index, failure.index), (3, 3));
                assert!(matches!(failure.cause, Cause::Signal { signal: 6, .. }), "{failure}");
                assert_eq!(failure.input::<Vec<u8>>().as_deref(), Some(&b"die"[..]));
            }
        }
    }
    assert_eq!(got.iter().filter(|got| got.is_err()).count(), 1);
}

// proves: F-8, one-hangs-of-many, timeouts-and-grace
#[test]
fn one_hung_item_ends_by_its_timeout_and_all_others_answer() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let work = |n: u32| {
        if n == 17 {
            loop {
                std::thread::park();
            }
        }
        n
    };
    let limit = Duration::from_secs(2);
    let got: Vec<Result<u32, Failure>> = psmith::map(0..100, work).workers(8).timeout(limit).collect();
    assert_eq!(got.len(), 100);
    for (index, got) in (0..).zip(got) {
        match got {
            Ok(n) => assert_eq!(n, index),
            Err(failure) => assert_eq!((index, failure.into_cause()), (17, Cause::Timeout(limit))),
        }
    }
}

// proves: F-27, errors-reach-caller, errors-as-text
#[test]
fn errors_and_panics_reach_the_caller_with_text_and_place() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let fail = |n: u32| match n {
        0 => Err("no such thing"),
        1 => panic!("boom {n}"),
        2 => std::panic::panic_any(7),
        _ => Ok(n),
    };
    let got: Vec<Failure> =
        psmith::try_map(0..3, fail).workers(2).into_iter().filter_map(Result::err).collect();
    assert_eq!(got[0].cause, Cause::Error("no such thing".into()));
    let Cause::Panic { message, location, .. } = &got[1].cause else { panic!("{}", got[1]) };
    assert_eq!(message, "boom 1");
    assert!(location.starts_with(file!()), "{location}");
    assert!(
        matches!(&got[2].cause, Cause::Panic { message, .. } if message.contains("no text")),
        "{}",
        got[2]
    );
}

// proves: F-4, killed-worker-names-item
#[test]
fn a_job_that_exits_or_is_killed_is_a_failure_with_its_code_or_signal() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let end = |how: i32| -> u32 {
        match how {
            0..=99 => std::process::exit(how),
            signal => {
                let own = rustix::process::getpid();
                let signal = rustix::process::Signal::from_named_raw(signal - 100).unwrap();
                rustix::process::kill_process(own, signal).unwrap();
                loop {
                    std::thread::park();
                }
            }
        }
    };
    let got: Vec<Cause> =
        psmith::map([0, 3, 109, 115], end).workers(2).map(|got| got.unwrap_err().into_cause()).collect();
    let signal = |signal| Cause::Signal { signal, core_dumped: false };
    assert_eq!(got, [Cause::Exit(0), Cause::Exit(3), signal(9), signal(15)]);
}

// proves: running-items-finish, policy-at-failure
#[test]
fn after_a_failure_exactly_the_running_items_ran() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut started = 0;
    let gate = Mutex::new(Gate::closed());
    // The others stand until the first has failed.
    let work = |(n, path): (u32, PathBuf)| {
        if n == 0 {
            return Err("first");
        }
        gate::pass(&path);
        Ok(n)
    };
    let items = (0..50).map(|n| (n, gate.lock().unwrap().path()));
    let got: Vec<Result<u32, Failure>> = psmith::try_map(items, work)
        .workers(4)
        .on_error(OnError::Stop)
        .on_start(|_| started += 1)
        .on_done(|_, _| gate.lock().unwrap().open())
        .collect();
    assert_eq!((got.len(), started), (4, 4));
    assert_eq!(got.iter().filter(|got| got.is_err()).count(), 1);
}
