//! Files that the documents name: each is there. A document leads its reader to the code only if it does.

use std::path::{Path, PathBuf};

use super::Finding;

/// The documents that name files, by the way they begin.
const DOCUMENTS: &[&str] = &["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "docs/design/"];

/// The endings of files that are meant as paths when they stand in backticks.
const ENDINGS: &[&str] = &[".rs", ".c", ".md", ".py", ".toml", ".txt"];

/// Checks one file against all files of the tree. A path may leave out `crates/`, `src/`, or what the sentence before it
/// has named: it must be the end of some file's path.
pub(super) fn check(file: &Path, text: &str, files: &[PathBuf]) -> Vec<Finding> {
    let name = file.to_string_lossy();
    if !DOCUMENTS.iter().any(|document| name.starts_with(document)) || !name.ends_with(".md") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        // Every other piece stands in backticks.
        for path in line.split('`').skip(1).step_by(2).filter(|word| is_path(word)) {
            if !files.iter().any(|known| names(path, known)) {
                findings.push(Finding::at(
                    file,
                    number,
                    format!("`{path}` is no file of this tree: name the file that it became"),
                ));
            }
        }
    }
    findings
}

fn is_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    ENDINGS.iter().any(|ending| word.ends_with(ending) && word.len() > ending.len())
        && word.chars().all(plain)
        && !word.starts_with('/')
}

/// Whether these are the last parts of that file's path, `src` left out or not.
fn names(path: &str, file: &Path) -> bool {
    let parts = |path: &Path| -> Vec<String> {
        let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
        parts.filter(|part| part != "src").collect()
    };
    parts(file).ends_with(&parts(Path::new(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        let files = ["crates/psmith-core/src/event.rs", "docs/design/web.md"].map(PathBuf::from);
        check(Path::new("ARCHITECTURE.md"), text, &files).len()
    }

    #[test]
    fn a_file_may_be_named_by_the_end_of_its_path() {
        assert_eq!(
            findings("`psmith-core/src/event.rs`, `psmith-core/event.rs`, `event.rs`, `design/web.md`"),
            0
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_found() {
        assert_eq!(findings("see `psmith-core/src/evnt.rs` and `core/src/event.rs`"), 2);
        // Words that are no paths.
        assert_eq!(findings("`.rs`, `cargo fmt --check x.rs`, event.txt, `a.b`"), 0);
    }

    #[test]
    fn only_documents_are_read() {
        assert_eq!(check(Path::new("CHANGELOG.md"), "`gone.rs`", &[]), []);
    }
}
