//! Pools and handles: waiting and ending are two verbs, and every handle gets its outcome whatever becomes of the pool.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use psmith::{Cause, Isolation, Job, Pool, Refusal, with_state};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that goes out and cannot be read: 1 is an error, all else a panic.
#[derive(Debug)]
struct Sealed(u32);

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sealed, D::Error> {
        match u32::deserialize(deserializer)? {
            1 => Err(serde::de::Error::custom("cannot be read")),
            n => panic!("there is no {n}"),
        }
    }
}

fn wait_at_gate((n, path): (u32, PathBuf)) -> u32 {
    gate::pass(&path);
    n
}

fn pool(workers: u32) -> Pool {
    Pool::builder().workers(workers).build().unwrap()
}

// proves: exit-fails-its-handle, handles-wait-and-end
#[test]
fn a_job_that_exits_fails_its_handle_and_a_value_can_be_asked_for_twice() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let pool = pool(1);
    let exit = pool.submit(Job::new(|code: i32| -> u32 { std::process::exit(code) }, 3)).unwrap();
    let value = pool.submit(Job::new(|n: u32| n, 42)).unwrap();
    assert_eq!(exit.wait().unwrap_err().cause, Cause::Exit(3));
    assert_eq!((value.wait().unwrap(), value.wait().unwrap()), (42, 42));
    assert!(value.is_ready());
    assert_eq!(value.into_outcome().unwrap(), 42);
    let ten: Vec<_> = (0..10).map(|n| pool.submit(Job::new(|n: u32| n, n)).unwrap()).collect();
    pool.join();
    assert!(ten.iter().all(psmith::JobHandle::is_ready));
    assert_eq!((pool.report().jobs, pool.report().failed), (12, 1));
}

// proves: refused-while-joining, ways-to-end
#[test]
fn while_one_thread_joins_no_job_is_taken_and_afterwards_jobs_are() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut gate = Gate::closed();
    let pool = pool(1);
    let first = pool.submit(Job::new(wait_at_gate, (1, gate.path()))).unwrap();
    std::thread::scope(|scope| {
        let joins = scope.spawn(|| pool.join());
        // Taken until the other thread joins, then refused.
        let refused = loop {
            match pool.try_submit(Job::new(|n: u32| n, 2)) {
                Err(error) if error.reason == Refusal::Joining => break *error.job,
                // sleep: the lock is not a fair one, and the thread that joins has to get it.
                Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        gate.open();
        joins.join().unwrap();
        assert_eq!(pool.submit(refused).unwrap().wait().unwrap(), 2);
    });
    assert_eq!(first.wait().unwrap(), 1);
}

// proves: refused-while-joining, ways-to-end, F-35
#[test]
fn stop_resolves_every_handle_and_returns_the_unfinished_jobs() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let pool = pool(2);
    let handles: Vec<_> =
        (0..8).map(|n| pool.submit(Job::new(wait_at_gate, (n, gate.path()))).unwrap()).collect();
    let left = pool.stop();
    assert_eq!(left.jobs.iter().map(psmith::JobRef::index).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    for handle in &handles {
        assert_eq!(handle.wait().unwrap_err().cause, Cause::Cancelled);
    }
    let refused = pool.submit(Job::new(|n: u32| n, 1)).unwrap_err();
    assert_eq!(refused.reason, Refusal::Closed);
}

// proves: ways-to-end
#[test]
fn a_drain_finishes_those_that_run_and_those_that_wait_and_takes_no_more() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut gate = Gate::closed();
    let pool = pool(1);
    let handles: Vec<_> =
        (0..3).map(|n| pool.submit(Job::new(wait_at_gate, (n, gate.path()))).unwrap()).collect();
    let left = std::thread::scope(|scope| {
        let drains = scope.spawn(|| pool.drain());
        let refused = loop {
            match pool.submit(Job::new(|n: u32| n, 9)) {
                Ok(taken) => taken.cancel(),
                Err(refused) => break refused.reason,
            }
        };
        assert_eq!(refused, Refusal::Closed);
        gate.open();
        drains.join().unwrap()
    });
    assert!(left.jobs.iter().all(|job| job.index() > 2), "only what was cancelled here: {left:?}");
    assert_eq!(handles.iter().map(|handle| handle.wait().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
}

// proves: ways-to-end
#[test]
fn a_stop_ends_a_drain_and_both_return_the_jobs_that_ran_and_that_waited() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let pool = pool(1);
    let handles: Vec<_> =
        (0..3).map(|n| pool.submit(Job::new(wait_at_gate, (n, gate.path()))).unwrap()).collect();
    while handles[0].pid().is_none() {
        assert!(handles[0].wait_timeout(Duration::from_millis(1)).is_none());
    }
    let (drained, stopped) = std::thread::scope(|scope| {
        let drains = scope.spawn(|| pool.drain());
        assert!(handles[1].wait_timeout(Duration::from_millis(20)).is_none(), "it waits for its turn");
        let stopped = pool.stop();
        (drains.join().unwrap(), stopped)
    });
    assert_eq!(drained, stopped);
    assert_eq!(stopped.jobs.iter().map(psmith::JobRef::index).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(handles.iter().all(|handle| handle.wait().unwrap_err().cause == Cause::Cancelled));
}

// proves: handles-wait-and-end
#[test]
fn waiting_ends_nothing_and_cancel_and_kill_end_one_job_only() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut gate = Gate::closed();
    let pool = pool(3);
    let handles = [0, 1, 2].map(|n| pool.submit(Job::new(wait_at_gate, (n, gate.path()))).unwrap());
    let waiting = pool.submit(Job::new(wait_at_gate, (3, gate.path()))).unwrap();
    assert!(handles[0].wait_timeout(Duration::from_millis(20)).is_none());
    assert!(handles[0].try_wait().is_none() && !handles[0].is_ready());
    waiting.cancel();
    assert_eq!(waiting.wait().unwrap_err().cause, Cause::Cancelled);
    handles[1].cancel();
    handles[2].kill();
    assert_eq!(handles[1].wait().unwrap_err().cause, Cause::Cancelled);
    assert_eq!(handles[2].wait().unwrap_err().cause, Cause::Cancelled);
    gate.open();
    assert_eq!(handles[0].wait().unwrap(), 0);
    handles[0].cancel();
    assert_eq!(handles[0].wait().unwrap(), 0);
}

// proves: handles-wait-and-end
#[test]
fn a_job_cancelled_before_the_engine_took_it_over_waits_for_no_worker() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::Reuse, Isolation::PerJob] {
        let mut gate = Gate::closed();
        let pool = Pool::builder().workers(1).isolation(isolation).build().unwrap();
        let first = pool.submit(Job::new(wait_at_gate, (0, gate.path()))).unwrap();
        for _ in 0..100 {
            let waiting = pool.submit(Job::new(wait_at_gate, (1, gate.path()))).unwrap();
            waiting.cancel();
            assert_eq!(waiting.wait().unwrap_err().cause, Cause::Cancelled);
        }
        gate.open();
        assert_eq!(first.wait().unwrap(), 0);
    }
}

