//! Tests of pages of invented runs: whole, bounded, and safe whatever jobs wrote.

use std::time::Duration;

use psmith_core::outcome::Cause;

use super::charts::{self, RunningAttempt};
use super::html::EscapedText;
use super::report_page::{ReportFacts, page};
use crate::history::bars::BARS_MAX;
use crate::history::{AttemptEnd, EndedAttempt, History};
use crate::record::event_log::RunEndEvent;
use crate::record::{JobRecord, sample};
use crate::report::display::visible;

const HOSTILE: &str = "</pre><script>alert('x')</script><img src=x onerror=\"alert(1)\">&amp;\u{1b}[31m";

fn facts<'a>(command: &str, end: RunEndEvent<'a>) -> ReportFacts<'a> {
    ReportFacts {
        run: "7k2m",
        command: command.to_owned(),
        cwd: command.to_owned(),
        contain: "cgroup",
        began_epoch: 1_767_225_600.0,
        joblog: Some(command.to_owned()),
        end,
    }
}

#[test]
fn text_is_escaped_for_content_and_attributes() {
    assert_eq!(EscapedText("<a b=\"c\" d='e'>&").to_string(), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
    assert_eq!(EscapedText("日本 plain").to_string(), "日本 plain");
}

// proves: SEC-web-output
#[test]
fn nothing_that_a_job_wrote_is_markup_in_a_report() {
    let mut history = History::new(1, BARS_MAX);
    let outcome = sample::failed(Cause::Error(HOSTILE.to_owned()));
    let record =
        JobRecord { stderr_tail: HOSTILE.as_bytes(), ..sample::record(1, &outcome, HOSTILE.as_bytes()) };
    history.on_end(&record, Duration::from_secs(1));
    let shown = visible(HOSTILE.as_bytes(), 1000);
    let page = page(&facts(&shown, RunEndEvent::default()), &history, Duration::from_secs(2));
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{1b}'), "{page}");
    assert_eq!(page.matches("&lt;script&gt;alert(&#39;x&#39;)").count(), 8);
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn a_page_of_a_hundred_thousand_jobs_stays_small() {
    let mut history = History::new(64, BARS_MAX);
    let outcome = sample::failed(Cause::Exit(1));
    let tail = "x".repeat(4000);
    for job in 0..100_000_u64 {
        let (slot, began) = ((job % 64) as u32 + 1, Duration::from_millis(job / 64 * 10));
        let wall = Duration::from_millis(job % 9 + 1);
        let end = AttemptEnd::Failed;
        history.on_attempt(&EndedAttempt { job, slot, began, starting: Duration::ZERO, wall, end });
        let record =
            JobRecord { stderr_tail: tail.as_bytes(), ..sample::record(job, &outcome, tail.as_bytes()) };
        history.on_end(&record, began + wall);
    }
    let page = page(&facts("cmd", RunEndEvent::default()), &history, Duration::from_secs(20));
    assert!(page.len() < 2 * 1024 * 1024, "{} bytes", page.len());
    assert!(page.contains("99800 more failed"));
}

#[test]
fn what_runs_for_long_is_busy_in_the_chart_and_the_chart_stays_small() {
    let history = History::new(1, BARS_MAX);
    let running = [RunningAttempt { job: 1, slot: 1, began: Duration::ZERO }];
    let day = Duration::from_secs(86_400);
    let svg = charts::throughput(&history.columns, &running, 1, day);
    let points = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(points.split(' ').count() <= 120, "{points}");
    assert!(points.split(' ').all(|point| point.ends_with(",10.0")), "{points}");
    let idle = charts::throughput(&history.columns, &[], 1, day);
    assert!(idle.split("points=\"").nth(1).unwrap().contains(",180.0"));
    let svg = charts::timeline(&history.bars, &running, day);
    assert_eq!(svg.matches("class=\"running\" data-job=\"1\"").count(), 1);
}

#[test]
fn a_run_without_jobs_has_a_report_too() {
    let history = History::new(4, BARS_MAX);
    let page = page(&facts("cmd", RunEndEvent::default()), &history, Duration::ZERO);
    assert!(page.contains("all 0 jobs ok") && page.contains("No job ended by itself."));
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
}
