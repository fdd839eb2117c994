//! Pools that are paused, go on, and change their number of workers while jobs run.

use std::path::PathBuf;
use std::time::Duration;

use psmith::{Cause, Isolation, Job, PendingReason, Pool};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;
use rustix::time::{ClockId, clock_gettime};

const BOTH: [Isolation; 2] = [Isolation::Reuse, Isolation::PerJob];

fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// When it ran, by the clock that all processes share.
fn wait_at_gate(path: Option<PathBuf>) -> (i64, i64) {
    let began = now();
    path.iter().for_each(|path| gate::pass(path));
    (began, now())
}

/// The most of these that ran at once.
fn most_at_once(ran: &[(i64, i64)]) -> usize {
    ran.iter().map(|(at, _)| ran.iter().filter(|(from, to)| from <= at && at < to).count()).max().unwrap_or(0)
}

fn wait_for_processes<R>(handles: &[psmith::JobHandle<R>]) {
    while !handles.iter().all(|handle| handle.pid().is_some()) {
        std::thread::yield_now();
    }
}

// proves: job-control
#[test]
fn from_eight_workers_to_two_and_back_under_load() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let pool = Pool::builder().workers(8).window(100).isolation(isolation).build().unwrap();
        let mut first = Gate::closed();
        let standing: Vec<_> =
            (0..8).map(|_| pool.submit(Job::new(wait_at_gate, Some(first.path()))).unwrap()).collect();
        wait_for_processes(&standing);
        let mut second = Gate::closed();
        let load: Vec<_> =
            (0..40).map(|_| pool.submit(Job::new(wait_at_gate, Some(second.path()))).unwrap()).collect();
        pool.set_workers(2);
        assert!(matches!(load[0].explain(), PendingReason::Waiting { running: 8, ahead: 0 }));
        first.open();
        // No job is ended for it; six of the eight workers that end have no successor.
        assert!(standing.iter().all(|handle| handle.wait().is_ok()));
        wait_for_processes(&load[..2]);
        assert_eq!(load.iter().filter(|handle| handle.pid().is_some()).count(), 2, "{isolation:?}");
        second.open();
        let ran: Vec<_> = load.iter().map(|handle| handle.wait().unwrap()).collect();
        assert!((1..=2).contains(&most_at_once(&ran)), "{isolation:?}: {ran:?}");
        pool.set_workers(8);
        let mut third = Gate::closed();
        let eight: Vec<_> =
            (0..8).map(|_| pool.submit(Job::new(wait_at_gate, Some(third.path()))).unwrap()).collect();
        // Would not all start, were there fewer.
        wait_for_processes(&eight);
        third.open();
        pool.join();
        assert_eq!((pool.report().jobs, pool.report().failed), (56, 0));
    }
}

// proves: job-control
#[test]
fn a_paused_pool_starts_nothing_until_it_goes_on() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let pool = Pool::builder().workers(1).isolation(isolation).build().unwrap();
        let mut gate = Gate::closed();
        let running = pool.submit(Job::new(wait_at_gate, Some(gate.path()))).unwrap();
        wait_for_processes(std::slice::from_ref(&running));
        pool.pause();
        let [cancelled, later] = [(); 2].map(|()| pool.submit(Job::new(wait_at_gate, None)).unwrap());
        gate.open();
        running.wait().unwrap();
        // The slot is free, and no job took it.
        assert!(pool.is_paused());
        assert_eq!(later.explain(), PendingReason::Paused { ahead: 1 });
        cancelled.cancel();
        let failure = cancelled.wait().unwrap_err();
        assert_eq!((failure.cause.clone(), failure.attempts), (Cause::Cancelled, 0), "{isolation:?}");
        pool.resume();
        later.wait().unwrap();
        assert_eq!(later.explain(), PendingReason::Ended);
    }
}

// proves: job-control: what is resized or paused can be ended like any other.
#[test]
fn a_pool_can_be_stopped_while_it_is_resized_and_paused() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for (isolation, workers) in BOTH.into_iter().zip([6, 1]) {
        let pool = Pool::builder().workers(3).isolation(isolation).build().unwrap();
        let gate = Gate::closed();
        let handles: Vec<_> =
            (0..8).map(|_| pool.submit(Job::new(wait_at_gate, Some(gate.path()))).unwrap()).collect();
        wait_for_processes(&handles[..3]);
        pool.pause();
        pool.set_workers(workers);
        assert_eq!(pool.stop_within(Duration::ZERO).jobs.len(), 8);
        assert!(handles.iter().all(|handle| handle.wait().unwrap_err().cause == Cause::Cancelled));
    }
}
