//! The benchmark S-14: what it costs a program to depend on psmith, as processor time of a first build.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::race::Spread;
use super::report::Row;
use super::workshop::{self, Workshop};
use crate::shell::{self, Result};

/// The limit of S-14, in seconds of processor time.
const SECONDS_MAX: f64 = 40.0;

const COMMAND: &str = "cargo build --release --offline";

const MAIN: &str = "use psmith as _;\n\nfn main() {}\n";

/// Measures S-14: a program that does nothing but depend on psmith, built for the first time.
pub(super) fn empty_program(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-14", "`use psmith` in an empty program: the first `cargo build --release`");
    let (mut processor, mut clock, mut crates) = (Vec::new(), Vec::new(), 0);
    for _ in 0..workshop.pick(3, 1) {
        let built = first_build(&shell::root(), &workshop.directory.join("empty"))?;
        processor.push(built.processor);
        clock.push(built.clock);
        crates = built.crates;
        row.line("the build, in a directory with the program and nothing else", COMMAND);
    }
    row.at_most("processor time of cargo and all its children", Spread::of(&processor), SECONDS_MAX, "s", 1);
    row.figure("by the clock", Spread::of(&clock), "s", 1);
    row.argue(
        "processor time of a compiler grows with what else the machine does: processors share caches, and some share \
         cores. About half is psmith itself, the rest rustix, serde's derive and syn, which it cannot do without",
    );
    let version = shell::output(Command::new("rustc").arg("--version"))?;
    row.note(&format!("{crates} crates, the program among them; default features; {}", version.trim()));
    Ok(row)
}

/// The cost of one build.
pub(super) struct Built {
    /// Seconds of processor time of cargo and all its children.
    pub(super) processor: f64,
    /// Seconds of elapsed time.
    pub(super) clock: f64,
    /// The number of crates that were compiled.
    pub(super) crates: usize,
}

/// Builds a program, in `home`, that does nothing but depend on the psmith of a source tree.
pub(super) fn first_build(tree: &Path, home: &Path) -> Result<Built> {
    if home.exists() {
        std::fs::remove_dir_all(home)
            .map_err(|error| format!("failed to remove {}: {error}", home.display()))?;
    }
    let manifest = format!(
        "[workspace]\n\n[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n\
         [dependencies]\npsmith = {{ path = \"{}\" }}\n",
        tree.join("crates/psmith").display()
    );
    shell::write(&home.join("Cargo.toml"), manifest)?;
    shell::write(&home.join("src/main.rs"), MAIN)?;
    let lock = tree.join("Cargo.lock");
    let lock = std::fs::read(&lock).map_err(|error| format!("failed to read {}: {error}", lock.display()))?;
    shell::write(&home.join("Cargo.lock"), lock)?;
    // Offline: the crates were fetched when psmith itself was built, so the network's speed is not measured.
    let mut cargo = shell::cargo(COMMAND.split(' ').skip(1));
    workshop::alone(&mut cargo, home).stdout(Stdio::null()).stderr(Stdio::piped());
    let before = children_seconds()?;
    let begin = Instant::now();
    let output = cargo.output().map_err(|error| format!("failed to start cargo: {error}"))?;
    let clock = begin.elapsed().as_secs_f64();
    let processor = children_seconds()? - before;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("cargo ended with {}: {text}", output.status));
    }
    let crates = text.lines().filter(|line| line.trim_start().starts_with("Compiling")).count();
    Ok(Built { processor, clock, crates })
}

/// Returns the processor time of all children that were waited for, with theirs: the values of `wait4`, in hundredths
/// of a second.
fn children_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")
        .map_err(|error| format!("failed to read /proc/self/stat: {error}"))?;
    // The name in parentheses may hold blanks; after it the 14th and 15th field are `cutime` and `cstime`.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<u32>().ok());
    let ticks: Vec<u32> = ticks.collect();
    // Linux shows these in units of USER_HZ, which is 100 on every architecture that Rust's std knows.
    if ticks.len() == 2 {
        Ok(f64::from(ticks[0] + ticks[1]) / 100.0)
    } else {
        Err("/proc/self/stat is odd".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_used_is_counted_once_it_is_waited_for() {
        let before = children_seconds().expect("it can be read");
        let mut sh = Command::new("sh");
        sh.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]);
        shell::run(&mut sh).expect("it runs");
        let used = children_seconds().expect("it can be read") - before;
        assert!(used > 0.0, "{used}");
    }
}
