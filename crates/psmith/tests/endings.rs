//! The ends of callers: no process is left, nothing hangs, and every handle has its outcome.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use psmith::{Cause, Isolation, Job, JobHandle, Output, Pool, Refusal, Scheduler, Server, Throttled};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::{LeakGuard, NONCE};
use rustix::process::{Pid, Signal, kill_process};

const BOTH: [Isolation; 2] = [Isolation::PerJob, Isolation::Reuse];

fn size<T>(usual: T, long: T) -> T {
    if std::env::var_os("PSMITH_TEST_LONG").is_some_and(|value| value == "1") { long } else { usual }
}

/// Waits at the gate with a child of its own, which no other process would end.
fn wait_at_gate(path: PathBuf) {
    drop(Command::new("/bin/sleep").arg("1000").spawn().unwrap());
    psmith::cx().unwrap().progress(0, 1);
    gate::pass(&path);
}

// proves: nothing-lives-on, no-process-left, P-4
#[test]
fn a_caller_that_panics_in_the_midst_of_a_map_leaves_nothing() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let gate = Gate::closed();
        let paths = std::iter::repeat_with(|| gate.path());
        let mut started = 0;
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            psmith::map(paths, wait_at_gate)
                .workers(3)
                .isolation(isolation)
                .on_progress(|_, _, _| {
                    started += 1;
                    assert!(started < 3, "this message is part of a test");
                })
                .for_each(drop);
        }));
        assert!(caught.is_err());
        // What is left, the guard finds.
    }
}

// proves: nothing-lives-on, no-process-left, F-37a
#[test]
fn a_host_that_alone_is_interrupted_takes_its_jobs_along() {
    const HOST: &str = "PSMITH_TEST_INTERRUPTED";
    psmith::init();
    if let Some(path) = std::env::var_os(HOST) {
        let mut started = 0;
        psmith::map(std::iter::repeat_with(|| PathBuf::from(&path)), wait_at_gate)
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
    for signal in [Signal::INT, Signal::TERM] {
        let mut guard = LeakGuard::new();
        let gate = Gate::closed();
        let mut host = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_host_that_alone_is_interrupted_takes_its_jobs_along", "--nocapture"])
            .env(HOST, gate.path())
            .env(NONCE, guard.nonce())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(host.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("both run")), "the host's jobs run");
        // To the host alone, not to its group.
        kill_process(Pid::from_child(&host), signal).unwrap();
        host.wait().unwrap();
        assert_eq!(guard.survivors_after(psmith_testkit::leak::SETTLE), Vec::<i32>::new());
        guard.check();
    }
}

// proves: F-33, outcome-consumer, failing-hook
#[test]
fn a_consumer_that_panics_ends_its_server_with_that_panic_and_leaves_nothing() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        for at in [0, 3] {
            let mut consumed = 0;
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut jobs = (0..).map(|n: u32| Job::new(|n: u32| n, n));
                Server::new(move || jobs.next())
                    .workers(2)
                    .isolation(isolation)
                    .consumer(|_, _| {
                        assert!(consumed < at, "this message is part of a test");
                        consumed += 1;
                    })
                    .run()
            }));
            let payload = caught.unwrap_err();
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"this message is part of a test"));
            assert_eq!(consumed, at);
        }
    }
}

// proves: orphans-never, no-process-left
#[test]
fn threads_that_make_a_pool_and_hand_in_may_end_before_the_jobs_do() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let mut gate = Gate::closed();
        let wait = |path: PathBuf| gate::pass(&path);
        let make = || Pool::builder().workers(2).isolation(isolation).build().unwrap();
        let pool = std::thread::scope(|scope| scope.spawn(make).join().unwrap());
        let hand_in = || pool.submit(Job::new(wait, gate.path())).unwrap();
        let handles = [(); 2].map(|()| std::thread::scope(|scope| scope.spawn(hand_in).join().unwrap()));
        while !handles.iter().all(|handle| handle.pid().is_some()) {
            std::thread::yield_now();
        }
        gate.open();
        // A process that died with the thread that spawned it would be a signal.
        handles.into_iter().for_each(|handle| handle.wait().unwrap());
    }
}

