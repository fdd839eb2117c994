//! Lines that stand below the rows of a board and are made by somebody else, such as the jobs of a run.
//!
//! The board's thread asks for them; it takes its own lock first, so an implementation that wakes the board holds no lock
//! of its own.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::screen::Line;
use super::shared::BoardShared;

/// A source of lines below the rows. Asked on the board's thread; never blocks.
pub trait LinesBelow: Send + Sync {
    /// In how long the lines are to be asked for again, on a screen or for a log. `None` while nothing changes.
    fn due(&self, on_screen: bool) -> Option<Duration>;

    /// The number of lines that they would fill on a screen.
    fn lines_wanted(&self) -> usize;

    /// The lines for a screen with so many columns and so much room.
    fn lines(&self, columns: usize, room: usize) -> Vec<Line>;

    /// The line for a log, if it is due.
    fn log_line(&self) -> Option<String>;

    /// The line that stays when the board or the source ends; `None` if there was nothing to be seen.
    fn last_line(&self) -> Option<String>;
}

/// A board from the side of a source of lines: the board may end before the source.
#[derive(Clone, Default)]
pub struct WeakBoard(Weak<BoardShared>);

impl WeakBoard {
    pub(super) fn of(shared: &Arc<BoardShared>) -> WeakBoard {
        WeakBoard(Arc::downgrade(shared))
    }

    /// Has the board's thread look whether anything is due.
    pub fn wake(&self) {
        self.0.upgrade().iter().for_each(|shared| shared.wake());
    }

    /// Prints lines that stay above the rows. False if there is no board, or none any more.
    pub fn println(&self, text: &str) -> bool {
        self.0.upgrade().is_some_and(|shared| shared.println(text))
    }

    /// Shows these lines no longer; their last line stays above the rows.
    pub fn detach(&self, below: &Arc<dyn LinesBelow>) {
        self.0.upgrade().iter().for_each(|shared| shared.detach(below));
    }
}

impl fmt::Debug for WeakBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakBoard")
    }
}
