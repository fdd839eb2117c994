//! The cost of observation by the web board, the report and the trace; and the time that a browser waits.

use std::process::Command;

use serde_json::Value;

use super::race::{self, Contender, Spread};
use super::report::Row;
use super::workshop::Workshop;
use crate::shell::{self, Result};

/// The longest time until a browser has its answer, whatever the number of jobs.
const RESPONSE_MS_MAX: f64 = 200.0;

/// Measures the half of S-11 that writes to no terminal: a run of short jobs with all observers, and without.
pub(super) fn observed(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-11w", "`/bin/true`, 2 slots, with web board, report and trace");
    let jobs = workshop.pick(1000, 300);
    let lines = workshop.numbers(jobs)?;
    let (psmith, lines) = (workshop.psmith.display(), lines.display());
    let dir = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
    let to = dir.path().display();
    let contenders = [
        Contender::new(
            "looked on",
            jobs,
            format!(
                "{psmith} run -j2 --web --report {to}/r.html --trace {to}/t.json /bin/true <{lines} 2>/dev/null"
            ),
        ),
        Contender::new("alone", jobs, format!("{psmith} run -j2 /bin/true <{lines}")),
    ];
    let times = race::race(&contenders, workshop.rounds * 3)?;
    row.at_most("time, of that without", race::ratio(&times[0], &times[1]), 1.05, "x", 2);
    row.times(&times);
    Ok(row)
}

/// Measures S-11: a run of short jobs on a terminal that is read, with its board and without.
pub(super) fn board(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-11", "`/bin/true`, 2 slots, on a terminal, with its board");
    // The board appears after half a second: the run is long enough for it to be there most of the time.
    let jobs = workshop.pick(6000, 2000);
    let lines = workshop.numbers(jobs)?;
    let (psmith, lines) = (workshop.psmith.display(), lines.display());
    // `script` makes the terminal and reads it.
    let on_terminal = |name, progress| {
        let line = format!("{psmith} run -j2 --progress {progress} --summary none /bin/true <{lines}");
        let line = format!("stty cols 100 rows 30; {line}");
        Contender::new(name, jobs, format!("env -u CI TERM=xterm script -qec '{line}' /dev/null"))
    };
    let contenders = [on_terminal("board", "board"), on_terminal("no board", "none")];
    let shown = shell::output(Command::new("sh").args(["-c", &contenders[0].line]))?;
    if !shown.contains(" running ") {
        return Err(format!("no board came to the terminal: {shown:?}"));
    }
    let times = race::race(&contenders, workshop.rounds * 3)?;
    row.at_most("time, of that without", race::ratio(&times[0], &times[1]), 1.05, "x", 2);
    let per_second = |seconds: &f64| 1.0 / seconds;
    let rates: Vec<f64> = times[0].seconds.iter().map(per_second).collect();
    row.figure("jobs with the board", Spread::of(&rates), "a second", 0);
    row.times(&times);
    Ok(row)
}

/// Measures the web board's list with 100,000 jobs: from the click to the painted page.
pub(super) fn web_list(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("W-1", "the web board's list with all jobs that it holds, in headless Chromium");
    let jobs = workshop.pick(100_000, 5_000);
    let mut bench = shell::cargo(["bench", "--package", "psmith-cli", "--bench", "web_list"]);
    let output = shell::output(bench.env("PSMITH_BENCH_JOBS", jobs.to_string()))?;
    let line = output.lines().rfind(|line| line.starts_with('{')).ok_or("the benchmark printed no line")?;
    let measured: Value = serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
    if let Some(missing) = measured["missing"].as_str() {
        return Err(format!("{missing} is not installed"));
    }
    for (what, key) in [("scroll", "scroll_ms"), ("search", "search_ms")] {
        let times: Vec<f64> =
            measured[key].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        row.at_most(what, Spread::of(&times), RESPONSE_MS_MAX, "ms", 0);
    }
    row.note(&format!("{} jobs", measured["jobs"]));
    Ok(row)
}
