//! Handles of jobs in company: functions called at the end, handles as their jobs end, maps over a pool, ends without a
//! thread that waits.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use psmith::{Cause, Isolation, Job, JobHandle, Pool, Refusal, Scheduler};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;

fn held((n, gate): (u32, PathBuf)) -> u32 {
    gate::pass(&gate);
    n
}

/// Unparks the thread that polls.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

// proves: handles-wait-and-end
#[test]
fn a_function_given_to_a_handle_is_called_once_with_each_kind_of_outcome() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let (sender, outcomes) = mpsc::channel();
    let pool = Pool::builder().workers(1).build().unwrap();
    let give = |handle: &JobHandle<u32>, name: &'static str| {
        let sender = sender.clone();
        handle.on_done(move |outcome| {
            sender.send((name, outcome.map_err(|failure| failure.into_cause()))).unwrap();
        });
    };
    let mut gate = Gate::closed();
    let first = pool.submit(Job::new(held, (1, gate.path()))).unwrap();
    let fails = pool.submit(Job::fallible(|_: u32| Err::<u32, _>("no"), 2)).unwrap();
    let cancelled = pool.submit(Job::new(|n: u32| n, 3)).unwrap();
    give(&first, "first");
    give(&first, "first again");
    give(&fails, "fails");
    give(&cancelled, "cancelled");
    // A function that panics harms nobody.
    fails.on_done(|_| panic!("of the program"));
    cancelled.cancel();
    gate.open();
    // Also where nobody keeps the handle.
    drop(fails);
    pool.join();
    let mut came: Vec<_> = outcomes.try_iter().collect();
    came.sort_by_key(|(name, _)| *name);
    let no = Err(Cause::Error("no".into()));
    let all = [("cancelled", Err(Cause::Cancelled)), ("fails", no), ("first", Ok(1)), ("first again", Ok(1))];
    assert_eq!(came, all);
    // One that comes late is called at once, on this thread.
    give(&first, "late");
    assert_eq!(outcomes.try_recv().unwrap(), ("late", Ok(1)));
    let endless = pool
        .submit(Job::<u32>::new(
            |_: ()| -> u32 {
                loop {
                    std::thread::park();
                }
            },
            (),
        ))
        .unwrap();
    give(&endless, "endless");
    drop(pool);
    assert_eq!(outcomes.recv().unwrap(), ("endless", Err(Cause::Cancelled)));
}

// A function may use the pool: no lock is held while it runs, also where a job is cancelled that was never started.
// proves: handles-wait-and-end
#[test]
fn a_function_at_the_end_of_a_job_may_hand_in_the_next() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let scheduler: &'static Scheduler = Box::leak(Box::new(Scheduler::with_strategy(psmith::Throttled(1))));
    let gate = Gate::closed();
    let running = scheduler.schedule(Job::new(held, (0, gate.path()))).unwrap();
    let waiting = scheduler.schedule(Job::new(|n: u32| n, 1)).unwrap();
    let (sender, handles) = mpsc::channel();
    let sender_too = sender.clone();
    waiting.on_done(move |_| sender.send(scheduler.schedule(Job::new(|n: u32| n, 2)).unwrap()).unwrap());
    running.on_done(move |_| sender_too.send(scheduler.schedule(Job::new(|n: u32| n, 3)).unwrap()).unwrap());
    waiting.cancel();
    running.kill();
    let next: Vec<u32> = handles.iter().take(2).map(|handle| handle.wait().unwrap()).collect();
    assert_eq!(next, [2, 3]);
    scheduler.drain();
}

// proves: handles-wait-and-end
#[test]
fn handles_come_in_the_order_in_which_their_jobs_end() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let (one, other) = (pool(isolation), pool(isolation));
        let mut gates = [(); 3].map(|()| Gate::closed());
        let handles: Vec<_> = (0..3)
            .zip([&one, &other, &one])
            .map(|(n, pool)| pool.submit(Job::new(held, (n, gates[n as usize].path()))).unwrap())
            .collect();
        let mut ended = JobHandle::as_completed(handles);
        for n in [2, 0, 1] {
            gates[n as usize].open();
            assert_eq!(ended.next().unwrap().wait().unwrap(), n, "{isolation:?}");
        }
        assert!(ended.next().is_none());
        // Those that have ended are there at once, and failures count as well.
        let killed = one.submit(Job::<u32>::new(|_: ()| -> u32 { std::process::abort() }, ())).unwrap();
        one.join();
        assert!(JobHandle::as_completed([killed]).next().unwrap().wait().unwrap_err().cause.is_crash());
    }
}