// proves: handles-wait-and-end
#[test]
fn a_dropped_handle_leaves_its_job_running_unless_it_was_to_cancel_it() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let write = |path: PathBuf| std::fs::write(path, b"x");
    let pool = pool(1);
    drop(pool.submit(Job::fallible(write, dir.path().join("a"))).unwrap());
    pool.join();
    assert!(dir.path().join("a").exists());
    let gate = Gate::closed();
    drop(pool.submit(Job::new(wait_at_gate, (1, gate.path()))).unwrap().cancel_on_drop());
    pool.join();
    assert_eq!(pool.report().failed, 1);
}

struct Unpark(std::thread::Thread);
impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => std::thread::park(),
        }
    }
}

// proves: handles-wait-and-end
#[test]
fn a_handle_is_a_future_of_the_outcome() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let pool = pool(1);
    let handle = pool.submit(Job::new(|n: u32| n + 1, 1)).unwrap();
    assert_eq!(block_on(handle).unwrap(), 2);
}

// proves: children-of-the-host, handles-wait-and-end, F-29
#[test]
fn several_pools_know_nothing_of_each_other_and_each_keeps_its_own_state() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let one = Pool::builder().workers(1).init(|| vec![1_u32]).build().unwrap();
    let other = Pool::builder().workers(1).init(|| String::from("x")).build().unwrap();
    let numbers = |n: u32| {
        with_state(|seen: &mut Vec<u32>| {
            seen.push(n);
            seen.clone()
        })
    };
    let seen_jobs = |_: u32| with_state(|seen: &mut Vec<u32>| seen.len());
    assert_eq!(one.submit(Job::new(numbers, 5)).unwrap().wait().unwrap(), Some(vec![1, 5]));
    assert_eq!(other.submit(Job::new(seen_jobs, 5)).unwrap().wait().unwrap(), None);
    drop(other);
    assert_eq!(one.submit(Job::new(numbers, 6)).unwrap().wait().unwrap(), Some(vec![1, 5, 6]));
    drop(dir);
}

