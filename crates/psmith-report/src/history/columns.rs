//! Counts by interval of a run: ends and busy slots, in columns that grow wider as the run goes on.

use std::time::Duration;

/// The greatest number of columns; beyond it each two become one.
pub const COLUMNS_MAX: usize = 120;
/// The width of a column in a short run.
const WIDTH_FIRST: Duration = Duration::from_millis(50);

/// An interval of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// Jobs that succeeded in it.
    pub ok: u64,
    /// Jobs that failed in it.
    pub failed: u64,
    /// Time that slots were busy in it, all slots together.
    pub busy: Duration,
}

/// The intervals of a run, all of the same width.
#[derive(Debug)]
pub struct Intervals {
    columns: Vec<Interval>,
    width: Duration,
}

impl Default for Intervals {
    fn default() -> Intervals {
        Intervals { columns: Vec::new(), width: WIDTH_FIRST }
    }
}

impl Intervals {
    /// Counts the end of a job.
    pub(super) fn on_end(&mut self, at: Duration, ok: bool) {
        let column = self.at(at);
        let column = &mut self.columns[column];
        if ok {
            column.ok += 1;
        } else {
            column.failed += 1;
        }
    }

    /// Counts a slot as busy between two times.
    pub(super) fn on_busy(&mut self, from: Duration, to: Duration) {
        let (last, first) = (self.at(to), self.at(from));
        for index in first..=last {
            let start = self.width * u32::try_from(index).unwrap_or(u32::MAX);
            let end = start + self.width;
            self.columns[index].busy += to.min(end).saturating_sub(from.max(start));
        }
    }

    /// Returns the columns so far.
    pub fn columns(&self) -> &[Interval] {
        &self.columns
    }

    /// Returns the width of each column.
    pub fn width(&self) -> Duration {
        self.width
    }

    /// Returns the column of this moment, and makes it if it does not exist yet.
    fn at(&mut self, at: Duration) -> usize {
        loop {
            let index = usize::try_from(at.as_nanos() / self.width.as_nanos()).unwrap_or(usize::MAX);
            if index < COLUMNS_MAX {
                if self.columns.len() <= index {
                    self.columns.resize(index + 1, Interval::default());
                }
                return index;
            }
            let pairs = self.columns.chunks(2).map(|pair| {
                pair.iter().fold(Interval::default(), |sum, column| Interval {
                    ok: sum.ok + column.ok,
                    failed: sum.failed + column.failed,
                    busy: sum.busy + column.busy,
                })
            });
            self.columns = pairs.collect();
            self.width *= 2;
        }
    }
}
