//! Row of a board, as the program holds it. Never blocks, never fails, never panics.

use std::fmt;
use std::sync::Arc;

use psmith_core::Time;
use psmith_core::board::{Progress, RowId, RowStatus, RowTable};

use crate::shared::{BoardShared, Mode};

/// A row of a [`Board`](crate::Board). Clones are the same row; when the last one is dropped, the row is completed.
///
/// Changes to a row that is completed, or whose board is shut down, have no effect.
#[derive(Clone)]
pub struct RowHandle {
    row: Arc<OneRow>,
}

struct OneRow {
    shared: Arc<BoardShared>,
    /// The row; `None` if its board was off or shut down.
    id: Option<RowId>,
}

impl RowHandle {
    pub(crate) fn new(shared: Arc<BoardShared>, id: Option<RowId>) -> RowHandle {
        RowHandle { row: Arc::new(OneRow { shared, id }) }
    }

    /// Replaces the text behind the prefix. Control characters in it are made visible, not obeyed; of more than
    /// [`TEXT_BYTES_MAX`](psmith_core::board::TEXT_BYTES_MAX) bytes the first are kept.
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new());
    /// row.set_summary("at work");
    /// ```
    pub fn set_summary(&self, summary: impl Into<String>) {
        if let Some(id) = self.row.id {
            let summary = summary.into();
            self.row.shared.change_text(id, |rows, now| rows.set_summary(id, summary, now));
        }
    }

    /// Replaces the text before the summary; an empty one removes it.
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new());
    /// row.set_prefix("copy: ");
    /// ```
    pub fn set_prefix(&self, prefix: impl Into<String>) {
        if let Some(id) = self.row.id {
            let prefix = prefix.into();
            self.row.shared.change_text(id, |rows, now| rows.set_prefix(id, prefix, now));
        }
    }

    /// Sets the row's colour. Its texts stay.
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new());
    /// row.set_status(psmith::board::RowStatus::Warning);
    /// ```
    pub fn set_status(&self, status: RowStatus) {
        self.change(|rows, id, now| rows.set_status(id, status, now));
    }

    /// Begins to count to `target`, from 0: the row gets a bar.
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new());
    /// row.start(10);
    /// row.tick(1);
    /// ```
    pub fn start(&self, target: u64) {
        self.change(|rows, id, now| rows.start(id, target, now));
    }

    /// Counts `steps` more, at most up to the target. Has no effect before [`RowHandle::start`].
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new());
    /// row.start(10);
    /// (0..10).for_each(|_| row.tick(1));
    /// ```
    pub fn tick(&self, steps: u64) {
        self.change(|rows, id, now| rows.tick(id, steps, now));
    }

    /// Sets the count to its target. The row goes on: to complete it, see [`RowHandle::complete`].
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new());
    /// row.start(10);
    /// row.finish();
    /// ```
    pub fn finish(&self) {
        self.change(|rows, id, now| rows.finish(id, now));
    }

    /// Removes the bar.
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new());
    /// row.start(10);
    /// row.clear();
    /// ```
    pub fn clear(&self) {
        self.change(|rows, id, now| rows.clear(id, now));
    }

    /// Sets the text for this row's progress, in place of the board's formatter. The formatter is called on the board's
    /// thread and may change rows itself; after a panic it is not called again, and the default text takes its place.
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new());
    /// row.formatter(|progress| format!(" {} of {}", progress.current(), progress.target()));
    /// ```
    pub fn formatter(&self, formatter: impl Fn(Progress) -> String + Send + Sync + 'static) {
        if let Some(id) = self.row.id {
            self.row.shared.set_formatter(id, Some(Arc::new(formatter)));
        }
    }

    /// Removes the row's own formatter: the board's applies again.
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new());
    /// row.formatter(|_| String::new());
    /// row.default_formatter();
    /// ```
    pub fn default_formatter(&self) {
        if let Some(id) = self.row.id {
            self.row.shared.set_formatter(id, None);
        }
    }

    /// Completes the row, which gets no more changes: it moves above all rows that are not completed, and leaves the
    /// board, but not the screen, when it is dimmed. The same happens when the last clone is dropped.
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new());
    /// let other = row.clone();
    /// row.complete();
    /// other.set_summary("changes nothing");
    /// ```
    pub fn complete(&self) {
        if let Some(id) = self.row.id {
            self.row.shared.complete(id);
        }
    }

    /// Returns whether each change of the row's texts is written as a line.
    #[must_use]
    pub fn is_told_in_lines(&self) -> bool {
        self.row.shared.mode() == Mode::Minimal
    }

    fn change(&self, change: impl FnOnce(&mut RowTable, RowId, Time) -> bool) {
        if let Some(id) = self.row.id {
            self.row.shared.change(|rows, now| {
                change(rows, id, now);
            });
        }
    }
}

impl Drop for OneRow {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.shared.complete(id);
        }
    }
}

impl fmt::Debug for RowHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowHandle").field("id", &self.row.id).finish_non_exhaustive()
    }
}
