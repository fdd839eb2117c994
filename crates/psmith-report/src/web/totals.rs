//! The number of jobs of all runs of a program, as far as it is known.

/// The number of jobs to expect, over all runs that share the board.
#[derive(Debug, Default)]
pub(crate) struct ExpectedJobs {
    sum: u64,
    /// True if the number of some run is not known.
    is_open: bool,
}

impl ExpectedJobs {
    /// Adds a run; returns the number of jobs to expect now, if it is known.
    pub(crate) fn add(&mut self, total: Option<u64>) -> Option<u64> {
        self.sum += total.unwrap_or(0);
        self.is_open |= total.is_none();
        (!self.is_open).then_some(self.sum)
    }
}
