//! The counts of a progress line and a summary. Decides nothing.

use core::time::Duration;

/// Counts of a run, for the progress line and the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs accepted.
    pub accepted: u64,
    /// Jobs with an outcome: the sum of the next three.
    pub ended: u64,
    /// Jobs that succeeded.
    pub ok: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that were cancelled, or never started.
    pub cancelled: u64,
    /// Jobs given up because they had crashed as often as they may (among `failed`).
    pub quarantined: u64,
    /// Jobs that succeeded after at least one charged failure (among `ok`).
    pub flaky: u64,
    /// Jobs whose last attempt leaked descendants, or an output that a process holds open.
    pub leaked: u64,
    /// Attempts that are running; those that were given up as unkillable are not among them.
    pub running: u64,
    /// Jobs waiting for a slot.
    pub ready: u64,
    /// Jobs waiting for a back-off.
    pub delayed: u64,
    /// Jobs that are ended but not yet delivered.
    pub undelivered: u64,
    /// The total, if known.
    pub total: Option<u64>,
    /// The sum of the times of the last attempts of all ended jobs.
    pub busy: Duration,
}
