//! The table: printed, and written as Markdown and JSON. Knows no benchmark.

use std::fmt::Write as _;

use serde::Serialize;

use super::race::{Spread, Times};
use super::workshop::Workshop;
use crate::shell::{self, Result};

/// A benchmark with all that it measured.
#[derive(Serialize)]
pub(super) struct Row {
    id: String,
    title: String,
    measures: Vec<Measure>,
    /// The commands that ran, by name, as lines for `sh`.
    lines: Vec<(String, String)>,
    notes: Vec<String>,
    /// The reasons why a target may be out of reach: published if it is missed.
    arguments: Vec<String>,
}

/// A claim: the measured value, its target, and whether it was reached.
#[derive(Serialize)]
struct Measure {
    what: String,
    value: String,
    target: String,
    /// Whether the target was reached; none without a target.
    met: Option<bool>,
    median: f64,
    min: f64,
    max: f64,
}

impl Row {
    /// Makes an empty row.
    pub(super) fn new(id: &str, title: &str) -> Self {
        Self {
            id: id.into(),
            title: title.into(),
            measures: Vec::new(),
            lines: Vec::new(),
            notes: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// Makes a row for a benchmark that could not be measured, with the reason.
    pub(super) fn failed(id: &str, error: &str) -> Self {
        let mut row = Self::new(id, "not measured");
        row.note(&format!("could not run: {error}"));
        row
    }

    /// Adds a claim with a target: reached if the median is at most `limit`.
    pub(super) fn at_most(&mut self, what: &str, value: Spread, limit: f64, unit: &str, digits: usize) {
        self.claim(what, value, format!("at most {limit} {unit}"), Some(value.median <= limit), unit, digits);
    }

    /// Adds a claim with a target: reached if the median is at least `limit`.
    pub(super) fn at_least(&mut self, what: &str, value: Spread, limit: f64, unit: &str, digits: usize) {
        self.claim(
            what,
            value,
            format!("at least {limit} {unit}"),
            Some(value.median >= limit),
            unit,
            digits,
        );
    }

    /// Adds a figure without a target.
    pub(super) fn figure(&mut self, what: &str, value: Spread, unit: &str, digits: usize) {
        self.claim(what, value, String::new(), None, unit, digits);
    }

    /// Adds the time of each contender for a job, in microseconds, and the lines that ran.
    pub(super) fn times(&mut self, all: &[Times]) {
        for times in all {
            self.figure(&format!("{}, each", times.name), Spread::of(&times.seconds).times(1e6), "us", 0);
            self.line(&times.name, &times.line);
        }
    }

    /// Adds a command that ran.
    pub(super) fn line(&mut self, name: &str, line: &str) {
        self.lines.push((name.into(), line.into()));
    }

    /// Adds a sentence below the table.
    pub(super) fn note(&mut self, text: &str) {
        self.notes.push(text.into());
    }

    /// Adds the argument that is published if a target of this row is missed.
    pub(super) fn argue(&mut self, text: &str) {
        self.arguments.push(text.into());
    }

    fn missed(&self) -> impl Iterator<Item = &Measure> {
        self.measures.iter().filter(|measure| measure.met == Some(false))
    }

    fn claim(
        &mut self,
        what: &str,
        value: Spread,
        target: String,
        met: Option<bool>,
        unit: &str,
        digits: usize,
    ) {
        let Spread { median, min, max } = value;
        let shown = if min == max { format!("{median:.digits$}") } else { value.shown(1.0, digits) };
        self.measures.push(Measure {
            what: what.into(),
            value: format!("{shown} {unit}"),
            target,
            met,
            median,
            min,
            max,
        });
    }
}

impl Spread {
    fn times(self, factor: f64) -> Self {
        Self { median: self.median * factor, min: self.min * factor, max: self.max * factor }
    }
}

/// All rows of a sitting, and the machine on which it ran.
#[derive(Serialize)]
pub(super) struct Report {
    machine: String,
    psmith: String,
    rounds: usize,
    quick: bool,
    missing_peers: Vec<String>,
    rows: Vec<Row>,
    #[serde(skip)]
    workshop_paths: Vec<(String, &'static str)>,
}

impl Report {
    /// Makes an empty report about this machine.
    pub(super) fn new(workshop: &Workshop) -> Self {
        Self {
            machine: machine(),
            psmith: workshop.version(),
            rounds: workshop.rounds,
            quick: workshop.quick,
            missing_peers: workshop.missing_peers.clone(),
            rows: Vec::new(),
            workshop_paths: workshop.short_names(),
        }
    }

    /// Adds a finished row.
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Returns the table, in Markdown, which reads well on a terminal too.
    pub(super) fn table(&self) -> String {
        let mut cells = vec![["#", "what", "measured", "target", ""].map(str::to_owned)];
        for row in &self.rows {
            cells.push([
                row.id.clone(),
                format!("**{}**", row.title),
                String::new(),
                String::new(),
                String::new(),
            ]);
            for measure in &row.measures {
                let verdict = match measure.met {
                    Some(true) => "met",
                    Some(false) => "MISSED",
                    None => "",
                };
                let what = measure.what.clone();
                cells.push([
                    String::new(),
                    what,
                    measure.value.clone(),
                    measure.target.clone(),
                    verdict.to_owned(),
                ]);
            }
        }
        let width = |column: usize| cells.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 5] = std::array::from_fn(width);
        let mut text = String::new();
        for (number, line) in cells.iter().enumerate() {
            for (cell, width) in line.iter().zip(widths) {
                let _ = write!(text, "| {cell:width$} ");
            }
            text.push_str("|\n");
            if number == 0 {
                for width in widths {
                    let _ = write!(text, "|{}", "-".repeat(width + 2));
                }
                text.push_str("|\n");
            }
        }
        text
    }

    /// Returns the missed targets, with the arguments, and the notes on the rows; as Markdown.
    pub(super) fn remarks(&self) -> String {
        let mut text = String::new();
        for row in self.rows.iter().filter(|row| row.missed().next().is_some()) {
            for measure in row.missed() {
                let Measure { what, value, target, .. } = measure;
                let _ = writeln!(text, "- {} missed, {what}: {value}, wanted {target}.", row.id);
            }
            if row.arguments.is_empty() {
                text.push_str("  Not explained yet.\n");
            }
            for argument in &row.arguments {
                let _ = writeln!(text, "  The reason: {argument}.");
            }
        }
        for row in &self.rows {
            for note in &row.notes {
                let _ = writeln!(text, "- {}: {note}.", row.id);
            }
        }
        for missing in &self.missing_peers {
            let _ = writeln!(text, "- Not compared with {missing}.");
        }
        text
    }

    /// Writes the Markdown and the JSON. An incomplete sitting leaves the published page alone.
    pub(super) fn save(&self, whole: bool) -> Result<()> {
        let root = shell::root();
        let json =
            serde_json::to_string_pretty(self).map_err(|error| format!("failed to write JSON: {error}"))?;
        shell::write(&root.join("target/compare.json"), json)?;
        shell::write(&root.join(Self::page(whole)), self.markdown())
    }

    /// Returns the last line of the output.
    pub(super) fn saved_where(&self, whole: bool) -> String {
        format!("written: {} and target/compare.json", Self::page(whole))
    }

    fn page(whole: bool) -> &'static str {
        if whole { "docs/benchmarks.md" } else { "target/compare.md" }
    }

    fn markdown(&self) -> String {
        let mut text = String::from("<!-- Written by `cargo xtask compare`. -->\n# Benchmarks\n\n");
        let pace = if self.quick { "A quick sitting: small counts, rough figures. " } else { "" };
        let _ = write!(
            text,
            "psmith beside the least that the kernel needs for the same work (small programs in C, `bench/floors`) and \
             beside other programs and libraries that do it. One command repeats all of it, installs the others where \
             it can, and writes this page:\n\n```sh\ncargo xtask compare\n```\n\n\
             {pace}Machine: {}. Measured: {}.\n\n\
             Times differ from machine to machine and from minute to minute, so every claim is a ratio of two commands \
             that ran in turn (A B B A A B ..) in one sitting: the median of {} rounds, of three to five times as many \
             where a round is short, with the least and the greatest in parentheses; each ratio is taken between \
             neighbours in time, after a round that only warms up. Times of one command stand there for orientation and \
             have no target. \"met\" and \"MISSED\" are said of the median.\n\n{}\n",
            self.machine,
            self.psmith,
            self.rounds,
            self.table()
        );
        let remarks = self.remarks();
        if !remarks.is_empty() {
            let _ = write!(text, "## What is missed, and remarks\n\n{remarks}\n");
        }
        text.push_str(
            "## What ran\n\nEach line is for `sh`; stdout went to `/dev/null` unless the line says otherwise.\n",
        );
        for row in self.rows.iter().filter(|row| !row.lines.is_empty()) {
            let _ = write!(text, "\n**{}**\n\n```\n", row.id);
            for (name, line) in &row.lines {
                let line = self
                    .workshop_paths
                    .iter()
                    .fold(line.clone(), |line, (path, short)| line.replace(path, short));
                let _ = writeln!(text, "# {name}\n{line}");
            }
            text.push_str("```\n");
        }
        text
    }
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let model = model.trim_start_matches(['\t', ' ', ':']).trim();
    let model = if model.is_empty() { "unnamed processor" } else { model };
    let memory = read("/proc/meminfo");
    let kib: u64 = memory.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!(
        "Linux {}, {cpus} CPUs ({model}), {:.0} GiB of memory, load {load} at the start",
        kernel.trim(),
        kib as f64 / f64::from(1 << 20)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_said_aloud() {
        let mut row = Row::new("S-1", "start");
        row.at_most("of the floor", Spread::of(&[1.5, 1.4, 1.6]), 1.25, "x", 2);
        row.argue("it does more");
        row.at_least("of the peer", Spread::of(&[6.0]), 5.0, "x", 1);
        let report = Report {
            machine: String::new(),
            psmith: String::new(),
            rounds: 5,
            quick: false,
            missing_peers: vec!["rust-parallel: cargo install rust-parallel".into()],
            rows: vec![row],
            workshop_paths: Vec::new(),
        };
        let (table, remarks) = (report.table(), report.remarks());
        assert!(table.contains("1.50 (1.40 to 1.60) x"), "{table}");
        assert!(table.contains("at most 1.25 x") && table.contains("MISSED"), "{table}");
        assert!(table.contains("6.0 x") && table.contains("| met"), "{table}");
        assert!(remarks.contains("Not compared with rust-parallel"), "{remarks}");
        assert!(remarks.contains("S-1 missed, of the floor: 1.50 (1.40 to 1.60) x"), "{remarks}");
        assert!(remarks.contains("The reason: it does more."), "{remarks}");
        assert!(!remarks.contains("of the peer"), "{remarks}");
    }
}
