//! Metrics of a run in Prometheus' text format, version 0.0.4.

use crate::html::put;
use crate::web::state::WebState;

/// Returns all metrics. Their names are stable; more may be added.
pub(super) fn text(state: &WebState) -> String {
    let history = &state.history;
    let mut out = String::new();
    family(&mut out, "psmith_jobs_total", "counter", "Jobs that have ended, by status.");
    for (status, count) in
        [("ok", history.ok), ("failed", history.failed_count), ("cancelled", history.cancelled)]
    {
        put!(out, "psmith_jobs_total{{status=\"{status}\"}} {count}\n");
    }
    family(&mut out, "psmith_job_failures_total", "counter", "Failed jobs, by cause.");
    for (cause, count) in &history.causes {
        put!(out, "psmith_job_failures_total{{cause=\"{}\"}} {count}\n", label(cause));
    }
    let counters = [
        ("psmith_jobs_flaky_total", "Jobs that succeeded at a later try.", state.flaky),
        ("psmith_attempts_total", "Attempts that have ended.", history.attempts),
        ("psmith_retries_total", "Attempts that failed and were followed by another.", history.retries),
    ];
    for (name, help, count) in counters {
        family(&mut out, name, "counter", help);
        put!(out, "{name} {count}\n");
    }
    family(&mut out, "psmith_output_bytes_total", "counter", "What the last tries of ended jobs wrote.");
    for (stream, count) in ["stdout", "stderr"].iter().zip(history.output_bytes) {
        put!(out, "psmith_output_bytes_total{{stream=\"{stream}\"}} {count}\n");
    }
    let largest = history.largest.jobs().next().map_or(0, |job| job.rss_bytes);
    let mut gauges = vec![
        ("psmith_jobs_running", "Jobs that have a process.", state.live.len() as f64),
        ("psmith_slots", "Slots.", f64::from(history.slots())),
        ("psmith_held", "1 while starts are held.", f64::from(u8::from(state.held.is_some()))),
        ("psmith_run_seconds", "How long the run has lasted.", state.now().as_secs_f64()),
        ("psmith_job_memory_peak_bytes", "Peak memory of the largest job so far.", largest as f64),
    ];
    if let Some(total) = state.total {
        gauges.push(("psmith_jobs_expected", "Jobs that there will be.", total as f64));
    }
    for (name, help, value) in gauges {
        family(&mut out, name, "gauge", help);
        put!(out, "{name} {value}\n");
    }
    family(&mut out, "psmith_slot_seconds_total", "counter", "Time of the slots, by what it went into.");
    for (what, time) in [("working", history.working), ("starting", history.starting)] {
        put!(out, "psmith_slot_seconds_total{{what=\"{what}\"}} {}\n", time.as_secs_f64());
    }
    family(&mut out, "psmith_job_seconds", "histogram", "Durations of the last tries of ended jobs.");
    let mut below = 0;
    for bucket in history.durations.all() {
        below += bucket.count;
        let bound = bucket.to.map_or("+Inf".to_owned(), |to| to.as_secs_f64().to_string());
        put!(out, "psmith_job_seconds_bucket{{le=\"{bound}\"}} {below}\n");
    }
    put!(out, "psmith_job_seconds_sum {}\n", history.durations.sum().as_secs_f64());
    put!(out, "psmith_job_seconds_count {}\n", history.durations.count());
    out
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    put!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
