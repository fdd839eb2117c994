//! Hooks, order, and the inline mode, which behaves the same.

use std::path::PathBuf;
use std::sync::Mutex;

use psmith::{Cause, Isolation, Job, OnError};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;

// proves: hooks-once, start-hook
#[test]
fn hooks_come_once_for_each_job_in_pairs_inline_and_not() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for workers in [0, 3] {
        let log = Mutex::new(Vec::new());
        let doubled: Vec<u32> = psmith::map(0..10, |n: u32| n * 2)
            .workers(workers)
            .on_start(|job| log.lock().unwrap().push((job.index(), None)))
            .on_done(|job, result| log.lock().unwrap().push((job.index(), Some(*result.unwrap()))))
            .map(Result::unwrap)
            .collect();
        assert_eq!(doubled, (0..10).map(|n| n * 2).collect::<Vec<_>>());
        let log = log.into_inner().unwrap();
        assert_eq!(log.len(), 20, "{workers} workers: {log:?}");
        for index in 0..10 {
            let place = |wanted| log.iter().position(|entry| *entry == (index, wanted)).unwrap();
            assert!(place(None) < place(Some(index as u32 * 2)), "{workers} workers: {log:?}");
        }
    }
}

#[test]
fn jobs_of_different_functions_call_the_same_hooks() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let log = Mutex::new(Vec::new());
    let far = |n: u32| psmith::cx().unwrap().progress(u64::from(n), 9);
    let jobs = [Job::new(far, 7), Job::<()>::fallible(|_: ()| Err::<(), _>("no"), ())];
    let ends = psmith::run_jobs(jobs)
        .workers(1)
        .on_start(|job| log.lock().unwrap().push(format!("{} begun", job.index())))
        .on_progress(|job, done, total| log.lock().unwrap().push(format!("{} {done}/{total}", job.index())))
        .on_done(|job, end| log.lock().unwrap().push(format!("{} {}", job.index(), end.is_ok())))
        .count();
    assert_eq!(ends, 2);
    let log = log.into_inner().unwrap();
    // A job may begin before the outcome of the one before it is handed out.
    let of = |index: &str| log.iter().filter(|line| line.starts_with(index)).collect::<Vec<_>>();
    assert_eq!(of("0"), ["0 begun", "0 7/9", "0 true"]);
    assert_eq!(of("1"), ["1 begun", "1 false"]);

    let endless = || (0..).map(|n: u32| Job::new(|n: u32| n, n));
    let start =
        psmith::run_jobs(endless()).on_start(|job| if job.index() == 1 { Err("that one") } else { Ok(()) });
    let failures: Vec<String> = start.into_iter().filter_map(|end| Some(end.err()?.to_string())).collect();
    assert!(failures.iter().any(|failure| failure.contains("start hook: that one")), "{failures:?}");
    let done =
        psmith::run_jobs(endless()).on_done(|job, _| if job.index() == 1 { Err("enough") } else { Ok(()) });
    let failures: Vec<String> = done.into_iter().filter_map(|end| Some(end.err()?.to_string())).collect();
    assert!(failures.iter().any(|failure| failure.contains("done hook: enough")), "{failures:?}");
}

// proves: failing-hook
#[test]
fn a_hook_that_fails_stops_further_starts_and_its_error_reaches_the_caller() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for workers in [0, 2] {
        let got: Vec<_> = psmith::map(0..1000, |n: u32| n)
            .workers(workers)
            .on_start(|job| if job.index() == 1 { Err("not this one") } else { Ok(()) })
            .collect();
        assert!(got.len() < 1000, "{workers} workers: {} outcomes", got.len());
        let failures: Vec<&Cause> = got.iter().filter_map(|got| Some(&got.as_ref().err()?.cause)).collect();
        assert_eq!(failures, [&Cause::Error("start hook: not this one".into())], "{workers} workers");

        let got: Vec<_> = psmith::map(0..1000, |n: u32| n)
            .workers(workers)
            .on_done(|job, _| if job.index() == 1 { Err("seen enough") } else { Ok(()) })
            .collect();
        assert!(got.len() < 1000, "{workers} workers");
        assert!(
            got.iter()
                .any(|got| got.as_ref().is_err_and(|failure| failure.to_string().contains("seen enough")))
        );
    }
}

/// Counts the jobs that have begun: a file for each.
fn begin((n, dir): (u32, PathBuf)) -> u32 {
    std::fs::write(dir.join(n.to_string()), "").unwrap();
    n
}

