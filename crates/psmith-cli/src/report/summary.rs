//! Text at the end of a run: counts, the first failures with their last lines, and how to go on.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use psmith_core::policy::Leak;
use psmith_engine::ResourceLimits;

use super::display::{columns_of, visible, visible_path};
use super::duration::{asked_for, measured, size};
use super::tally::Tally;

/// The greatest width of the column of causes, so that one long cause does not widen it.
const CAUSE_COLUMNS_MAX: usize = 44;
/// The time below which a job is never listed as slow.
const SLOWEST_MIN: Duration = Duration::from_secs(1);

/// The choice of the summary's form (`--summary`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SummaryMode {
    /// Text, if there is something to report.
    #[default]
    Auto,
    /// Text.
    Text,
    /// The `run_end` object of the events.
    Json,
    /// No summary.
    None,
}

/// The form of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SummaryForm {
    /// [`text`].
    Text,
    /// The `run_end` object.
    Json,
}

/// Facts that the summary shows besides the counts.
#[derive(Clone, Copy, Debug)]
pub struct SummaryFacts<'a> {
    /// The time that the run took.
    pub wall: Duration,
    /// The joblog, if there is one.
    pub joblog: Option<&'a Path>,
    /// The part that was resumed, if any.
    pub resumed: Option<Resumed>,
    /// The treatment of descendants that outlive their job.
    pub leak: Leak,
    /// Further notes, a line each: a limit enforced by a weaker means than requested.
    pub notes: &'a [String],
    /// The width of the terminal, or the default.
    pub columns: usize,
}

/// The jobs that a resumed run found done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Jobs that were skipped, because they have a row.
    pub skipped: u64,
    /// Rows that matched no job.
    pub unmatched: u64,
}

/// Returns the form of this run's summary, if there is one. `quiet` suppresses it unless it was requested.
#[must_use]
pub fn form(mode: SummaryMode, tally: &Tally, board_was_up: bool, quiet: bool) -> Option<SummaryForm> {
    let to_tell = tally.failed() + tally.leaked() + tally.left() + tally.cancelled() > 0 || board_was_up;
    match mode {
        SummaryMode::Text => Some(SummaryForm::Text),
        SummaryMode::Json => Some(SummaryForm::Json),
        SummaryMode::Auto if to_tell && !quiet => Some(SummaryForm::Text),
        SummaryMode::Auto | SummaryMode::None => None,
    }
}

/// Returns the summary, several lines, each with its newline.
#[must_use]
pub fn text(tally: &Tally, facts: &SummaryFacts<'_>) -> String {
    let mut out = head(tally, facts.wall);
    failures(&mut out, tally, facts.columns);
    named(&mut out, tally, facts.leak);
    for note in facts.notes {
        line(&mut out, format_args!("  {}", visible(note.as_bytes(), usize::MAX / 2)));
    }
    if let Some(resumed) = facts.resumed {
        resume_counts(&mut out, resumed);
    }
    if let Some(joblog) = facts.joblog {
        let flag = match (tally.failed(), tally.left() + tally.cancelled()) {
            (0, 0) => return out,
            (0, _) => "--resume",
            _ => "--resume-failed",
        };
        let joblog = visible_path(joblog);
        line(&mut out, format_args!("  resume: add {flag} to the same command (joblog {joblog})"));
    }
    out
}

/// Returns a note on the limits for jobs that ended by themselves while a limit was in force: the kernel does not
/// always report which exit is due to a limit.
#[must_use]
pub fn limits_in_force(limits: &ResourceLimits) -> Option<String> {
    let bytes = |name: &str, limit: Option<u64>| limit.map(|limit| format!("{name} {}", size(limit)));
    let number = |name: &str, limit: Option<u64>| limit.map(|limit| format!("{name} {limit}"));
    let all = [
        bytes("--mem", limits.memory_bytes),
        limits.cpu_time.map(|limit| format!("--cpu-time {}", asked_for(limit))),
        bytes("--fsize", limits.file_size_bytes),
        number("--nofile", limits.open_files),
        number("--pids", limits.processes),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| format!("limits in force: {}", all.join(", ")))
}

