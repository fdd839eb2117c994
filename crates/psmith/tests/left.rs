//! Runs that are ended before their source: it is not asked again, what was not begun is handed back, and the run is
//! over when the last running job is.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use psmith::signals::{self, INT};
use psmith::{Cause, Failure, Isolation, Job, OnError, Output, Server, ServerHandle};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;
use rustix::process::{Signal, getpid, kill_process};

const BOTH: [Isolation; 2] = [Isolation::PerJob, Isolation::Reuse];

/// A way in which a run is ended early.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Signal,
    Drain,
    Stop,
    StopOnError,
    KillOnError,
    Time,
    Circuit,
}

fn interrupt() {
    kill_process(getpid(), Signal::INT).unwrap();
}

/// Fails once the gate is open, or crashes, as the second job shall; the others take no time.
fn work((n, how): (u64, u8)) -> Result<u64, String> {
    match (n, how) {
        (1, 1) => Err("the second".into()),
        (_, 2) => std::process::abort(),
        _ => Ok(n),
    }
}

// proves: producer-that-blocks, lazy-producer, policy-at-failure, interrupt-guard-for-programs
#[test]
fn an_ended_server_asks_its_producer_no_more_and_hands_back_what_was_not_begun() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let ends =
        [End::Signal, End::Drain, End::Stop, End::StopOnError, End::KillOnError, End::Time, End::Circuit];
    for (end, isolation) in ends.into_iter().flat_map(|end| BOTH.map(|isolation| (end, isolation))) {
        let signals = signals::guard([INT]).unwrap();
        let given = Arc::new(AtomicU64::new(0));
        let asked = Arc::clone(&given);
        let how = match end {
            End::StopOnError | End::KillOnError => 1,
            End::Circuit => 2,
            _ => 0,
        };
        // Endless.
        let server =
            Server::new(move || Some(Job::fallible(work, (asked.fetch_add(1, Ordering::SeqCst), how))));
        let server = server.workers(2).window(20).isolation(isolation).output(Output::Discard);
        let server = match end {
            End::StopOnError => server.on_error(OnError::Stop),
            End::KillOnError => server.on_error(OnError::Kill),
            End::Time => server.total_timeout(Duration::from_millis(50)),
            End::Circuit => server.breaker(2),
            End::Signal | End::Drain | End::Stop => server,
        };
        let handle = server.handle();
        let (mut consumed, mut left) = (Vec::new(), Vec::new());
        let summary = server
            .consumer(|_, ended| {
                match end {
                    End::Signal if consumed.is_empty() => interrupt(),
                    End::Drain => handle.drain(),
                    End::Stop => handle.stop(),
                    _ => {}
                }
                consumed.push(ended);
            })
            .on_left(|job| left.push(job.to_string()))
            .run()
            .unwrap();
        let what = format!("{end:?}, {isolation:?}");
        assert_eq!((summary.jobs, summary.left), (consumed.len() as u64, left.len() as u64), "{what}");
        let begun =
            |ended: &Result<u64, Failure>| ended.as_ref().err().is_none_or(|failure| failure.attempts > 0);
        assert!(consumed.iter().all(begun), "{what}: {consumed:?}");
        // One may be given when the run is over.
        let given = given.load(Ordering::SeqCst) - summary.jobs - summary.left;
        assert!(given <= 1, "{what}: {given}");
        assert!(end != End::Drain || left.len() <= 1, "{what}: {left:?}");
        drop(signals);
    }
}

// proves: producer-that-blocks: what it gives after the end is handed back, too
#[test]
fn a_job_that_a_producer_gives_after_the_end_is_handed_back() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut gate = Gate::closed();
    let (give, given) = mpsc::channel::<Job<()>>();
    let (asked, is_asked) = mpsc::channel();
    let (gone_sender, gone) = mpsc::channel::<()>();
    give.send(Job::new(|path: PathBuf| gate::pass(&path), gate.path()).label("first")).unwrap();
    let producer = move || {
        let _alive = &gone_sender;
        asked.send(()).ok()?;
        given.recv().ok()
    };
    let server = Server::new(producer).workers(1);
    let handle: ServerHandle = server.handle();
    let mut back = Vec::new();
    let mut drained = false;
    let logger = move |_, line: std::fmt::Arguments<'_>| {
        if line.to_string().contains("runs as") && !std::mem::replace(&mut drained, true) {
            // For the first, and for the one that comes too late.
            is_asked.recv().unwrap();
            is_asked.recv().unwrap();
            handle.drain();
            give.send(Job::new(|()| (), ()).label("late")).unwrap();
            // It asks no more: its thread ends.
            gone.recv().unwrap_err();
            gate.open();
        }
    };
    let summary = server.logger(logger).on_left(|job| back.push(job.to_string())).run().unwrap();
    assert_eq!((summary.jobs, summary.failed, summary.left), (1, 0, 1));
    assert_eq!(back, ["late"]);
}

