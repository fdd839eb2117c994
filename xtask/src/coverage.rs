//! The table of promises, faults, security rows and rows of the library, and the tests that name them.
//!
//! A test names its rows in a comment above it: `// proves: F-11, proxy-is-typed`; an example of the documentation
//! names them in a comment of its own. The table shows how many tests name a row, and "not run here" if every one of
//! them was skipped, never a tick. It trusts the names: whether a test shows what it names is for its readers to judge.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::ledger::Skip;
use crate::passes;
use crate::promises;
use crate::shell::{self, Result};
use crate::source::Source;

const NOT_BUILT_YET: &str = "xtask/not-built-yet.txt";

/// A test and the rows that it names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Proof {
    pub(crate) test: String,
    pub(crate) file: PathBuf,
    pub(crate) rows: Vec<String>,
}

/// The table, ready to print or to fail on.
pub(crate) struct Table {
    lines: Vec<String>,
    pub(crate) problems: Vec<String>,
}

/// Runs `cargo xtask coverage`.
pub(crate) fn run() -> Result<()> {
    let table = table(&[], &["as found"])?;
    table.print();
    if table.problems.is_empty() { Ok(()) } else { Err(format!("{} rows want a test", table.problems.len())) }
}

/// Builds the table from the source tree, what was skipped, and the passes that ran.
pub(crate) fn table(skips: &[Skip], passes_run: &[&str]) -> Result<Table> {
    let proofs = collect()?;
    let waiting = parse_waiting(&shell::read(Path::new(NOT_BUILT_YET))?)?;
    Ok(build(&proofs, &waiting, skips, passes_run))
}

impl Table {
    /// Prints the rows, then their errors.
    pub(crate) fn print(&self) {
        println!("\n== Promises, faults, security rows and rows of the library named by tests ==");
        for line in &self.lines {
            println!("{line}");
        }
        for problem in &self.problems {
            println!("error: {problem}");
        }
    }
}

fn build(proofs: &[Proof], waiting: &BTreeMap<String, String>, skips: &[Skip], passes_run: &[&str]) -> Table {
    let known: BTreeSet<&str> = promises::rows().map(|row| row.code).collect();
    let mut table = Table { lines: Vec::new(), problems: Vec::new() };
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for promises::Row { code: row, slug, title } in promises::rows() {
        let naming: Vec<&Proof> = proofs.iter().filter(|proof| proof.rows.iter().any(|r| r == row)).collect();
        let ran = naming.iter().filter(|proof| ran_somewhere(proof, skips, passes_run)).count();
        let waits = waiting.get(row);
        let group = row.split('-').next().unwrap_or(row);
        let [tested, listed, open] = counts.entry(group).or_default();
        let verdict = match (naming.len(), ran, waits) {
            (0, _, Some(part)) => {
                *listed += 1;
                format!("not built yet: {part}")
            }
            (0, _, None) => {
                *open += 1;
                table.problems.push(format!(
                    "{row} ({title}) is named by no test: write `// proves: {}` above the test that shows it, or \
                     add the row with its reason to {NOT_BUILT_YET}",
                    slug.unwrap_or(row)
                ));
                "NO TEST".to_owned()
            }
            (named, 0, _) => format!("not run here ({named} skipped)"),
            (named, ran, waits) => {
                *tested += 1;
                let skipped =
                    if ran < named { format!(", {} not run here", named - ran) } else { String::new() };
                let half = waits.map(|part| format!("; still to come: {part}")).unwrap_or_default();
                format!("{ran} test{}{skipped}{half}", if ran == 1 { "" } else { "s" })
            }
        };
        let title = slug.map_or_else(|| title.to_owned(), |slug| format!("{slug}: {title}"));
        table.lines.push(format!("{row:<19} {verdict:<28} {title}"));
    }
    for (group, [tested, listed, open]) in counts {
        let all = promises::rows().filter(|row| row.code.split('-').next() == Some(group)).count();
        table.lines.push(format!(
            "{group}: {tested} of {all} tested here, {listed} not built yet, {open} without a test"
        ));
    }
    for proof in proofs {
        for row in proof.rows.iter().filter(|row| !known.contains(row.as_str())) {
            table.problems.push(format!(
                "{}: test {} names {row}, which is no row: see xtask/src/promises.rs (a row with letters is named \
                 with its letter)",
                proof.file.display(),
                proof.test
            ));
        }
    }
    for row in waiting.keys().filter(|row| !known.contains(row.as_str())) {
        table.problems.push(format!("{NOT_BUILT_YET}: {row} is no row: delete the line"));
    }
    table
}

/// Returns whether a test ran: one of the passes that it takes part in left no record of a skip.
fn ran_somewhere(proof: &Proof, skips: &[Skip], passes_run: &[&str]) -> bool {
    let stem = proof.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_of = |skip: &Skip| {
        skip.test == proof.test || skip.test.ends_with(&format!("::{}", proof.test)) || skip.test == stem
    };
    passes_run
        .iter()
        .filter(|pass| **pass == passes::AS_FOUND || passes::is_os_test(&proof.file))
        .any(|pass| !skips.iter().any(|skip| skip.pass == **pass && is_of(skip)))
}

