//! The report of a run: one page without any other resource.
//!
//! The page has no script, and a content policy that forbids any: the charts are drawn here, once.

use std::time::Duration;

use super::charts::{self, seconds};
use super::html::{EscapedText, put};
use super::when::utc;
use crate::history::History;
use crate::history::bars::LANES_MAX;
use crate::history::named::Named;
use crate::record::Status;
use crate::record::event_log::RunEndEvent;
use crate::report::duration::size;

use psmith_report::STYLE;

/// Facts about the run besides its history. Texts are safe to show, not escaped.
#[derive(Debug)]
pub(crate) struct ReportFacts<'a> {
    pub(crate) run: &'a str,
    pub(crate) command: String,
    pub(crate) cwd: String,
    pub(crate) contain: &'a str,
    pub(crate) began_epoch: f64,
    pub(crate) joblog: Option<String>,
    pub(crate) end: RunEndEvent<'a>,
}

/// Returns the whole page. `history` is drawn up to `until`, the end of the run by its own clock.
pub(crate) fn page(facts: &ReportFacts<'_>, history: &History, until: Duration) -> String {
    let mut page = String::with_capacity(256 * 1024);
    put!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>psmith run {}: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        EscapedText(facts.run),
        EscapedText(verdict(&facts.end))
    );
    put!(
        page,
        "<header><h1>psmith run {}: {}</h1>\n",
        EscapedText(facts.run),
        EscapedText(verdict(&facts.end))
    );
    put!(page, "<p><code>{}</code></p>\n", EscapedText(&facts.command));
    put_counts(&mut page, facts, history);
    page.push_str("</header>\n<main>\n");
    put_timeline(&mut page, history, until);
    put_throughput(&mut page, history, until);
    put_durations(&mut page, history);
    put_failed(&mut page, history);
    put_causes(&mut page, history);
    put_jobs(&mut page, "slowest", "Slowest jobs", history.slowest.jobs());
    put_jobs(&mut page, "largest", "Largest jobs, by peak memory", history.largest.jobs());
    put_efficiency(&mut page, history, until);
    put_run(&mut page, facts, history);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn verdict(end: &RunEndEvent<'_>) -> String {
    match end.stopped_by {
        Some(signal) => format!("stopped by {signal}, {} of {} jobs done", end.ok + end.failed, end.jobs),
        None if end.failed > 0 => format!("{} of {} jobs failed", end.failed, end.jobs),
        None if end.ok == end.jobs => format!("all {} jobs ok", end.jobs),
        None => format!("{} of {} jobs ok", end.ok, end.jobs),
    }
}

fn put_counts(page: &mut String, facts: &ReportFacts<'_>, history: &History) {
    let end = &facts.end;
    let wall = end.wall.as_secs_f64().max(1e-3);
    let largest = history.largest.jobs().next().map_or(0, |job| job.rss_bytes);
    let counts: [(&str, String, bool); 11] = [
        ("jobs", end.jobs.to_string(), false),
        ("ok", end.ok.to_string(), false),
        ("failed", end.failed.to_string(), end.failed > 0),
        ("flaky", end.flaky.to_string(), false),
        ("cancelled", end.cancelled.to_string(), end.cancelled > 0),
        ("left", end.left.to_string(), end.left > 0),
        ("leaked", end.leaked.to_string(), end.leaked > 0),
        ("attempts", history.attempts.to_string(), false),
        ("duration", seconds(end.wall), false),
        ("jobs a second", format!("{:.1}", (end.ok + end.failed) as f64 / wall), false),
        ("peak memory of a job", size(largest), false),
    ];
    page.push_str("<ul class=\"facts\">\n");
    for (name, value, bad) in counts {
        let class = if bad { " class=\"bad\"" } else { "" };
        put!(page, "<li{class} data-name=\"{name}\"><b>{value}</b><span>{name}</span></li>\n");
    }
    page.push_str("</ul>\n");
}

fn put_timeline(page: &mut String, history: &History, until: Duration) {
    page.push_str("<section aria-labelledby=\"timeline\"><h2 id=\"timeline\">Slots over time</h2>\n");
    page.push_str(&charts::timeline(&history.bars, &[], until));
    page.push_str(
        "<p class=\"note\"><span class=\"key ok\"></span>ok<span class=\"key failed\"></span>failed\
         <span class=\"key retried\"></span>failed, tried again<span class=\"key cut\"></span>cut short</p>\n",
    );
    let resolution = history.bars.resolution();
    if !resolution.is_zero() {
        put!(
            page,
            "<p class=\"note\">Too many attempts for a bar each: neighbours in a slot that together span no more \
             than {} are one bar, with the colour of the worst of them.</p>\n",
            seconds(resolution)
        );
    }
    if history.bars.not_drawn() > 0 {
        put!(
            page,
            "<p class=\"note\">{} attempts in slots above {LANES_MAX} are not drawn; all else counts them.</p>\n",
            history.bars.not_drawn()
        );
    }
    page.push_str("</section>\n");
}

