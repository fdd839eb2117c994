//! Lines below the rows of a board that another component makes, such as the jobs of a run. Never reads a row.
//!
//! The board's thread asks for them. It takes its own lock first, so an implementation that wakes the board must hold
//! no lock of its own.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::screen::Line;
use super::shared::BoardShared;

/// A source of lines below the rows. Called on the board's thread; must never block.
pub trait LinesBelow: Send + Sync {
    /// Returns the time until the lines must be asked for again, on a screen or for a log. `None` while nothing
    /// changes.
    fn due(&self, on_screen: bool) -> Option<Duration>;

    /// Returns the number of lines that they would fill on a screen.
    fn lines_wanted(&self) -> usize;

    /// Returns the lines for a screen of this many columns, at most `room` of them.
    fn lines(&self, columns: usize, room: usize) -> Vec<Line>;

    /// Returns the line for a log, if it is due.
    fn log_line(&self) -> Option<String>;

    /// Returns the line that stays when the board or the source ends; `None` if nothing was ever shown.
    fn last_line(&self) -> Option<String>;
}

/// A weak reference from a source of lines to its board: the board may end before the source.
#[derive(Clone, Default)]
pub struct WeakBoard(Weak<BoardShared>);

impl WeakBoard {
    pub(super) fn of(shared: &Arc<BoardShared>) -> WeakBoard {
        WeakBoard(Arc::downgrade(shared))
    }

    /// Wakes the board's thread to check whether anything is due.
    pub fn wake(&self) {
        self.0.upgrade().iter().for_each(|shared| shared.wake());
    }

    /// Prints lines that stay above the rows. Returns false if there is no board, or if it has ended.
    pub fn println(&self, text: &str) -> bool {
        self.0.upgrade().is_some_and(|shared| shared.println(text))
    }

    /// Removes these lines; their last line stays above the rows.
    pub fn detach(&self, below: &Arc<dyn LinesBelow>) {
        self.0.upgrade().iter().for_each(|shared| shared.detach(below));
    }
}

impl fmt::Debug for WeakBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakBoard")
    }
}
