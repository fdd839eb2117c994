//! Every job gets its one outcome, whatever happens: thousands of simulated runs, each judged step by step.
//!
//! `PSMITH_SEED` names the first seed of the fresh runs, `PSMITH_RUNS` how many there are.

use std::panic::{AssertUnwindSafe, catch_unwind};

use psmith_testkit::simulation::{Report, run};

/// How many seeds a test runs.
const RUNS: u64 = 10_000;

/// Runs `seed`; a failure says how to see it again.
fn run_one(seed: u64) -> Report {
    let broken = match catch_unwind(AssertUnwindSafe(|| run(seed))) {
        Ok(Ok(report)) => return report,
        Ok(Err(broken)) => broken,
        Err(_) => format!("seed {seed}: an assertion failed (see above)"),
    };
    panic!(
        "{broken}\nto see it again: PSMITH_SEED={seed} PSMITH_RUNS=1 \
         cargo test -p psmith-testkit --test simulation fresh_seeds"
    );
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

#[test]
fn fixed_seeds_keep_every_promise() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..RUNS {
        ends.extend(run_one(seed).ends);
    }
    // A simulation that never provokes a cause proves nothing about it.
    let expected = ["cancelled", "exit", "leak", "lost", "ok", "signal", "spawn", "timeout"];
    assert_eq!(Vec::from_iter(ends), expected);
}

#[test]
fn fresh_seeds_keep_every_promise() {
    let Some(first) = number("PSMITH_SEED") else { return };
    for seed in (0..number("PSMITH_RUNS").unwrap_or(RUNS)).map(|run| first.wrapping_add(run)) {
        run_one(seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_actions() {
    for seed in 0..500 {
        assert_eq!(run_one(seed), run_one(seed), "seed {seed}");
    }
}
