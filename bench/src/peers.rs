//! The programs that psmith is compared with: their paths, and the commands that install missing ones.

use std::path::PathBuf;
use std::process::Command;

use crate::needs;
use crate::shell;

/// A peer that is installed.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    /// The number by which the jobs of a round are divided for this peer: slow peers run fewer, and are compared by the
    /// job.
    pub(super) share: u32,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Xargs,
    Gnu,
    Rust,
    More,
}

impl Peer {
    /// Returns the line that runs a program with one argument from each line of a file, two at a time.
    pub(super) fn argv_line(&self, program: &str, lines: &str) -> String {
        let peer = self.program.display();
        match self.kind {
            Kind::Xargs => format!("{peer} -P2 -n1 {program} <{lines}"),
            Kind::Gnu => format!("{peer} -j2 {program} <{lines}"),
            Kind::Rust => format!("{peer} -j2 {program} <{lines}"),
            Kind::More => format!("{peer} -j 2 {program} -- $(cat {lines})"),
        }
    }

    /// Returns the line that runs a shell for each line of a file, two at a time.
    pub(super) fn shell_line(&self, script: &str, lines: &str) -> String {
        let peer = self.program.display();
        match self.kind {
            Kind::Xargs => format!("{peer} -P2 -I{{}} sh -c '{script}' <{lines}"),
            Kind::Gnu => format!("{peer} -j2 '{script}' <{lines}"),
            // Its own shell mode runs bash: with the same sh for all the race is fair. The line arrives as `$0`.
            Kind::Rust => format!("{peer} -j2 sh -c '{}' <{lines}", script.replace("{}", "$0")),
            Kind::More => format!("{peer} -i -j 2 sh -c '{script}' -- $(cat {lines})"),
        }
    }

    pub(super) fn is_xargs(&self) -> bool {
        self.kind == Kind::Xargs
    }

    pub(super) fn is_gnu_parallel(&self) -> bool {
        self.kind == Kind::Gnu
    }
}

struct Wanted {
    name: &'static str,
    programs: &'static [&'static str],
    package: Option<&'static str>,
    how: &'static str,
    share: u32,
    kind: Kind,
}

const WANTED: &[Wanted] = &[
    Wanted {
        name: "xargs",
        programs: &["xargs"],
        package: Some("findutils"),
        how: "apt-get install findutils",
        share: 1,
        kind: Kind::Xargs,
    },
    Wanted {
        name: "GNU parallel",
        programs: &["parallel"],
        package: Some("parallel"),
        how: "apt-get install parallel",
        share: 6,
        kind: Kind::Gnu,
    },
    Wanted {
        name: "moreutils parallel",
        programs: &["parallel.moreutils"],
        // Installed only if that replaces nothing: see `diverted`.
        package: None,
        how: "apt-get install parallel, then moreutils: GNU's package moves the other aside to parallel.moreutils",
        share: 1,
        kind: Kind::More,
    },
    Wanted {
        name: "rust-parallel",
        programs: &["rust-parallel"],
        package: None,
        how: "cargo install rust-parallel, or cargo xtask compare --with-cargo-peers",
        share: 1,
        kind: Kind::Rust,
    },
];

/// Finds the peers, installs those that can be installed without harm, and returns how to get the rest.
pub(super) fn meet(install: bool, cargo_peers: bool) -> (Vec<Peer>, Vec<String>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for wanted in WANTED {
        if install
            && find(wanted).is_none()
            && let Err(error) = get(wanted, cargo_peers)
        {
            eprintln!("{}: {error}", wanted.name);
        }
        match find(wanted) {
            Some(program) => {
                found.push(Peer { name: wanted.name, program, share: wanted.share, kind: wanted.kind });
            }
            None => missing.push(format!("{}: {}", wanted.name, wanted.how)),
        }
    }
    (found, missing)
}

fn find(wanted: &Wanted) -> Option<PathBuf> {
    let program = wanted.programs.iter().find_map(|program| shell::find_program(program))?;
    let mut ask = Command::new(&program);
    // Two programs have the name `parallel`: GNU's prints its own name.
    let is_gnu = || {
        ask.arg("--version")
            .output()
            .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).starts_with("GNU"))
    };
    (wanted.kind != Kind::Gnu || { is_gnu }()).then_some(program)
}

fn get(wanted: &Wanted, cargo_peers: bool) -> shell::Result<()> {
    match wanted.kind {
        Kind::More if diverted() => needs::install(&["moreutils"]),
        Kind::Rust if cargo_peers => shell::run(&mut shell::cargo(["install", "--locked", "rust-parallel"])),
        _ => wanted.package.map_or(Ok(()), |package| needs::install(&[package])),
    }
}

/// Returns whether Debian would install the program of moreutils beside GNU's instead of over it.
fn diverted() -> bool {
    Command::new("dpkg-divert")
        .args(["--list", "/usr/bin/parallel"])
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("parallel.moreutils"))
}
