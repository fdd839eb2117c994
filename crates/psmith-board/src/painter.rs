//! Lines onto a terminal: inline, below the last output, never on the alternate screen.
//!
//! Between two paints the cursor rests where the next output belongs, *above* the board, not below it. So nothing that
//! may happen meanwhile needs bookkeeping: output, a panic's message, a shell's prompt begin in the right place; and
//! however a terminal reflows its lines when it is resized, all of the board is below the cursor, and is erased by
//! erasing what follows. The cursor is never hidden, so it never has to be shown again.
//!
//! Composes bytes and writes nothing itself. A frame is one buffer, for a single write.

use crossterm::Command;
use crossterm::cursor::{MoveDown, MoveUp, RestorePosition, SavePosition};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
};
use psmith_core::board::RowStatus;

use crate::screen::{Line, LineStyle, Size};

/// Moves down, and scrolls at the bottom, in the same column. (A newline would be turned into carriage return and
/// newline by the terminal's driver.)
const DOWN: char = '\u{b}';

/// The position of the cursor when a board is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The left margin.
    Margin,
    /// The place behind a line that has not ended yet: more of it may follow, so the board goes below it.
    MidLine,
}

/// Paints one board on one terminal.
#[derive(Clone, Debug)]
pub struct Painter {
    colors: bool,
    /// The position of the cursor when the board that is on the screen was painted.
    drawn: Option<Cursor>,
    /// The number of its lines.
    rows: usize,
}

impl Painter {
    /// Makes a painter that has painted nothing yet. Without `colors`, only bold and italic are used.
    ///
    /// ```
    /// use psmith_board::Painter;
    /// assert!(!Painter::new(true).is_drawn());
    /// ```
    #[must_use]
    pub fn new(colors: bool) -> Painter {
        Painter { colors, drawn: None, rows: 0 }
    }

    /// Returns whether the board is on the screen.
    ///
    /// ```
    /// use psmith_board::{Cursor, Line, LineStyle, Painter, Size};
    /// let lines = [Line::new("at work", 80, LineStyle::default())];
    /// let mut painter = Painter::new(false);
    /// let _bytes = painter.paint(&lines, Size::USUAL, Cursor::Margin);
    /// assert!(painter.is_drawn());
    /// ```
    #[must_use]
    pub fn is_drawn(&self) -> bool {
        self.drawn.is_some()
    }

    /// Returns the number of lines that are on the screen, below the cursor.
    pub(crate) fn rows(&self) -> usize {
        if self.is_drawn() { self.rows } else { 0 }
    }

    /// Returns the bytes that show these lines in place of those before. If there are more lines than fit on the
    /// screen, the first are shown, and one row is left free.
    ///
    /// ```
    /// use psmith_board::{Cursor, Line, LineStyle, Painter, Size};
    /// let lines = [Line::new("at work", 80, LineStyle::default())];
    /// let bytes = Painter::new(false).paint(&lines, Size::USUAL, Cursor::Margin);
    /// assert!(bytes.contains("at work"));
    /// ```
    #[must_use]
    pub fn paint(&mut self, lines: &[Line], size: Size, cursor: Cursor) -> String {
        self.paint_below("", lines, size, cursor)
    }

    /// Returns the bytes of [`Painter::paint`], and of a text that stays on the screen above the board: whole lines,
    /// each ended by a newline, without control characters. It begins where the cursor is.
    ///
    /// ```
    /// use psmith_board::{Cursor, Line, LineStyle, Painter, Size};
    /// let lines = [Line::new("at work", 80, LineStyle::default())];
    /// let bytes = Painter::new(false).paint_below("one line\n", &lines, Size::USUAL, Cursor::Margin);
    /// assert!(bytes.find("one line") < bytes.find("at work"));
    /// ```
    #[must_use]
    pub fn paint_below(&mut self, above: &str, lines: &[Line], size: Size, cursor: Cursor) -> String {
        let lines = &lines[..lines.len().min(size.board_rows())];
        let mut out = String::new();
        put(&mut out, BeginSynchronizedUpdate);
        if !above.is_empty() {
            out.push_str(&self.clear().unwrap_or_default());
            out.push_str(above);
        }
        let cursor = if above.is_empty() { cursor } else { Cursor::Margin };
        if lines.is_empty() {
            out.push_str(&self.clear().unwrap_or_default());
        } else {
            self.draw(&mut out, lines, cursor);
        }
        put(&mut out, EndSynchronizedUpdate);
        out
    }