fn pool(isolation: Isolation) -> Pool {
    Pool::builder().workers(2).isolation(isolation).build().unwrap()
}

// proves: ordered-map, submission-order
#[test]
fn a_pool_maps_items_in_order_beside_its_other_jobs_and_takes_no_more_than_its_window() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let pool = Pool::builder().workers(2).window(4).isolation(isolation).build().unwrap();
        let taken = std::cell::Cell::new(0);
        let items = (0..).inspect(|n| taken.set(n + 1));
        let check = |n: u32| if n == 3 { Err("three") } else { Ok(n * 2) };
        let mut gate = Gate::closed();
        let other = pool.submit(Job::new(held, (9, gate.path()))).unwrap();
        let mut results = pool.try_map(items, check);
        assert_eq!(taken.get(), 0);
        for n in 0..10 {
            match results.next().unwrap() {
                Ok(twice) => assert_eq!(twice, n * 2),
                Err(failure) => assert_eq!((failure.input::<u32>(), n), (Some(3), 3)),
            }
            assert!(taken.get() <= n + 5, "{} of {n}", taken.get());
        }
        drop(results);
        gate.open();
        assert_eq!(other.wait().unwrap(), 9);
        // What the iterator had under way is over, or this would wait for the endless ones.
        let endless = |_: u32| -> () {
            loop {
                std::thread::park();
            }
        };
        let mut endless = pool.map(0.., endless);
        let gone = std::thread::scope(|scope| {
            scope.spawn(|| {
                while pool.pending() == 0 {
                    std::thread::yield_now();
                }
                pool.stop();
            });
            endless.next().unwrap().unwrap_err()
        });
        assert_eq!(gone.cause, Cause::Cancelled);
        // Each item that was taken has its result, and the source is not asked for ever.
        assert!(endless.all(|end| end.unwrap_err().cause == Cause::Cancelled));
    }
}

// proves: ways-to-end, refused-while-joining
#[test]
fn a_join_and_a_drain_can_be_awaited() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut gate = Gate::closed();
    let pool = pool(Isolation::Reuse);
    let handle = pool.submit(Job::new(held, (7, gate.path()))).unwrap();
    {
        let mut join = pin!(pool.join_async());
        let mut context = Context::from_waker(Waker::noop());
        assert!(join.as_mut().poll(&mut context).is_pending());
        assert_eq!(pool.submit(Job::new(|n: u32| n, 1)).unwrap_err().reason, Refusal::Joining);
    }
    // A join that was dropped keeps nothing out.
    let next = pool.submit(Job::new(|n: u32| n, 1)).unwrap();
    gate.open();
    block_on(pool.join_async());
    assert!(handle.is_ready() && next.is_ready());
    let last = pool.submit(Job::new(|n: u32| n, 2)).unwrap();
    assert!(block_on(pool.drain_async()).jobs.is_empty());
    assert_eq!(last.wait().unwrap(), 2);
    assert_eq!(pool.submit(Job::new(|n: u32| n, 3)).unwrap_err().reason, Refusal::Closed);

    let scheduler = Scheduler::new();
    let handle = scheduler.schedule(Job::new(|n: u32| n, 1)).unwrap();
    block_on(scheduler.join_async());
    assert!(handle.is_ready());
    assert!(block_on(scheduler.drain_async()).jobs.is_empty());
    // It begins anew.
    assert_eq!(scheduler.schedule(Job::new(|n: u32| n, 2)).unwrap().wait().unwrap(), 2);
    scheduler.drain();
}

// proves: messages-both-ways
#[test]
fn a_text_is_sent_as_it_is() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let echo = |_: ()| -> Result<(), String> {
        let cx = psmith::cx().unwrap();
        let text: String = cx.recv().map_err(|error| error.to_string())?;
        cx.send(text.as_str()).map_err(|error| error.to_string())
    };
    let pool = pool(Isolation::Reuse);
    let handle = pool.submit(Job::fallible(echo, ())).unwrap();
    handle.send("word").unwrap();
    let mut heard = Vec::new();
    let say = |_: ()| psmith::cx().unwrap().send("hello").is_ok();
    assert!(
        psmith::map([()], say)
            .on_message(|_, text: String| heard.push(text))
            .into_iter()
            .all(|said| said.unwrap())
    );
    assert_eq!(heard, ["hello"]);
    handle.send([1_u8, 2].as_slice()).unwrap_or_default();
    pool.join();
}
