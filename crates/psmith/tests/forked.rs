//! A program that forks after it has used psmith: in the copy no call waits for threads that only the first process has,
//! each answers at once, and the copy may begin runs of its own.
//!
//! A copy that hangs is seen by the outer limit; the first process goes on undisturbed.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use psmith::{
    EngineError, Failure, Isolation, Job, Pool, ProcessManager, Refusal, Scheduler, SendError, Server,
    Supervisor,
};
use psmith_testkit::forked::in_copy;
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;

fn is_forked(failure: &Failure) -> bool {
    failure.to_string().contains("is a copy of the one that began the run")
}

fn is_refused(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::NotBegun(error) if matches!(**error, EngineError::Forked))
}

fn wait_at_gate((n, path): (u32, PathBuf)) -> u32 {
    gate::pass(&path);
    n
}

struct NoWaker;

impl Wake for NoWaker {
    fn wake(self: Arc<Self>) {}
}

/// Every call of a pool and of its handles, while a job runs, one waits, and one has ended.
// proves: F-69
#[test]
fn a_copy_of_the_program_gets_an_answer_of_each_call_of_a_pool() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::Reuse, Isolation::PerJob] {
        let mut gate = Gate::closed();
        let pool = Pool::builder().workers(1).window(3).isolation(isolation).build().unwrap();
        let ended = pool.submit(Job::new(|n: u32| n, 7)).unwrap();
        assert_eq!(ended.wait().unwrap(), 7);
        // The engine is between two threads just after a wait.
        in_copy("submit after a wait", || {
            assert!(is_refused(&pool.submit(Job::new(|n: u32| n, 1)).unwrap_err().reason));
        });
        let busy = pool.submit(Job::new(wait_at_gate, (1, gate.path()))).unwrap();
        let waits = pool.submit(Job::new(wait_at_gate, (2, gate.path()))).unwrap();
        let more = pool.submit(Job::new(wait_at_gate, (3, gate.path()))).unwrap();
        let handles = [&ended, &busy, &waits, &more];
        in_copy("submit", || {
            let job = || Job::new(|n: u32| n, 1);
            assert!(is_refused(&pool.submit(job()).unwrap_err().reason));
            assert!(is_refused(&pool.try_submit(job()).unwrap_err().reason));
            assert!(is_refused(&pool.submit_timeout(job(), Duration::MAX).unwrap_err().reason));
            assert!(is_forked(&pool.race([job(), job()]).unwrap_err()));
            let waker = Waker::from(Arc::new(NoWaker));
            let mut submission = pin!(pool.submit_async(job()));
            match submission.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(refused) => assert!(is_refused(&refused.unwrap_err().reason)),
                Poll::Pending => panic!("it waits"),
            }
        });
        in_copy("join", || pool.join());
        in_copy("join_timeout", || assert!(pool.join_timeout(Duration::MAX)));
        in_copy("drain", || assert!(pool.drain().jobs.is_empty()));
        in_copy("stop", || assert!(pool.stop().jobs.is_empty()));
        in_copy("stop_within", || assert!(pool.stop_within(Duration::ZERO).jobs.is_empty()));
        in_copy("the rest of a pool", || {
            pool.pause();
            pool.resume();
            pool.set_workers(3);
            let _ = (pool.is_paused(), pool.pending(), pool.report(), format!("{pool:?}"));
        });
        for handle in handles {
            in_copy("wait", || assert!(is_forked(&handle.wait().unwrap_err())));
            in_copy("wait_timeout", || {
                assert!(is_forked(&handle.wait_timeout(Duration::MAX).unwrap().unwrap_err()));
                assert!(is_forked(&handle.try_wait().unwrap().unwrap_err()));
            });
            in_copy("the rest of a handle", || {
                handle.cancel();
                handle.kill();
                handle.end_messages();
                assert!(matches!(handle.send(&1), Err(SendError::Gone(_))));
                assert!(matches!(handle.try_send(&1), Err(SendError::Gone(_))));
                let _ = (handle.pid(), handle.is_ready(), handle.explain(), format!("{handle:?}"));
            });
        }
        let mut owned = Some((pool, ended, busy.cancel_on_drop(), waits, more));
        in_copy("the end of a pool", || {
            let (pool, ended, busy, mut waits, more) = owned.take().unwrap();
            let waker = Waker::from(Arc::new(NoWaker));
            match pin!(&mut waits).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(ended) => assert!(is_forked(&ended.unwrap_err())),
                Poll::Pending => panic!("it waits"),
            }
            assert!(is_forked(&more.into_outcome().unwrap_err()));
            drop((ended, busy, waits));
            drop(pool);
        });
        let (pool, ended, busy, waits, more) = owned.take().unwrap();
        gate.open();
        assert_eq!([&ended, &busy, &waits, &more].map(|handle| handle.wait().unwrap()), [7, 1, 2, 3]);
        drop(pool);
    }
}

