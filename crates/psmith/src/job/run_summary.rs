//! Levels of a log, and the counts of a run. Data alone.

/// Level of a line to a logger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// A job began or ended well.
    Info,
    /// A job failed.
    Error,
}

/// Counts of the jobs of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunSummary {
    /// Jobs that ended, well or not.
    pub jobs: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Bytes of output that were neither kept nor passed on although they should have been
    /// ([`LostOutput`](crate::LostOutput)).
    pub lost_output: u64,
    /// Jobs that were taken from the source and not begun, because the run was ended. They are not among the others.
    pub left: u64,
}
