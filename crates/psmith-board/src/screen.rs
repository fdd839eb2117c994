//! Lines of a board's screen; and rows turned into lines. Knows no escape code.

use psmith_core::board::{BoardFrame, Progress, RowStatus, RowView};

use crate::text::visible;

/// The style of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineStyle {
    /// True for a line that changed lately.
    pub bold: bool,
    /// True for a line that serves only for orientation.
    pub dim: bool,
    /// True for a line that is complete.
    pub italic: bool,
    /// The line's colour, if there are colours.
    pub status: RowStatus,
}

/// A line of the screen. The text holds no control character and fits the width.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The text.
    pub text: String,
    /// The line's style.
    pub look: LineStyle,
}

impl Line {
    /// Makes a line of foreign text: control characters made visible, and cut at `columns`.
    ///
    /// ```
    /// use psmith_board::{Line, LineStyle};
    /// let line = Line::new("a long text", 7, LineStyle::default());
    /// assert!(line.text.starts_with("a l") && line.text.len() < "a long text".len());
    /// ```
    #[must_use]
    pub fn new(text: &str, columns: usize, look: LineStyle) -> Line {
        Line { text: visible(text.as_bytes(), columns), look }
    }
}

/// The size of a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The number of columns.
    pub columns: usize,
    /// The number of rows.
    pub rows: usize,
}

impl Size {
    /// The size assumed for a terminal that reports none.
    pub const USUAL: Size = Size { columns: 80, rows: 24 };

    /// Returns the size of the terminal behind this descriptor, or [`Size::USUAL`].
    ///
    /// ```
    /// use psmith_board::Size;
    /// // No terminal.
    /// let file = std::fs::File::open("/dev/null").unwrap();
    /// assert_eq!(Size::of(&file), Size::USUAL);
    /// ```
    #[must_use]
    pub fn of(terminal: impl std::os::fd::AsFd) -> Size {
        let Ok(size) = rustix::termios::tcgetwinsize(terminal) else { return Size::USUAL };
        let or = |reported: u16, usual| if reported == 0 { usual } else { usize::from(reported) };
        Size { columns: or(size.ws_col, Size::USUAL.columns), rows: or(size.ws_row, Size::USUAL.rows) }
    }

    /// Returns the number of lines that a board may have: one is left for other output.
    ///
    /// ```
    /// assert_eq!(psmith_board::Size::USUAL.board_rows(), 23);
    /// ```
    #[must_use]
    pub fn board_rows(self) -> usize {
        self.rows.saturating_sub(1).max(1)
    }
}

/// Makes the line of a row: prefix, summary, progress. `progress` is its text.
pub(crate) fn row_line(row: &RowView<'_>, progress: &str, columns: usize) -> Line {
    let text = format!("{}{}{progress}", row.prefix, row.summary);
    Line::new(
        &text,
        columns,
        LineStyle { bold: row.highlighted, dim: false, italic: row.completed, status: row.status },
    )
}

/// Makes lines of the rows that fit, and one line for the rows that do not.
pub(crate) fn frame_lines(
    frame: &BoardFrame<'_>,
    columns: usize,
    progress: impl Fn(&RowView<'_>, Progress) -> String,
) -> Vec<Line> {
    let text = |row: &RowView<'_>| row.progress.map(|of| progress(row, of)).unwrap_or_default();
    let mut lines: Vec<Line> = frame.rows.iter().map(|row| row_line(row, &text(row), columns)).collect();
    if frame.more > 0 {
        let more =
            Line::new(&more_text(frame.more), columns, LineStyle { dim: true, ..LineStyle::default() });
        lines.insert(frame.more_at, more);
    }
    lines
}

/// Returns the text for rows that have no room.
///
/// ```
/// assert_eq!(psmith_board::more_text(3), "... and 3 more");
/// ```
#[must_use]
pub fn more_text(more: usize) -> String {
    format!("... and {more} more")
}