/// Collects every test of the workspace with the rows that it names.
pub(crate) fn collect() -> Result<Vec<Proof>> {
    let mut proofs = Vec::new();
    for file in shell::tracked_files()? {
        let is_rust = file.extension().is_some_and(|extension| extension == "rs");
        if is_rust && file.starts_with("crates") {
            proofs.extend(proofs_of(&file, &shell::read(&file)?));
        }
    }
    Ok(proofs)
}

fn proofs_of(file: &Path, text: &str) -> Vec<Proof> {
    let source = Source::new(text);
    let named = |test: &crate::source::TestFunction| {
        let mut comment = source.comment_at(test.attribute);
        for line in test.attribute..=test.first {
            comment.push('\n');
            comment.push_str(&source.comments[line]);
        }
        let rows = rows_in(&comment);
        (!rows.is_empty()).then(|| Proof { test: test.name.clone(), file: file.to_owned(), rows })
    };
    let tests = source.tests();
    let examples = source.comments.iter().enumerate().filter_map(|(number, comment)| {
        let inner = comment.trim().strip_prefix("///")?.trim_start_matches([' ', '#']);
        let rows = if inner.starts_with("// proves:") { rows_in(inner) } else { return None };
        Some(Proof { test: format!("the example at line {}", number + 1), file: file.to_owned(), rows })
    });
    tests.iter().filter_map(named).chain(examples).collect()
}

/// Returns the rows behind each `proves:` of a comment, up to the first word that is no row.
fn rows_in(comment: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for (_, rest) in comment.lines().filter_map(|line| line.split_once("proves:")) {
        for word in rest.split([',', ' ']).filter(|word| !word.is_empty()) {
            let word = word.trim_end_matches(['.', ';', ':']);
            let Some(word) = promises::named(word) else { break };
            if !rows.iter().any(|row| row == word) {
                rows.push(word.to_owned());
            }
        }
    }
    rows
}

fn parse_waiting(text: &str) -> Result<BTreeMap<String, String>> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            line.split_once(char::is_whitespace)
                .map(|(row, part)| (row.to_owned(), part.trim().to_owned()))
                .ok_or_else(|| {
                    format!(
                        "{NOT_BUILT_YET}: `{line}` gives no reason: write the row, then what it waits for"
                    )
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(test: &str, pass: &str) -> Skip {
        Skip {
            test: test.into(),
            rows: Vec::new(),
            needs: "root".into(),
            why: "EPERM".into(),
            machine: true,
            pass: pass.into(),
        }
    }

    fn proof(row: &str) -> Proof {
        Proof { test: "t".into(), file: "crates/psmith-cli/tests/t_file.rs".into(), rows: vec![row.into()] }
    }

    fn line(table: &Table, row: &str) -> String {
        table
            .lines
            .iter()
            .find(|line| line.starts_with(&format!("{row} ")))
            .expect("a line for the row")
            .clone()
    }

    #[test]
    fn rows_are_read_from_the_comment_above_a_test() {
        let text = "/// Tells why.\n// proves: F-11, P-3, proxy-is-typed (at level sweep)\n#[test]\nfn holder() {\n}\n#[test]\nfn other() {}\n";
        let proofs = proofs_of(Path::new("crates/x/tests/a.rs"), text);
        assert_eq!(proofs.len(), 1);
        assert_eq!(proofs[0].rows, ["F-11", "P-3", "O-36"]);
    }

    #[test]
    fn rows_are_read_from_within_an_example_and_not_from_other_comments() {
        let text = "/// Text.\n///\n/// ```compile_fail\n/// // proves: U-29\n/// f();\n/// ```\nstruct A; // proves: U-1\n";
        let proofs = proofs_of(Path::new("crates/x/src/a.rs"), text);
        assert_eq!(proofs.len(), 1);
        assert_eq!(proofs[0].rows, ["U-29"]);
    }

    #[test]
    fn a_row_without_test_or_reason_is_a_problem() {
        let waiting = BTreeMap::from([("F-2".to_owned(), "later".to_owned())]);
        let table = build(&[proof("F-1")], &waiting, &[], &["as found"]);
        assert!(line(&table, "F-1").contains("1 test"));
        assert!(line(&table, "F-2").contains("not built yet: later"));
        assert!(line(&table, "F-3").contains("NO TEST"));
        assert!(
            !table.problems.iter().any(|problem| problem.starts_with("F-1 ") || problem.starts_with("F-2 "))
        );
        assert!(table.problems.iter().any(|problem| problem.starts_with("F-3 ")));
    }

    #[test]
    fn a_test_skipped_in_every_pass_is_not_run_here() {
        let none = BTreeMap::new();
        let both = [skip("t", "as found"), skip("t", "plain user")];
        let table = build(&[proof("F-1")], &none, &both, &["as found", "plain user"]);
        assert!(line(&table, "F-1").contains("not run here"));
        let table = build(&[proof("F-1")], &none, &both[..1], &["as found", "plain user"]);
        assert!(line(&table, "F-1").contains("1 test"));
    }

    #[test]
    fn a_number_with_letters_wants_its_letter() {
        let table = build(&[proof("F-37")], &BTreeMap::new(), &[], &["as found"]);
        assert!(table.problems.iter().any(|problem| problem.contains("names F-37, which is no row")));
    }
}
