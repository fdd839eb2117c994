//! The job server: many functions, a producer that may block, a consumer of every outcome.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use psmith::{Cause, Job, LogLevel, Server, ServerError};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;

#[derive(serde::Serialize, serde::Deserialize)]
struct Seen {
    by: char,
    number: u32,
    pid: u32,
    slot: u32,
}

fn seen(by: char, number: u32) -> Seen {
    let cx = psmith::cx().unwrap();
    cx.set_process_name(&format!("{by}{number}"));
    Seen { by, number, pid: std::process::id(), slot: cx.slot() }
}

fn alpha(number: u32) -> Seen {
    seen('a', number)
}

fn beta(number: u32) -> Result<Seen, String> {
    Ok(seen('b', number))
}

fn wait_at_gate(path: PathBuf) {
    gate::pass(&path);
}

// proves: alternating-producer, lazy-producer, functions-and-commands, outcome-consumer
#[test]
fn a_producer_alternates_two_workers_and_every_outcome_is_consumed_here() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut next = 0..20;
    let producer = move || {
        next.next()
            .map(|number| if number % 2 == 0 { Job::new(alpha, number) } else { Job::fallible(beta, number) })
    };
    let (mut pids, mut names) = (BTreeSet::new(), BTreeSet::new());
    let here = std::thread::current().id();
    let report = Server::new(producer)
        .consumer(|job, result| {
            assert_eq!(std::thread::current().id(), here);
            let seen = result.unwrap();
            assert_eq!(seen.by, if seen.number % 2 == 0 { 'a' } else { 'b' });
            assert_eq!((seen.number, seen.pid), (job.index() as u32, job.pid()));
            assert!(seen.slot < 4, "four at once by default");
            pids.insert(seen.pid);
            names.insert(job.process_name());
        })
        .run()
        .unwrap();
    assert_eq!((report.jobs, report.failed), (20, 0));
    assert_eq!((pids.len(), names.len()), (20, 20));
    assert!(names.contains("a0") && names.contains("b19"), "{names:?}");
}

// proves: producer-that-blocks, lazy-producer
#[test]
fn a_blocked_producer_holds_up_no_delivery() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let (give, jobs) = mpsc::channel();
    give.send(Job::new(alpha, 1)).unwrap();
    // The second job is given only when the first has been consumed.
    let mut numbers = Vec::new();
    let mut give = Some(give);
    let report = Server::new(move || jobs.recv().ok())
        .consumer(|_, result| {
            numbers.push(result.unwrap().number);
            if let Some(give) = give.take() {
                give.send(Job::fallible(beta, 2)).unwrap();
            }
        })
        .run()
        .unwrap();
    assert_eq!(report.jobs, 2);
    assert_eq!(numbers, [1, 2]);
}

// proves: producer-that-blocks
#[test]
fn a_server_that_is_drained_returns_though_its_producer_blocks() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let (give, jobs) = mpsc::channel();
    for number in 0..3 {
        give.send(Job::new(alpha, number)).unwrap();
    }
    let server = Server::new(move || jobs.recv().ok());
    let handle = server.handle();
    let mut consumed = 0;
    let report = server
        .consumer(|_, result| {
            result.unwrap();
            consumed += 1;
            if consumed == 3 {
                handle.drain();
            }
        })
        .run()
        .unwrap();
    assert_eq!((report.jobs, consumed), (3, 3));
    // Now the producer's thread ends, too.
    drop(give);
}

// proves: producer-that-blocks
#[test]
fn a_drained_server_finishes_the_jobs_taken_and_a_stopped_one_ends_them() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for drains in [true, false] {
        let mut gate = Gate::closed();
        let path = gate.path();
        let server = Server::new(move || Some(Job::new(wait_at_gate, path.clone()))).workers(1).window(3);
        let handle = server.handle();
        let others = handle.clone();
        let waits = std::thread::spawn(move || others.join());
        let mut ends = Vec::new();
        let begun = |_, line: std::fmt::Arguments<'_>| match line.to_string().contains("job #1 runs as") {
            true if drains => {
                handle.drain();
                gate.open();
            }
            true => handle.stop(),
            false => {}
        };
        let run = server.logger(begun).consumer(|_, end| ends.push(end.map_err(psmith::Failure::into_cause)));
        let summary = run.run().unwrap();
        waits.join().unwrap();
        assert_eq!(summary.jobs, ends.len() as u64);
        // Those that were taken before the drain: one at least, and no more than the window holds.
        assert!((1..=3).contains(&ends.len()), "{ends:?}");
        let expected = if drains { Ok(()) } else { Err(Cause::Cancelled) };
        assert!(ends.iter().all(|end| *end == expected), "{ends:?}");
    }
}