// proves: ordered-map, policy-at-failure, interrupt-guard-for-programs
#[test]
fn a_map_that_is_ended_tells_once_what_it_left_and_gives_it_back() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for (isolation, workers) in [(BOTH[0], 2), (BOTH[1], 2), (BOTH[1], 0)] {
        for end in [End::Signal, End::Time, End::Circuit] {
            if workers == 0 && end != End::Signal {
                continue;
            }
            let signals = signals::guard([INT]).unwrap();
            let how = if end == End::Circuit { 2 } else { 0 };
            let taken = AtomicU64::new(0);
            let source = (0_u64..).inspect(|_| _ = taken.fetch_add(1, Ordering::SeqCst));
            let map =
                psmith::try_map(source.map(move |n| (n, how)), work).workers(workers).isolation(isolation);
            let map = map.output(Output::Discard);
            let map = match end {
                End::Time => map.total_timeout(Duration::from_millis(50)),
                End::Circuit => map.breaker(2),
                _ => map,
            };
            let mut back = Vec::new();
            let mut results = Vec::new();
            for result in map.on_left(|(n, _)| back.push(n)) {
                if end == End::Signal && results.is_empty() {
                    interrupt();
                    while signals.asked() == 0 {
                        std::thread::yield_now();
                    }
                }
                results.push(result);
            }
            let what = format!("{end:?}, {isolation:?}, {workers} workers");
            let told = results.pop().unwrap().unwrap_err();
            assert_eq!(told.left, Some(back.len() as u64), "{what}: {told}");
            let cause = if end == End::Circuit { Cause::CircuitBroken(2) } else { Cause::Cancelled };
            assert_eq!(told.cause, cause, "{what}");
            let begun = |ended: &Result<u64, Failure>| {
                ended.as_ref().err().is_none_or(|failure| failure.attempts > 0)
            };
            assert!(results.iter().all(begun), "{what}: {results:?}");
            // All that was taken has a result, in its place, or was handed back.
            assert_eq!((results.len() + back.len()) as u64, taken.load(Ordering::SeqCst), "{what}");
            let ended = |result: &Result<u64, Failure>| match result {
                Ok(n) => *n,
                Err(failure) => failure.index,
            };
            let mut items: Vec<u64> = results.iter().map(ended).collect();
            assert!(items.is_sorted(), "{what}: {items:?}");
            items.extend(back);
            items.sort_unstable();
            assert!(items.into_iter().eq(0..taken.load(Ordering::SeqCst)), "{what}");
            drop(signals);
        }
    }
}

// proves: policy-at-failure, interrupt-guard-for-programs
#[test]
fn runs_with_one_answer_and_runs_of_jobs_tell_what_was_left_too() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let limit = Duration::from_millis(50);
        let each = psmith::each(0_u64.., |_: u64| ()).isolation(isolation).total_timeout(limit);
        let failure = each.run().unwrap_err();
        // Of a job that ran, or of all that were left.
        assert_eq!(
            (&failure.cause, failure.attempts > 0),
            (&Cause::Cancelled, failure.left.is_none()),
            "{failure}"
        );
        let any = psmith::any(0_u64.., |_: u64| false).isolation(isolation).total_timeout(limit);
        assert_eq!(any.run().unwrap_err().cause, Cause::Cancelled);
        let mut back = 0;
        let jobs = (0_u64..).map(|n| Job::new(|n: u64| n, n));
        let run = psmith::run_jobs(jobs).isolation(isolation).total_timeout(limit).on_left(|_| back += 1);
        let failures: Vec<Failure> = run.into_iter().filter_map(Result::err).collect();
        let told: Vec<u64> = failures.iter().filter_map(|failure| failure.left).collect();
        assert_eq!(told, [back]);
        assert!(
            failures.iter().all(|failure| failure.left.is_some() || failure.attempts > 0),
            "{failures:?}"
        );
        // A run whose end was told by a failure tells it once.
        let fail = |n: u64| if n == 1 { Err("the second") } else { Ok(n) };
        let map = psmith::try_map(0_u64.., fail).isolation(isolation).on_error(OnError::Stop);
        let failures: Vec<Failure> = map.into_iter().filter_map(Result::err).collect();
        assert_eq!(failures.iter().map(ToString::to_string).collect::<Vec<_>>(), ["job #2 (1): the second"]);
    }
}

// proves: timeouts-and-grace: also where there is always a result to take
#[test]
fn a_slow_caller_does_not_keep_a_run_beyond_its_time() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let endless = psmith::map(0_u64.., |n: u64| n).isolation(isolation).workers(2).window(64);
        let mut hashed = 0_u64;
        for result in endless.total_timeout(Duration::from_millis(100)) {
            // Longer than a job.
            hashed = (0..200_000).fold(hashed, |hash, n| std::hint::black_box(hash.rotate_left(5) ^ n));
            drop(result);
        }
    }
}
