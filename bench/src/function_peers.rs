//! The libraries that function jobs are compared with. They are found, put where the benchmarks can call them, or
//! reported with the command that installs them. Python's go into a virtual environment and Rust's into a crate, both
//! below the target directory: the user's own files never change.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::race::Contender;
use super::workshop;
use crate::needs;
use crate::shell::{self, Result};

/// The version that is installed, so that two sittings compare the same.
const LOKY: &str = "loky==3.7.0";
const PROCSPAWN: &str = "=1.0.2";

/// The commands of the peers that are installed.
pub(super) struct FunctionPeers {
    python: Option<PathBuf>,
    has_loky: bool,
    ruby: Option<PathBuf>,
    procspawn: Option<PathBuf>,
    script: PathBuf,
    /// The peers that are missing, each with the command that installs it.
    pub(super) missing: Vec<String>,
}

impl FunctionPeers {
    /// Finds them, and installs those that can be had if `install` is set.
    pub(super) fn meet(directory: &Path, install: bool) -> Self {
        let mut missing = Vec::new();
        let mut report = |name: &str, how: &str, why: &str| missing.push(format!("{name} ({why}): {how}"));
        let python = python(install);
        let loky = python.as_ref().map(|python| with_loky(python, &directory.join("python"), install));
        let (python, has_loky) = match loky {
            None => {
                report("CPython and loky", "apt-get install python3", "no python3 that runs");
                (None, false)
            }
            // One interpreter for all of Python's peers: that of the environment.
            Some(Ok(inside)) => (Some(inside), true),
            Some(Err(why)) => {
                report("loky", &format!("python3 -m pip install {LOKY}"), &why);
                (python, false)
            }
        };
        let ruby = ruby(install);
        if ruby.is_none() {
            report("Ruby's parallel", "apt-get install ruby ruby-parallel", "ruby does not load it");
        }
        let procspawn = match procspawn(&directory.join("procspawn"), install) {
            Ok(program) => Some(program),
            Err(why) => {
                let how = format!(
                    "cargo build --release in {}, once crates.io can be reached",
                    directory.join("procspawn").display()
                );
                report("procspawn", &how, &why);
                None
            }
        };
        let script = shell::root().join("bench/floors/function_peer.py");
        Self { python, has_loky, ruby, procspawn, script, missing }
    }

    /// Returns CPython's `concurrent.futures` (`futures`) or `multiprocessing.Pool` (`pool`), in this mode of the
    /// script.
    pub(super) fn python(&self, name: &str, jobs: u32, words: &str) -> Option<Contender> {
        let python = self.python.as_ref()?.display();
        Some(Contender::new(name, jobs, format!("{python} {} {words}", self.script.display())))
    }

    pub(super) fn loky(&self, name: &str, jobs: u32, words: &str) -> Option<Contender> {
        self.has_loky.then(|| self.python(name, jobs, &format!("loky {words}")))?
    }

    /// Returns `Parallel.map` over this many jobs, with these options.
    pub(super) fn ruby(&self, name: &str, jobs: u32, options: &str) -> Option<Contender> {
        let ruby = self.ruby.as_ref()?.display();
        let program = format!("Parallel.map(0...{jobs}, {options}) {{ |n| n + 1 }}.sum");
        Some(Contender::new(name, jobs, format!("{ruby} -rparallel -e '{program}'")))
    }

    pub(super) fn procspawn(&self, name: &str, jobs: u32, words: &str) -> Option<Contender> {
        let program = self.procspawn.as_ref()?.display();
        Some(Contender::new(name, jobs, format!("{program} {words}")))
    }
}

fn succeeds(program: &Path, words: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Finds the interpreter itself: the file on PATH may be a script that searches for it at each start.
fn python(install: bool) -> Option<PathBuf> {
    let find = || {
        let python = shell::find_program("python3")?;
        let mut ask = Command::new(python);
        ask.args(["-c", "import concurrent.futures, sys; print(sys.executable)"]).stderr(Stdio::null());
        let output = ask.output().ok().filter(|output| output.status.success())?;
        Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    };
    find().or_else(|| {
        (install && needs::install(&["python3"]).is_ok()).then_some(())?;
        find()
    })
}

/// Returns a Python that has loky: this one, or that of an environment made for it.
fn with_loky(python: &Path, environment: &Path, install: bool) -> Result<PathBuf> {
    let import = ["-c", "import loky"];
    if succeeds(python, &import) {
        return Ok(python.to_path_buf());
    }
    let inside = environment.join("bin/python");
    if succeeds(&inside, &import) {
        return Ok(inside);
    }
    if !install {
        return Err("not there, and nothing was to be installed".into());
    }
    let make = || {
        let mut venv = Command::new(python);
        shell::run(venv.args(["-m", "venv", "--clear"]).arg(environment).stdout(Stdio::null()))
    };
    // Debian keeps the module in a package of its own.
    make().or_else(|_| needs::install(&["python3-venv"]).and_then(|()| make()))?;
    let mut pip = Command::new(&inside);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", LOKY]);
    shell::run(&mut pip)?;
    if succeeds(&inside, &import) { Ok(inside) } else { Err("installed, but not to be imported".into()) }
}

fn ruby(install: bool) -> Option<PathBuf> {
    let find = || shell::find_program("ruby").filter(|ruby| succeeds(ruby, &["-rparallel", "-e", ""]));
    find().or_else(|| {
        (install && needs::install(&["ruby", "ruby-parallel"]).is_ok()).then_some(())?;
        find()
    })
}

/// Builds a crate of one file, with a lock file and a target directory of its own: its dependencies are not ours.
fn procspawn(home: &Path, install: bool) -> Result<PathBuf> {
    let manifest = format!(
        "[workspace]\n\n[package]\nname = \"procspawn_peer\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = \
         false\n\n[dependencies]\nprocspawn = \"{PROCSPAWN}\"\n"
    );
    shell::write(&home.join("Cargo.toml"), manifest)?;
    shell::write(&home.join("src/main.rs"), shell::read("bench/floors/procspawn_peer.rs".as_ref())?)?;
    let mut cargo = shell::cargo(["build", "--release", "--quiet"]);
    if !install {
        cargo.arg("--offline");
    }
    shell::run(workshop::alone(&mut cargo, home))?;
    Ok(home.join("target/release/procspawn_peer"))
}
