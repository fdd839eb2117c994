//! A row of a board: its texts, status and progress, and the text of a progress bar. Has no access to other rows.

use alloc::format;
use alloc::string::String;

/// The maximum length of a row's text in bytes; no screen is that wide.
pub const TEXT_BYTES_MAX: usize = 4096;

/// Cells of a progress bar.
pub const BAR_CELLS: usize = 30;

/// The status of a row, shown as a colour. The text has to say it as well: a terminal may have no colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowStatus {
    /// Shown without a colour.
    #[default]
    Normal,
    /// Shown in green.
    Success,
    /// Shown in yellow.
    Warning,
    /// Shown in red.
    Error,
}

/// A row to be added to a board.
///
/// ```
/// use psmith_core::board::{Row, RowStatus};
///
/// let row = Row::new().prefix("worker  1: ").summary("waiting").status(RowStatus::Warning).pinned();
/// assert_eq!(row.prefix, "worker  1: ");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The text before the summary; nothing is put between the two.
    pub prefix: String,
    /// The text that changes.
    pub summary: String,
    /// The status, which colours the whole row.
    pub status: RowStatus,
    /// True if the row stays below those that are not pinned; of several, the one that changed last is lowest.
    pub pinned: bool,
}

impl Row {
    /// Creates an empty row.
    #[must_use]
    pub fn new() -> Row {
        Row::default()
    }

    /// Sets the prefix.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Row {
        self.prefix = bounded(prefix.into());
        self
    }

    /// Sets the summary.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Row {
        self.summary = bounded(summary.into());
        self
    }

    /// Sets the status.
    #[must_use]
    pub fn status(mut self, status: RowStatus) -> Row {
        self.status = status;
        self
    }

    /// Pins the row to the bottom.
    #[must_use]
    pub fn pinned(mut self) -> Row {
        self.pinned = true;
        self
    }
}

/// The progress of a row. `current` is never above `target`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    current: u64,
    target: u64,
}

impl Progress {
    /// Creates a progress of 0 of `target`.
    #[must_use]
    pub fn start(target: u64) -> Progress {
        Progress { current: 0, target }
    }

    /// Creates a progress of `current` of `target`, at most all of it.
    #[must_use]
    pub fn at(current: u64, target: u64) -> Progress {
        Progress { current: current.min(target), target }
    }

    /// Returns the number of steps done.
    #[must_use]
    pub fn current(self) -> u64 {
        self.current
    }

    /// Returns the number of steps to do.
    #[must_use]
    pub fn target(self) -> u64 {
        self.target
    }

    /// Adds `steps` steps, up to the target.
    #[must_use]
    pub fn tick(self, steps: u64) -> Progress {
        Progress::at(self.current.saturating_add(steps), self.target)
    }

    /// Sets the progress to the target.
    #[must_use]
    pub fn finish(self) -> Progress {
        Progress::at(self.target, self.target)
    }

    /// Returns whole percents, cut and not rounded: 100 means all. 0 where there is nothing to do.
    #[must_use]
    pub fn percent(self) -> u64 {
        self.share_of(100)
    }

    /// Returns the text that a row shows: a blank, the bar, and once something is done `  33% - 1/3`.
    #[must_use]
    pub fn text(self) -> String {
        let bar = cells(BAR_CELLS, self.share_of(BAR_CELLS as u64) as usize);
        if self.target > 0 && self.current > 0 {
            format!(" {bar} {:3}% - {}/{}", self.percent(), self.current, self.target)
        } else {
            format!(" {bar}")
        }
    }

    fn share_of(self, whole: u64) -> u64 {
        let share = u128::from(self.current) * u128::from(whole) / u128::from(self.target.max(1));
        // No more than `whole`, as current is never above target.
        u64::try_from(share).unwrap_or(whole)
    }
}

/// Returns a bar of `cells_count` cells of which the share `ratio` is done, cut and not rounded. A ratio of 1 and
/// above is a full bar; a ratio below 0, or one that is not a number, an empty one.
///
/// ```
/// assert_eq!(psmith_core::board::bar(4, 0.5), "▓▓░░");
/// ```
#[must_use]
pub fn bar(cells_count: usize, ratio: f64) -> String {
    // The conversion saturates numbers out of range, and turns NaN into 0.
    cells(cells_count, (cells_count as f64 * ratio) as usize)
}

fn cells(count: usize, done: usize) -> String {
    (0..count).map(|cell| if cell < done { '▓' } else { '░' }).collect()
}

/// Returns the text, cut to [`TEXT_BYTES_MAX`].
pub(super) fn bounded(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: board-pace-and-texts, progress-of-a-row
    #[test]
    fn bars_are_cut_and_never_overfull() {
        for (ratio, bar_text) in [
            (0.0, "░░░░"),
            (0.24, "░░░░"),
            (0.25, "▓░░░"),
            (0.5, "▓▓░░"),
            (0.99, "▓▓▓░"),
            (1.0, "▓▓▓▓"),
            (7.0, "▓▓▓▓"),
            (f64::INFINITY, "▓▓▓▓"),
            (-1.0, "░░░░"),
            (f64::NAN, "░░░░"),
        ] {
            assert_eq!(bar(4, ratio), bar_text, "{ratio}");
        }
        assert_eq!(bar(0, 0.5), "");
        assert_eq!(bar(BAR_CELLS, 0.5).chars().filter(|&cell| cell == '▓').count(), 15);
    }

    #[test]
    fn progress_has_numbers_once_something_is_done() {
        let (done, rest) = ("▓".repeat(10), "░".repeat(20));
        assert_eq!(Progress::start(3).text(), format!(" {}", "░".repeat(30)));
        assert_eq!(Progress::at(1, 3).text(), format!(" {done}{rest}  33% - 1/3"));
        assert_eq!(Progress::at(2, 3).percent(), 66);
        assert_eq!(Progress::at(3, 3).text(), format!(" {} 100% - 3/3", "▓".repeat(30)));
        assert_eq!(Progress::at(999, 1000).percent(), 99);
        assert_eq!(Progress::at(1, 1000).text(), format!(" {}   0% - 1/1000", "░".repeat(30)));
        assert_eq!(Progress::at(u64::MAX, u64::MAX).percent(), 100);
    }

    // proves: board-stays-whole, progress-of-a-row
    #[test]
    fn progress_saturates() {
        assert_eq!(Progress::start(3).tick(7), Progress::at(3, 3));
        assert_eq!(Progress::at(9, 3), Progress::at(3, 3));
        assert_eq!(Progress::at(2, 3).tick(u64::MAX), Progress::at(3, 3));
        assert_eq!(Progress::start(0).tick(1).text(), format!(" {}", "░".repeat(30)));
        assert_eq!(Progress::start(5).finish(), Progress::at(5, 5));
    }

    #[test]
    fn a_text_is_kept_up_to_its_bound() {
        let row = Row::new().summary("é".repeat(TEXT_BYTES_MAX));
        assert_eq!(row.summary.len(), TEXT_BYTES_MAX);
        let row = Row::new().prefix(format!("x{}", "é".repeat(TEXT_BYTES_MAX)));
        assert_eq!(row.prefix.len(), TEXT_BYTES_MAX - 1);
    }
}
