//! The circuit breaker, which counts crashes in a row. Stops nothing itself.

/// The count of crashes in a row.
#[derive(Debug)]
pub(super) struct Breaker {
    most: u32,
    /// The number of this row; a job keeps the row in which it was counted, so that a job that crashes again and again
    /// counts once.
    row: u64,
    jobs: u32,
}

impl Breaker {
    pub(super) fn new(most: u32) -> Breaker {
        Breaker { most, row: 1, jobs: 0 }
    }

    /// Counts the end of an attempt that came to an end of its own, by a crash or otherwise. `counted_in` is its
    /// job's.
    pub(super) fn on_end(&mut self, is_crash: bool, counted_in: &mut u64) {
        if !is_crash {
            self.row += 1;
            self.jobs = 0;
        } else if core::mem::replace(counted_in, self.row) != self.row {
            self.jobs += 1;
        }
    }

    /// Returns the number of jobs in a row, if that breaks the circuit.
    pub(super) fn met(&self) -> Option<u32> {
        (self.most != 0 && self.jobs >= self.most).then_some(self.jobs)
    }
}
