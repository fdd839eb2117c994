//! A whole run of the dispatcher against a simulated kernel, warden, user, producer, consumer and clock, all
//! drawn from one seed. No process is started and no time passes: the clock jumps to whatever is next.
//!
//! What is simulated: exits, signals, timeouts, trees that outlive their job, outputs held open from outside, jobs
//! that ignore `SIGTERM`, workers that report how their function ended (before the event of their start, at their end,
//! twice), kills that do not work for a while, starts that fail or are refused, a warden that dies and comes back,
//! late reports from a dead one, a keeper that dies with its one attempt, a slow consumer that replies out of order, a
//! producer that hesitates, and a user who pauses, resizes, cancels, preempts, drains, stops and kills. What is not:
//! reports that lie, actions that are never carried out.
//!
//! After [`FAULTS_END`] faults stop and holds are released; from then on every run must come to its end.
//!
//! - `scenario` draws the policies and the frequency of faults;
//! - `world` is everything around the dispatcher, and the loop;
//! - `kernel` is what its processes do;
//! - `reference` is the judge: a small model of what may be requested when, and of how each job must end, written from
//!   the contract without a look at the dispatcher's insides;
//! - `records` are the judge's records of a job and of an attempt;
//! - `pool` is the same for the worker pool, with simulated workers;
//! - `exhaust` draws nothing at random: every order of events of a small run, up to a depth.

mod exhaust;
mod generator;
mod kernel;
mod pool;
mod records;
mod reference;
mod scenario;
mod world;

use std::time::Duration;

use psmith_core::Action;

pub use exhaust::exhaust;
pub use pool::{PoolReport, run_pool};

/// The time at which faults stop, on the simulated clock.
pub const FAULTS_END: Duration = Duration::from_secs(10);

/// The report on a run that kept all promises.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulationReport {
    /// The actions that the dispatcher requested, in order.
    pub actions: Vec<Action>,
    /// The number of events and timers of the run.
    pub steps: u64,
    /// The causes with which jobs ended, by their one word; `ok` for success.
    pub ends: Vec<&'static str>,
}

/// Runs one seed to its end.
///
/// # Errors
/// The first promise that was broken, in words.
pub fn run(seed: u64) -> Result<SimulationReport, String> {
    world::World::new(seed).run()
}
