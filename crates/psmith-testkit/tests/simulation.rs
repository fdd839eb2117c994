//! Tests that every job gets its one outcome, whatever happens: thousands of simulated runs, each judged step by step.
//!
//! `PSMITH_SEED` names the first seed of the fresh runs, `PSMITH_RUNS` how many there are.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use psmith_core::event::HoldReason;
use psmith_core::policy::Order;
use psmith_core::{Action, Notice};
use psmith_testkit::simulation::{SimulationReport, exhaust, run};

/// The number of seeds that a test runs.
const RUNS: u64 = 10_000;

/// Runs `seed`; a failure prints how to repeat it.
fn run_one(seed: u64) -> SimulationReport {
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

// proves: P-1, P-6, P-9, F-8, F-34a, F-36, F-37b, F-40, F-45, one-typed-outcome, budgets-of-failure: kills that do not work, refused starts, lost
// wardens and keepers, stops and drains at any moment, slow consumers; all on a clock that is handed in, so none can jump
#[test]
fn fixed_seeds_keep_every_promise() {
    let (mut ends, mut requested) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..RUNS {
        let report = run_one(seed);
        ends.extend(report.ends);
        requested.extend(report.actions.iter().map(word));
    }
    // A simulation that never provokes a cause proves nothing about it.
    let expected = [
        "broken",
        "cancelled",
        "error",
        "exit",
        "leak",
        "lost",
        "ok",
        "oom",
        "protocol",
        "signal",
        "spawn",
        "timeout",
    ];
    assert_eq!(Vec::from_iter(ends), expected);
    let expected = [
        "broken",
        "deliver",
        "discard",
        "end",
        "finish",
        "halted",
        "head",
        "held",
        "held: events",
        "held: load",
        "held: memory",
        "held: paused",
        "held: resources",
        "held: window",
        "kill",
        "release",
        "retry",
        "signal",
        "slow",
        "start",
        "stop reading",
        "unkillable",
        "width",
    ];
    assert_eq!(Vec::from_iter(requested), expected);
}

fn word(action: &Action) -> &'static str {
    match action {
        Action::Start { .. } => "start",
        Action::Signal { .. } => "signal",
        Action::KillTree { .. } => "kill",
        Action::ReleaseTree { .. } => "release",
        Action::StopReading { .. } => "stop reading",
        Action::Discard { .. } => "discard",
        Action::Head { .. } => "head",
        Action::End { .. } => "end",
        Action::Deliver { .. } => "deliver",
        Action::Finish => "finish",
        Action::Notice(Notice::Retry { .. }) => "retry",
        Action::Notice(Notice::Slow { .. }) => "slow",
        Action::Notice(Notice::Slots { .. }) => "width",
        Action::Notice(Notice::Halted { .. }) => "halted",
        Action::Notice(Notice::Broken { .. }) => "broken",
        Action::Notice(Notice::Unkillable { .. }) => "unkillable",
        Action::Notice(Notice::Held { reason: None, .. }) => "held",
        Action::Notice(Notice::Held { reason: Some(reason), .. }) => match reason {
            HoldReason::Paused => "held: paused",
            HoldReason::Events => "held: events",
            HoldReason::Load => "held: load",
            HoldReason::Memory => "held: memory",
            HoldReason::Window => "held: window",
            HoldReason::Resources => "held: resources",
        },
    }
}

#[test]
fn fresh_seeds_keep_every_promise() {
    let Some(first) = number("PSMITH_SEED") else { return };
    for seed in (0..number("PSMITH_RUNS").unwrap_or(RUNS)).map(|run| first.wrapping_add(run)) {
        run_one(seed);
    }
}

// proves: P-1, P-6, P-9, F-36, F-37b: a stop and the loss of the warden at every point of a small run
#[test]
fn every_order_of_events_of_a_small_run_keeps_every_promise() {
    for order in [Order::Completion, Order::Submission] {
        let runs = exhaust(order, 7).unwrap_or_else(|broken| panic!("{order:?}: {broken}"));
        assert!(runs > 10_000, "{runs} runs are not all");
    }
}

#[test]
fn the_same_seed_gives_the_same_actions() {
    for seed in 0..500 {
        assert_eq!(run_one(seed), run_one(seed), "seed {seed}");
    }
}
