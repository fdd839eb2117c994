//! Pools and handles: waiting and ending are two verbs, and every handle gets its outcome whatever becomes of the pool.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use psmith::{Cause, Isolation, Job, Pool, Refusal, with_state};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::Guard;

fn stand((n, path): (u32, PathBuf)) -> u32 {
    gate::pass(&path);
    n
}

fn pool(workers: u32) -> Pool {
    Pool::builder().workers(workers).build().unwrap()
}

// proves: O-31, U-18
#[test]
fn a_job_that_exits_fails_its_handle_and_a_value_can_be_asked_for_twice() {
    psmith::init();
    let _guard = Guard::alone();
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

// proves: O-33, U-27
#[test]
fn while_one_thread_joins_no_job_is_taken_and_afterwards_jobs_are() {
    psmith::init();
    let _guard = Guard::alone();
    let mut gate = Gate::closed();
    let pool = pool(1);
    let first = pool.submit(Job::new(stand, (1, gate.path()))).unwrap();
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

// proves: O-33, U-27, F-35
#[test]
fn stop_resolves_every_handle_and_gives_back_what_was_left() {
    psmith::init();
    let _guard = Guard::alone();
    let gate = Gate::closed();
    let pool = pool(2);
    let handles: Vec<_> = (0..8).map(|n| pool.submit(Job::new(stand, (n, gate.path()))).unwrap()).collect();
    let left = pool.stop(Duration::from_secs(10));
    assert_eq!(left.jobs.iter().map(psmith::JobRef::index).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    for handle in &handles {
        assert_eq!(handle.wait().unwrap_err().cause, Cause::Cancelled);
    }
    let refused = pool.submit(Job::new(|n: u32| n, 1)).unwrap_err();
    assert_eq!(refused.reason, Refusal::Closed);
}

// proves: U-27
#[test]
fn a_drain_lets_the_running_finish_and_gives_back_those_that_wait() {
    psmith::init();
    let _guard = Guard::alone();
    let mut gate = Gate::closed();
    let pool = pool(1);
    let handles: Vec<_> = (0..3).map(|n| pool.submit(Job::new(stand, (n, gate.path()))).unwrap()).collect();
    while handles[0].pid().is_none() {
        assert!(handles[0].wait_timeout(Duration::from_millis(1)).is_none());
    }
    let left = std::thread::scope(|scope| {
        let drains = scope.spawn(|| pool.drain());
        assert_eq!(handles[1].wait().unwrap_err().cause, Cause::Cancelled);
        gate.open();
        drains.join().unwrap()
    });
    assert_eq!(left.jobs.iter().map(psmith::JobRef::index).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(handles[0].wait().unwrap(), 0);
}

// proves: U-18
#[test]
fn waiting_ends_nothing_and_cancel_and_kill_end_one_job_only() {
    psmith::init();
    let _guard = Guard::alone();
    let mut gate = Gate::closed();
    let pool = pool(3);
    let handles = [0, 1, 2].map(|n| pool.submit(Job::new(stand, (n, gate.path()))).unwrap());
    let waiting = pool.submit(Job::new(stand, (3, gate.path()))).unwrap();
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

// proves: U-18
#[test]
fn a_job_cancelled_before_the_engine_took_it_over_waits_for_no_worker() {
    psmith::init();
    let _guard = Guard::alone();
    for isolation in [Isolation::Reuse, Isolation::PerJob] {
        let mut gate = Gate::closed();
        let pool = Pool::builder().workers(1).isolation(isolation).build().unwrap();
        let first = pool.submit(Job::new(stand, (0, gate.path()))).unwrap();
        for _ in 0..100 {
            let waiting = pool.submit(Job::new(stand, (1, gate.path()))).unwrap();
            waiting.cancel();
            assert_eq!(waiting.wait().unwrap_err().cause, Cause::Cancelled);
        }
        gate.open();
        assert_eq!(first.wait().unwrap(), 0);
    }
}

// proves: U-18
#[test]
fn a_dropped_handle_leaves_its_job_running_unless_it_was_to_cancel_it() {
    psmith::init();
    let _guard = Guard::alone();
    let dir = tempfile::tempdir().unwrap();
    let write = |path: PathBuf| std::fs::write(path, b"x");
    let pool = pool(1);
    drop(pool.submit(Job::new(write, dir.path().join("a"))).unwrap());
    pool.join();
    assert!(dir.path().join("a").exists());
    let gate = Gate::closed();
    drop(pool.submit(Job::new(stand, (1, gate.path()))).unwrap().cancel_on_drop());
    pool.join();
    assert_eq!(pool.report().failed, 1);
}

struct Unpark(std::thread::Thread);
impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

// proves: U-18
#[test]
fn a_handle_is_a_future_of_the_outcome() {
    psmith::init();
    let _guard = Guard::alone();
    let pool = pool(1);
    let mut handle = pin!(pool.submit(Job::new(|n: u32| n + 1, 1)).unwrap());
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let value = loop {
        match handle.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(came) => break came.unwrap(),
            Poll::Pending => std::thread::park(),
        }
    };
    assert_eq!(value, 2);
}

// proves: O-29, U-18, F-29
#[test]
fn several_pools_know_nothing_of_each_other_and_each_keeps_its_own_state() {
    psmith::init();
    let _guard = Guard::alone();
    let dir = tempfile::tempdir().unwrap();
    let one = Pool::builder().workers(1).init(|| vec![1_u32]).build().unwrap();
    let other = Pool::builder().workers(1).init(|| String::from("x")).build().unwrap();
    let numbers = |n: u32| {
        with_state(|seen: &mut Vec<u32>| {
            seen.push(n);
            seen.clone()
        })
    };
    let letters = |_: u32| with_state(|seen: &mut Vec<u32>| seen.len());
    assert_eq!(one.submit(Job::new(numbers, 5)).unwrap().wait().unwrap(), Some(vec![1, 5]));
    assert_eq!(other.submit(Job::new(letters, 5)).unwrap().wait().unwrap(), None);
    drop(other);
    assert_eq!(one.submit(Job::new(numbers, 6)).unwrap().wait().unwrap(), Some(vec![1, 5, 6]));
    drop(dir);
}

// proves: U-2
#[test]
fn a_worker_that_leaves_gives_its_state_to_the_exit_function() {
    psmith::init();
    let _guard = Guard::alone();
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

// proves: O-32
#[test]
fn a_hundred_jobs_and_ten_large_answers_come_whole() {
    psmith::init();
    let _guard = Guard::alone();
    let pool = pool(2);
    let many: Vec<_> = (0..100).map(|n| pool.submit(Job::new(|n: u32| n, n)).unwrap()).collect();
    let large = |bytes: Vec<u8>| vec![bytes[0]; 16 << 20];
    let ten: Vec<_> = (0..10)
        .map(|n| pool.submit(Job::by_codec::<psmith::codec::Raw, _, _, _>(large, vec![n])).unwrap())
        .collect();
    assert!(many.iter().zip(0..).all(|(handle, n)| handle.wait().unwrap() == n));
    for (n, handle) in ten.into_iter().enumerate() {
        let bytes = handle.into_outcome().unwrap();
        assert!(bytes.len() == 16 << 20 && bytes.iter().all(|byte| usize::from(*byte) == n));
    }
}

// proves: O-33: a panic in the init is the failure of the job that the worker was for.
#[test]
fn an_init_that_panics_fails_the_jobs_and_hangs_nobody() {
    psmith::init();
    let _guard = Guard::alone();
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
fn a_submit_that_is_awaited_waits_for_room_and_hears_of_the_end_of_its_pool() {
    psmith::init();
    let _guard = Guard::alone();
    let gate = Gate::closed();
    let pool = Pool::builder().workers(1).window(1).build().unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let times = || woken.0.load(std::sync::atomic::Ordering::SeqCst);
    let first = match pin!(pool.submit_async(Job::new(stand, (1, gate.path())))).poll(&mut context) {
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

    let third = pool.submit(Job::new(stand, (3, gate.path()))).unwrap();
    let mut fourth = pin!(pool.submit_async(Job::new(|n: u32| n, 4)));
    assert!(fourth.as_mut().poll(&mut context).is_pending());
    let before = times();
    pool.kill();
    assert!(times() > before);
    match fourth.as_mut().poll(&mut context) {
        Poll::Ready(Err(refused)) => assert_eq!(refused.reason, Refusal::Closed),
        other => panic!("{other:?}"),
    }
    assert_eq!(third.wait().unwrap_err().cause, Cause::Cancelled);
}
