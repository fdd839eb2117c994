//! The passes of `cargo xtask test`: the same tests on the machine as found, as a plain user, and with the better
//! levels of containment forbidden. One table; a pass is a line.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ledger::{self, LEDGER_VARIABLE, Skip};
use crate::shell::{self, Result};
use crate::source::Source;

/// The name of the first pass: `cargo test` itself.
pub(crate) const AS_FOUND: &str = "as found";

/// The variable that forbids levels of containment, so that the next lower one is exercised.
const FORBID_VARIABLE: &str = "PSMITH_FORBID";

/// The variable that requires a level of containment for every run that the tests start; read by `psmith-testkit`.
const CONTAIN_VARIABLE: &str = "PSMITH_TEST_CONTAIN";

/// The user of the plain pass: `nobody`, who owns nothing.
const PLAIN_UID: u32 = 65_534;

/// Directories whose test files start processes: these take part in the further passes.
const OS_TESTS: &[&str] = &["crates/psmith/tests", "crates/psmith-engine/tests", "crates/psmith-cli/tests"];

/// Test files that take long and depend little on the user or the level: only the full set has them.
const SLOW: &[&str] = &["acceptance", "real_input", "same_as_gnu_parallel", "sizes"];

/// The number of further passes to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The first pass alone.
    AsFound,
    /// The passes that differ most, without the slow files: as many as a build server has time for.
    Reduced,
    /// The full set.
    Full,
}

/// The user who runs a pass.
#[derive(Clone, Copy, PartialEq)]
enum User {
    Same,
    /// A user dropped to [`PLAIN_UID`]; only root can, and any other user is a plain user in the first pass.
    Plain,
}

/// A further pass over the tests that start processes.
struct Pass {
    name: &'static str,
    user: User,
    /// The kernel's facilities that are forbidden, by their names in `psmith-sys/src/forbid.rs`.
    forbid: &'static str,
    /// The level of containment required of every run, unless that is simply the best one left.
    contain: &'static str,
    /// True if it is part of the reduced set.
    reduced: bool,
}

const PASSES: &[Pass] = &[
    // The situation of most users.
    Pass { name: "plain user", user: User::Plain, forbid: "", contain: "", reduced: true },
    // Requested by a flag only.
    Pass { name: "keeper", user: User::Same, forbid: "cgroup", contain: "keeper", reduced: false },
    // The default of a container.
    Pass { name: "sweep", user: User::Same, forbid: "cgroup", contain: "", reduced: true },
    // The weakest, and the most different from the best.
    Pass { name: "group", user: User::Same, forbid: "cgroup,subreaper", contain: "", reduced: true },
    Pass {
        name: "old kernel",
        user: User::Same,
        forbid: "cgroup-birth,cgroup-kill,close-range,pidfd-group",
        contain: "",
        reduced: false,
    },
];

/// The results of all passes together.
pub(crate) struct Report {
    pub(crate) passes_run: Vec<&'static str>,
    pub(crate) skips: Vec<Skip>,
    pub(crate) failures: Vec<String>,
}

/// Returns whether a test file takes part in every further pass, however few there are.
pub(crate) fn is_os_test(file: &Path) -> bool {
    starts_processes(file) && !is_slow(file)
}

fn starts_processes(file: &Path) -> bool {
    OS_TESTS.iter().any(|directory| file.starts_with(directory))
}

fn is_slow(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| SLOW.iter().any(|slow| stem == *slow))
}

/// Returns the names of the tests that take part in the further passes, and of their files.
pub(crate) fn os_test_names() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for file in shell::tracked_files()?.into_iter().filter(|file| is_os_test(file)) {
        names.extend(file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
        if file.extension().is_some_and(|extension| extension == "rs") {
            names.extend(Source::new(&shell::read(&file)?).tests().into_iter().map(|test| test.name));
        }
    }
    Ok(names)
}

/// Runs `cargo test --workspace` as found, then as many of the further passes as requested.
pub(crate) fn run(extent: Extent) -> Result<Report> {
    // Below /tmp and open to all, since a plain user writes to it as well; not sticky, since the kernel then refuses to
    // open for creation what another user made there.
    let ledgers = tempfile::Builder::new()
        .prefix("psmith-ledgers-")
        .tempdir()
        .and_then(|directory| open_to_all(directory.path(), 0o777).map(|()| directory))
        .map_err(|error| format!("failed to create the ledgers' directory: {error}"))?;
    let mut report = Report { passes_run: vec![AS_FOUND], skips: Vec::new(), failures: Vec::new() };

    println!("\n== Tests: {AS_FOUND} ==");
    let ledger = new_ledger(ledgers.path(), AS_FOUND)?;
    let mut tests = shell::cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    if let Err(error) = shell::run(tests.env(LEDGER_VARIABLE, &ledger)) {
        report.failures.push(format!("{AS_FOUND}: {error}"));
    }
    report.skips.extend(ledger::read(&ledger, AS_FOUND)?);

    if extent != Extent::AsFound {
        let mut binaries = os_test_binaries()?;
        binaries.retain(|binary| extent == Extent::Full || !is_slow(&binary.source));
        if binaries.is_empty() {
            println!("\nno tests that start processes: no further passes");
        }
        let wanted = |pass: &&Pass| !binaries.is_empty() && (extent == Extent::Full || pass.reduced);
        for pass in PASSES.iter().filter(wanted) {
            pass.run(&binaries, ledgers.path(), &mut report)?;
        }
    }
    Ok(report)
}

