//! Tools of every benchmark: psmith built for release, the compiled floors, files of input, and the peers.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Options;
use super::function_peers::FunctionPeers;
use super::peers::{self, Peer};
use super::report::Row;
use crate::shell::{self, Result};

/// The tools for a sitting.
pub(super) struct Workshop {
    /// The command that is measured.
    pub(super) psmith: PathBuf,
    /// The C loop.
    pub(super) spawn_loop: PathBuf,
    /// A directory of our own below the target directory, not on tmpfs unless the checkout is.
    pub(super) directory: PathBuf,
    pub(super) peers: Vec<Peer>,
    pub(super) missing_peers: Vec<String>,
    pub(super) rounds: usize,
    pub(super) quick: bool,
    /// True if missing programs may be installed.
    install: bool,
    function_peers: OnceCell<FunctionPeers>,
}

impl Workshop {
    /// Builds and installs all that is available.
    pub(super) fn open(options: &Options) -> Result<Self> {
        let directory = target().join("compare");
        std::fs::create_dir_all(&directory)
            .map_err(|error| format!("failed to create {}: {error}", directory.display()))?;
        let psmith = match &options.psmith {
            Some(path) => {
                path.canonicalize().map_err(|error| format!("--psmith {}: {error}", path.display()))?
            }
            None => {
                shell::run(&mut shell::cargo(["build", "--release", "--package", "psmith-cli"]))?;
                target().join("release/psmith")
            }
        };
        must_run_jobs(&psmith)?;
        // No peer is measured beside an earlier build.
        let (peers, missing_peers) = match options.against {
            Some(_) => (Vec::new(), Vec::new()),
            None => peers::meet(options.install, options.cargo_peers),
        };
        for missing in &missing_peers {
            eprintln!("not compared with {missing}");
        }
        Ok(Self {
            psmith,
            spawn_loop: compile("spawn_loop", &directory)?,
            directory,
            peers,
            missing_peers,
            rounds: if options.quick { 2 } else { 7 },
            quick: options.quick,
            install: options.install,
            function_peers: OnceCell::new(),
        })
    }

    /// Returns the peers of function jobs, found when the first row needs them: that row reports the missing ones.
    pub(super) fn function_peers(&self, row: &mut Row) -> &FunctionPeers {
        self.function_peers.get_or_init(|| {
            let peers = FunctionPeers::meet(&self.directory, self.install);
            for missing in &peers.missing {
                row.note(&format!("not compared with {missing}"));
            }
            peers
        })
    }

    /// Returns the full count, or the quick one.
    pub(super) fn pick(&self, full: u32, quick: u32) -> u32 {
        if self.quick { quick } else { full }
    }

    /// Returns a file with the lines 1 to `count`.
    pub(super) fn numbers(&self, count: u32) -> Result<PathBuf> {
        let file = self.directory.join(format!("lines-{count}"));
        let mut text = String::with_capacity(count as usize * 8);
        for number in 1..=count {
            let _ = writeln!(text, "{number}");
        }
        shell::write(&file, text)?;
        Ok(file)
    }

    /// Returns `psmith 0.1.0, commit abc`.
    pub(super) fn version(&self) -> String {
        let printed = |command: &mut Command| {
            let text = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            text.unwrap_or_default().lines().next().unwrap_or_default().trim().to_owned()
        };
        let version = printed(Command::new(&self.psmith).arg("--version"));
        let mut git = Command::new("git");
        let commit = printed(git.args(["describe", "--always", "--dirty"]).current_dir(shell::root()));
        let version = if version.is_empty() { "a command that tells no version" } else { &version };
        format!("{version}, commit {commit}")
    }

    /// Returns long paths, and their abbreviations in the published lines.
    pub(super) fn short_names(&self) -> Vec<(String, &'static str)> {
        let mut names = vec![(self.psmith.display().to_string(), "psmith")];
        // Of a program only its name stays; of our own files the path below the checkout.
        let programs = self.peers.iter().filter_map(|peer| peer.program.parent());
        names.extend(programs.map(|directory| (format!("{}/", directory.display()), "")));
        names.push((format!("{}/", self.directory.display()), ""));
        names.push((format!("{}/", target().join("release").display()), ""));
        names.push((format!("{}/", shell::root().display()), ""));
        names
    }
}

/// Checks that psmith runs jobs: a command that starts nothing would win every race.
pub(super) fn must_run_jobs(psmith: &Path) -> Result<()> {
    let line = format!("{} run -j1 -s 'echo {{}}; :' ::: a b", psmith.display());
    let printed = shell::output(Command::new("sh").args(["-c", &line]))?;
    if printed == "a\nb\n" {
        Ok(())
    } else {
        Err(format!("`{line}` printed {printed:?}: nothing to measure yet"))
    }
}

/// Sets up a cargo that builds the crate in `home` as a foreign one: in its own target directory, with no flags of
/// ours.
pub(super) fn alone<'a>(cargo: &'a mut Command, home: &Path) -> &'a mut Command {
    for name in [
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET_DIR",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WRAPPER",
    ] {
        cargo.env_remove(name);
    }
    // Set explicitly: a configuration above this directory may name another.
    cargo.current_dir(home).arg("--target-dir").arg(home.join("target"))
}

/// Returns cargo's target directory.
pub(super) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| shell::root().join("target"), PathBuf::from)
}

/// Compiles the floor of this name.
pub(super) fn compile(name: &str, directory: &Path) -> Result<PathBuf> {
    compile_file(&shell::root().join(format!("bench/floors/{name}.c")), directory.join(name))
}

pub(super) fn compile_file(source: &Path, binary: PathBuf) -> Result<PathBuf> {
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-Wall", "-Wextra", "-o"]).arg(&binary).arg(source);
    shell::run(&mut compiler).map_err(|error| format!("{error}; on Debian: apt-get install gcc"))?;
    Ok(binary)
}
