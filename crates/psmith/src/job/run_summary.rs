//! What is said of jobs in sum: the levels of a log, and how a run went.

/// What a logger is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// A job began or ended well.
    Info,
    /// A job failed.
    Error,
}

/// How a server's run went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunSummary {
    /// Jobs that ended, well or not.
    pub jobs: u64,
    /// Those that failed.
    pub failed: u64,
}
