//! How many jobs all runs of a program have, as far as that is known.

/// How many jobs there will be, over all runs that share the board.
#[derive(Debug, Default)]
pub(crate) struct ExpectedJobs {
    sum: u64,
    /// Of some run it is not known.
    is_open: bool,
}

impl ExpectedJobs {
    /// One run more: how many jobs there will be now, if that is known.
    pub(crate) fn add(&mut self, total: Option<u64>) -> Option<u64> {
        self.sum += total.unwrap_or(0);
        self.is_open |= total.is_none();
        (!self.is_open).then_some(self.sum)
    }
}
