//! The verb `cargo xtask generate`: files that the command writes about itself, and the table of limits. They are
//! committed, so that a packager needs no build, and `cargo xtask tidy` compares them. Knows no flag of the command.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::limits;
use crate::shell::{self, Result};

/// The file that is generated from the source.
const LIMITS: &str = "docs/limits.md";

/// The files below the root, and the arguments of `psmith` that print them.
const GENERATED: &[(&str, &[&str])] = &[
    ("docs/psmith.1", &["--generate", "man"]),
    ("docs/completions/psmith.bash", &["--generate", "complete-bash"]),
    ("docs/completions/_psmith", &["--generate", "complete-zsh"]),
    ("docs/completions/psmith.fish", &["--generate", "complete-fish"]),
];

/// Writes all of them.
pub(crate) fn run() -> Result<()> {
    shell::write(&shell::root().join(LIMITS), limits::page()?)?;
    println!("{LIMITS}");
    let psmith = build()?;
    for (file, words) in GENERATED {
        shell::write(&shell::root().join(file), printed(&psmith, words)?)?;
        println!("{file}");
    }
    Ok(())
}

/// Runs `cargo xtask generate --check`.
pub(crate) fn check() -> Result<()> {
    let stale = stale()?;
    if stale.is_empty() { Ok(()) } else { Err(format!("out of date: {}", stale.join(", "))) }
}

/// Returns the generated files that are missing or differ from what would be written now.
pub(crate) fn stale() -> Result<Vec<&'static str>> {
    let differs = |file: &str, wanted: String| shell::read(Path::new(file)).ok() != Some(wanted);
    let mut stale = Vec::new();
    if differs(LIMITS, limits::page()?) {
        stale.push(LIMITS);
    }
    let psmith = build()?;
    for (file, words) in GENERATED {
        if differs(file, printed(&psmith, words)?) {
            stale.push(*file);
        }
    }
    Ok(stale)
}

fn build() -> Result<PathBuf> {
    shell::run(&mut shell::cargo(["build", "--quiet", "--package", "psmith-cli"]))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| shell::root().join("target"), PathBuf::from);
    Ok(target.join("debug/psmith"))
}

fn printed(psmith: &Path, words: &[&str]) -> Result<String> {
    // The help wraps to the terminal's width, the files must not.
    let text =
        shell::output(Command::new(psmith).args(words).env("COLUMNS", "100").env_remove("PSMITH_STORE"))?;
    if text.is_empty() { Err(format!("`psmith {}` printed nothing", words.join(" "))) } else { Ok(text) }
}