fn put_throughput(page: &mut String, history: &History, until: Duration) {
    page.push_str("<section aria-labelledby=\"throughput\"><h2 id=\"throughput\">Throughput</h2>\n");
    page.push_str(&charts::throughput(&history.columns, &[], history.slots(), until));
    put!(
        page,
        "<p class=\"note\"><span class=\"key ok\"></span>ok<span class=\"key failed\"></span>failed, a column for \
         each {}<span class=\"key busy\"></span>share of the slots that was busy (top: all)</p>\n</section>\n",
        seconds(history.columns.width())
    );
}

fn put_durations(page: &mut String, history: &History) {
    let spread = &history.durations;
    page.push_str("<section aria-labelledby=\"durations\"><h2 id=\"durations\">Durations</h2>\n");
    if spread.count() == 0 {
        page.push_str("<p class=\"note\">No job ended by itself.</p>\n</section>\n");
        return;
    }
    page.push_str(&charts::durations(spread));
    page.push_str("<div class=\"scroll\"><table><thead><tr>");
    for name in ["jobs", "sum", "shortest", "mean", "half within", "95% within", "longest"] {
        put!(page, "<th class=\"num\" scope=\"col\">{name}</th>");
    }
    let within = |part| {
        let bucket = spread.quantile(part);
        // No duration is longer than the longest, whatever its bucket's bound.
        seconds(bucket.and_then(|bucket| bucket.to).unwrap_or(spread.longest()).min(spread.longest()))
    };
    page.push_str("</tr></thead><tbody><tr>");
    let values = [
        ("count", spread.count().to_string()),
        ("sum", format!("{:.3}s", spread.sum().as_secs_f64())),
        ("shortest", seconds(spread.shortest())),
        ("mean", seconds(spread.mean())),
        ("median", within(0.5)),
        ("p95", within(0.95)),
        ("longest", seconds(spread.longest())),
    ];
    for (name, value) in values {
        put!(page, "<td class=\"num\" data-name=\"{name}\">{value}</td>");
    }
    page.push_str(
        "</tr></tbody></table></div>\n<p class=\"note\">The last try of each job that ended by itself, as the \
         joblog's JobRuntime. Half and 95% are told by the upper bound of their column.</p>\n</section>\n",
    );
}

