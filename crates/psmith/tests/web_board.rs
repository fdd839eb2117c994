//! A program's own runs on a web board: the answers to a client with the token, and the refusal of all others.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use psmith::web::Web;
use psmith::{Isolation, Job, Server, WorkerCx, run_workers};
use psmith_testkit::OUTER_LIMIT;
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;

fn open() -> Web {
    Web::open("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// The answer to a request for this path.
fn ask_with(web: &Web, path: &str, token: Option<&str>) -> String {
    let (address, own) = web.url().strip_prefix("http://").unwrap().split_once("/#token=").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(OUTER_LIMIT)).unwrap();
    let token = token.unwrap_or(own);
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Polls until the condition holds: the board receives events a moment after they happened.
#[track_caller]
fn wait_for(web: &Web, path: &str, what: &str) -> String {
    let deadline = std::time::Instant::now() + OUTER_LIMIT;
    loop {
        let answer = ask_with(web, path, None);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        if answer.contains(what) {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "never {what}: {answer}");
    }
}

// proves: live-board: in both isolations; a job is seen while it runs, and what became of it afterwards
#[test]
fn a_map_is_seen_while_it_runs_and_after_it() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let web = open();
        let mut gate = Gate::closed();
        let items = [(1, gate.path()), (2, gate.path())];
        let work = |(number, path): (u32, std::path::PathBuf)| {
            gate::pass(&path);
            if number == 2 {
                eprintln!("words of the second");
                return Err("not this one");
            }
            Ok(number)
        };
        std::thread::scope(|scope| {
            let running = scope.spawn(|| {
                let map = psmith::try_map(items, work).workers(2).isolation(isolation).web(&web);
                map.output(psmith::Output::Discard).map(|result| result.is_ok()).collect::<Vec<_>>()
            });
            wait_for(&web, "/metrics", "\npsmith_jobs_running 2\n");
            assert!(ask_with(&web, "/metrics", Some("0")).starts_with("HTTP/1.1 401 "));
            gate.open();
            assert_eq!(running.join().unwrap(), [true, false]);
        });
        wait_for(&web, "/metrics", "\npsmith_jobs_total{status=\"ok\"} 1\n");
        wait_for(&web, "/metrics", "\npsmith_jobs_running 0\n");
        let failed = wait_for(&web, "/api/jobs?status=failed", "not this one");
        assert!(failed.contains("\"total\":1"), "{failed}");
        let number = if failed.contains("\"job\":2") { 2 } else { 1 };
        wait_for(&web, &format!("/api/job/{number}"), "words of the second");
        web.finish();
    }
}

// proves: live-board: the output and messages of a job while it runs, the total, the outcomes of its earlier attempts
#[test]
fn live_output_progress_total_and_earlier_attempts_are_seen() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let web = open();
        let gate = Gate::closed();
        let items = [gate.path(), gate.path(), gate.path()];
        let work = |path: std::path::PathBuf| {
            let cx = psmith::cx().unwrap();
            println!("words of attempt {}", cx.attempt());
            if cx.attempt() == 1 {
                return Err("not yet");
            }
            cx.progress(3, 8);
            gate::pass(&path);
            Ok(cx.attempt())
        };
        std::thread::scope(|scope| {
            let running = scope.spawn(|| {
                let map = psmith::try_map(items, work).workers(3).isolation(isolation).web(&web);
                let map = map.retry(psmith::Retry::tries(2)).output(psmith::Output::Discard);
                map.map(Result::unwrap).collect::<Vec<_>>()
            });
            wait_for(&web, "/metrics", "\npsmith_retries_total 3\n");
            wait_for(&web, "/metrics", "\npsmith_jobs_running 3\n");
            // Opens whatever becomes of the test.
            let mut gate = gate;
            let job = wait_for(&web, "/api/job/1", "3/8  words of attempt 2");
            assert!(job.contains("\"attempt\":2") && job.contains("\"status\":\"running\""), "{job}");
            gate.open();
            assert_eq!(running.join().unwrap(), [2, 2, 2]);
        });
        wait_for(&web, "/metrics", "\npsmith_jobs_total{status=\"ok\"} 3\n");
        for number in 1..=3 {
            let path = format!("/api/job/{number}");
            let job = wait_for(&web, &path, "words of attempt 2");
            assert!(job.contains("attempt 1: error: not yet"), "{job}");
        }
        let metrics = wait_for(&web, "/metrics", "\npsmith_jobs_running 0\n");
        assert!(metrics.contains("\npsmith_retries_total 3\n"), "{metrics}");
        assert!(metrics.contains("\npsmith_jobs_expected 3\n"), "{metrics}");
        web.finish();
    }
}

// Each face can be observed, several runs on one board; their jobs are kept apart.
#[test]
fn several_runs_share_a_board() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let web = open();
    assert_eq!(psmith::each(0..3, |_: u32| ()).web(&web).run().unwrap().jobs, 3);
    let mut jobs = (0..4).map(|n| Job::new(|n: u32| n, n).label(format!("job {n}")));
    let report = Server::new(move || jobs.next()).web(&web).run().unwrap();
    assert_eq!(report.jobs, 4);
    let send = |cx: WorkerCx<u32>| cx.send(cx.id().0);
    assert_eq!(run_workers(2, send).web(&web).map(|(_, value)| value.unwrap()).sum::<u32>(), 3);
    wait_for(&web, "/metrics", "\npsmith_jobs_total{status=\"ok\"} 9\n");
    for name in ["job #3", "job 3", "worker 2"] {
        let path = format!("/api/jobs?q={}", name.replace(' ', "%20").replace('#', "%23"));
        let found = wait_for(&web, &path, name);
        assert!(found.contains(name), "{found}");
    }
    // Events to a board that has ended are dropped.
    let map = psmith::map([1], |n: u32| n).web(&web);
    drop(web);
    assert_eq!(map.map(Result::unwrap).collect::<Vec<_>>(), [1]);
}
