//! Rules on one Rust file at a time.

use std::path::Path;

use super::Finding;
use crate::source::Source;

/// The only crate that may be unsafe: rustc refuses it in the others, as long as none of them lifts the lint.
const UNSAFE_HOME: &str = "crates/psmith-sys";

/// Crates whose sources print nothing: only the command writes text.
const LIBRARIES: &[&str] = &[
    "crates/psmith-core/src",
    "crates/psmith-sys/src",
    "crates/psmith-engine/src",
    "crates/psmith-board/src",
    "crates/psmith-report/src",
    "crates/psmith-store/src",
    "crates/psmith/src",
];

const PRINTING: &[&str] = &["println!(", "print!(", "eprintln!(", "eprint!("];

const LINES_MAX: usize = 600;

/// Checks one file.
pub(super) fn check(file: &Path, text: &str, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    length(file, text, &mut findings);
    header(file, text, &mut findings);
    lifted_unsafe(file, source, &mut findings);
    printing(file, source, &mut findings);
    ignored(file, source, &mut findings);
    sleeping(file, source, &mut findings);
    leaving_early(file, source, &mut findings);
    findings
}

/// Returns whether a file is a test: there, and below `#[cfg(test)]`, the rules for tests apply.
pub(super) fn is_test_file(file: &Path) -> bool {
    let in_tests = file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "benches");
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    in_tests || stem == "tests" || stem.ends_with("_tests") || stem.ends_with("_test")
}

fn length(file: &Path, text: &str, findings: &mut Vec<Finding>) {
    let lines = text.lines().count();
    if lines > LINES_MAX {
        findings.push(Finding::error(
            file.display().to_string(),
            format!(
                "has {lines} lines, more than {LINES_MAX}: cut it by noun, tests into a file of their own"
            ),
        ));
    }
}

fn header(file: &Path, text: &str, findings: &mut Vec<Finding>) {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
    if !first.is_some_and(|line| line.starts_with("//")) {
        findings.push(Finding::at(
            file,
            0,
            "has no header: begin with `//!` and name the file's duty, and what it never does",
        ));
    }
}

fn lifted_unsafe(file: &Path, source: &Source, findings: &mut Vec<Finding>) {
    if file.starts_with(UNSAFE_HOME) {
        return;
    }
    let lifts = |line: &str| ["allow(", "expect(", "warn("].iter().any(|lift| line.contains(lift));
    for (line, _) in source.words("unsafe_code").filter(|(line, _)| lifts(&source.code[*line])) {
        findings.push(Finding::at(
            file,
            line,
            format!(
                "lifts `unsafe_code` outside {UNSAFE_HOME}: put the system call there, behind a safe function"
            ),
        ));
    }
}

fn printing(file: &Path, source: &Source, findings: &mut Vec<Finding>) {
    if !LIBRARIES.iter().any(|library| file.starts_with(library)) || is_test_file(file) {
        return;
    }
    let library_ends = source.test_module_start();
    for word in PRINTING {
        for (line, _) in source.words(word).filter(|(line, _)| *line < library_ends) {
            findings.push(Finding::at(
                file,
                line,
                format!(
                    "`{word}..)` in a library: return the text, or make it an event that the caller can show"
                ),
            ));
        }
    }
}

fn ignored(file: &Path, source: &Source, findings: &mut Vec<Finding>) {
    for (line, _) in source.words("ignore") {
        let code: String = source.code[line].split_whitespace().collect();
        if code.contains("#[ignore") {
            findings.push(Finding::at(
                file,
                line,
                "an ignored test proves nothing: ask for what it needs with `need(..)`, which puts the skip on record",
            ));
        }
    }
}

fn sleeping(file: &Path, source: &Source, findings: &mut Vec<Finding>) {
    let from = if is_test_file(file) { 0 } else { source.test_module_start() };
    for (line, _) in source.words("sleep(").filter(|(line, _)| *line >= from) {
        let start = source.statement_start(line);
        if !(start..=line).any(|line| source.comment_at(line).contains("sleep:")) {
            findings.push(Finding::at(
                file,
                line,
                "a test that sleeps: wait for a readiness byte instead, or say above it in `// sleep: ..` why there \
                 is no signal to wait for",
            ));
        }
    }
}

