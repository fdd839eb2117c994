//! Schedulers: every job in a process of its own, as many at once as the strategy lets start.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use psmith::{Cause, Job, PendingReason, PerCore, Refusal, Scheduler, SpawnStrategy, Throttled};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;
use serde::{Deserialize, Serialize};

fn wait_at_gate((n, path): (u32, PathBuf)) -> u32 {
    gate::pass(&path);
    n
}

// proves: file-before-value, process-a-job
#[test]
fn a_job_has_done_its_work_when_a_drain_returns_in_a_process_of_its_own() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let scheduler = Scheduler::new();
    let write = |path: PathBuf| std::fs::write(path, b"x").map(|()| std::process::id());
    let pids =
        ["a", "b"].map(|name| scheduler.schedule(Job::fallible(write, dir.path().join(name))).unwrap());
    scheduler.drain();
    assert!(dir.path().join("a").exists() && dir.path().join("b").exists());
    let pids = pids.map(|handle| handle.wait().unwrap());
    assert!(pids[0] != pids[1] && !pids.contains(&std::process::id()));
}

/// Throttles, and remembers the most that ran.
#[derive(Debug, Clone, Default)]
struct CountingStrategy(Arc<AtomicUsize>);

impl SpawnStrategy for CountingStrategy {
    fn should_spawn(&self, running: usize) -> bool {
        Throttled(4).should_spawn(running)
    }

    fn on_spawn(&self, running: usize) {
        self.0.fetch_max(running, Ordering::SeqCst);
    }
}

// proves: strategy-limits-starts, start-strategies
#[test]
fn never_more_run_than_the_strategy_lets_start() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let (mut gate, counting) = (Gate::closed(), CountingStrategy::default());
    let scheduler = Scheduler::with_strategy(counting.clone());
    let handles: Vec<_> =
        (0..8).map(|n| scheduler.schedule(Job::new(wait_at_gate, (n, gate.path()))).unwrap()).collect();
    while !handles[..4].iter().all(|handle| handle.pid().is_some()) {
        std::thread::yield_now();
    }
    assert!(handles[4..].iter().all(|handle| handle.pid().is_none()));
    gate.open();
    scheduler.join();
    assert_eq!(counting.0.load(Ordering::SeqCst), 4);
    assert!(handles.iter().zip(0..).all(|(handle, n)| handle.wait().unwrap() == n));
    assert!(PerCore::default().limit() > 0 && Throttled(usize::MAX).should_spawn(1 << 40));
    scheduler.drain();
}

/// Refuses until its flag is set.
#[derive(Debug, Clone, Default)]
struct Stubborn {
    relents: Arc<AtomicBool>,
}

impl SpawnStrategy for Stubborn {
    fn should_spawn(&self, _running: usize) -> bool {
        self.relents.load(Ordering::SeqCst)
    }
}

// proves: start-strategies
#[test]
fn a_strategy_that_always_refuses_is_the_reason_of_each_job_that_waits_for_it() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let strategy = Stubborn::default();
    let scheduler = Scheduler::with_strategy(strategy.clone());
    let jobs = [1, 2].map(|n| scheduler.schedule(Job::new(|n: u32| n, n)).unwrap());
    for (job, ahead) in jobs.iter().zip(0..) {
        let shown = "Stubborn { relents: false }".to_owned();
        assert_eq!(job.explain(), PendingReason::Refused { strategy: shown, running: 0, ahead });
    }
    strategy.relents.store(true, Ordering::SeqCst);
    let third = scheduler.schedule(Job::new(|n: u32| n, 3)).unwrap();
    assert!(jobs.iter().zip(1..).all(|(job, n)| job.wait().unwrap() == n));
    assert_eq!(third.wait().unwrap(), 3);
    assert_eq!(third.explain(), PendingReason::Ended);
    scheduler.drain();
}

