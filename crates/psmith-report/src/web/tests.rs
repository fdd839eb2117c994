//! Access check, lists and metrics of invented runs.

use std::time::Duration;

use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};
use psmith_core::outcome::Cause;

use crate::sample;
use crate::web::access::{AccessCheck, token};
use crate::web::jobs::{EndedJob, EndedJobs, JOBS_MAX, Query};
use crate::web::metrics;
use crate::web::output_backlog::OutputBacklog;
use crate::web::server::decoded;
use crate::web::state::WebState;
use crate::web_events::{JobEnded, RunFacts, WebEvent};

const HOST: (&str, &str) = ("host", "127.0.0.1:8080");
const TOKEN: (&str, &str) = ("authorization", "Bearer 0123456789abcdef0123456789abcdef");

fn ask(address: &str, path: &str, pairs: &[(&'static str, &str)]) -> u16 {
    ask_by(&Method::GET, address, path, pairs)
}

fn ask_by(method: &Method, address: &str, path: &str, pairs: &[(&'static str, &str)]) -> u16 {
    let access = AccessCheck::new(address.parse().unwrap(), TOKEN.1.trim_start_matches("Bearer ").to_owned());
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.insert(*name, value.parse().unwrap());
    }
    access.check(method, path, &headers).map_or_else(|(status, _)| status.as_u16(), |()| 200)
}

// proves: SEC-web
#[test]
fn a_host_that_was_rebound_is_misdirected() {
    let local = "127.0.0.1:8080";
    for host in
        ["evil.example", "evil.example:8080", "127.0.0.1:81", "127.0.0.1", "127.0.0.2:8080", "", "[::1]:8080"]
    {
        assert_eq!(ask(local, "/", &[("host", host)]), 421, "{host}");
        assert_eq!(ask(local, "/api/live", &[("host", host), TOKEN]), 421, "{host}");
    }
    assert_eq!(ask(local, "/", &[]), 421);
    assert_eq!(ask(local, "/", &[("host", "localhost:8080")]), 200);
    assert_eq!(ask("[::1]:8080", "/", &[("host", "[::1]:8080")]), 200);
    // Bound to all addresses, it answers to every numeric address and to no name.
    assert_eq!(ask("0.0.0.0:8080", "/", &[("host", "192.0.2.7:8080")]), 200);
    assert_eq!(ask("0.0.0.0:8080", "/", &[("host", "evil.example:8080")]), 421);
    assert_eq!(ask("192.0.2.7:80", "/", &[("host", "192.0.2.7")]), 200);
    assert_eq!(ask("192.0.2.7:8080", "/", &[("host", "localhost:8080")]), 421);
}

// proves: SEC-web
#[test]
fn another_origin_is_refused_with_or_without_the_token() {
    for origin in [
        "http://evil.example",
        "null",
        "https://127.0.0.1:8080",
        "http://127.0.0.1:81",
        "http://localhost:8080",
    ] {
        assert_eq!(ask("127.0.0.1:8080", "/api/jobs", &[HOST, TOKEN, ("origin", origin)]), 403, "{origin}");
        assert_eq!(ask("127.0.0.1:8080", "/", &[HOST, ("origin", origin)]), 403, "{origin}");
    }
    let own = ("origin", "http://127.0.0.1:8080");
    assert_eq!(ask("127.0.0.1:8080", "/api/jobs", &[HOST, TOKEN, own]), 200);
    for site in ["cross-site", "same-site"] {
        let site = ("sec-fetch-site", site);
        assert_eq!(ask("127.0.0.1:8080", "/api/jobs", &[HOST, TOKEN, site]), 403);
        // A link may lead to the page, and nowhere else.
        let link = ("sec-fetch-mode", "navigate");
        assert_eq!(ask("127.0.0.1:8080", "/", &[HOST, site, link]), 200);
        assert_eq!(ask("127.0.0.1:8080", "/", &[HOST, site]), 403);
        assert_eq!(ask("127.0.0.1:8080", "/metrics", &[HOST, TOKEN, site, link]), 403);
    }
}

// proves: SEC-web
#[test]
fn the_token_opens_and_nothing_else_does() {
    for path in ["/api/live", "/api/jobs", "/api/job/1", "/api/chart/timeline", "/metrics", "/api/"] {
        assert_eq!(ask("127.0.0.1:8080", path, &[HOST]), 401, "{path}");
        assert_eq!(ask("127.0.0.1:8080", path, &[HOST, TOKEN]), 200, "{path}");
        for wrong in [
            "",
            "Bearer ",
            "Bearer 0123456789abcdef0123456789abcdee",
            "Bearer 0123456789abcdef",
            "Basic 0123456789abcdef0123456789abcdef",
            "0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(ask("127.0.0.1:8080", path, &[HOST, ("authorization", wrong)]), 401, "{path} {wrong}");
        }
    }
    let (one, other) = (token().unwrap(), token().unwrap());
    assert_eq!(one.len(), 32);
    assert_ne!(one, other);
}

// proves: SEC-web
#[test]
fn it_is_read_only() {
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let status = ask_by(&method, "127.0.0.1:8080", "/api/jobs", &[HOST, TOKEN]);
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED.as_u16());
    }
    assert_eq!(ask_by(&Method::HEAD, "127.0.0.1:8080", "/", &[HOST]), 200);
}

fn ended(job: u64, command: &str, cause: Option<Cause>) -> EndedJob {
    let outcome = cause.map_or_else(sample::succeeded, sample::failed);
    EndedJob::of(&sample::record(job, &outcome, command.as_bytes()))
}

fn found(jobs: &EndedJobs, text: &str, status: Option<&str>) -> (usize, Vec<u64>) {
    let query = Query { status: status.map(str::to_owned), text: text.to_owned(), from: 0, count: 10 };
    let (total, rows) = jobs.list(&query);
    (total, rows.iter().map(|row| row.job).collect())
}

#[test]
fn lists_are_searched_by_command_cause_number_and_status() {
    let mut jobs = EndedJobs::default();
    jobs.push(ended(1, "convert a.tif", None), b"one".to_vec());
    jobs.push(ended(12, "convert B.TIF (1)", Some(Cause::Exit(7))), b"two".to_vec());
    jobs.push(ended(3, "sum 12", None), Vec::new());
    assert_eq!(found(&jobs, "", None), (3, vec![3, 12, 1]));
    assert_eq!(found(&jobs, "b.tif (", None), (1, vec![12]));
    assert_eq!(found(&jobs, "EXIT 7", None), (1, vec![12]));
    assert_eq!(found(&jobs, "#12", None), (1, vec![12]));
    assert_eq!(found(&jobs, "12", None), (2, vec![3, 12]));
    assert_eq!(found(&jobs, "", Some("ok")), (2, vec![3, 1]));
    assert_eq!(found(&jobs, ".*", None), (0, vec![]));
    assert_eq!(jobs.get(12).unwrap().1, Some(&b"two"[..]));
    assert!(jobs.get(4).is_none());
}

#[test]
fn lists_come_in_windows_and_old_jobs_are_forgotten_aloud() {
    let mut jobs = EndedJobs::default();
    for job in 0..JOBS_MAX as u64 + 5 {
        jobs.push(ended(job, "x", None), vec![b'x'; 1000]);
    }
    let query = Query { status: None, text: "x".into(), from: 50_000, count: usize::MAX };
    let (total, rows) = jobs.list(&query);
    assert_eq!((total, rows.len(), jobs.forgotten()), (JOBS_MAX, 200, 5));
    assert_eq!(rows[0].job, JOBS_MAX as u64 + 4 - 50_000);
    assert!(jobs.get(4).is_none());
    assert!(jobs.get(5).unwrap().1.is_none(), "its output was too long ago");
    assert!(jobs.get(JOBS_MAX as u64).unwrap().1.is_some());
}

#[test]
fn queries_are_read_as_browsers_write_them() {
    assert_eq!(decoded("a+b%20c%2F%C3%A9%zz%"), "a b c/é%zz%");
}

#[test]
fn output_beyond_the_bound_is_dropped() {
    let output = OutputBacklog::default();
    let piece = vec![b'x'; 100_000];
    let kept = (0..1000).filter_map(|_| output.take_in(&piece)).map(|bytes| bytes.len()).sum::<usize>();
    assert!(kept < 5 * 1024 * 1024, "{kept}");
    output.let_go(kept);
    assert!(output.take_in(b"again").is_some());
}

#[test]
fn metrics_are_those_of_the_run() {
    let mut state = WebState::new();
    state.on(WebEvent::Run(Box::new(RunFacts { slots: 3, total: Some(9), ..RunFacts::default() })));
    let at = Duration::from_secs(1);
    for (job, outcome) in
        (1..).zip([sample::succeeded(), sample::failed(Cause::Exit(7)), sample::failed(Cause::Cancelled)])
    {
        state.on(WebEvent::Ended(Box::new(JobEnded::of(&sample::record(job, &outcome, b"x"), at))));
    }
    let text = metrics::text(&state);
    for line in [
        "psmith_jobs_total{status=\"ok\"} 1",
        "psmith_jobs_total{status=\"failed\"} 1",
        "psmith_jobs_total{status=\"cancelled\"} 1",
        "psmith_job_failures_total{cause=\"exit 7\"} 1",
        "psmith_slots 3",
        "psmith_jobs_expected 9",
        "psmith_jobs_running 0",
        "psmith_job_seconds_bucket{le=\"1.6\"} 0",
        "psmith_job_seconds_bucket{le=\"2.5\"} 2",
        "psmith_job_seconds_bucket{le=\"+Inf\"} 2",
        "psmith_job_seconds_count 2",
    ] {
        assert!(text.lines().any(|got| got == line), "{line} is not in\n{text}");
    }
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let mut once = names.clone();
    once.dedup();
    assert_eq!(names, once);
}
