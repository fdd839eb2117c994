//! `cargo xtask generate`: files that the command writes about itself. They are committed, so that a packager needs no
//! build, and `cargo xtask tidy` compares them. Nothing here knows a flag.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Result};

/// File below the root, and the words of `psmith` that print it.
const GENERATED: &[(&str, &[&str])] = &[
    ("docs/psmith.1", &["man"]),
    ("docs/completions/psmith.bash", &["completions", "bash"]),
    ("docs/completions/_psmith", &["completions", "zsh"]),
    ("docs/completions/psmith.fish", &["completions", "fish"]),
];

/// Writes all of them.
pub(crate) fn run() -> Result<()> {
    let psmith = build()?;
    for (file, words) in GENERATED {
        shell::write(&shell::root().join(file), printed(&psmith, words)?)?;
        println!("{file}");
    }
    Ok(())
}

/// The generated files that differ from what the command prints now. Asks only for those that exist, or, once the
/// manual page exists, for all.
pub(crate) fn stale() -> Result<Vec<String>> {
    let exists = |file: &str| shell::root().join(file).exists();
    if !GENERATED.iter().any(|(file, _)| exists(file)) {
        return Ok(Vec::new());
    }
    let psmith = build()?;
    let mut stale = Vec::new();
    for (file, words) in GENERATED {
        if !exists(file) || shell::read(Path::new(file))? != printed(&psmith, words)? {
            stale.push((*file).to_owned());
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