// proves: refused-while-joining, ways-to-end
#[test]
fn stop_resolves_running_and_queued_handles_and_the_next_job_begins_anew() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let scheduler = Scheduler::with_strategy(Throttled(2));
    let handles: Vec<_> =
        (0..6).map(|n| scheduler.schedule(Job::new(wait_at_gate, (n, gate.path()))).unwrap()).collect();
    let left = scheduler.stop();
    assert_eq!(left.jobs.len(), 6);
    assert!(handles.iter().all(|handle| handle.wait().unwrap_err().cause == Cause::Cancelled));
    assert_eq!(scheduler.schedule(Job::new(|n: u32| n, 7)).unwrap().wait().unwrap(), 7);
    scheduler.drain();
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tally(u32);

impl Tally {
    fn add(&mut self, a: u32, b: u32) -> u32 {
        self.0 += a + b;
        self.0
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }
}

// proves: proxy-is-typed, typed-proxies
#[test]
fn a_proxy_calls_methods_in_processes_of_their_own_and_its_value_stays() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let scheduler = Scheduler::new();
    let counter = scheduler.proxy(Tally(1));
    assert_eq!(counter.call(Tally::add, (2, 3)).unwrap().wait().unwrap(), 6);
    assert_eq!(counter.call(Tally::add, (2, 3)).unwrap().wait().unwrap(), 6);
    let pids = [(); 2].map(|()| counter.call(Tally::pid, ()).unwrap().wait().unwrap());
    assert_ne!(pids[0], pids[1]);
    assert_eq!(scheduler.report().jobs, 4);
    assert_eq!(counter.into_inner(), Tally(1));
    scheduler.drain();
}

// proves: program-scheduler
#[test]
fn the_programs_own_scheduler_begins_anew_after_a_drain() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for n in 0..2 {
        assert_eq!(psmith::global().schedule(Job::new(|n: u32| n, n)).unwrap().wait().unwrap(), n);
        psmith::global().drain();
    }
}

// A job that was cancelled while the strategy held it back has a number all the same. Handle, job, failure, log and board
// told different numbers of those behind it.
#[test]
fn a_job_has_one_number_whatever_was_cancelled_before_it() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut gate = Gate::closed();
    let (log, lines) = std::sync::mpsc::channel();
    let logger = move |_, line: std::fmt::Arguments<'_>| log.send(line.to_string()).unwrap();
    let scheduler = Scheduler::with_strategy(Throttled(1)).logger(logger);
    let held = scheduler.schedule(Job::new(wait_at_gate, (0, gate.path()))).unwrap();
    let cancelled = scheduler.schedule(Job::new(|n: u32| n, 1)).unwrap();
    let number = |_: ()| -> Result<(), String> {
        let cx = psmith::cx().unwrap();
        Err(format!("{} at {}", cx.job_id(), cx.index()))
    };
    let asked = scheduler.schedule(Job::fallible(number, ())).unwrap();
    cancelled.cancel();
    assert_eq!(cancelled.wait().unwrap_err().to_string(), "job #2 (1): cancelled");
    gate.open();
    held.wait().unwrap();
    assert_eq!(asked.wait().unwrap_err().to_string(), "job #3 (()): 3 at 2");
    assert_eq!(asked.id(), 3);
    scheduler.drain();
    assert_eq!(lines.recv().unwrap(), "job #1 succeeded");
    assert_eq!(lines.recv().unwrap(), "job #3 (()): 3 at 2");
}

#[test]
fn a_refusal_speaks_of_what_refused_whatever_that_is() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let scheduler = Scheduler::new().window(1);
    let refused = scheduler.schedule(Job::new(|n: u32| n, 1)).unwrap_err();
    assert_eq!(refused.to_string(), "not begun: Scheduler does not serve `window`");
    for reason in [Refusal::Full, Refusal::Joining, Refusal::Closed, Refusal::CircuitBroken(3)] {
        assert!(!reason.to_string().contains("pool"), "{reason}");
    }
}
