//! Items that were taken from a source and not begun, because the run was ended. Hands none of them back itself.

use crate::job::failure::Failure;
use crate::run::live_runs;
use crate::run::run::Run;

/// The count of such items of a run.
#[derive(Debug, Default)]
pub(super) struct LeftItems {
    count: u64,
    first: Option<u64>,
    /// True once the source had no more.
    pub(super) is_source_over: bool,
}

impl LeftItems {
    /// Counts the item with this index.
    pub(super) fn add(&mut self, index: u64) {
        self.count += 1;
        self.first.get_or_insert(index);
    }

    /// Returns the failure that tells what a run has left that is over, unless there is nothing to tell, or it `is_told`
    /// why the run was ended. `taken` items were taken from the source.
    pub(super) fn failure(
        &self,
        run: &Run,
        source: &impl Iterator,
        taken: u64,
        is_told: bool,
    ) -> Option<Failure> {
        let is_whole = self.count == 0 && (self.is_source_over || is_empty(source));
        let index = self.first.unwrap_or(taken);
        let is_untold = run.is_ended() && !is_told && !is_whole;
        is_untold.then(|| Failure::of_left(self.count, run.first().broken, index))
    }

    /// Returns the failure that tells that the source is not asked, or not again, since the runs of this program are
    /// being ended.
    pub(super) fn failure_if_stopping(source: &impl Iterator, taken: u64) -> Option<Failure> {
        (live_runs::is_stopping() && !is_empty(source)).then(|| Failure::of_left(0, None, taken))
    }
}

fn is_empty(source: &impl Iterator) -> bool {
    source.size_hint().1 == Some(0)
}
