//! What a progress line and a summary count. Decides nothing.

use core::time::Duration;

/// Counts of a run, for the progress line and the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs accepted.
    pub accepted: u64,
    /// Jobs with an outcome: the sum of the next three.
    pub ended: u64,
    /// Succeeded.
    pub ok: u64,
    /// Failed.
    pub failed: u64,
    /// Cancelled, or never started.
    pub cancelled: u64,
    /// Given up because they had crashed as often as they may (among `failed`).
    pub quarantined: u64,
    /// Succeeded after at least one charged failure (among `ok`).
    pub flaky: u64,
    /// Jobs whose last attempt leaked descendants, or an output that somebody holds open.
    pub leaked: u64,
    /// Attempts alive now; those that were given up as unkillable are not among them.
    pub running: u64,
    /// Jobs waiting for a slot.
    pub ready: u64,
    /// Jobs waiting for a back-off.
    pub delayed: u64,
    /// Ended, not yet delivered.
    pub undelivered: u64,
    /// Total, if known.
    pub total: Option<u64>,
    /// Time of the last attempts of all ended jobs, added up.
    pub busy: Duration,
}
