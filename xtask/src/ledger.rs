//! The ledger of skips: the tests that could not run here, and why. Cargo counts such a test as passed, so the ledger
//! holds the truth. It is written by the tests (one JSON object on each line, to the file named by
//! `PSMITH_TEST_LEDGER`) and only read here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The variable that holds the ledger's path for the tests.
pub(crate) const LEDGER_VARIABLE: &str = "PSMITH_TEST_LEDGER";

/// A skip.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub(crate) struct Skip {
    pub(crate) test: String,
    #[serde(default)]
    pub(crate) rows: Vec<String>,
    pub(crate) needs: String,
    pub(crate) why: String,
    /// True if the probe itself showed that the machine cannot: nothing that could be installed is missing.
    #[serde(default)]
    pub(crate) machine: bool,
    /// The pass of `cargo xtask test` in which it happened; set when the ledger is read.
    #[serde(default)]
    pub(crate) pass: String,
}

/// Reads the records of one pass. A line that is no record is itself an error: a torn ledger hides skips.
pub(crate) fn read(path: &Path, pass: &str) -> Result<Vec<Skip>, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("failed to read the ledger {}: {error}", path.display())),
    };
    parse(&text, pass)
}

fn parse(text: &str, pass: &str) -> Result<Vec<Skip>, String> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let mut skip: Skip = serde_json::from_str(line)
                .map_err(|error| format!("ledger line `{line}` is no record: {error}"))?;
            pass.clone_into(&mut skip.pass);
            Ok(skip)
        })
        .collect()
}

/// Prints every skip, grouped by what was missing, with counts.
pub(crate) fn print(skips: &[Skip]) {
    println!("\n== Skipped here ==");
    if skips.is_empty() {
        println!("nothing: every test ran in every pass");
        return;
    }
    let mut groups: BTreeMap<(&str, bool), Vec<&Skip>> = BTreeMap::new();
    for skip in skips {
        groups.entry((&skip.needs, skip.machine)).or_default().push(skip);
    }
    for ((needs, machine), group) in &groups {
        let excuse = if *machine { "this machine cannot" } else { "could be had" };
        println!("needs {needs} ({excuse}): {} skipped", group.len());
        for skip in group {
            println!("  {} [{}] in pass `{}`: {}", skip.test, skip.rows.join(", "), skip.pass, skip.why);
        }
    }
    println!("{} skipped in all", skips.len());
}

/// Returns the skips that a better prepared machine would not have: they fail with `CI=true`. A test that takes part in
/// several passes (`os_tests`) may leave some of them out, a forbidden level or a plain user's for instance, as long as
/// it ran in one of them.
pub(crate) fn unexcused<'s>(
    skips: &'s [Skip],
    passes_run: &'s [&str],
    os_tests: &'s BTreeSet<String>,
) -> impl Iterator<Item = &'s Skip> {
    let ran_elsewhere = move |skip: &Skip| {
        let name = skip.test.rsplit("::").next().unwrap_or(&skip.test);
        let left_out =
            |pass: &&str| skips.iter().any(|other| other.test == skip.test && other.pass == **pass);
        os_tests.contains(name) && !passes_run.iter().all(left_out)
    };
    skips.iter().filter(move |skip| !skip.machine && !ran_elsewhere(skip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_with_their_pass() {
        let text = "{\"test\":\"a\",\"rows\":[\"F-1\"],\"needs\":\"root\",\"why\":\"EPERM\",\"machine\":true}\n\n{\"test\":\"b\",\"needs\":\"tmux\",\"why\":\"not in PATH\"}\n";
        let skips = parse(text, "plain user").expect("two records");
        assert_eq!(skips.len(), 2);
        assert_eq!(skips[0].pass, "plain user");
        let none = BTreeSet::new();
        let passes = ["plain user"];
        assert_eq!(
            unexcused(&skips, &passes, &none).map(|skip| skip.test.as_str()).collect::<Vec<_>>(),
            ["b"]
        );
    }

    #[test]
    fn a_test_that_another_pass_ran_is_excused() {
        let line = "{\"test\":\"t\",\"needs\":\"cgroup\",\"why\":\"forbidden\"}\n";
        let mut skips = parse(line, "no cgroup").expect("a record");
        let passes = ["as found", "no cgroup"];
        let os_tests = BTreeSet::from(["t".to_owned()]);
        assert_eq!(unexcused(&skips, &passes, &os_tests).count(), 0);
        assert_eq!(unexcused(&skips, &passes, &BTreeSet::new()).count(), 1);
        skips.extend(parse(line, "as found").expect("a record"));
        assert_eq!(unexcused(&skips, &passes, &os_tests).count(), 2);
    }

    #[test]
    fn a_torn_line_is_an_error() {
        assert!(parse("{\"test\":\"a\"", "x").unwrap_err().contains("no record"));
    }
}
