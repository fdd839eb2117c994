//! Decisions of jobs about the end of a run, and the outcomes of those that come second.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;

use psmith::{Cause, Flow, Isolation, OnError};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;

const BOTH: [Isolation; 2] = [Isolation::PerJob, Isolation::Reuse];

// proves: each-without-values, for-effect-only
#[test]
fn the_hook_of_each_sees_every_outcome_once() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let mut seen = Vec::new();
        let fail = |n: u32| if n % 5 == 4 { Err("fifth") } else { Ok(()) };
        let report = psmith::try_each(0..10, fail)
            .workers(2)
            .isolation(isolation)
            .on_error(OnError::Continue)
            .on_done(|job, result| {
                seen.push((job.index(), result.copied().map_err(|failure| failure.cause.clone())));
            })
            .run()
            .unwrap();
        assert_eq!((report.jobs, report.failed), (10, 2));
        seen.sort_by_key(|(index, _)| *index);
        let expected = (0..10).map(|n| match n {
            4 | 9 => (n, Err(Cause::Error("fifth".into()))),
            _ => (n, Ok(())),
        });
        assert_eq!(seen, expected.collect::<Vec<_>>(), "{isolation:?}");
    }
}

/// What an item is to do.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
enum Deed {
    Fail,
    Stand,
    Break,
}

fn act((deed, path): (Deed, PathBuf)) -> Result<Flow<(), ()>, String> {
    match deed {
        Deed::Fail => Err("a failure".into()),
        Deed::Break => Ok(Flow::Break(())),
        Deed::Stand => {
            gate::pass(&path);
            Ok(Flow::Next(()))
        }
    }
}

// proves: running-items-finish, policy-at-failure
#[test]
fn after_the_first_failure_of_each_exactly_the_running_items_ran() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let gate = Mutex::new(Gate::closed());
        let path = gate.lock().unwrap().path();
        let (mut started, mut succeeded) = (0, 0);
        let work = |item: (Deed, PathBuf)| act(item).map(|_| ());
        // Only once all four run does the first of them fail, and then the others are let through.
        let deeds = [Deed::Fail].into_iter().chain([Deed::Stand; 49]);
        let failure = psmith::try_each(deeds.map(|deed| (deed, path.clone())), work)
            .workers(4)
            .isolation(isolation)
            .on_start(|_| started += 1)
            .on_done(|_, result| {
                succeeded += u32::from(result.is_ok());
                gate.lock().unwrap().open();
            })
            .run()
            .unwrap_err();
        assert_eq!(failure.cause, Cause::Error("a failure".into()));
        assert!(started <= 4 && succeeded == started - 1, "{isolation:?}: {started}, {succeeded}");
    }
}

// proves: running-items-finish, break-and-kill, value-ends-the-run
#[test]
fn a_break_without_a_value_is_one_too() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for (isolation, workers) in [(BOTH[0], 2), (BOTH[1], 2), (BOTH[1], 0)] {
        let path = PathBuf::from("/nobody/stands/here");
        let deeds = std::iter::repeat((Deed::Break, path));
        let got = psmith::try_map_until(deeds, act).workers(workers).isolation(isolation).run();
        assert_eq!(got.unwrap(), ControlFlow::Break(()), "{isolation:?}, {workers} workers");
    }
}

// proves: one-failure-reported, policy-at-failure, value-ends-the-run
#[test]
fn a_break_counts_whether_a_failure_comes_before_or_after_it() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for first in [Deed::Break, Deed::Fail] {
        let gate = Mutex::new(Gate::closed());
        let path = gate.lock().unwrap().path();
        // The second stands until the first has ended, and then does the opposite.
        let work = |(n, first, path): (u32, Deed, PathBuf)| match (n, first) {
            (0, deed) => act((deed, path)),
            (_, Deed::Break) => act((Deed::Stand, path.clone())).and_then(|_| act((Deed::Fail, path))),
            (_, _) => act((Deed::Stand, path.clone())).and_then(|_| act((Deed::Break, path))),
        };
        let items = (0..2).map(|n| (n, first, path.clone()));
        let got = psmith::try_map_until(items, work)
            .workers(2)
            .isolation(Isolation::PerJob)
            .on_done(|_, _| gate.lock().unwrap().open())
            .run();
        assert_eq!(got.unwrap(), ControlFlow::Break(()));
    }
}

// proves: one-failure-reported, policy-at-failure
#[test]
fn of_several_failures_the_first_is_the_one_reported() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let gate = Mutex::new(Gate::closed());
        let path = gate.lock().unwrap().path();
        let work = |(n, path): (u32, PathBuf)| {
            if n != 2 {
                gate::pass(&path);
            }
            Err::<(), _>(format!("number {n}"))
        };
        let mut seen = 0;
        let failure = psmith::try_each((0..4).map(|n| (n, path.clone())), work)
            .workers(4)
            .isolation(isolation)
            .on_error(OnError::Stop)
            .on_done(|_, result| {
                seen += u32::from(result.is_err());
                gate.lock().unwrap().open();
            })
            .run()
            .unwrap_err();
        assert_eq!((failure.cause.clone(), seen), (Cause::Error("number 2".into()), 4), "{isolation:?}");
    }
}
