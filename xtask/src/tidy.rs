//! The verb `cargo xtask tidy`: the house rules that can be checked as facts. Each message names the cure. It never
//! judges taste.

mod budget;
mod dependencies;
mod doc_paths;
mod folders;
mod functions;
mod imports;
mod manifests;
mod rust_files;
mod supply;
mod texts;
mod type_names;
mod vocabulary;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::generate;
use crate::metadata;
use crate::shell::{self, Result};
use crate::source::Source;
use budget::Budget;

/// A broken rule, its place, and what to write instead.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    place: String,
    message: String,
}

impl Finding {
    fn error(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }

    /// Makes a finding at a line of a file, counted from 0.
    fn at(file: &Path, line: usize, message: impl Into<String>) -> Self {
        Self::error(format!("{}:{}", file.display(), line + 1), message)
    }
}

/// Facts about the whole tree, for the rules that no file breaks alone.
#[derive(Default)]
struct Tree {
    folders: folders::Folders,
    type_names: type_names::TypeNames,
    old_words: vocabulary::OldWords,
    long_functions: Vec<functions::Long>,
}

/// Checks the whole work tree, and with `shrink` lowers the allowances to the counts found.
pub(crate) fn run(shrink: bool) -> Result<()> {
    println!("\n== Tidy ==");
    let metadata = metadata::read()?;
    let published = published_sources(&metadata);
    let mut findings = Vec::new();
    let mut tree = Tree::default();
    let files = shell::tracked_files()?;
    for file in &files {
        let text = shell::read(file)?;
        findings.extend(texts::check_words(file, &text));
        findings.extend(doc_paths::check(file, &text, &files));
        let is_rust = file.extension().is_some_and(|extension| extension == "rs");
        let source = is_rust.then(|| Source::new(&text));
        if let Some(source) = &source {
            findings.extend(rust_files::check(file, &text, source));
            tree.folders.add(file, source);
            tree.long_functions.extend(functions::long(file, source));
            if published.iter().any(|home| file.starts_with(home)) && !rust_files::is_test_file(file) {
                tree.type_names.add(file, source);
            }
        }
        tree.old_words.add(file, &text, source.as_ref());
    }
    findings.extend(tree.check(shrink)?);
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
    report(&findings, files.len())
}

impl Tree {
    fn check(&self, shrink: bool) -> Result<Vec<Finding>> {
        let mut budget = Budget::read()?;
        let (mut findings, circles_within) = self.folders.check(&mut budget);
        findings.extend(functions::check(&self.long_functions, &mut budget));
        findings.extend(self.type_names.check(&mut budget));
        findings.extend(self.old_words.check(&mut budget));
        if shrink {
            budget.shrink()?;
        } else {
            findings.extend(budget.leftovers());
        }
        let (names, names_shared) = self.type_names.counts();
        println!(
            "{circles_within} circles of files within a folder; {names_shared} of {names} names of types are used twice"
        );
        Ok(findings)
    }
}

/// Returns the folders of the sources of the published crates, below the root.
fn published_sources(metadata: &Value) -> Vec<PathBuf> {
    let published = metadata::members(metadata).filter(|package| metadata::is_published(package));
    let root = metadata::text(metadata, "workspace_root");
    let home = |package: &Value| {
        let manifest = Path::new(metadata::text(package, "manifest_path"));
        Some(manifest.parent()?.strip_prefix(root).ok()?.join("src"))
    };
    published.filter_map(home).collect()
}

fn report(findings: &[Finding], files_count: usize) -> Result<()> {
    for finding in findings {
        println!("error: {}: {}", finding.place, finding.message);
    }
    if findings.is_empty() {
        println!("{files_count} files are tidy");
        Ok(())
    } else {
        Err(format!("tidy: {} findings", findings.len()))
    }
}