// proves: failing-hook, start-hook: the hook is a gate, and each item has one result, in its place
#[test]
fn a_job_that_its_start_hook_refuses_does_not_begin_and_no_later_one_does() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let begun = |dir: &tempfile::TempDir| std::fs::read_dir(dir.path()).unwrap().count();
    for (isolation, workers) in [(Isolation::PerJob, 4), (Isolation::Reuse, 4), (Isolation::Reuse, 0)] {
        for refused in [0, 1, 7] {
            let dir = tempfile::tempdir().unwrap();
            let gate = |job: &psmith::JobRef| {
                let (n, path) = job.input::<(u32, PathBuf)>().unwrap();
                assert_eq!(u64::from(n), job.index());
                // It has not begun.
                assert!(!path.join(n.to_string()).exists());
                if n == refused { Err("not this one") } else { Ok(()) }
            };
            let items = (0..20).map(|n| (n, dir.path().to_owned()));
            let map = psmith::map(items, begin).workers(workers).isolation(isolation).on_start(gate);
            let mut got: Vec<_> = map.collect();
            let what = format!("{refused}, {isolation:?}, {workers} workers");
            let failure = got.pop().unwrap().unwrap_err();
            assert_eq!(failure.cause, Cause::Error("start hook: not this one".into()), "{what}");
            assert_eq!(failure.index, u64::from(refused), "{what}");
            assert!(got.into_iter().map(Result::unwrap).eq(0..refused), "{what}");
            assert_eq!(begun(&dir), refused as usize, "{what}");

            let dir = tempfile::tempdir().unwrap();
            let jobs = (0..20).map(|n| Job::new(begin, (n, dir.path().to_owned())));
            let run = psmith::run_jobs(jobs).workers(workers).isolation(isolation).on_start(gate);
            let ends: Vec<_> = run.unordered().collect();
            assert_eq!((ends.len(), begun(&dir)), (refused as usize + 1, refused as usize), "{what}");
            assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 1, "{what}");
        }
    }
}

// proves: failing-hook: of an end, or a message; an error or a panic
#[test]
fn after_an_error_or_a_panic_in_any_hook_nothing_more_begins() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        for (at_message, panics) in [(false, false), (false, true), (true, false), (true, true)] {
            let dir = tempfile::tempdir().unwrap();
            let gate = Mutex::new(Gate::closed());
            let path = gate.lock().unwrap().path();
            // The second stands until the hook of the first has failed.
            let work = |(n, path, dir): (u32, PathBuf, PathBuf)| {
                std::fs::write(dir.join(n.to_string()), "").unwrap();
                if n == 0 {
                    psmith::cx().unwrap().send(&n).unwrap();
                } else {
                    gate::pass(&path);
                }
            };
            let fail = |fails: bool| {
                if fails {
                    assert!(!panics, "this message is part of a test");
                    return Err("enough");
                }
                Ok(())
            };
            let items = (0..20).map(|n| (n, path.clone(), dir.path().to_owned()));
            let map = psmith::map(items, work).workers(1).isolation(isolation);
            let map = map.on_message(|_, n: u32| assert!(fail(at_message && n == 0 && panics).is_ok()));
            let mut results = map.on_done(|job, _| fail(!at_message && job.index() == 0)).into_iter();
            let first =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| results.next().unwrap().is_err()));
            let what = format!("{isolation:?}, {at_message}, {panics}");
            let begun = std::fs::read_dir(dir.path()).unwrap().count();
            gate.lock().unwrap().open();
            if at_message && !panics {
                // That hook has no error to return, but for a message of another type.
                continue;
            }
            assert_eq!(first.is_err(), panics, "{what}");
            results.for_each(drop);
            let after = std::fs::read_dir(dir.path()).unwrap().count();
            // Those that a worker had in hand may have begun since: one, or the rest of a small batch.
            let in_hand = if isolation == Isolation::Reuse { 8 } else { 1 };
            assert!(after <= 2.max(begun + in_hand), "{what}: {begun}, {after}");
        }
    }
}

// proves: failing-hook
#[test]
fn a_panic_in_a_hook_reaches_the_caller_and_leaves_nothing() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let caught = std::panic::catch_unwind(|| {
        psmith::map(0..10, |n: u32| n).workers(2).on_start(|_| -> () { panic!("hook") }).count()
    });
    assert!(caught.is_err());
}

// proves: one-failure-reported
#[test]
fn the_done_hook_gets_the_jobs_in_flight_when_one_failed() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Mutex::new(Gate::closed());
    let work = |(n, path): (u32, PathBuf)| {
        if n == 0 {
            return Err("failed");
        }
        gate::pass(&path);
        Ok(n)
    };
    let items = (0..40).map(|n| (n, gate.lock().unwrap().path()));
    let mut seen = Vec::new();
    let result = psmith::try_map(items, work)
        .workers(4)
        .unordered()
        .on_error(OnError::Stop)
        .on_done(|job, result| {
            seen.push((job.index(), result.is_ok()));
            gate.lock().unwrap().open();
        })
        .into_iter()
        .filter_map(Result::err)
        .count();
    assert_eq!(result, 1);
    seen.sort_unstable();
    assert_eq!(seen, [(0, false), (1, true), (2, true), (3, true)]);
}