fn put_failed(page: &mut String, history: &History) {
    page.push_str("<section aria-labelledby=\"failed\"><h2 id=\"failed\">Failed jobs</h2>\n");
    if history.failed.is_empty() {
        page.push_str("<p class=\"note\">None.</p>\n</section>\n");
        return;
    }
    page.push_str(
        "<div class=\"scroll\"><table><thead><tr><th class=\"num\" scope=\"col\">job</th><th scope=\"col\">cause</th>\
         <th class=\"num\" scope=\"col\">duration</th><th class=\"num\" scope=\"col\">memory</th>\
         <th scope=\"col\">command, and its last lines</th></tr></thead><tbody>\n",
    );
    for job in &history.failed {
        put!(
            page,
            "<tr data-job=\"{}\"><td class=\"num\">{}</td><td class=\"bad\">{}</td><td class=\"num\">{:.3}s</td>\
             <td class=\"num\">{}</td><td><code>{}</code>",
            job.job,
            job.job,
            EscapedText(&job.cause),
            job.wall.as_secs_f64(),
            size(job.rss_bytes),
            EscapedText(&job.command)
        );
        if !job.lines.is_empty() {
            put!(page, "<pre>{}</pre>", EscapedText(job.lines.join("\n")));
        }
        page.push_str("</td></tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
    let more = history.failed_count - history.failed.len() as u64;
    if more > 0 {
        put!(
            page,
            "<p class=\"note\">These are the first; {more} more failed. The joblog and --events have all.</p>\n"
        );
    }
    page.push_str("</section>\n");
}

fn put_causes(page: &mut String, history: &History) {
    if history.causes.is_empty() {
        return;
    }
    page.push_str(
        "<section aria-labelledby=\"causes\"><h2 id=\"causes\">Causes</h2>\n<table class=\"narrow\"><thead><tr>\
         <th scope=\"col\">cause</th><th class=\"num\" scope=\"col\">jobs</th></tr></thead><tbody>\n",
    );
    let mut causes: Vec<(&String, &u64)> = history.causes.iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (cause, count) in causes {
        put!(page, "<tr><td>{}</td><td class=\"num\">{count}</td></tr>\n", EscapedText(cause));
    }
    page.push_str("</tbody></table></section>\n");
}

fn put_jobs<'a>(page: &mut String, id: &str, title: &str, jobs: impl Iterator<Item = &'a Named>) {
    put!(
        page,
        "<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{title}</h2>\n<div class=\"scroll\"><table><thead><tr>\
         <th class=\"num\" scope=\"col\">job</th><th class=\"num\" scope=\"col\">duration</th>\
         <th class=\"num\" scope=\"col\">memory</th><th class=\"num\" scope=\"col\">exitval</th>\
         <th class=\"num\" scope=\"col\">signal</th><th class=\"num\" scope=\"col\">attempts</th>\
         <th scope=\"col\">command</th></tr></thead><tbody>\n"
    );
    for job in jobs {
        let (exitval, signal) = job.exit.unwrap_or_default();
        let bad = if job.status == Status::Failed { " bad" } else { "" };
        put!(
            page,
            "<tr data-job=\"{}\"><td class=\"num\">{}</td><td class=\"num\">{:.3}s</td><td class=\"num\">{}</td>\
             <td class=\"num{bad}\">{exitval}</td><td class=\"num{bad}\">{signal}</td><td class=\"num\">{}</td>\
             <td><code>{}</code></td></tr>\n",
            job.job,
            job.job,
            job.wall.as_secs_f64(),
            size(job.rss_bytes),
            job.attempts,
            EscapedText(&job.command)
        );
    }
    page.push_str("</tbody></table></div></section>\n");
}

fn put_efficiency(page: &mut String, history: &History, until: Duration) {
    let offered = history.offered(until);
    let waiting = offered.saturating_sub(history.working + history.starting);
    let whole = offered.max(history.working + history.starting).as_secs_f64().max(1e-9);
    let parts = [
        ("working", history.working, "a process of a job existed"),
        ("starting", history.starting, "from the order to start to the news that the process exists"),
        ("waiting", waiting, "the slot was free: no job, held, or between two jobs"),
    ];
    page.push_str(
        "<section aria-labelledby=\"efficiency\"><h2 id=\"efficiency\">Efficiency of the slots</h2>\n",
    );
    page.push_str(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 1000 24\" role=\"img\" \
         aria-label=\"Shares of the slots' time; the table below has the numbers\">",
    );
    let mut x = 0.0;
    for (name, time, _) in parts {
        let width = time.as_secs_f64() / whole * 1000.0;
        put!(
            page,
            "<rect class=\"{name}\" x=\"{x:.2}\" y=\"2\" width=\"{width:.2}\" height=\"20\"><title>{name}</title></rect>"
        );
        x += width;
    }
    page.push_str(
        "</svg>\n<table><thead><tr><th scope=\"col\">time of the slots</th><th class=\"num\" scope=\"col\">sum</th>\
         <th class=\"num\" scope=\"col\">share</th><th scope=\"col\">meaning</th></tr></thead><tbody>\n",
    );
    for (name, time, meaning) in parts {
        put!(
            page,
            "<tr data-name=\"{name}\"><td><span class=\"key {name}\"></span>{name}</td><td class=\"num\">{}</td>\
             <td class=\"num\">{:.1}%</td><td class=\"soft\">{meaning}</td></tr>\n",
            seconds(time),
            time.as_secs_f64() / whole * 100.0
        );
    }
    page.push_str("</tbody></table>\n");
    let wall = until.as_secs_f64().max(1e-9);
    let cpu = history.user + history.system;
    put!(
        page,
        "<p class=\"note\">CPU time of the last tries: {} user, {} system; {:.2} CPUs on average. The start of a job \
         whose end came with the news of its start counts as working.</p>\n",
        seconds(history.user),
        seconds(history.system),
        cpu.as_secs_f64() / wall
    );
    for (reason, time) in &history.held {
        put!(page, "<p class=\"note\">Starts were held for {}: {reason}.</p>\n", seconds(*time));
    }
    page.push_str("</section>\n");
}

fn put_run(page: &mut String, facts: &ReportFacts<'_>, history: &History) {
    let exit = facts.end.exit.to_string();
    let slots = history.slots().to_string();
    let began = utc(facts.began_epoch);
    let retries = history.retries.to_string();
    let [out, err] = history.output_bytes.map(|bytes| format!("{bytes} bytes"));
    let rows: [(&str, &str); 11] = [
        ("run", facts.run),
        ("began", &began),
        ("directory", &facts.cwd),
        ("slots", &slots),
        ("containment", facts.contain),
        ("retries", &retries),
        ("stdout of the last tries", &out),
        ("stderr of the last tries", &err),
        ("joblog", facts.joblog.as_deref().unwrap_or("none")),
        ("exit status", &exit),
        ("psmith", env!("CARGO_PKG_VERSION")),
    ];
    page.push_str(
        "<section aria-labelledby=\"run\"><h2 id=\"run\">The run</h2>\n<table class=\"narrow\"><tbody>\n",
    );
    for (name, value) in rows {
        put!(page, "<tr><th scope=\"row\">{name}</th><td class=\"mono\">{}</td></tr>\n", EscapedText(value));
    }
    page.push_str("</tbody></table></section>\n");
}
