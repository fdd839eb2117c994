//! `cargo xtask compare --against COMMIT`: this tree's build and another commit's, run in turn on one machine.
//!
//! It answers one question, whether a change made psmith slower, and so has neither floors nor peers. The other commit
//! is checked out below the target directory and built with its own lock file; the checkout is removed afterwards.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Options;
use crate::build;
use crate::race::{self, Contender, Spread};
use crate::report::{Report, Row};
use crate::workshop::{Workshop, must_run_jobs, target};
use xtask::shell::{self, Result};

/// The program that a benchmark runs.
#[derive(Clone, Copy)]
enum Program {
    /// The command `psmith`.
    Command,
    /// The example of the crate psmith that S-6 to S-9 run.
    FunctionSpeed,
}

/// A benchmark: a program, and its arguments. `{jobs}` is their number, `{lines}` a file of as many lines.
struct Measured {
    id: &'static str,
    title: &'static str,
    program: Program,
    words: &'static str,
    jobs: u32,
    jobs_quick: u32,
    /// The factor on the sitting's number of rounds: short rounds need more.
    rounds: usize,
}

const MEASURED: &[Measured] = &[
    Measured {
        id: "S-1",
        title: "`/bin/true`, 2 slots, output captured, contained, no shell",
        program: Program::Command,
        words: "run -j2 /bin/true <{lines}",
        jobs: 1000,
        jobs_quick: 300,
        rounds: 3,
    },
    Measured {
        id: "S-2",
        title: "`-s 'echo {}'`, 2 slots",
        program: Program::Command,
        words: "run -j2 -s 'echo {}' <{lines}",
        jobs: 1000,
        jobs_quick: 300,
        rounds: 3,
    },
    Measured {
        id: "S-3",
        title: "one `true`",
        program: Program::Command,
        words: "run /bin/true ::: 1",
        jobs: 1,
        jobs_quick: 1,
        rounds: 5,
    },
    Measured {
        id: "S-6",
        title: "function jobs, a process each, 2 workers, `u64 -> u64`",
        program: Program::FunctionSpeed,
        words: "per-job {jobs}",
        jobs: 5000,
        jobs_quick: 500,
        rounds: 1,
    },
    Measured {
        id: "S-7",
        title: "function jobs in workers that stay, 2 workers, `u64 -> u64`, in order",
        program: Program::FunctionSpeed,
        words: "map {jobs}",
        jobs: 10_000_000,
        jobs_quick: 1_000_000,
        rounds: 1,
    },
    Measured {
        id: "S-8",
        title: "one job at a time through an idle pool: submit, wait",
        program: Program::FunctionSpeed,
        words: "one-by-one {jobs}",
        jobs: 50_000,
        jobs_quick: 5_000,
        rounds: 1,
    },
    Measured {
        id: "S-9",
        title: "one argument and one result, 256 MiB each",
        program: Program::FunctionSpeed,
        words: "large 268435456",
        jobs: 1,
        jobs_quick: 1,
        rounds: 1,
    },
];

/// The benchmark that measures the processor time of a build instead of a run.
const EMPTY_PROGRAM: &str = "S-14";

/// Returns the benchmarks by which two builds can be compared.
pub(super) fn ids() -> impl Iterator<Item = &'static str> {
    MEASURED.iter().map(|measured| measured.id).chain([EMPTY_PROGRAM])
}

/// Programs built from one source tree.
struct Build {
    /// The name: `this tree`, or the commit.
    name: String,
    tree: PathBuf,
    psmith: PathBuf,
    function_speed: PathBuf,
}

impl Build {
    /// Builds both programs, and copies them to `keep`: the next tree is built in the same place, so that the crates of
    /// others are compiled once.
    fn of(name: &str, tree: &Path, keep: &Path) -> Result<Self> {
        let example = ["--package", "psmith", "--example", "function_speed"];
        for what in [["--package", "psmith-cli"].as_slice(), &example] {
            let mut cargo = shell::cargo(["build", "--release", "--locked"]);
            // Set explicitly: a relative path in the environment would mean another directory in each tree.
            cargo.args(what).arg("--target-dir").arg(shell::root().join(target())).current_dir(tree);
            shell::run(&mut cargo)?;
        }
        let release = target().join("release");
        let build = Self {
            name: name.to_owned(),
            tree: tree.to_owned(),
            psmith: kept(&release.join("psmith"), keep)?,
            function_speed: kept(&release.join("examples/function_speed"), keep)?,
        };
        must_run_jobs(&build.psmith)?;
        Ok(build)
    }

    fn program(&self, program: Program) -> &Path {
        match program {
            Program::Command => &self.psmith,
            Program::FunctionSpeed => &self.function_speed,
        }
    }
}

/// Copies a program into a directory.
fn kept(program: &Path, directory: &Path) -> Result<PathBuf> {
    let copy = directory.join(program.file_name().unwrap_or_default());
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::copy(program, &copy))
        .map_err(|error| format!("failed to copy {} to {}: {error}", program.display(), copy.display()))?;
    Ok(copy)
}

/// A commit checked out in a directory of its own until this is dropped.
struct Checkout(PathBuf);