/// The same of the faces that stand on a pool, and a copy's own runs by the same objects where they begin one.
// proves: F-69
#[test]
fn a_copy_of_the_program_gets_an_answer_of_the_other_faces() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut gate = Gate::closed();
    let scheduler = Scheduler::new();
    let scheduled = scheduler.schedule(Job::new(wait_at_gate, (1, gate.path()))).unwrap();
    in_copy("scheduler", || {
        scheduler.join();
        assert!(scheduler.join_timeout(Duration::MAX));
        assert!(scheduler.stop().jobs.is_empty() && scheduler.drain().jobs.is_empty());
        assert!(is_forked(&scheduled.wait().unwrap_err()));
        let own = scheduler.schedule(Job::new(|n: u32| n + 1, 1)).unwrap();
        assert_eq!(own.wait().unwrap(), 2, "it begins an engine of its own");
        scheduler.drain();
    });
    let mut manager = Some(ProcessManager::new().unwrap());
    let job = Job::new(wait_at_gate, (1, gate.path()));
    let id = manager.as_mut().unwrap().create_process(job, |_, _| ()).unwrap();
    in_copy("process manager", || {
        let mut own = manager.take().unwrap();
        let _ = own.state(id);
        own.signal_all(15);
        assert_eq!(own.step(Duration::MAX), 1, "its handler hears that the process is not this copy's");
        assert_eq!(own.step(Duration::MAX), 0);
        let refused = own.create_process(Job::new(|n: u32| n, 1), |_, _| ()).unwrap_err();
        assert!(is_refused(&refused.reason));
        own.join();
        assert!(own.join_timeout(Duration::MAX));
        assert!(own.drain().jobs.is_empty() && own.stop().jobs.is_empty());
        drop(own);
    });
    let mut manager = manager.take().unwrap();
    let stay = |_: u32| -> () {
        loop {
            std::thread::park();
        }
    };
    let mut supervisor = Supervisor::new(1, stay);
    supervisor.start().unwrap();
    in_copy("supervisor", || {
        supervisor.join();
        assert!(supervisor.join_timeout(Duration::MAX));
        assert!(supervisor.drain().jobs.is_empty() && supervisor.stop().jobs.is_empty());
        assert!(supervisor.pids().is_empty());
        let _ = supervisor.restarts();
    });
    in_copy("supervisor of the copy's own", || {
        supervisor.start().unwrap();
        assert_eq!((supervisor.pids().len(), supervisor.stop().jobs.len()), (1, 1));
    });
    gate.open();
    assert_eq!(scheduled.wait().unwrap(), 1);
    manager.join();
    assert_eq!(supervisor.stop().jobs.len(), 1);
    scheduler.drain();
}

/// Runs in the midst of which the program forks: the copy's next call ends, and the copy can begin others.
// proves: F-69
#[test]
fn a_copy_of_the_program_goes_on_with_no_run_and_begins_its_own() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::Reuse, Isolation::PerJob] {
        let mut items = Some(psmith::map(0..100, |n: u32| n).isolation(isolation).workers(1).into_iter());
        assert_eq!(items.as_mut().unwrap().next().unwrap().unwrap(), 0);
        in_copy("map", || {
            let mut items = items.take().unwrap();
            // What had arrived by then is handed out.
            let first_error = items.by_ref().find_map(Result::err).unwrap();
            assert!(is_forked(&first_error), "{first_error}");
            drop(items);
            let own: Vec<u32> =
                psmith::map(0..3, |n: u32| n * 2).isolation(isolation).map(Result::unwrap).collect();
            assert_eq!(own, [0, 2, 4]);
        });
        assert_eq!(items.take().unwrap().map(Result::unwrap).count(), 99);
    }
    let mut next = 0;
    let server = Server::new(move || {
        next += 1;
        (next <= 2).then(|| Job::new(|n: u32| n, next))
    });
    let handle = server.handle();
    let mut forked_once = false;
    let summary = server.consumer(|_, _| {
        if !std::mem::replace(&mut forked_once, true) {
            in_copy("server", || {
                handle.drain();
                handle.stop();
                handle.join();
            });
        }
    });
    assert_eq!(summary.run().unwrap().jobs, 2);
    let mut values =
        Some(psmith::run_workers(1, |cx: psmith::WorkerCx<u32>| (0..3).for_each(|n| cx.send(n).unwrap())));
    assert_eq!(values.as_mut().unwrap().next().unwrap().1.unwrap(), 0);
    in_copy("run_workers", || {
        let mut values = values.take().unwrap();
        assert!(values.by_ref().any(|(_, value)| value.is_err_and(|error| is_forked(&error))));
        drop(values);
    });
    assert_eq!(values.take().unwrap().count(), 2);
}
