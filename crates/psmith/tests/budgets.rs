//! The budgets of failures: tries and crashes are counted separately, a job that keeps crashing is quarantined, a run
//! of crashes ends, and a job that ran out of memory gets more.

use psmith::{
    Cause, Failure, Isolation, Job, JobHandle, Output, Pool, ProcessManager, Refusal, ResourceLimits, Retry,
    Scheduler, Throttled,
};
use psmith_testkit::leak::LeakGuard;
use psmith_testkit::need;
use psmith_testkit::need::Need;

const MIB: u64 = 1 << 20;

fn crash(_: u32) -> u32 {
    std::process::abort()
}

/// Crashes, unless the number is even.
fn odd_crashes(n: u32) -> Result<u32, String> {
    if n.is_multiple_of(2) { Err("even".into()) } else { std::process::abort() }
}

// proves: budgets-of-failure: out of memory at 16 MiB, well at 32
#[test]
fn a_retry_has_more_memory_where_that_was_asked_for() {
    psmith::init();
    need!("budgets-of-failure", Need::MemoryGroup);
    let _guard = LeakGuard::alone();
    let eat = |mib: usize| -> Vec<u8> { std::hint::black_box(vec![1_u8; mib << 20])[..3].to_vec() };
    let wicked = psmith_testkit::wicked();
    let read = |stdout: &[u8]| Ok(stdout[..3].to_vec());
    let eater = || Job::command(&wicked).args(["eat-memory", &(20 * MIB).to_string()]).read_by(read);
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let limits = ResourceLimits::new().memory(16 * MIB);
        let pool = Pool::builder().workers(2).output(Output::Discard).limits(limits).isolation(isolation);
        let pool = pool.build().unwrap();
        let same = pool.submit(eater().retry(Retry::tries(2))).unwrap();
        let more = pool.submit(eater().retry(Retry::tries(3).grow_memory(2.0))).unwrap();
        assert_eq!(more.wait().unwrap(), b"ate", "{isolation:?}");
        let failure = same.wait().unwrap_err();
        let at = |cause: &Cause, bytes| matches!(cause, Cause::OutOfMemory { limit_bytes, .. } if *limit_bytes == Some(bytes));
        assert!(failure.attempts == 2 && at(&failure.cause, 16 * MIB), "{failure:?}");
        // The limit that was in force is reported, attempt by attempt.
        let large = Job::command(&wicked).args(["eat-memory", &(200 * MIB).to_string()]).job();
        let failure = pool.submit(large.retry(Retry::tries(3).grow_memory(1.5))).unwrap().wait().unwrap_err();
        let limits = failure.earlier.iter().filter_map(|attempt| attempt.cause.as_ref()).zip([16, 24]);
        assert!(limits.into_iter().all(|(cause, mib)| at(cause, mib * MIB)), "{failure:?}");
        assert!(at(&failure.cause, 36 * MIB), "{failure:?}");
        if isolation == Isolation::PerJob {
            let function = Job::new(eat, 20).retry(Retry::tries(3).grow_memory(2.0));
            assert_eq!(pool.submit(function).unwrap().wait().unwrap(), [1, 1, 1]);
        }
    }
}

// proves: budgets-of-failure: budgets apart, and quarantine
#[test]
fn a_job_that_has_crashed_as_often_as_it_may_is_quarantined_and_its_failure_shows_that() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let retry = Retry::tries(4).crash_tries(2);
        let map = psmith::try_map([1, 2], odd_crashes).retry(retry).isolation(isolation);
        let failures: Vec<Failure> = map.output(Output::Discard).map(Result::unwrap_err).collect();
        assert_eq!(failures.iter().map(|failure| failure.attempts).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(failures.iter().map(|failure| failure.quarantined).collect::<Vec<_>>(), [true, false]);
        let text = failures[0].to_string();
        assert!(text.ends_with("(after 2 attempts: it has crashed as often as it may)"), "{text}");
    }
}