/// A pool with jobs that run and jobs that wait.
fn busy(isolation: Isolation, gate: &Gate) -> (Pool, Vec<JobHandle<()>>) {
    let pool = Pool::builder().workers(2).isolation(isolation).output(Output::Discard).build().unwrap();
    let handles: Vec<_> = (0..6).map(|_| pool.submit(Job::new(wait_at_gate, gate.path())).unwrap()).collect();
    while !handles[..2].iter().all(|handle| handle.pid().is_some()) {
        std::thread::yield_now();
    }
    (pool, handles)
}

fn assert_cancelled(handles: &[JobHandle<()>]) {
    for handle in handles {
        assert_eq!(handle.wait().unwrap_err().cause, Cause::Cancelled);
    }
}

// proves: F-35, ways-to-end
#[test]
fn a_pool_dropped_busy_or_idle_or_while_panicking_resolves_every_handle() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let gate = Gate::closed();
        let (pool, handles) = busy(isolation, &gate);
        drop(pool);
        assert_cancelled(&handles);

        let (pool, handles) = busy(isolation, &gate);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _pool = pool;
            panic!("this message is part of a test");
        }));
        assert!(caught.is_err());
        assert_cancelled(&handles);

        let idle = Pool::builder().workers(2).isolation(isolation).build().unwrap();
        assert_eq!(idle.submit(Job::new(|n: u32| n, 1)).unwrap().wait().unwrap(), 1);
        drop(idle);
    }
}

// proves: F-35, handles-wait-and-end
#[test]
fn handles_not_waited_for_and_not_dropped_hold_up_no_end_of_their_pool() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let (pool, handles) = busy(Isolation::Reuse, &gate);
    let handles = std::mem::ManuallyDrop::new(handles);
    drop(pool);
    // Forgotten for good they would keep what they share with the pool, as any leaked value does.
    assert_cancelled(&handles);
    drop(std::mem::ManuallyDrop::into_inner(handles));
}

fn nested(depth: u32) -> Result<u32, String> {
    if depth == 0 {
        return Ok(std::process::id());
    }
    let pool = Pool::builder().workers(1).build().map_err(|error| error.to_string())?;
    let inner = pool.submit(Job::fallible(nested, depth - 1)).map_err(|error| error.to_string())?;
    let mapped: Vec<u32> = psmith::map(0..3, |n: u32| n + 1)
        .workers(2)
        .collect::<Result<_, _>>()
        .map_err(|failure| failure.to_string())?;
    if mapped != [1, 2, 3] {
        return Err(format!("{mapped:?}"));
    }
    let innermost = inner.wait().map_err(|failure| failure.to_string())?;
    // At one depth it is dropped, at another it is stopped, at the last one its handle outlives it.
    if depth == 1 {
        drop(pool.stop());
    }
    Ok(innermost)
}

// proves: own-executable-again, F-35
#[test]
fn a_pool_in_a_job_of_a_pool_in_a_job_works_and_leaves_nothing() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let got: Vec<u32> =
            psmith::try_map([3, 3], nested).workers(2).isolation(isolation).map(Result::unwrap).collect();
        assert!(got[0] != got[1] && !got.contains(&std::process::id()));
    }
}

fn wait_at_gate_nested(path: PathBuf) {
    psmith::map(std::iter::repeat_with(|| path.clone()), wait_at_gate).workers(2).for_each(drop);
}

