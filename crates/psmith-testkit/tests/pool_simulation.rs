//! Tests that every job gets its one outcome although reused workers die, hang, lie and are slow at every point:
//! thousands of simulated runs of the worker pool, each judged step by step.
//!
//! `PSMITH_SEED` names the first seed of the fresh runs, `PSMITH_RUNS` how many there are.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use psmith_testkit::simulation::{PoolReport, run_pool};

/// The number of seeds that a test runs.
const RUNS: u64 = 3_000;

/// The number of seeds that are new each time.
const FRESH_RUNS: u64 = 300;

/// Runs `seed`; a failure prints how to repeat it.
fn run_one(seed: u64) -> PoolReport {
    let broken = match catch_unwind(AssertUnwindSafe(|| run_pool(seed))) {
        Ok(Ok(report)) => return report,
        Ok(Err(broken)) => broken,
        Err(_) => format!("seed {seed}: an assertion failed (see above)"),
    };
    panic!(
        "{broken}\nto see it again: PSMITH_SEED={seed} PSMITH_RUNS=1 \
         cargo test -p psmith-testkit --test pool_simulation fresh_seeds"
    );
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

// proves: P-1, P-6, P-9, F-59: workers that die before, within, between and after jobs, that hang, lie and never come
#[test]
fn fixed_seeds_keep_every_promise_to_jobs_that_share_workers() {
    let mut seen = BTreeSet::new();
    for seed in 0..RUNS {
        seen.extend(run_one(seed).seen);
    }
    // A simulation that never provokes a thing proves nothing about it.
    let expected = [
        "a batch ended early",
        "alone",
        "answered for an earlier job",
        "answered for another batch",
        "answered for another's",
        "answered singly for a batch",
        "answered twice",
        "batch",
        "began another's",
        "broken",
        "came too late",
        "cancelled",
        "cancelled worker",
        "circuit broken",
        "claimed too much",
        "claimed what is not there",
        "died after its answer",
        "died before the begin",
        "died between two",
        "died idle",
        "died within",
        "died within a batch",
        "error",
        "exit",
        "failed start",
        "given up",
        "hung",
        "idle",
        "in order",
        "job",
        "killed",
        "lost",
        "ok",
        "panic",
        "protocol",
        "results",
        "retry",
        "signal",
        "single",
        "spawn",
        "stayed",
        "taken back",
        "the warden died",
        "timeout",
    ];
    assert_eq!(Vec::from_iter(seen), expected);
}

#[test]
fn fresh_seeds_keep_every_promise_to_jobs_that_share_workers() {
    let by_clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let (first, runs) = match number("PSMITH_SEED") {
        Some(first) => (first, number("PSMITH_RUNS").unwrap_or(RUNS)),
        None => (by_clock(), FRESH_RUNS),
    };
    for seed in (0..runs).map(|run| first.wrapping_add(run)) {
        run_one(seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..300 {
        assert_eq!(run_one(seed), run_one(seed), "seed {seed}");
    }
}
