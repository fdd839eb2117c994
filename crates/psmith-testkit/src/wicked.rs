//! Where the wicked helper program is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The path of `psmith-wicked`, the helper program with one subcommand per hazard.
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
    let test = std::env::current_exe().expect("a test knows its own executable");
    // target/<profile>/deps/<test>
    let profile = test.parent().and_then(Path::parent).expect("a test lies in target/<profile>/deps");
    let program = profile.join("psmith-wicked");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/psmith-wicked");
    if is_fresh(&program, &source) {
        return program;
    }
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--package", "psmith-testkit", "--bin", "psmith-wicked"]);
    build.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    build.arg("--target-dir").arg(profile.parent().expect("a profile lies in a target directory"));
    match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some("release") => drop(build.arg("--release")),
        Some(other) => drop(build.args(["--profile", other])),
    }
    let status = build.status().expect("cargo runs");
    assert!(status.success(), "psmith-wicked does not build: {status}");
    assert!(program.exists(), "psmith-wicked was built, but not as {}", program.display());
    program
}

fn is_fresh(program: &Path, source: &Path) -> bool {
    let Some(built) = modified(program) else { return false };
    let Ok(files) = std::fs::read_dir(source) else { return true };
    files.flatten().filter_map(|file| modified(&file.path())).all(|changed| changed <= built)
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}