// proves: order-is-submission, submission-order
#[test]
fn in_order_means_the_order_of_the_items_not_of_the_ends() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Mutex::new(Gate::closed());
    // The first item stands until the last has begun, so all others end before it.
    let work = |(n, path): (i32, PathBuf)| {
        if n == 0 {
            gate::pass(&path);
        }
        [None, Some(Some(false)), Some(None), Some(Some(true))][n as usize]
    };
    let order = Mutex::new(Vec::new());
    let items = (0..4).map(|n| (n, gate.lock().unwrap().path()));
    let got: Vec<Option<Option<bool>>> = psmith::map(items, work)
        .workers(2)
        .on_start(|job| {
            if job.index() == 3 {
                gate.lock().unwrap().open();
            }
        })
        .on_done(|job, _| order.lock().unwrap().push(job.index()))
        .map(Result::unwrap)
        .collect();
    assert_eq!(got, [None, Some(Some(false)), Some(None), Some(Some(true))]);
    assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 3]);
}

// proves: slot-numbers, run-inline, job-knows-itself
#[test]
fn slots_are_known_to_jobs_and_inline_is_slot_0_of_no_other_process() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let place = |_: u32| {
        let cx = psmith::cx().expect("inside a job");
        (cx.slot(), cx.worker_id(), cx.index(), cx.job_id(), cx.attempt(), std::process::id())
    };
    assert!(psmith::cx().is_none());
    for (index, got) in (0..).zip(psmith::map(0..12, place).workers(2)) {
        let (slot, worker, own_index, job, attempt, pid) = got.unwrap();
        assert!(slot < 2 && worker == slot + 1, "slot {slot}, worker {worker}");
        assert_eq!((own_index, job, attempt), (index, index + 1, 1));
        assert_ne!(pid, std::process::id());
    }
    for (index, got) in (0..).zip(psmith::map(0..3, place).workers(0)) {
        assert_eq!(got.unwrap(), (0, 1, index, index + 1, 1, std::process::id()));
    }
    assert!(psmith::cx().is_none(), "the inline job is over");
}

// proves: run-inline
#[test]
fn inline_failures_are_of_the_same_kind_and_nothing_is_encoded() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let fail = |n: u32| match n {
        0 => Err("error"),
        1 => panic!("boom"),
        _ => Ok(n),
    };
    let got: Vec<_> = psmith::try_map(0..3, fail).workers(0).collect();
    assert_eq!(got[0].as_ref().unwrap_err().cause, Cause::Error("error".into()));
    assert!(matches!(&got[1].as_ref().unwrap_err().cause, Cause::Panic { message, .. } if message == "boom"));
    assert_eq!(got[2].as_ref().unwrap(), &2);
}

// proves: job-knows-itself, messages-both-ways
#[test]
fn progress_and_messages_come_before_the_outcome_and_in_order() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let work = |n: u64| {
        let cx = psmith::cx().unwrap();
        cx.set_process_name("digger");
        for step in 0..n {
            cx.progress(step, n);
            cx.send(&(step, "x".repeat(step as usize))).unwrap();
        }
        cx.process_name()
    };
    let log = Mutex::new(Vec::new());
    let names: Vec<String> = psmith::map([3000], work)
        .workers(1)
        .on_progress(|_, done, total| log.lock().unwrap().push((done, total)))
        .on_message(|job, (step, text): (u64, String)| {
            assert_eq!((job.process_name().as_str(), text.len() as u64), ("digger", step));
            log.lock().unwrap().push((step, 0));
        })
        .on_done(|_, _| log.lock().unwrap().push((u64::MAX, 0)))
        .map(Result::unwrap)
        .collect();
    assert_eq!(names, ["digger"]);
    let expected = (0..3000).flat_map(|step| [(step, 3000), (step, 0)]).chain([(u64::MAX, 0)]);
    assert!(log.into_inner().unwrap().into_iter().eq(expected));
}

/// Regression: many frames that had come in one read were left unhandled after the first 64 of them, the answer among
/// them, because nothing was left in the socket to wake the host: the run hung.
#[test]
fn the_answer_of_a_talkative_job_is_received_behind_all_its_messages() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let talk = |count: u32| (0..count).for_each(|n| psmith::cx().unwrap().send(&n).unwrap());
    for isolation in [psmith::Isolation::PerJob, psmith::Isolation::Reuse] {
        for _ in 0..5 {
            let mut received = Vec::new();
            let map = psmith::map([3000], talk).isolation(isolation).on_message(|_, n: u32| received.push(n));
            map.into_iter().last().unwrap().unwrap();
            assert_eq!(received, (0..3000).collect::<Vec<_>>());
        }
    }
}
