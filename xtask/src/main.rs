//! The command `cargo xtask VERB`: everything that CI checks and every benchmark, each runnable by hand.
//!
//! It decides nothing about how psmith behaves: it builds, runs, reads and counts. Arguments are parsed by hand, so
//! that the first `cargo xtask test` on a fresh machine starts within seconds.

mod coverage;
mod features;
mod generate;
mod ledger;
mod limits;
mod metadata;
mod passes;
mod promises;
mod source;
mod test;
mod tidy;
mod tokens;

use std::process::ExitCode;

use passes::Extent;
use xtask::{needs, shell};

const USAGE: &str = "\
usage: cargo xtask VERB

  test [--fast] [--some-passes | --passes]
                         install what the tests need (Debian), run every check and every test, print what was skipped;
                         --fast: no lints, no docs; --passes: the tests that start processes once more as a plain
                         user and with each facility taken away; --some-passes: three of these passes, without the
                         slow files
  ci                     the same as `CI=true cargo xtask test`: an unexcused skip fails
  tidy [--shrink]        the house rules that can be checked as facts; --shrink: what xtask/budgets.txt still allows
                         is lowered to what is left
  coverage               which promises and faults are named by a test
  generate [--check]     write docs/psmith.1 and docs/completions from the command itself, and docs/limits.md from the
                         source; --check: only tell what is out of date
  compare [--quick] [--only S-1,..] [--psmith PATH] [--with-cargo-peers] [--no-install]
                         the benchmarks: floors, peers and psmith in turn; writes docs/benchmarks.md and
                         target/compare.json (--quick and --only write to target/ alone)
  compare --against COMMIT [--quick] [--only S-1,..]
                         this tree's build and another commit's in turn, and the ratio of their times
";

/// Runs the benchmarks, a program of their own, so that a test of this one compiles none of them.
fn compare(flags: &[&str]) -> shell::Result<()> {
    let mut command = shell::cargo(["run", "--quiet", "--package", "psmith-bench", "--"]);
    shell::run(command.args(flags))
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let answer = match words.as_slice() {
        ["test", flags @ ..]
            if flags.iter().all(|flag| ["--fast", "--some-passes", "--passes"].contains(flag)) =>
        {
            test::run(&test::Options {
                fast: flags.contains(&"--fast"),
                extent: match (flags.contains(&"--passes"), flags.contains(&"--some-passes")) {
                    (true, _) => Extent::Full,
                    (false, true) => Extent::Reduced,
                    (false, false) => Extent::AsFound,
                },
                ci: test::ci_by_environment(),
            })
        }
        ["ci"] => test::run(&test::Options { fast: false, extent: Extent::AsFound, ci: true }),
        ["tidy"] => tidy::run(false),
        ["tidy", "--shrink"] => tidy::run(true),
        ["coverage"] => coverage::run(),
        ["generate"] => generate::run(),
        ["generate", "--check"] => generate::check(),
        ["compare", flags @ ..] => compare(flags),

        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(format!("unknown words: {}\n\n{USAGE}", other.join(" "))),
    };
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
