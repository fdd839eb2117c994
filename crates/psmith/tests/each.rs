//! Fan-out for effect, questions about all items, and runs that a job ends.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;

use psmith::{Cause, Flow, OnError};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;

// proves: effects-are-there, for-effect-only
#[test]
fn each_returns_when_all_effects_are_there() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = ["a", "b"].map(|name| dir.path().join(name)).to_vec();
    let write = |file: PathBuf| std::fs::write(file, b"x");
    assert_eq!(psmith::try_each(files.clone(), write).run().unwrap().jobs, 2);
    assert!(files.iter().all(|file| file.exists()));
    assert_eq!(psmith::try_each(Vec::new(), write).run().unwrap().jobs, 0);
}

// proves: effects-are-there
#[test]
fn runs_of_two_threads_do_not_disturb_each_other() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let square = |n: u64| n * n;
    let run = move |from: u64| {
        let got: Vec<u64> = psmith::map(from..from + 20, square).workers(2).map(Result::unwrap).collect();
        assert_eq!(got, (from..from + 20).map(square).collect::<Vec<_>>());
    };
    std::thread::scope(|scope| {
        scope.spawn(|| run(0));
        scope.spawn(|| run(1000));
    });
}

// proves: any-and-all, any-all-decisions
#[test]
fn any_and_all_have_the_truth_tables_of_their_names() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let itself = |answer: bool| answer;
    for answers in [vec![], vec![true], vec![false], vec![true, false], vec![false, false], vec![true, true]]
    {
        let any = psmith::any(answers.clone(), itself).workers(2).run().unwrap();
        let all = psmith::all(answers.clone(), itself).workers(2).run().unwrap();
        assert_eq!(any, answers.contains(&true), "{answers:?}");
        assert_eq!(all, !answers.contains(&false), "{answers:?}");
        assert_eq!(psmith::any(answers.clone(), itself).workers(0).run().unwrap(), any);
        assert_eq!(psmith::all(answers, itself).workers(0).run().unwrap(), all);
    }
}

// proves: any-and-all
#[test]
fn the_first_answer_that_decides_kills_the_others_and_a_failure_before_it_is_an_error() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let stand = |(n, path): (u32, PathBuf)| {
        if n > 0 {
            // It is never opened: the jobs that wait here are killed.
            gate::pass(&path);
        }
        n == 0
    };
    let items = (0..8).map(|n| (n, gate.path()));
    assert!(psmith::any(items, stand).workers(4).run().unwrap());
    let fail = |n: u32| if n == 1 { Err("no answer") } else { Ok(false) };
    let failure = psmith::try_any([0, 1], fail).workers(1).run().unwrap_err();
    assert_eq!((failure.index, &failure.cause), (1, &Cause::Error("no answer".into())));
}

// proves: running-items-finish, break-and-kill, value-ends-the-run
#[test]
fn a_break_lets_the_running_finish_and_starts_no_more() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Mutex::new(Gate::closed());
    let mut started = 0;
    let work = |(n, path): (u32, PathBuf)| {
        if n == 0 {
            return Flow::Break(Some("enough".to_owned()));
        }
        gate::pass(&path);
        Flow::Next(n)
    };
    let items = (0..50).map(|n| (n, gate.lock().unwrap().path()));
    let got = psmith::map_until(items, work)
        .workers(4)
        .on_start(|_| started += 1)
        .on_done(|_, _| gate.lock().unwrap().open())
        .run();
    assert_eq!(got.unwrap(), ControlFlow::Break(Some("enough".to_owned())));
    assert_eq!(started, 4);
}

// proves: break-and-kill
#[test]
fn a_kill_ends_the_running_at_once_with_any_value() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let work = |(n, path): (u32, PathBuf)| {
        if n == 2 {
            return Flow::Kill(());
        }
        gate::pass(&path);
        Flow::Next(n)
    };
    let items = (0..50).map(|n| (n, gate.path()));
    assert_eq!(psmith::map_until(items, work).workers(3).run().unwrap(), ControlFlow::Break(()));
    let all = psmith::map_until(0..10, |n: u32| Flow::<u32, ()>::Next(n * 2)).workers(3).run();
    assert_eq!(all.unwrap(), ControlFlow::Continue((0..10).map(|n| n * 2).collect()));
    let inline = psmith::map_until(0.., |n: u32| if n == 5 { Flow::Break(n) } else { Flow::Next(()) });
    assert_eq!(inline.workers(0).run().unwrap(), ControlFlow::Break(5));
}

// proves: break-and-kill, policy-at-failure
#[test]
fn a_failure_of_a_run_that_may_end_early_is_the_first_one() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let work = |n: u32| if n == 0 { Err("first") } else { Ok(Flow::<u32, ()>::Next(n)) };
    let failure = psmith::try_map_until(0..100, work).workers(1).run().unwrap_err();
    assert_eq!((failure.index, &failure.cause), (0, &Cause::Error("first".into())));
}

// proves: effects-are-there, policy-at-failure
#[test]
fn each_that_goes_on_counts_its_failures_and_a_hooks_failure_is_an_error_all_the_same() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let odd = |n: u32| if n % 2 == 1 { Err("odd") } else { Ok(()) };
    for workers in [0, 2] {
        let each = || psmith::try_each(0..7, odd).workers(workers).on_error(OnError::Continue);
        let summary = each().run().unwrap();
        assert_eq!((summary.jobs, summary.failed), (7, 3));
        let failure =
            each().on_start(|job| if job.index() == 4 { Err("enough") } else { Ok(()) }).run().unwrap_err();
        assert!(failure.to_string().contains("enough"), "{failure}");
        assert!(psmith::try_each(0..7, odd).workers(workers).run().unwrap_err().to_string().contains("odd"));
    }
}