// proves: own-executable-again, no-process-left, P-4
#[test]
fn a_job_that_is_killed_takes_the_pool_that_it_made_along() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let gate = Gate::closed();
        let pool = Pool::builder().workers(1).isolation(isolation).output(Output::Discard).build().unwrap();
        let job = pool.submit(Job::new(wait_at_gate_nested, gate.path())).unwrap();
        let pid = loop {
            match job.pid() {
                Some(pid) => break pid,
                None => std::thread::yield_now(),
            }
        };
        // Until a child of a worker of the inner run is there.
        while psmith_sys::proc_tree::descendants(pid).unwrap_or_default().len() < 3 {
            std::thread::yield_now();
        }
        job.kill();
        assert_eq!(job.wait().unwrap_err().cause, Cause::Cancelled);
    }
}

// proves: F-36, ways-to-end, refused-while-joining
#[test]
fn a_thread_that_hands_in_while_another_ends_the_pool_is_refused_or_gets_an_outcome() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for round in 0..size(60, 10_000) {
        let pool = Pool::builder().workers(2).window(4).isolation(BOTH[round / 4 % 2]).build().unwrap();
        let (taken, ended) = (AtomicU32::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let was_ended = ended.load(Ordering::SeqCst);
                        match pool.submit(Job::new(|n: u32| n, 5)) {
                            Ok(handle) => {
                                taken.fetch_add(1, Ordering::SeqCst);
                                match handle.wait() {
                                    Ok(n) => assert_eq!(n, 5),
                                    Err(failure) => assert_eq!(failure.cause, Cause::Cancelled),
                                }
                            }
                            Err(refused) if refused.reason == Refusal::Closed => break,
                            Err(_) => assert!(!was_ended),
                        }
                    }
                });
            }
            while taken.load(Ordering::SeqCst) < u32::try_from(round % 7).unwrap() {
                std::thread::yield_now();
            }
            match round % 4 {
                0 => drop(pool.stop()),
                1 => drop(pool.stop_within(Duration::ZERO)),
                2 => drop(pool.drain()),
                _ => {
                    pool.join();
                    drop(pool.stop());
                }
            }
            ended.store(true, Ordering::SeqCst);
        });
        assert_eq!(pool.report().jobs, u64::from(taken.load(Ordering::SeqCst)));
    }
}

// proves: F-36, refused-while-joining
#[test]
fn a_pool_is_ended_by_several_at_once_while_its_workers_crash() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let crash = |n: u32| {
        if n.is_multiple_of(2) {
            std::process::abort();
        }
        n
    };
    for round in 0..size(20, 3_000) {
        let pool =
            Pool::builder().workers(3).isolation(BOTH[round % 2]).output(Output::Discard).build().unwrap();
        let handles: Vec<_> = (0..12).map(|n| pool.submit(Job::new(crash, n)).unwrap()).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| pool.drain());
            scope.spawn(|| pool.stop());
            scope.spawn(|| pool.join());
            scope.spawn(|| handles.iter().for_each(|handle| drop(handle.wait())));
        });
        for (n, handle) in (0..).zip(&handles) {
            match handle.wait() {
                Ok(value) => assert!(value == n && n % 2 == 1),
                Err(failure) => match &failure.cause {
                    Cause::Signal { signal: 6, .. } => assert_eq!(n % 2, 0),
                    cause => assert_eq!(cause, &Cause::Cancelled),
                },
            }
        }
    }
}

// proves: F-36, refused-while-joining, ways-to-end
#[test]
fn a_scheduler_ended_again_and_again_resolves_jobs_scheduled_meanwhile() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let scheduler = Scheduler::with_strategy(Throttled(2));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    // Refused while the other thread is at it.
                    if let Ok(handle) = scheduler.schedule(Job::new(|n: u32| n, 3)) {
                        match handle.wait() {
                            Ok(n) => assert_eq!(n, 3),
                            Err(failure) => assert_eq!(failure.cause, Cause::Cancelled),
                        }
                    }
                }
            });
        }
        for round in 0..size(30, 2_000) {
            if round % 2 == 0 {
                drop(scheduler.stop());
            } else {
                scheduler.drain();
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    scheduler.drain();
}
