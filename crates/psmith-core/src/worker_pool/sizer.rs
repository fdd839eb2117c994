//! The size of batches of short jobs. Makes no batch itself.

use core::time::Duration;

/// The time that a batch should take: long compared with a wake-up, short for a waiting caller.
const BATCH_TIME: Duration = Duration::from_micros(1500);

/// The maximum number of jobs of a batch.
pub const BATCH_JOBS_MAX: u64 = 8192;

/// The size of batches by the last measurement.
#[derive(Debug)]
pub(super) struct BatchSizer {
    pub(super) jobs: u64,
}

impl BatchSizer {
    pub(super) fn new(first: u64) -> BatchSizer {
        BatchSizer { jobs: first.clamp(1, BATCH_JOBS_MAX) }
    }

    /// Records that all jobs of a batch went well, in this time.
    pub(super) fn on_whole(&mut self, jobs: u64, spent: Duration) {
        let each = (spent.as_nanos() / u128::from(jobs.max(1))).max(1);
        let fit = u64::try_from(BATCH_TIME.as_nanos() / each).unwrap_or(BATCH_JOBS_MAX);
        // A few short ones prove little about the next.
        self.jobs = fit.clamp(1, self.jobs.saturating_mul(4).min(BATCH_JOBS_MAX));
    }

    /// Records that a batch ended early, after this number of jobs.
    pub(super) fn on_part(&mut self, jobs: u64) {
        self.jobs = self.jobs.min(2 * jobs + 1);
    }
}
