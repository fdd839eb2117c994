//! Process managers: exit handlers on the caller's own thread, one at a time, each once.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use psmith::{Cause, Job, ProcessManager, ProcessState};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;

const OUTER_WAIT: Duration = Duration::from_secs(60);

fn wait_at_gate(path: PathBuf) {
    gate::pass(&path);
}

// proves: process-manager, manager-by-caller
#[test]
fn handlers_are_called_by_step_before_the_count_drops() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let ended = Mutex::new(Vec::new());
    let mut manager = ProcessManager::new().unwrap();
    assert_eq!(manager.process_count(), 0);
    let ids = [1, 2, 3].map(|n: u32| {
        let on_exit = |id, result: Result<u32, _>| ended.lock().unwrap().push((id, result.unwrap()));
        manager.create_process(Job::new(|n: u32| n, n), on_exit).unwrap()
    });
    while ids.iter().any(|id| manager.state(*id) != ProcessState::Stopped) {
        std::thread::yield_now();
    }
    // They have ended, and count until their handlers were called.
    assert_eq!((manager.process_count(), ended.lock().unwrap().len()), (3, 0));
    assert_eq!(manager.step(OUTER_WAIT), 3);
    assert_eq!(manager.process_count(), 0);
    assert_eq!(*ended.lock().unwrap(), [(ids[0], 1), (ids[1], 2), (ids[2], 3)]);
    assert_eq!(manager.state(ids[0]), ProcessState::Removed);
    assert_eq!(manager.drain().jobs, []);
}

// proves: manager-by-caller
#[test]
fn a_signal_reaches_those_that_run() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let causes = Mutex::new(Vec::new());
    let mut manager = ProcessManager::new().unwrap();
    let ids = [(); 2].map(|()| {
        let on_exit = |_, result: Result<(), psmith::Failure>| {
            causes.lock().unwrap().push(result.unwrap_err().into_cause());
        };
        manager.create_process(Job::new(wait_at_gate, gate.path()), on_exit).unwrap()
    });
    while ids.iter().any(|id| manager.state(*id) == ProcessState::New) {
        manager.step(OUTER_WAIT);
    }
    manager.signal_all(3);
    while manager.process_count() > 0 {
        manager.step(OUTER_WAIT);
    }
    for cause in &*causes.lock().unwrap() {
        assert!(matches!(cause, Cause::Signal { signal: 3, .. }), "{cause:?}");
    }
}

// proves: process-manager, manager-by-caller
#[test]
fn a_join_waits_no_longer_than_its_limit_and_a_stop_calls_every_handler() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let outcomes = Mutex::new(Vec::new());
    let mut manager = ProcessManager::new().unwrap();
    for _ in 0..2 {
        let on_exit = |_, result: Result<(), psmith::Failure>| {
            outcomes.lock().unwrap().push(result.unwrap_err().into_cause());
        };
        manager.create_process(Job::new(wait_at_gate, gate.path()), on_exit).unwrap();
    }
    assert!(!manager.join_timeout(Duration::from_millis(50)));
    assert_eq!((manager.process_count(), outcomes.lock().unwrap().len()), (2, 0));
    assert_eq!(manager.stop().jobs.len(), 2);
    assert_eq!(manager.process_count(), 0);
    assert_eq!(*outcomes.lock().unwrap(), [Cause::Cancelled, Cause::Cancelled]);
}