// proves: reused-workers
#[test]
fn a_worker_that_leaves_gives_its_state_to_the_exit_function() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let pool = Pool::builder()
        .workers(1)
        .max_jobs(2)
        .init(|| None::<PathBuf>)
        .exit(|mark: Option<PathBuf>| std::fs::write(mark.unwrap(), b"left").unwrap())
        .build()
        .unwrap();
    let set = |path: PathBuf| with_state(|mark: &mut Option<PathBuf>| *mark = Some(path)).is_some();
    for n in 0..4 {
        let path = dir.path().join((n / 2).to_string());
        assert!(pool.submit(Job::new(set, path)).unwrap().wait().unwrap());
    }
    drop(pool);
    assert!(dir.path().join("0").exists() && dir.path().join("1").exists());
}

// proves: large-answers-whole
#[test]
fn a_hundred_jobs_and_ten_large_answers_come_whole() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let pool = pool(2);
    let many: Vec<_> = (0..100).map(|n| pool.submit(Job::new(|n: u32| n, n)).unwrap()).collect();
    let large = |bytes: Vec<u8>| vec![bytes[0]; 16 << 20];
    let ten: Vec<_> = (0..10)
        .map(|n| pool.submit(Job::by_codec::<psmith::codec::Raw, _>(large, vec![n])).unwrap())
        .collect();
    assert!(many.iter().zip(0..).all(|(handle, n)| handle.wait().unwrap() == n));
    for (n, handle) in ten.into_iter().enumerate() {
        let bytes = handle.into_outcome().unwrap();
        assert!(bytes.len() == 16 << 20 && bytes.iter().all(|byte| usize::from(*byte) == n));
    }
}

// proves: refused-while-joining: a panic in the init is the failure of the job that the worker was for.
#[test]
fn an_init_that_panics_fails_the_jobs_and_nothing_hangs() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let pool = Pool::builder().workers(1).init(|| -> u32 { panic!("no state") }).build().unwrap();
    for _ in 0..2 {
        let failure = pool.submit(Job::new(|n: u32| n, 1)).unwrap().wait().unwrap_err();
        assert!(matches!(&failure.cause, Cause::Panic { message, .. } if message == "no state"), "{failure}");
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(std::sync::atomic::AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

// U-18
#[test]
fn a_submit_that_is_awaited_waits_for_room_and_is_woken_by_the_end_of_its_pool() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let pool = Pool::builder().workers(1).window(1).build().unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let times = || woken.0.load(std::sync::atomic::Ordering::SeqCst);
    let first = match pin!(pool.submit_async(Job::new(wait_at_gate, (1, gate.path())))).poll(&mut context) {
        Poll::Ready(handed_in) => handed_in.unwrap(),
        Poll::Pending => panic!("there is room"),
    };
    let mut second = pin!(pool.submit_async(Job::new(|n: u32| n, 2)));
    assert!(second.as_mut().poll(&mut context).is_pending());
    drop(pool.submit_async(Job::new(|n: u32| n, 9)));
    assert_eq!((times(), pool.pending()), (0, 1));
    first.kill();
    first.wait().unwrap_err();
    while times() == 0 {
        std::thread::yield_now();
    }
    let second = loop {
        if let Poll::Ready(handed_in) = second.as_mut().poll(&mut context) {
            break handed_in.unwrap();
        }
    };
    assert_eq!((second.wait().unwrap(), pool.report().jobs), (2, 2));

    let third = pool.submit(Job::new(wait_at_gate, (3, gate.path()))).unwrap();
    let mut fourth = pin!(pool.submit_async(Job::new(|n: u32| n, 4)));
    assert!(fourth.as_mut().poll(&mut context).is_pending());
    let before = times();
    pool.stop_within(Duration::ZERO);
    assert!(times() > before);
    match fourth.as_mut().poll(&mut context) {
        Poll::Ready(Err(refused)) => assert_eq!(refused.reason, Refusal::Closed),
        other => panic!("{other:?}"),
    }
    assert_eq!(third.wait().unwrap_err().cause, Cause::Cancelled);
}

/// One job at a time, so often that the thread that waits drives the engine itself.
fn one_by_one(pool: &Pool) {
    for n in 0..50 {
        assert_eq!(pool.submit(Job::new(|n: u32| n + 1, n)).unwrap().wait().unwrap(), n + 1);
    }
}

fn forever() -> Job<()> {
    Job::new(
        |()| -> () {
            loop {
                std::thread::park();
            }
        },
        (),
    )
}

// proves: handles-wait-and-end, timeouts-and-grace, ways-to-end
#[test]
fn the_thread_that_waits_for_the_only_job_may_drive_and_nothing_else_is_held_up() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::Reuse, Isolation::PerJob] {
        let pool = Pool::builder().workers(2).isolation(isolation).build().unwrap();
        // A job that is not waited for ends all the same.
        one_by_one(&pool);
        let unattended = pool.submit(Job::new(|n: u32| n, 1)).unwrap();
        assert_eq!(block_on(unattended).unwrap(), 1);
        // A time limit is kept on whichever thread drives.
        let limit = Duration::from_secs(3);
        let limited = Pool::builder().workers(1).isolation(isolation).timeout(limit).build().unwrap();
        one_by_one(&limited);
        let late = limited.submit(forever()).unwrap().wait().unwrap_err();
        assert!(matches!(late.cause, Cause::Timeout { .. }), "{late}");
        // One that waits for a while only, and comes back.
        one_by_one(&pool);
        let mut gate = Gate::closed();
        let waiting_job = pool.submit(Job::new(wait_at_gate, (7, gate.path()))).unwrap();
        assert!(waiting_job.wait_timeout(Duration::from_millis(20)).is_none());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| waiting_job.wait().unwrap());
            // Others hand in, wait and kill meanwhile.
            assert_eq!(pool.submit(Job::new(|n: u32| n, 8)).unwrap().wait().unwrap(), 8);
            let killed = pool.submit(forever()).unwrap();
            killed.kill();
            assert_eq!(killed.wait().unwrap_err().cause, Cause::Cancelled);
            gate.open();
            assert_eq!(waits.join().unwrap(), 7);
        });
        // No thread drives just now, and the pool is ended.
        one_by_one(&pool);
        assert_eq!(pool.stop().jobs, []);
    }
}