/// Finds a test that returns before its end and may prove nothing. Only `need` may end it early.
fn leaving_early(file: &Path, source: &Source, findings: &mut Vec<Finding>) {
    for test in source.tests() {
        for line in test.first..=test.last {
            let code = &source.code[line];
            let leaves = code.contains("return;") || code.contains("return Ok(())");
            let around = line.saturating_sub(3).max(test.first);
            let asked = (around..=line)
                .any(|near| source.code[near].contains("need(") || source.code[near].contains("need!("));
            if leaves && !asked && !source.comment_at(line).contains("return:") {
                findings.push(Finding::at(
                    file,
                    line,
                    "a test that returns early without `need(..)`: its skip is on no record; ask for what it needs, \
                     or say above it in `// return: ..` why nothing is left to prove",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(file: &str, text: &str) -> Vec<String> {
        let text = format!("//! Duty.\n{text}");
        check(Path::new(file), &text, &Source::new(&text))
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    const SYS: &str = "crates/psmith-sys/src/a.rs";
    const CORE: &str = "crates/psmith-core/src/a.rs";
    const OS_TEST: &str = "crates/psmith-cli/tests/a.rs";

    #[test]
    fn unsafe_stays_at_home() {
        let lifted = "#![expect(unsafe_code, reason = \"here\")]\n";
        assert!(findings(SYS, lifted).is_empty());
        assert!(findings(CORE, lifted)[0].contains("outside"));
        assert!(findings(CORE, "#![forbid(unsafe_code)]\n").is_empty());
        assert!(
            findings(CORE, "// allow(unsafe_code)\nconst A: &str = \"allow(unsafe_code)\";\n").is_empty()
        );
    }

    #[test]
    fn libraries_do_not_print() {
        assert_eq!(findings(CORE, "fn f() { println!(\"a\"); }\n").len(), 1);
        assert_eq!(findings(CORE, "/// println!(\"a\")\nfn f() {}\n").len(), 0);
        assert_eq!(
            findings(CORE, "#[cfg(test)]\nmod tests {\n    fn f() { println!(\"a\"); }\n}\n").len(),
            0
        );
        assert_eq!(findings("crates/psmith-cli/src/a.rs", "fn f() { println!(\"a\"); }\n").len(), 0);
    }

    #[test]
    fn no_test_is_ignored() {
        let attribute = format!("#[{}]\n#[test]\nfn f() {{}}\n", "ignore = \"slow\"");
        assert_eq!(findings(OS_TEST, &attribute).len(), 1);
        assert_eq!(findings(OS_TEST, "fn ignore() {}\n").len(), 0);
    }

    #[test]
    fn a_sleep_in_a_test_wants_its_reason() {
        assert_eq!(findings(OS_TEST, "fn f() { std::thread::sleep(A); }\n").len(), 1);
        assert_eq!(
            findings(OS_TEST, "fn f() {\n    // sleep: the kernel tells nobody.\n    sleep(A);\n}\n").len(),
            0
        );
        assert_eq!(findings(SYS, "fn f() { sleep(A); }\n").len(), 0);
        assert_eq!(findings(SYS, "#[cfg(test)]\nmod tests {\n    fn f() { sleep(A); }\n}\n").len(), 1);
    }

    #[test]
    fn a_test_leaves_early_only_through_need() {
        let silent = "#[test]\nfn t() {\n    if no_root() {\n        return;\n    }\n    a();\n}\n";
        let asked = "#[test]\nfn t() {\n    if !need(Need::Root) {\n        return;\n    }\n    a();\n}\n";
        let reasoned = "#[test]\nfn t() {\n    // return: the other arm is the promise.\n    return;\n}\n";
        assert_eq!(findings(OS_TEST, silent).len(), 1);
        assert_eq!(findings(OS_TEST, asked).len(), 0);
        assert_eq!(findings(OS_TEST, reasoned).len(), 0);
    }

    #[test]
    fn files_have_a_header_and_an_end() {
        let check = |text: &str| super::check(Path::new(CORE), text, &Source::new(text));
        assert!(check("use a;\n")[0].message.contains("no header"));
        let long = |lines: usize| format!("//! Duty.\n{}", "const A: u8 = 0;\n".repeat(lines));
        assert!(check(&long(500)).is_empty());
        assert!(check(&long(600))[0].message.contains("601 lines"));
    }
}
