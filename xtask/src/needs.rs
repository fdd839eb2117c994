//! The programs that tests and benchmarks call, and their packages. It installs Debian packages as root and otherwise
//! only reports what is missing.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::shell::{self, Result};

/// A program that is not part of a Rust toolchain.
pub struct Need {
    /// The name on PATH.
    pub program: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
    /// The use that tests or benchmarks have for it.
    pub why: &'static str,
}

/// The programs that tests call.
pub const TESTS: &[Need] = &[
    Need { program: "git", package: "git", why: "the list of tracked files" },
    Need { program: "cc", package: "gcc", why: "the linker" },
    Need {
        program: "parallel",
        package: "parallel",
        why: "the acceptance rows that must equal GNU parallel",
    },
    Need { program: "tmux", package: "tmux", why: "a real terminal: Ctrl-C, Ctrl-Z, hangup" },
    Need { program: "busybox", package: "busybox-static", why: "quoting for a fourth shell" },
    Need { program: "dash", package: "dash", why: "quoting for sh" },
    Need { program: "bash", package: "bash", why: "quoting for bash" },
    Need { program: "chromium", package: "chromium", why: "the report and the web board in a browser" },
    Need { program: "setpriv", package: "util-linux", why: "the pass as a plain user" },
];

/// Returns the needs that are not met.
pub fn missing(needs: &'static [Need]) -> Vec<&'static Need> {
    needs.iter().filter(|need| shell::find_program(need.program).is_none()).collect()
}

/// Installs missing programs if possible, and reports the rest. Returns those that are still missing.
pub fn meet(needs: &'static [Need]) -> Vec<&'static Need> {
    let absent = missing(needs);
    if absent.is_empty() {
        return absent;
    }
    let packages: Vec<&str> = absent.iter().map(|need| need.package).collect();
    if let Err(why) = install(&packages) {
        println!("not installed: {why}");
    }
    let absent = missing(needs);
    for need in &absent {
        println!("missing: {} ({}); on Debian: apt-get install {}", need.program, need.why, need.package);
    }
    absent
}

/// Installs Debian packages, as root or through a sudo that needs no password.
pub fn install(packages: &[&str]) -> Result<()> {
    if !Path::new("/etc/debian_version").exists() || shell::find_program("apt-get").is_none() {
        return Err("this is no Debian: install them with the system's own package manager".into());
    }
    let prefix: &[&str] = if shell::is_root() {
        &[]
    } else if sudo_asks_nothing() {
        &["sudo", "-n"]
    } else {
        return Err(format!("needs root: sudo apt-get install {}", packages.join(" ")));
    };
    println!("== Installing {} ==", packages.join(" "));
    let apt = |words: &[&str]| {
        let mut line: Vec<&str> = prefix.to_vec();
        line.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]);
        line.extend(words);
        shell::run(Command::new(line[0]).args(&line[1..]).stdin(Stdio::null()))
    };
    let mut words = vec!["install", "--no-install-recommends"];
    words.extend(packages);
    // A fresh machine has no package lists yet: the first try is cheap, the second follows an update.
    let together = apt(&words).or_else(|_| apt(&["update"]).and_then(|()| apt(&words)));
    // One package that is not available must not prevent the others.
    together.or_else(|error| {
        let alone = |package: &&str| apt(&["install", "--no-install-recommends", package]).is_ok();
        if packages.len() > 1 && packages.iter().filter(|package| alone(package)).count() == packages.len() {
            return Ok(());
        }
        Err(error)
    })
}

fn sudo_asks_nothing() -> bool {
    Command::new("sudo")
        .args(["-n", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
