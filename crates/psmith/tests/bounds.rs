//! Bounds on workers, slots and descriptors, and no more of them after many runs than after the first.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use psmith::{Cause, Failure, Isolation, Job, Pool, Scheduler};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;

const BOTH: [Isolation; 2] = [Isolation::PerJob, Isolation::Reuse];

/// How many descriptors this process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn slot_behind((_, path): (u32, PathBuf)) -> u32 {
    psmith::cx().unwrap().progress(0, 1);
    gate::pass(&path);
    psmith::cx().unwrap().slot()
}

/// Stands at the gate, alone in its slot: a second one there would not get the slot's lock.
fn alone_in_its_slot((n, path): (u32, PathBuf)) -> Result<u32, String> {
    psmith::cx().unwrap().progress(0, 1);
    let slot = psmith::cx().unwrap().slot();
    let own =
        std::fs::File::create(path.with_extension(slot.to_string())).map_err(|error| error.to_string())?;
    let alone = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    rustix::fs::flock(&own, alone).map_err(|error| format!("slot {slot}: {error}"))?;
    if n == 17 {
        loop {
            std::thread::park();
        }
    }
    gate::pass(&path);
    Ok(slot)
}

// proves: one-hangs-of-many, cap-on-workers, timeouts-and-grace
#[test]
fn a_hundred_items_on_eight_workers_are_never_more_than_eight_at_once() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let gate = Mutex::new(Gate::closed());
        let path = gate.lock().unwrap().path();
        let limit = Duration::from_secs(5);
        let mut started = 0;
        let got: Vec<Result<u32, Failure>> =
            psmith::try_map((0..100).map(|n| ((n + 17) % 100, path.clone())), alone_in_its_slot)
                .workers(8)
                .isolation(isolation)
                .timeout(limit)
                .on_progress(|_, _, _| {
                    started += 1;
                    if started == 8 {
                        gate.lock().unwrap().open();
                    }
                })
                .collect();
        assert_eq!(got.len(), 100);
        for (index, got) in got.into_iter().enumerate() {
            match got {
                Ok(slot) => assert!(slot < 8),
                Err(failure) => assert_eq!((index, failure.into_cause()), (0, Cause::Timeout(limit))),
            }
        }
    }
}

// proves: slot-numbers, job-knows-itself
#[test]
fn four_workers_have_the_slots_0_to_3_and_two_have_0_and_1() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        for workers in [4, 2] {
            let gate = Mutex::new(Gate::closed());
            let path = gate.lock().unwrap().path();
            let mut started = 0;
            let slots: BTreeSet<u32> = psmith::map((0..12).map(|n| (100 + n, path.clone())), slot_behind)
                .workers(workers)
                .isolation(isolation)
                .on_progress(|_, _, _| {
                    started += 1;
                    if started == workers {
                        gate.lock().unwrap().open();
                    }
                })
                .map(Result::unwrap)
                .collect();
            assert!(slots.into_iter().eq(0..workers), "{isolation:?}, {workers} workers");
        }
    }
}

/// The processes that this program's warden has for us.
fn workers_alive() -> usize {
    let children = |pid| psmith_sys::proc_tree::children(pid).unwrap();
    children(std::process::id()).into_iter().map(|warden| children(warden).len()).sum()
}

// proves: worker-count, cap-on-workers
#[test]
fn there_are_never_more_workers_than_items() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let gate = Mutex::new(Gate::closed());
        let path = gate.lock().unwrap().path();
        let (mut started, mut alive) = (0, 0);
        let got = psmith::map((0..2).map(|n| (n, path.clone())), slot_behind)
            .workers(8)
            .isolation(isolation)
            .on_progress(|_, _, _| {
                started += 1;
                if started == 2 {
                    alive = workers_alive();
                    gate.lock().unwrap().open();
                }
            })
            .count();
        assert_eq!((got, alive), (2, 2), "{isolation:?}");
    }
}

// proves: many-workers-few-left, descriptors-come-back
#[test]
fn twenty_workers_hold_few_descriptors_and_many_calls_none() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let before = descriptors();
        let gate = Mutex::new(Gate::closed());
        let path = gate.lock().unwrap().path();
        let (mut started, mut held) = (0, 0);
        let got = psmith::map((0..20).map(|n| (100 + n, path.clone())), slot_behind)
            .workers(20)
            .isolation(isolation)
            .on_progress(|_, _, _| {
                started += 1;
                if started == 20 {
                    held = descriptors() - before;
                    gate.lock().unwrap().open();
                }
            })
            .count();
        assert_eq!(got, 20);
        // What the engine sets aside: eight for a worker, 40 for itself.
        assert!(held <= 20 * 8 + 40, "{isolation:?}: {held} descriptors");
        for _ in 0..30 {
            assert_eq!(psmith::map(0..3, |n: u32| n).workers(2).isolation(isolation).count(), 3);
        }
        drop(gate);
        assert_eq!(descriptors(), before, "{isolation:?}");
    }
}

// proves: large-answers-whole, descriptors-come-back
#[test]
fn answers_of_64_kilobytes_come_whole_from_pools_and_schedulers_and_jobs_exhaust_nothing() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let answer = |n: u8| vec![n; 64 << 10];
    let check =
        |n: u8, bytes: Vec<u8>| assert!(bytes.len() == 64 << 10 && bytes.iter().all(|byte| *byte == n));
    let pool = Pool::builder().workers(2).build().unwrap();
    let scheduler = Scheduler::new();
    let pooled: Vec<_> = (0..10).map(|n| pool.submit(Job::new(answer, n)).unwrap()).collect();
    let scheduled: Vec<_> = (0..10).map(|n| scheduler.schedule(Job::new(answer, n)).unwrap()).collect();
    for (n, (pooled, scheduled)) in (0..).zip(pooled.into_iter().zip(scheduled)) {
        check(n, pooled.into_outcome().unwrap());
        check(n, scheduled.into_outcome().unwrap());
    }
    let before = descriptors();
    let many: Vec<_> = (0..100).map(|_| scheduler.schedule(Job::new(|(): ()| (), ())).unwrap()).collect();
    assert!(many.iter().all(|handle| handle.wait().is_ok()));
    scheduler.join();
    assert!(descriptors() <= before, "{before} before, {} after", descriptors());
    scheduler.drain();
}
