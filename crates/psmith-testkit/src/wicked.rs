//! The programs that tests run: the wicked helper, and the library's examples.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Returns the path of `psmith-wicked`, the helper program with one subcommand per hazard.
///
/// Cargo builds the programs of a package only for that package's own tests, so this builds it where it is
/// missing or older than its source.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn wicked() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(locate).clone()
}

fn locate() -> PathBuf {
    let profile = profile();
    let program = profile.join("psmith-wicked");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/psmith-wicked");
    if is_fresh(&program, &[source]) {
        return program;
    }
    build(&["--package", "psmith-testkit", "--bin", "psmith-wicked"], &profile);
    assert!(program.exists(), "psmith-wicked was built, but not as {}", program.display());
    program
}

/// Returns the path of this example of the library, built with all features, as the tests are.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    built_example(name, name)
}

/// Returns the path of this example of the library that is a shared library itself.
///
/// # Panics
/// As [`example`].
#[must_use]
pub fn example_library(name: &str) -> PathBuf {
    built_example(name, &format!("lib{name}.so"))
}

fn built_example(name: &str, file: &str) -> PathBuf {
    let profile = profile();
    let program = profile.join("examples").join(file);
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sources = ["psmith/src", "psmith/examples", "psmith-core/src", "psmith-sys/src", "psmith-macros/src"];
    if !is_fresh(&program, &sources.map(|source| crates.join(source))) {
        build(&["--package", "psmith", "--all-features", "--example", name], &profile);
    }
    program
}

/// Returns the directory of this test's profile: its executable is `target/<profile>/deps/<test>`.
fn profile() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own executable");
    test.parent().and_then(Path::parent).expect("a test lies in target/<profile>/deps").to_owned()
}

/// Builds this with cargo in the profile of the test.
fn build(what: &[&str], profile: &Path) {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet"]).args(what);
    build.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    build.arg("--target-dir").arg(profile.parent().expect("a profile lies in a target directory"));
    match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some("release") => drop(build.arg("--release")),
        Some(other) => drop(build.args(["--profile", other])),
    }
    let status = build.status().expect("cargo runs");
    assert!(status.success(), "{what:?} does not build: {status}");
}

fn is_fresh(program: &Path, sources: &[PathBuf]) -> bool {
    let Some(built) = modified(program) else { return false };
    sources.iter().filter_map(|source| last_change(source)).all(|changed| changed <= built)
}

/// Returns when the youngest file in this directory was changed.
fn last_change(dir: &Path) -> Option<SystemTime> {
    let files = fs::read_dir(dir).ok()?.flatten();
    let changes = files.filter_map(|file| match file.file_type() {
        Ok(kind) if kind.is_dir() => last_change(&file.path()),
        Ok(_) | Err(_) => modified(&file.path()),
    });
    changes.max()
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}
