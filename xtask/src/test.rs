//! The verb `cargo xtask test`: the command that the README names, and that a build server runs.
//!
//! It goes on after a failure, so that one run reports all errors, and repeats them at the end.

use std::process::{Command, Stdio};

use crate::passes::Extent;
use crate::shell::{self, Result};
use crate::{coverage, features, ledger, needs, passes, tidy};

/// The thoroughness of a run.
pub(crate) struct Options {
    /// True for neither lints nor docs.
    pub(crate) fast: bool,
    /// The number of times that the tests that start processes are repeated: as a plain user, at lower levels of
    /// containment.
    pub(crate) extent: Extent,
    /// True on a build server, where nobody reads the excuses: an unexcused skip, a missing program and a row without a
    /// test fail.
    pub(crate) ci: bool,
}

/// Returns whether the environment is a build server's.
pub(crate) fn ci_by_environment() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// Runs everything.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut failures: Vec<String> = Vec::new();
    let missing = needs::meet(needs::TESTS);
    if options.ci {
        failures
            .extend(missing.iter().map(|need| format!("{} is not installed ({})", need.program, need.why)));
    }

    check(&mut failures, options, "Format", Some("fmt"), &mut shell::cargo(["fmt", "--all", "--check"]));
    if !options.fast {
        let lints = ["clippy", "--workspace", "--all-features", "--all-targets", "--", "-D", "warnings"];
        check(&mut failures, options, "Lints", Some("clippy"), &mut shell::cargo(lints));
        for command in &mut features::checks()? {
            check(&mut failures, options, "Lints with some features", Some("clippy"), command);
        }
        for words in DOCUMENTED {
            let mut command = shell::cargo(["doc", "--no-deps", "--document-private-items"]);
            command.args(*words).env("RUSTDOCFLAGS", "-D warnings");
            check(&mut failures, options, "Documentation", None, &mut command);
        }
        oldest_toolchain(&mut failures);
        println!("\n== At a release only ==\n{AT_A_RELEASE}");
    }

    let report = passes::run(options.extent)?;
    failures.extend(report.failures);
    if let Err(error) = tidy::run(false) {
        failures.push(error);
    }

    ledger::print(&report.skips);
    let table = coverage::table(&report.skips, &report.passes_run)?;
    table.print();
    if options.ci {
        let os_tests = passes::os_test_names()?;
        failures.extend(ledger::unexcused(&report.skips, &report.passes_run, &os_tests).map(|skip| {
            format!(
                "{} skipped in pass `{}`, and this machine could run it: {}",
                skip.test, skip.pass, skip.why
            )
        }));
        if !table.problems.is_empty() {
            failures.push(format!("{} problems with the rows above", table.problems.len()));
        }
    }

    println!("\n== Result ==");
    if failures.is_empty() {
        println!("all checks passed; passes: {}", report.passes_run.join(", "));
        return Ok(());
    }
    for failure in &failures {
        println!("failed: {failure}");
    }
    Err(format!("{} of the checks failed", failures.len()))
}

/// Checks that no change of ours can break between two releases.
const AT_A_RELEASE: &str = "\
not run: published weaknesses of dependencies (`cargo audit`), which need the network and change without a commit
not run: `cargo semver-checks`, which needs a release to compare with";

/// The packages whose documentation is built. The command's binary has the library's name, so their pages would
/// overwrite each other: the binary is left out (it is one line, and its crate's library holds the text).
const DOCUMENTED: &[&[&str]] =
    &[&["--workspace", "--exclude", "psmith-cli"], &["--package", "psmith-cli", "--lib"]];

/// Runs one check. A missing part of the toolchain is reported with the command that installs it.
fn check(
    failures: &mut Vec<String>,
    options: &Options,
    title: &str,
    component: Option<&str>,
    command: &mut Command,
) {
    println!("\n== {title}: {} ==", shell::shown(command));
    if let Some(component) = component.filter(|component| !has_component(component)) {
        let package = if component == "fmt" { "rustfmt" } else { component };
        let message = format!("not run, cargo {component} is not installed: rustup component add {package}");
        println!("{message}");
        if options.ci {
            failures.push(message);
        }
        return;
    }
    if let Err(error) = shell::run(command) {
        failures.push(error);
    }
}

fn has_component(name: &str) -> bool {
    let mut probe = shell::cargo([name, "--version"]);
    probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Checks with the oldest toolchain that we promise, if rustup has it. Otherwise the lint `incompatible_msrv`, which
/// the lints above hold, has checked the use of the standard library.
fn oldest_toolchain(failures: &mut Vec<String>) {
    let manifest = shell::read("Cargo.toml".as_ref()).unwrap_or_default();
    let Some(version) = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")) else {
        failures.push("Cargo.toml names no rust-version".into());
        return;
    };
    let version = version.trim().trim_matches('"');
    println!("\n== Oldest toolchain: {version} ==");
    let installed =
        Command::new("rustup").args(["toolchain", "list"]).stderr(Stdio::null()).output().is_ok_and(|list| {
            String::from_utf8_lossy(&list.stdout).lines().any(|line| line.starts_with(version))
        });
    if !installed {
        println!(
            "NOT CHECKED with Rust {version}, the oldest that we promise: the lint `incompatible_msrv` has only looked \
             at the standard library; rustup toolchain install {version} --profile minimal"
        );
        return;
    }
    let mut command = Command::new("rustup");
    command
        .args(["run", version, "cargo", "check", "--workspace", "--all-targets"])
        .current_dir(shell::root());
    command.env("CARGO_TARGET_DIR", shell::root().join("target/oldest"));
    if let Err(error) = shell::run(&mut command) {
        failures.push(error);
    }
}
