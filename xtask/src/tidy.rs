//! `cargo xtask tidy`: the house rules that can be checked as facts. Each message names the cure. Taste stays with the
//! reader.

mod dependencies;
mod manifests;
mod rust_files;
mod supply;
mod texts;

use std::path::Path;

use serde_json::Value;

use crate::generate;
use crate::shell::{self, Result};
use crate::source::Source;

/// A rule that is broken, where, and what to write instead.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    place: String,
    message: String,
    /// Told, but no failure yet.
    warning: bool,
}

impl Finding {
    fn error(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into(), warning: false }
    }

    fn warning(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into(), warning: true }
    }

    /// At a line of a file, counted from 0.
    fn at(file: &Path, line: usize, message: impl Into<String>) -> Self {
        Self::error(format!("{}:{}", file.display(), line + 1), message)
    }
}

/// Checks the whole work tree.
pub(crate) fn run() -> Result<()> {
    println!("\n== Tidy ==");
    let metadata = metadata()?;
    let mut findings = Vec::new();
    let files = shell::tracked_files()?;
    for file in &files {
        let text = shell::read(file)?;
        findings.extend(texts::check_words(file, &text));
        if file.extension().is_some_and(|extension| extension == "rs") {
            findings.extend(rust_files::check(file, &text, &Source::new(&text)));
        }
    }
    findings.extend(dependencies::check(&metadata));
    findings.extend(manifests::check(&metadata));
    findings.extend(supply::check(&metadata));
    findings.extend(texts::check_changelog(
        shell::read(Path::new("CHANGELOG.md")).ok().as_deref(),
        &dependencies::workspace_version(&metadata),
    ));
    for file in generate::stale()? {
        findings.push(Finding::error(file, "is out of date: run `cargo xtask generate`"));
    }
    tell(&findings, files.len())
}

/// The workspace with what it depends on, on this platform. All of it was fetched when xtask was built.
fn metadata() -> Result<Value> {
    let rustc = shell::output(std::process::Command::new("rustc").arg("-vV"))?;
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc tells no host")?;
    let mut ask = shell::cargo(["metadata", "--format-version", "1", "--locked", "--filter-platform", host]);
    serde_json::from_str(&shell::output(&mut ask)?)
        .map_err(|error| format!("failed to read cargo's metadata: {error}"))
}

fn tell(findings: &[Finding], files_count: usize) -> Result<()> {
    for finding in findings {
        let kind = if finding.warning { "warning" } else { "error" };
        println!("{kind}: {}: {}", finding.place, finding.message);
    }
    let errors = findings.iter().filter(|finding| !finding.warning).count();
    if errors == 0 {
        println!("{files_count} files are tidy");
        Ok(())
    } else {
        Err(format!("tidy: {errors} findings"))
    }
}