// proves: two-level-logger
#[test]
fn output_and_log_lines_are_never_left_to_the_thread_that_waits() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let (lines, log) = std::sync::mpsc::channel();
    let logged = Pool::builder()
        .workers(1)
        .logger(move |_, text| lines.send((std::thread::current().id(), text.to_string())).unwrap())
        .build()
        .unwrap();
    one_by_one(&logged);
    drop(logged);
    let lines: Vec<_> = log.iter().collect();
    assert_eq!(lines.len(), 50);
    assert!(lines.iter().all(|(thread, _)| *thread != std::thread::current().id()));
    // A job that prints between jobs that do not.
    let pool = pool(1);
    one_by_one(&pool);
    let prints = |n: u32| {
        print!("{n}");
        n
    };
    assert_eq!(pool.submit(Job::new(prints, 5)).unwrap().wait().unwrap(), 5);
    one_by_one(&pool);
}

// A kill that came before the engine knew of the job was carried out as a cancel, and the terminate of a new child that
// had not joined its group yet reached no process: such a job ran for the whole grace.
// proves: handles-wait-and-end, ways-to-end
#[test]
fn a_job_that_is_killed_as_it_is_handed_in_does_not_run_for_the_grace() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::Reuse, Isolation::PerJob] {
        // A grace longer than any test: a wait for it shows.
        let grace = Duration::from_secs(3600);
        let pool = Pool::builder().workers(1).isolation(isolation).grace(grace).build().unwrap();
        for round in 0..60 {
            let job = pool.submit(forever()).unwrap();
            if round % 2 == 0 {
                job.kill();
            } else {
                job.cancel();
            }
            assert_eq!(job.wait().unwrap_err().cause, Cause::Cancelled);
        }
    }
}

// proves: F-25
#[test]
fn a_result_that_a_handle_cannot_read_is_a_failure_with_the_label_of_its_job() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let pool = pool(1);
    let seal = |n: u32| Ok::<_, String>(Sealed(n));
    for (n, text) in [(1, "cannot be read"), (2, "its decoding panicked: there is no 2")] {
        let handle = pool.submit(Job::<Sealed>::fallible(seal, n).label(format!("seal {n}"))).unwrap();
        // Decoded anew by each wait.
        for _ in 0..2 {
            let failure = handle.wait().unwrap_err();
            assert_eq!(failure.label, Some(format!("seal {n}")));
            assert_eq!(failure.cause, Cause::Undecodable(format!("its result: {text}")));
        }
    }
    assert_eq!(pool.submit(Job::new(|n: u32| n, 3)).unwrap().wait().unwrap(), 3);
}

// The listener's thread runs the program's own logger. Its panic left handles, and the pool's own end, waiting for ever.
// proves: ways-to-end
#[test]
fn a_logger_that_panics_leaves_no_handle_without_an_outcome() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let logger = |_, _: std::fmt::Arguments<'_>| panic!("this logger is broken");
    let pool = Pool::builder().workers(1).logger(logger).build().unwrap();
    let handles: Vec<_> = (0..3).map(|n| pool.submit(Job::new(|n: u32| n, n))).collect();
    for handle in handles.into_iter().flatten() {
        // The first may have come before the panic; none is waited for in vain.
        let _ = handle.wait();
    }
    drop(pool);
}