/// Returns the failures so far, in the summary's form; one line if there are none.
#[must_use]
pub fn failures_so_far(tally: &Tally, columns: usize) -> String {
    let mut out = format!("psmith: {} failed so far\n", tally.failed());
    failures(&mut out, tally, columns);
    out
}

fn head(tally: &Tally, wall: Duration) -> String {
    let jobs = tally.jobs();
    let ending = if jobs == 1 { "" } else { "s" };
    let mut out = format!("psmith: {jobs} job{ending} in {}: {} ok", measured(wall), tally.ok());
    for (count, word) in
        [(tally.failed(), "failed"), (tally.cancelled(), "cancelled"), (tally.left(), "left")]
    {
        if count > 0 {
            let _ = write!(out, ", {count} {word}");
        }
    }
    let mut mark = ';';
    for (count, word) in [(tally.flaky(), "flaky"), (tally.leaked(), "leaked")] {
        if count > 0 {
            let _ = write!(out, "{mark} {count} {word}");
            mark = ',';
        }
    }
    out.push('\n');
    out
}

fn failures(out: &mut String, tally: &Tally, columns: usize) {
    let number = |job: u64| format!("#{job}");
    let number_columns = tally.failures.iter().map(|job| number(job.job).len()).max().unwrap_or(0);
    let cause_columns =
        tally.failures.iter().map(|job| columns_of(&job.cause)).filter(|c| *c <= CAUSE_COLUMNS_MAX).max();
    for job in &tally.failures {
        let padding = cause_columns.unwrap_or(0).saturating_sub(columns_of(&job.cause));
        let text =
            format!("  {:number_columns$}  {}{:padding$}   {}", number(job.job), job.cause, "", job.command);
        line(out, format_args!("{}", visible(text.as_bytes(), columns)));
        for said in &job.stderr {
            let text = format!("  {:number_columns$}  | {said}", "");
            line(out, format_args!("{}", visible(text.as_bytes(), columns)));
        }
    }
    let shown = tally.failures.len() as u64;
    if tally.failed() > shown {
        line(out, format_args!("  and {} more", tally.failed() - shown));
    }
}

/// Appends flaky, leaked and slowest jobs, on one line.
fn named(out: &mut String, tally: &Tally, leak: Leak) {
    let mut parts = Vec::new();
    if tally.flaky() > 0 {
        let jobs = tally.flaky_jobs.iter().map(|job| format!("#{job}")).collect();
        parts.push(format!("flaky: {}", list(jobs, " ", tally.flaky())));
    }
    if tally.leaked() > 0 {
        let fate = if leak == Leak::Allow { "left until the end" } else { "killed" };
        let jobs = tally.leaked_jobs.iter().map(|(job, count)| {
            format!("#{job} ({count} process{} {fate})", if *count == 1 { "" } else { "es" })
        });
        parts.push(format!("leaked: {}", list(jobs.collect(), " ", tally.leaked())));
    }
    let slowest: Vec<String> = tally
        .slowest
        .iter()
        .filter(|(wall, _)| *wall >= SLOWEST_MIN)
        .map(|(wall, job)| format!("#{job} {}", measured(*wall)))
        .collect();
    if !slowest.is_empty() && tally.jobs() > 1 {
        parts.push(format!("slowest: {}", slowest.join(", ")));
    }
    if !parts.is_empty() {
        line(out, format_args!("  {}", parts.join("   ")));
    }
}

fn list(items: Vec<String>, between: &str, count: u64) -> String {
    let more = count - items.len() as u64;
    let text = items.join(between);
    if more > 0 { format!("{text} and {more} more") } else { text }
}

fn resume_counts(out: &mut String, resumed: Resumed) {
    let counted = |count: u64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    if resumed.unmatched > 0 {
        line(
            out,
            format_args!(
                "  resumed: {} done before, {} of the joblog matched no job",
                counted(resumed.skipped, "job"),
                counted(resumed.unmatched, "row")
            ),
        );
    } else if resumed.skipped > 0 {
        line(out, format_args!("  resumed: {} done before", counted(resumed.skipped, "job")));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
