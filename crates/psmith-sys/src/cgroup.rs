//! Control groups, which hold a tree of processes together, kill it and limit it.
//!
//! Containment ([`RunGroup`], [`Cgroup`]) uses the second version only; it has no need of any controller. Limits
//! ([`LimitSites`], [`LimitGroup`]) use whichever version owns the controller: on hybrid hosts that is the first,
//! while containment works in the second. So the two are probed apart, and by doing ([`probe_kill`],
//! [`probe_limit`]): permissions, delegation and mounts differ too much to be inferred.
//!
//! A process joins by writing `0` to an open `cgroup.procs` (see [`crate::spawn::SpawnRequest::groups`]); it is never
//! cloned into a group, because after a `cgroup.kill` the new child would be killed. Nothing here moves a running
//! process, and nothing decides what a job may use.

mod discover;
mod error;
mod group;
mod legacy;
mod limits;
mod probe;
mod stale;

pub use discover::{Hierarchy, legacy, unified};
pub use error::CgroupError;
pub use group::{Cgroup, RunGroup};
pub use limits::{CgroupEvidence, CgroupLimits, Controller, LimitGroup, LimitSites};
pub use probe::{probe_kill, probe_limit};
pub use stale::{SweepReport, is_stale, run_name, run_name_of, sweep_stale};

/// Kills the processes in the run group of this directory; does nothing for a directory of the first version, which
/// has no kill.
///
/// # Errors
/// If it is gone, or is not a group of the second version.
pub fn kill_dir(path: &std::path::Path) -> std::io::Result<()> {
    Cgroup::open(path)?.kill()
}

/// Removes the group of this directory, of either version, with the groups in it.
///
/// # Errors
/// `EBUSY` while a process is in it.
pub fn remove_dir(path: &std::path::Path) -> std::io::Result<()> {
    group::remove_below(path)
}

/// Returns the number of processors that this process may use: its affinity, cut to the quota of its control groups of
/// either version, and at least one.
#[must_use]
pub fn cpus() -> usize {
    // std reads both, and this list of rules is long enough to be kept in one place.
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
