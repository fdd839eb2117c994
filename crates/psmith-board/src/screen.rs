//! What a board shows, as lines; and rows turned into lines. Knows no escape code.

use psmith_core::board::{BoardFrame, Progress, RowStatus, RowView};

use crate::text::visible;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineStyle {
    /// It changed lately.
    pub bold: bool,
    /// It is there for orientation only.
    pub dim: bool,
    /// Nothing more comes of it.
    pub italic: bool,
    /// Its colour, where there are colours.
    pub status: RowStatus,
}

/// One line of the screen. The text holds no control character and fits the width.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The text.
    pub text: String,
    /// How it looks.
    pub look: LineStyle,
}

impl Line {
    /// Foreign text on a line: made visible, and cut at `columns`.
    ///
    /// ```
    /// use psmith::board::{Line, Look};
    /// let line = Line::new("a long text", 7, Look::default());
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
    /// Columns.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
}

impl Size {
    /// What a terminal that does not tell is taken for.
    pub const USUAL: Size = Size { columns: 80, rows: 24 };

    /// The size of the terminal behind this descriptor, or [`Size::USUAL`].
    ///
    /// ```
    /// use psmith::board::Size;
    /// // No terminal.
    /// let file = std::fs::File::open("/dev/null").unwrap();
    /// assert_eq!(Size::of(&file), Size::USUAL);
    /// ```
    #[must_use]
    pub fn of(terminal: impl std::os::fd::AsFd) -> Size {
        let Ok(size) = rustix::termios::tcgetwinsize(terminal) else { return Size::USUAL };
        let or = |told: u16, usual| if told == 0 { usual } else { usize::from(told) };
        Size { columns: or(size.ws_col, Size::USUAL.columns), rows: or(size.ws_row, Size::USUAL.rows) }
    }

    /// So many lines a board may have: one is left for what else is written.
    ///
    /// ```
    /// assert_eq!(psmith::board::Size::USUAL.board_rows(), 23);
    /// ```
    #[must_use]
    pub fn board_rows(self) -> usize {
        self.rows.saturating_sub(1).max(1)
    }
}

/// A row on a line: prefix, summary, progress. `progress` is its text.
pub(crate) fn row_line(row: &RowView<'_>, progress: &str, columns: usize) -> Line {
    let text = format!("{}{}{progress}", row.prefix, row.summary);
    Line::new(
        &text,
        columns,
        LineStyle { bold: row.highlighted, dim: false, italic: row.completed, status: row.status },
    )
}

/// The rows that fit, as lines, with one for those that do not.
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

/// The text for what has no room.
///
/// ```
/// assert_eq!(psmith::board::more_text(3), "... and 3 more");
/// ```
#[must_use]
pub fn more_text(more: usize) -> String {
    format!("... and {more} more")
}