    /// Returns the bytes to write before any other output to the terminal; `None` if no board is on the screen. The
    /// text that follows begins where the last one ended.
    ///
    /// ```
    /// use psmith_board::{Cursor, Line, LineStyle, Painter, Size};
    /// let lines = [Line::new("at work", 80, LineStyle::default())];
    /// let mut painter = Painter::new(false);
    /// assert_eq!(painter.clear(), None);
    /// let _bytes = painter.paint(&lines, Size::USUAL, Cursor::Margin);
    /// assert!(painter.clear().is_some() && !painter.is_drawn());
    /// ```
    pub fn clear(&mut self) -> Option<String> {
        let cursor = self.drawn.take()?;
        let mut out = String::new();
        erase(&mut out, cursor);
        Some(out)
    }

    /// Returns a line with its style, as it stays on the screen, with its newline.
    ///
    /// ```
    /// use psmith_board::{Line, LineStyle, Painter};
    /// let line = Line::new("done", 80, LineStyle::default());
    /// assert!(Painter::new(false).line(&line).contains("done"));
    /// ```
    #[must_use]
    pub fn line(&self, line: &Line) -> String {
        let mut out = String::new();
        self.styled(&mut out, line);
        out.push_str("\r\n");
        out
    }

    fn draw(&mut self, out: &mut String, lines: &[Line], cursor: Cursor) {
        // A terminal that became narrower a moment ago must not wrap lines: the board would be higher than computed.
        put(out, DisableLineWrap);
        if cursor == Cursor::Margin {
            out.push('\r');
        }
        // Room is made first, so that nothing scrolls between saving the position and going back to it.
        let below = lines.len() - usize::from(cursor == Cursor::Margin);
        out.extend(std::iter::repeat_n(DOWN, below));
        if let Ok(up @ 1..) = u16::try_from(below) {
            put(out, MoveUp(up));
        }
        erase(out, cursor);
        put(out, SavePosition);
        if cursor == Cursor::MidLine {
            out.push_str("\r\n");
        }
        for (number, line) in lines.iter().enumerate() {
            if number > 0 {
                out.push_str("\r\n");
            }
            self.styled(out, line);
        }
        put(out, RestorePosition);
        put(out, EnableLineWrap);
        self.drawn = Some(cursor);
        self.rows = lines.len();
    }

    fn styled(&self, out: &mut String, line: &Line) {
        use std::fmt::Write as _;
        let style = self.style(line.look);
        // Writing to a String cannot fail.
        let _ = write!(out, "{style}{}{style:#}", line.text);
    }

    fn style(&self, look: LineStyle) -> anstyle::Style {
        let color = match look.status {
            RowStatus::Normal => None,
            RowStatus::Success => Some(anstyle::AnsiColor::Green),
            RowStatus::Warning => Some(anstyle::AnsiColor::Yellow),
            RowStatus::Error => Some(anstyle::AnsiColor::Red),
        };
        let mut style = anstyle::Style::new();
        for (on, effect) in [
            (look.bold, anstyle::Effects::BOLD),
            (look.dim, anstyle::Effects::DIMMED),
            (look.italic, anstyle::Effects::ITALIC),
        ] {
            style = if on { style | effect } else { style };
        }
        style.fg_color(color.filter(|_| self.colors).map(Into::into))
    }
}

/// Erases what follows the cursor, and leaves the cursor where it is.
///
/// One "erase to the end of the screen" at the left margin would not do: at the top of the screen that is all of it,
/// and tmux keeps a screen that is cleared, so its scrollback would fill with old boards.
fn erase(out: &mut String, cursor: Cursor) {
    match cursor {
        Cursor::MidLine => put(out, Clear(ClearType::FromCursorDown)),
        Cursor::Margin => {
            put(out, Clear(ClearType::UntilNewLine));
            put(out, SavePosition);
            put(out, MoveDown(1));
            put(out, Clear(ClearType::FromCursorDown));
            put(out, RestorePosition);
        }
    }
}

fn put(out: &mut String, command: impl Command) {
    // Writing to a String cannot fail.
    let _ = command.write_ansi(out);
}
