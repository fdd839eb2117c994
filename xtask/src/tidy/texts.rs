//! Rules on texts: the change log, and words that belong to one machine only.

use std::path::Path;

use super::Finding;

/// Paths that exist on one person's machine only, in pieces, so that this file passes its own check.
const FOREIGN: &[(&str, &str)] =
    &[("../", "shared"), ("/wo", "rk/"), ("/tmp/", "wt/"), ("file:///", "home/")];

/// Finds paths that mean nothing to a reader elsewhere.
pub(super) fn check_words(file: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (head, tail) in FOREIGN {
            let word = format!("{head}{tail}");
            let column = line.find(&word);
            // `network/`-like words and longer paths are not meant, only the path from the root.
            let longer = column.is_some_and(|at| {
                word.starts_with('/')
                    && line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-".contains(c))
            });
            if column.is_some() && !longer {
                findings.push(Finding::at(
                    file,
                    number,
                    format!("`{word}` exists on one machine only: say it without the path, or use a path of the repository"),
                ));
            }
        }
    }
    findings
}

/// Checks that the change log exists and has the version that is being built.
pub(super) fn check_changelog(text: Option<&str>, version: &str) -> Vec<Finding> {
    let cure = "one line per visible change, by kind: feature, speed, fix, breaking";
    match text {
        None => vec![Finding::error("CHANGELOG.md", format!("is missing: write it, {cure}"))],
        Some(text) if version.is_empty() || !text.contains(version) => {
            vec![Finding::error(
                "CHANGELOG.md",
                format!("does not mention version {version}: add its section, {cure}"),
            )]
        }
        Some(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_machine_are_found() {
        let bad = format!("see {}{}/notes", "../", "shared");
        assert_eq!(check_words(Path::new("a.md"), &bad).len(), 1);
        assert_eq!(check_words(Path::new("a.md"), &format!("in {}main", ["/wo", "rk/"].concat())).len(), 1);
        assert_eq!(check_words(Path::new("a.md"), "target/work/x, network/y, shared memory").len(), 0);
    }

    #[test]
    fn the_change_log_knows_the_version() {
        assert!(check_changelog(None, "0.1.0")[0].message.contains("is missing"));
        assert!(check_changelog(Some("# 0.0.9"), "0.1.0")[0].message.contains("0.1.0"));
        assert_eq!(check_changelog(Some("## 0.1.0\n"), "0.1.0"), []);
    }
}