impl Pass {
    fn run(&self, binaries: &[TestBinary], ledgers: &Path, report: &mut Report) -> Result<()> {
        println!("\n== Tests: {} ==", self.name);
        if self.user == User::Plain && !shell::is_root() {
            println!("not run: we are a plain user already");
            return Ok(());
        }
        let ledger = new_ledger(ledgers, self.name)?;
        let home =
            tempfile::tempdir().map_err(|error| format!("failed to create a home for the pass: {error}"))?;
        if self.user == User::Plain {
            if let Err(obstacle) = reachable_by_plain_user(&binaries[0].executable) {
                report.failures.push(format!("{}: {obstacle}", self.name));
                return Ok(());
            }
            chown(home.path(), Some(PLAIN_UID), Some(PLAIN_UID))
                .map_err(|error| format!("failed to hand {} over: {error}", home.path().display()))?;
        }
        report.passes_run.push(self.name);
        for binary in binaries {
            println!("\n     Running {} ({})", binary.source.display(), self.name);
            let mut command = self.command(binary);
            command.env(LEDGER_VARIABLE, &ledger);
            if self.user == User::Plain {
                command.env("HOME", home.path()).env("TMPDIR", home.path()).env_remove("XDG_RUNTIME_DIR");
            }
            if !self.forbid.is_empty() {
                command.env(FORBID_VARIABLE, self.forbid);
            }
            if !self.contain.is_empty() {
                command.env(CONTAIN_VARIABLE, self.contain);
            }
            if let Err(error) = shell::run(&mut command) {
                report.failures.push(format!("{}: {error}", self.name));
            }
        }
        report.skips.extend(ledger::read(&ledger, self.name)?);
        Ok(())
    }

    /// Returns the command that runs the test binary as cargo would: in its package, with the variables that tests read
    /// at run time.
    fn command(&self, binary: &TestBinary) -> Command {
        let mut command = match self.user {
            User::Same => Command::new(&binary.executable),
            User::Plain => {
                let mut command = Command::new("setpriv");
                command.args([
                    "--reuid",
                    &PLAIN_UID.to_string(),
                    "--regid",
                    &PLAIN_UID.to_string(),
                    "--clear-groups",
                ]);
                command.arg(&binary.executable);
                command
            }
        };
        command.current_dir(&binary.package).env("CARGO_MANIFEST_DIR", &binary.package);
        command
    }
}

/// Makes an empty ledger that any user can append to, whatever our umask is.
fn new_ledger(directory: &Path, pass: &str) -> Result<PathBuf> {
    let file = directory.join(format!("{}.jsonl", pass.replace(' ', "-")));
    fs::write(&file, "")
        .and_then(|()| open_to_all(&file, 0o666))
        .map_err(|error| format!("failed to create {}: {error}", file.display()))?;
    Ok(file)
}

fn open_to_all(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// A compiled test file.
struct TestBinary {
    /// The source, relative to the root.
    source: PathBuf,
    executable: PathBuf,
    /// The directory of its package.
    package: PathBuf,
}

/// Returns the compiled OS tests, as cargo reports them. Everything is built already, so this only asks.
fn os_test_binaries() -> Result<Vec<TestBinary>> {
    let mut build =
        shell::cargo(["test", "--workspace", "--all-features", "--no-run", "--message-format=json"]);
    let messages = shell::output(build.stdin(Stdio::null()))?;
    let mut binaries: Vec<TestBinary> = messages.lines().filter_map(test_binary).collect();
    binaries.sort_by(|a, b| a.source.cmp(&b.source));
    Ok(binaries)
}

fn test_binary(message: &str) -> Option<TestBinary> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let executable = message.get("executable")?.as_str()?;
    if message.get("reason")? != "compiler-artifact" || message.pointer("/profile/test")? != true {
        return None;
    }
    let source = Path::new(message.pointer("/target/src_path")?.as_str()?);
    let source = source.strip_prefix(shell::root()).ok()?.to_owned();
    let package = Path::new(message.get("manifest_path")?.as_str()?).parent()?.to_owned();
    starts_processes(&source).then(|| TestBinary { source, executable: executable.into(), package })
}

/// Opens the checkout itself to the plain user: the test binaries know the path of the command that they test.
fn reachable_by_plain_user(file: &Path) -> Result<()> {
    let id = PLAIN_UID.to_string();
    let mut probe = Command::new("setpriv");
    probe.args(["--reuid", &id, "--regid", &id, "--clear-groups", "test", "-x"]).arg(file);
    match probe.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!(
            "a plain user cannot reach {}: keep the checkout, or CARGO_TARGET_DIR, below directories that others may \
             enter (chmod o+x)",
            file.display()
        )),
        Err(error) => Err(format!("failed to start setpriv (package util-linux): {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_files_start_processes_but_excuse_no_skip() {
        for slow in SLOW {
            let files = OS_TESTS.iter().map(|dir| PathBuf::from(format!("{dir}/{slow}.rs")));
            let mut files = files.filter(|file| shell::root().join(file).exists());
            let file = files.next().unwrap_or_else(|| panic!("{slow} is a test file"));
            assert!(starts_processes(&file) && !is_os_test(&file));
        }
        assert!(is_os_test("crates/psmith-cli/tests/signals.rs".as_ref()));
        assert!(!is_os_test("crates/psmith-cli/src/input/tests.rs".as_ref()));
    }

    #[test]
    fn the_reduced_set_has_a_plain_user_and_the_weakest_level() {
        let reduced: Vec<&str> = PASSES.iter().filter(|pass| pass.reduced).map(|pass| pass.name).collect();
        assert!(reduced.contains(&"plain user") && reduced.contains(&"group"), "{reduced:?}");
        assert!(reduced.len() < PASSES.len());
    }
}
