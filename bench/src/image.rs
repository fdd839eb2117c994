//! The heavy hosts of S-15: the `psmith` command itself, and the example of function jobs, each linked into an image of
//! 100 MB with 262,144 relocations; and the C loop of forks, in such an image as well.
//!
//! The first two are a crate written below the target directory: their own source, unchanged, and after it a table of
//! pointers, each of which the loader must relocate, and a blob that fills the image. Nothing of psmith is changed.

use std::path::PathBuf;
use std::process::Command;

use super::workshop::{self, Workshop};
use crate::shell::{self, Result};

const RELOCATIONS: usize = 262_144;
const BLOB_BYTES: usize = 100_000_000;

/// The program, and its measured size and relocations.
pub(super) struct Heavy {
    pub(super) program: PathBuf,
    /// The example of function jobs.
    pub(super) functions: PathBuf,
    /// The C loop of forks.
    pub(super) floor: PathBuf,
    pub(super) described: String,
}

/// Builds it with the workspace's own lock file and release profile, so that compiled dependencies are shared.
pub(super) fn build(workshop: &Workshop) -> Result<Heavy> {
    let root = shell::root();
    let home = workshop.directory.join("heavy");
    let main = shell::read("crates/psmith-cli/src/main.rs".as_ref())?;
    let manifest = shell::read("Cargo.toml".as_ref())?;
    shell::write(&home.join("Cargo.toml"), manifest_of_heavy(&manifest, &root.display().to_string()))?;
    shell::write(&home.join("src/main.rs"), format!("{main}\n{}", padding()))?;
    let functions = shell::read("crates/psmith/examples/function_speed.rs".as_ref())?;
    shell::write(&home.join("src/functions.rs"), format!("{functions}\n{}", padding()))?;
    // Bytes that differ, so that no tool can compress them.
    let mut state = 1u32;
    let blob: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    })
    .take(BLOB_BYTES)
    .collect();
    shell::write(&home.join("src/blob"), blob)?;
    shell::write(&home.join("Cargo.lock"), shell::read("Cargo.lock".as_ref())?)?;
    let mut cargo = shell::cargo(["build", "--release", "--quiet"]);
    shell::run(cargo.current_dir(&home).env("CARGO_TARGET_DIR", workshop::target()))?;
    let program = workshop::target().join("release/heavy-psmith");
    workshop::must_run_jobs(&program)?;
    let functions = workshop::target().join("release/heavy-functions");
    let source = shell::read("bench/floors/function_loop.c".as_ref())?;
    let file = home.join("heavy_loop.c");
    shell::write(&file, format!("{source}\n{}", padding_in_c(&home.join("src/blob").display().to_string())))?;
    let floor = workshop::compile_file(&file, home.join("heavy_loop"))?;
    let described = describe(&program)?;
    for other in [&functions, &floor] {
        describe(other)?;
    }
    Ok(Heavy { program, functions, floor, described })
}

fn manifest_of_heavy(workspace: &str, root: &str) -> String {
    let profile = workspace
        .split_once("[profile.release]")
        .map(|(_, rest)| rest.split("\n[").next().unwrap_or_default())
        .unwrap_or_default();
    // The command's `main.rs` may name its own dependencies: it sees the same names here.
    format!(
        "[workspace]\n\n[package]\nname = \"heavy-psmith\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n\
         [dependencies]\npsmith-cli = {{ path = \"{root}/crates/psmith-cli\" }}\npsmith = {{ path = \
         \"{root}/crates/psmith\" }}\n\n[[bin]]\nname = \"heavy-psmith\"\npath = \"src/main.rs\"\n\n[[bin]]\nname = \
         \"heavy-functions\"\npath = \"src/functions.rs\"\n\n[profile.release]{profile}\n"
    )
}

fn padding() -> String {
    format!(
        "static HEAVY_BYTE: u8 = 1;\n#[used]\nstatic HEAVY_TABLE: [&u8; {RELOCATIONS}] = [&HEAVY_BYTE; {RELOCATIONS}];\n\
         #[used]\nstatic HEAVY_BLOB: [u8; {BLOB_BYTES}] = *include_bytes!(\"blob\");\n"
    )
}

/// Returns the same padding for the C loop.
fn padding_in_c(blob: &str) -> String {
    format!(
        "static char heavy_byte;\n__attribute__((used)) static char *const heavy_table[{RELOCATIONS}] = {{[0 ... {} ] = \
         &heavy_byte}};\n__asm__(\".section .rodata\\n.incbin \\\"{blob}\\\"\\n.text\");\n",
        RELOCATIONS - 1
    )
}

/// Counts size and relocations, since a linker may have changed them.
fn describe(program: &std::path::Path) -> Result<String> {
    let bytes = program
        .metadata()
        .map_err(|error| format!("failed to look at {}: {error}", program.display()))?
        .len();
    let relocations = match shell::output(Command::new("readelf").args(["-r", "-W"]).arg(program)) {
        Ok(listing) => {
            let relative = listing.lines().filter(|line| line.contains("_RELATIV")).count();
            if relative < RELOCATIONS {
                return Err(format!("the linker left only {relative} relocations of {RELOCATIONS}"));
            }
            format!("{relative} relative relocations")
        }
        Err(error) => format!("relocations not counted ({error})"),
    };
    Ok(format!("the heavy image is {:.0} MB with {relocations}", bytes as f64 / 1e6))
}
