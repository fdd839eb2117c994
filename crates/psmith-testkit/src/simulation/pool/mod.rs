//! A whole run of the worker pool against simulated workers, warden, user, source and clock, all drawn from one seed.
//!
//! What is simulated: workers that never come, whose greeting and whose process are reported in either order, that die
//! at every point (before they greet, idle, with a job not begun, within it, after its result, after their reply,
//! between two jobs of a batch), that hang, that are slow (so that batches are taken back while they run), that break
//! the protocol (begin or reply for a job that they were not given, reply twice, claim results that are not there),
//! that stay when they are asked to leave; a warden that dies with all of them; commands beside them; jobs that fail,
//! panic, or decide the run; a source that hesitates; a user who cancels, resizes, pauses, drains, stops and kills.
//!
//! After [`FAULTS_END`](super::FAULTS_END) faults stop; from then on every run must come to its end.
//!
//! - `scenario` draws the policies and the frequency of faults;
//! - `actor` is what one worker does;
//! - `world` is everything around the pool, and the loop; `moves` what happens in it;
//! - `reference` is the judge: the rules for each job, written from the contract.

mod actor;
mod moves;
mod reference;
mod scenario;
mod world;

use std::collections::BTreeSet;

use psmith_core::worker_pool::PoolAction;

/// The report on a run that kept all promises.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolReport {
    /// The number of steps of the run.
    pub steps: u64,
    /// The names of the things that happened in it at least once.
    pub seen: BTreeSet<&'static str>,
    /// The actions that the pool requested, in order.
    pub actions: Vec<PoolAction>,
}

/// Runs one seed to its end.
///
/// # Errors
/// The first promise that was broken, in words.
pub fn run_pool(seed: u64) -> Result<PoolReport, String> {
    world::PoolWorld::new(seed).run()
}