// proves: budgets-of-failure: the circuit breaker
#[test]
fn a_run_in_which_everything_crashes_ends_and_names_the_reason() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        // Endless, and over all the same.
        let map = psmith::map(0.., crash).workers(2).breaker(4).isolation(isolation).output(Output::Discard);
        let causes: Vec<Cause> = map.map(|end| end.unwrap_err().into_cause()).collect();
        assert!(causes[..4].iter().all(Cause::is_crash), "{causes:?}");
        assert!(causes[4..].iter().any(|cause| matches!(cause, Cause::CircuitBroken(4))), "{causes:?}");

        // One crasher, however often it is tried, is no run of crashes; nor are crashes with other ends between.
        let one = psmith::try_map([1], odd_crashes).workers(1).retry(Retry::tries(6)).breaker(2);
        let failure =
            one.isolation(isolation).output(Output::Discard).into_iter().next().unwrap().unwrap_err();
        assert_eq!(failure.attempts, 6);
        let mixed = psmith::try_map(0..12, odd_crashes).workers(1).breaker(2).isolation(isolation);
        let causes = mixed.output(Output::Discard).map(|end| end.unwrap_err().into_cause());
        assert!(!causes.collect::<Vec<_>>().iter().any(|cause| matches!(cause, Cause::CircuitBroken(_))));

        let pool =
            Pool::builder().workers(1).window(50).breaker(3).isolation(isolation).output(Output::Discard);
        let pool = pool.build().unwrap();
        let handles: Vec<JobHandle<u32>> =
            (0..10).filter_map(|n| pool.submit(Job::new(crash, n)).ok()).collect();
        let ends: Vec<Failure> = handles.iter().map(|handle| handle.wait().unwrap_err()).collect();
        assert!(ends.iter().take(3).all(|end| end.cause.is_crash()), "{ends:?}");
        assert!(ends.iter().skip(3).all(|end| end.cause == Cause::CircuitBroken(3)), "{ends:?}");
        assert!(pool.drain().jobs.is_empty(), "each has told how it ended");
        let refused = pool.submit(Job::new(crash, 0)).unwrap_err();
        assert_eq!(refused.reason, Refusal::CircuitBroken(3));
        assert_eq!(refused.to_string(), "it has ended: 3 jobs in a row had crashed");
        assert_eq!(pool.race([*refused.job]).unwrap_err().cause, Cause::CircuitBroken(3));
    }
}

// proves: budgets-of-failure: the circuit breaker, where jobs have no run that ends
#[test]
fn schedulers_and_managers_whose_circuit_has_broken_start_no_more() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let scheduler = Scheduler::with_strategy(Throttled(1)).breaker(2);
    let handles: Vec<JobHandle<u32>> =
        (0..6).filter_map(|n| scheduler.schedule(Job::new(crash, n)).ok()).collect();
    let ends: Vec<Failure> = handles.iter().map(|handle| handle.wait().unwrap_err()).collect();
    assert!(ends.iter().take(2).all(|end| end.cause.is_crash()), "{ends:?}");
    assert!(ends.iter().skip(2).all(|end| end.cause == Cause::CircuitBroken(2)), "{ends:?}");
    // Until the engine has ended they are taken, and fail.
    let refused = loop {
        match scheduler.schedule(Job::new(crash, 0)) {
            Ok(handle) => assert_eq!(handle.wait().unwrap_err().cause, Cause::CircuitBroken(2)),
            Err(refused) => break refused.reason,
        }
    };
    assert_eq!(refused, Refusal::CircuitBroken(2));
    scheduler.drain();
    let again = scheduler.schedule(Job::fallible(odd_crashes, 2)).unwrap();
    assert!(matches!(again.wait().unwrap_err().cause, Cause::Error(_)), "it has begun anew");
    scheduler.drain();

    let crashed = std::sync::atomic::AtomicU32::new(0);
    let mut manager = ProcessManager::builder().breaker(2).build().unwrap();
    let refused = loop {
        let on_exit = |_, ended: Result<u32, Failure>| {
            let cause = ended.unwrap_err().into_cause();
            crashed.fetch_add(u32::from(cause.is_crash()), std::sync::atomic::Ordering::Relaxed);
            assert!(cause.is_crash() || cause == Cause::CircuitBroken(2), "{cause:?}");
        };
        if let Err(refused) = manager.create_process(Job::new(crash, 0), on_exit) {
            break refused.reason;
        }
        while manager.process_count() > 0 {
            manager.step(std::time::Duration::MAX);
        }
    };
    assert_eq!((refused, crashed.load(std::sync::atomic::Ordering::Relaxed)), (Refusal::CircuitBroken(2), 2));
    assert_eq!(manager.drain().jobs, []);
}