impl Checkout {
    fn of(commit: &str, directory: PathBuf) -> Result<Self> {
        // A killed sitting may have left one behind.
        if directory.exists() {
            drop(Self(directory.clone()));
        }
        let mut git = git(["worktree", "add", "--quiet", "--force", "--detach"]);
        shell::run(git.arg(&directory).arg(commit))?;
        Ok(Self(directory))
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let mut git = git(["worktree", "remove", "--force"]);
        if let Err(error) = shell::run(git.arg(&self.0)) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

fn git<const N: usize>(words: [&str; N]) -> Command {
    let mut git = Command::new("git");
    git.args(words).current_dir(shell::root()).stdin(Stdio::null());
    git
}

/// Measures the requested benchmarks. The results are saved after each row, so that an interrupted sitting is not lost.
pub(super) fn run(options: &Options, commit: &str) -> Result<()> {
    if options.psmith.is_some() {
        return Err("--against builds both programs itself: leave --psmith away".into());
    }
    let short = shell::output(git(["rev-parse", "--short", "--verify"]).arg(format!("{commit}^{{commit}}")))
        .map_err(|error| format!("{commit} is no commit: {error}"))?;
    let short = short.trim();
    let home = target().join("against");
    let checkout = Checkout::of(short, home.join("tree"))?;
    let theirs = Build::of(short, &checkout.0, &home.join("theirs"))?;
    let ours = Build::of("this tree", &shell::root(), &home.join("ours"))?;
    let workshop = Workshop::open(options)?;
    let mut report = Report::new(&workshop);
    for measured in MEASURED.iter().filter(|measured| options.wants(measured.id)) {
        eprintln!("{} ..", measured.id);
        let row = measured.row(&workshop, &ours, &theirs);
        report.add(row.unwrap_or_else(|error| Row::failed(measured.id, &error)));
        report.save(false)?;
    }
    if options.wants(EMPTY_PROGRAM) {
        eprintln!("{EMPTY_PROGRAM} ..");
        let row = empty_program(&workshop, &ours, &theirs);
        report.add(row.unwrap_or_else(|error| Row::failed(EMPTY_PROGRAM, &error)));
        report.save(false)?;
    }
    println!("{}\n{}", report.table(), report.remarks());
    println!("{}", report.saved_where(false));
    Ok(())
}

impl Measured {
    fn row(&self, workshop: &Workshop, ours: &Build, theirs: &Build) -> Result<Row> {
        let mut row = Row::new(self.id, self.title);
        let jobs = workshop.pick(self.jobs, self.jobs_quick);
        let mut words = self.words.replace("{jobs}", &jobs.to_string());
        if words.contains("{lines}") {
            words = words.replace("{lines}", &workshop.numbers(jobs)?.display().to_string());
        }
        let contender = |build: &Build| {
            let program = build.program(self.program).display();
            Contender::new(&build.name, jobs, format!("{program} {words}"))
        };
        let times = race::race(&[contender(ours), contender(theirs)], workshop.rounds * self.rounds)?;
        row.figure(&of(theirs), race::ratio(&times[0], &times[1]), "x", 3);
        for times in &times {
            let nanos: Vec<f64> = times.seconds.iter().map(|each| each * 1e9).collect();
            row.figure(&format!("{}, each", times.name), Spread::of(&nanos), "ns", 0);
            row.line(&times.name, &times.line);
        }
        Ok(row)
    }
}

fn empty_program(workshop: &Workshop, ours: &Build, theirs: &Build) -> Result<Row> {
    let mut row = Row::new(
        EMPTY_PROGRAM,
        "`use psmith` in an empty program: processor time of the first release build",
    );
    let (mut ratios, mut seconds) = (Vec::new(), [Vec::new(), Vec::new()]);
    for round in 0..workshop.pick(3, 1) {
        let mut used = [0.0; 2];
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            let build = [ours, theirs][which];
            used[which] = build::first_build(&build.tree, &workshop.directory.join("empty"))?.processor;
            seconds[which].push(used[which]);
        }
        ratios.push(used[0] / used[1]);
    }
    row.figure(&of(theirs), Spread::of(&ratios), "x", 3);
    for (build, seconds) in [ours, theirs].into_iter().zip(&seconds) {
        row.figure(&build.name, Spread::of(seconds), "s", 1);
    }
    Ok(row)
}

fn of(theirs: &Build) -> String {
    format!("this tree, of {}", theirs.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_benchmark_stands_in_the_whole_comparison_too() {
        for id in ids() {
            assert!(crate::BENCHMARKS.iter().any(|(known, _)| *known == id), "{id}");
        }
    }

    #[test]
    fn against_takes_only_what_two_builds_can_be_compared_by() {
        let parse = |words: &[&str]| Options::parse(words).map(|options| options.against);
        assert_eq!(parse(&["--against", "main", "--only", "S-1,S-7"]), Ok(Some("main".to_owned())));
        assert!(parse(&["--against", "main", "--only", "P-4"]).unwrap_err().contains("no benchmark P-4"));
        assert!(parse(&["--against"]).unwrap_err().contains("wants a value"));
    }
}