// proves: producer-that-blocks, two-level-logger
#[test]
fn the_logger_gets_starts_ends_and_failures_at_two_levels() {
    psmith::init();
    let _guard = LeakGuard::alone();
    fn fail(_: u32) -> Result<(), String> {
        Err("no luck".into())
    }
    let mut jobs = vec![Job::fallible(fail, 1).label("unlucky")].into_iter();
    let log = Mutex::new(Vec::new());
    let report = Server::new(move || jobs.next())
        .process_name("tester")
        .logger(|level, text| log.lock().unwrap().push((level, text.to_string())))
        .run()
        .unwrap();
    assert_eq!((report.jobs, report.failed), (1, 1));
    let log = log.into_inner().unwrap();
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log[0].0 == LogLevel::Info && log[0].1.starts_with("tester: job #1 runs as "), "{log:?}");
    assert_eq!(log[1], (LogLevel::Error, "tester: job #1 (unlucky): no luck".to_owned()));
}

// proves: F-32, lazy-producer
#[test]
fn a_producer_that_panics_ends_the_run_as_an_error_after_a_drain() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut asked = 0;
    let producer = move || {
        asked += 1;
        assert!(asked < 3, "out of ideas");
        Some(Job::new(alpha, asked))
    };
    let mut delivered = 0;
    let error = Server::new(producer).consumer(|_, _| delivered += 1).run().unwrap_err();
    assert!(matches!(&error, ServerError::Producer(message) if message == "out of ideas"), "{error}");
    assert_eq!(delivered, 2);
}

// proves: P-2, outcome-consumer
#[test]
fn a_crash_is_the_failure_of_its_own_job_alone() {
    psmith::init();
    let _guard = LeakGuard::alone();
    fn crash(number: u32) -> u32 {
        if number == 5 {
            std::process::abort();
        }
        number
    }
    let mut numbers = 0..10;
    let mut causes = Vec::new();
    let report = Server::new(move || numbers.next().map(|number| Job::new(crash, number)))
        .in_order()
        .consumer(|job, result| match result {
            Ok(number) => assert_eq!(u64::from(number), job.index()),
            Err(failure) => causes.push((job.index(), failure.into_cause())),
        })
        .run()
        .unwrap();
    assert_eq!((report.jobs, report.failed), (10, 1));
    assert!(matches!(causes[..], [(5, Cause::Signal { signal: 6, .. })]), "{causes:?}");
}

// proves: functions-and-commands, one-kind-of-job
#[test]
fn commands_and_functions_of_one_server_have_the_same_outcomes() {
    psmith::init();
    let _guard = LeakGuard::alone();
    fn text(stdout: &[u8]) -> Result<String, psmith::codec::CodecError> {
        String::from_utf8(stdout.to_vec()).map_err(|error| psmith::codec::CodecError::new(error.to_string()))
    }
    let sh = |script: &str| psmith::Job::command("sh").args(["-c", script]);
    for isolation in [psmith::Isolation::PerJob, psmith::Isolation::Reuse] {
        let mut jobs = vec![
            Job::new(|n: u32| n.to_string(), 5),
            sh("printf '%s' \"$WORD$(basename \"$PWD\")\"").env("WORD", "in ").dir("/usr").read_by(text),
            sh("echo oops >&2; exit 3").read_by(text),
            sh("kill -9 $$").read_by(text),
            sh("sleep 1000 & wait").read_by(text),
            sh("printf '\\377'").read_by(text),
            psmith::Job::command("no-such-program-anywhere").read_by(text),
            psmith::Job::command("/etc/passwd").read_by(text),
            sh("head -c 3000000 /dev/zero").read_by(|stdout| Ok(stdout.len().to_string())),
        ]
        .into_iter();
        let mut ended = Vec::new();
        let server = Server::new(move || jobs.next()).in_order().isolation(isolation);
        let server = server.timeout(Duration::from_secs(2)).output(psmith::Output::Discard);
        server.consumer(|_, outcome| ended.push(outcome)).run().unwrap();
        assert_eq!(ended[0].as_deref().unwrap(), "5");
        assert_eq!(ended[1].as_deref().unwrap(), "in usr");
        let failure = |at: usize| ended[at].as_ref().unwrap_err();
        assert_eq!((&failure(2).cause, &failure(2).stderr_tail[..]), (&Cause::Exit(3), &b"oops\n"[..]));
        assert_eq!(
            failure(2).to_string(),
            "job #3 (sh -c echo oops >&2; exit 3): its process exited with code 3"
        );
        assert!(matches!(failure(3).cause, Cause::Signal { signal: 9, .. }));
        assert_eq!(failure(4).cause, Cause::Timeout(Duration::from_secs(2)));
        assert!(matches!(failure(5).cause, Cause::Undecodable(_)));
        let text = failure(6).to_string();
        assert!(
            text.contains("failed to find the program: no-such-program-anywhere: No such file"),
            "{text}"
        );
        assert!(
            matches!(&failure(7).cause, Cause::SpawnFailed(failure) if failure.errno == 13),
            "{}",
            failure(7)
        );
        assert_eq!(ended[8].as_deref().unwrap(), "3000000");
    }
}
