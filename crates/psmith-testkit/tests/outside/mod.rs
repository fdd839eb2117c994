//! Packages of their own that use psmith, built or checked by a test. What an earlier test of the same package has built
//! is used again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a package with these programs; its profile is `profile`, as its manifest has it.
pub(crate) fn package(name: &str, profile: &str, programs: &[(&str, &str)]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let manifest = format!(
        "[package]\nname = {name:?}\nedition = \"2024\"\n[workspace]\n[dependencies]\npsmith = {{ path = {:?} }}\n\
         [profile.dev]\n{profile}\n",
        crates.join("psmith")
    );
    fs::create_dir_all(dir.join("src/bin")).unwrap();
    write(&dir.join("Cargo.toml"), manifest.as_bytes());
    write(&dir.join("Cargo.lock"), &fs::read(crates.with_file_name("Cargo.lock")).unwrap());
    for (program, text) in programs {
        write(&dir.join("src/bin").join(program).with_extension("rs"), text.as_bytes());
    }
    dir
}

/// Writes a file. It is left untouched where it is the same: cargo goes by its time.
fn write(path: &Path, content: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(content) {
        fs::write(path, content).unwrap();
    }
}

/// Returns the command `cargo` for the package in `dir`.
pub(crate) fn cargo(dir: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").expect("run by cargo"));
    cargo.current_dir(dir);
    // Not those of the run that this test belongs to.
    for variable in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_PROFILE_DEV_PANIC", "MAKEFLAGS"] {
        cargo.env_remove(variable);
    }
    cargo
}
