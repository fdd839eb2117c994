//! Frames on an emulated terminal: what is on the screen, and where the cursor is.

use std::num::NonZeroU16;

use psmith_core::board::RowStatus;
use vt100::Parser;

use crate::{Cursor, Line, LineStyle, Painter, Size};

fn lines(texts: &[&str]) -> Vec<Line> {
    texts.iter().map(|text| Line { text: (*text).to_owned(), look: LineStyle::default() }).collect()
}

struct Screen {
    terminal: Parser,
    painter: Painter,
    size: Size,
}

impl Screen {
    fn new(columns: u16, rows: u16) -> Screen {
        let size = Size { columns: columns.into(), rows: rows.into() };
        let of = |number| NonZeroU16::new(number).unwrap();
        Screen { terminal: Parser::new(of(rows), of(columns), 1000), painter: Painter::new(true), size }
    }

    fn write(&mut self, text: &str) {
        let clear = self.painter.clear().unwrap_or_default();
        // As the terminal's driver does.
        self.terminal.process((clear + text).replace('\n', "\r\n").as_bytes());
    }

    fn paint(&mut self, texts: &[&str], cursor: Cursor) {
        let frame = self.painter.paint(&lines(texts), self.size, cursor);
        self.terminal.process(frame.as_bytes());
    }

    fn contents(&self) -> String {
        self.terminal.screen().contents()
    }

    fn cursor(&self) -> (u16, u16) {
        self.terminal.screen().cursor_position()
    }
}

#[test]
fn a_board_stands_below_what_was_written_and_the_cursor_above_it() {
    let mut screen = Screen::new(20, 6);
    screen.write("one\n");
    screen.paint(&["row 1", "row 2"], Cursor::Margin);
    assert_eq!(screen.contents(), "one\nrow 1\nrow 2");
    assert_eq!(screen.cursor(), (1, 0));
    screen.paint(&["row 1b"], Cursor::Margin);
    assert_eq!(screen.contents(), "one\nrow 1b");
    screen.write("two\nthree\nfour\n");
    assert_eq!(screen.contents(), "one\ntwo\nthree\nfour");
    screen.paint(&["a", "b", "c", "d"], Cursor::Margin);
    assert_eq!(screen.contents(), "three\nfour\na\nb\nc\nd", "it makes room for itself by scrolling");
    assert_eq!(screen.cursor(), (2, 0));
    assert!(!screen.terminal.screen().hide_cursor());
    screen.paint(&[], Cursor::Margin);
    assert_eq!(screen.contents(), "three\nfour");
}

#[test]
fn a_line_that_is_not_ended_goes_on_where_it_was() {
    let mut screen = Screen::new(20, 4);
    screen.write("one\ntwo\nthree\npart");
    screen.paint(&["row 1", "row 2"], Cursor::MidLine);
    assert_eq!(screen.contents(), "three\npart\nrow 1\nrow 2");
    assert_eq!(screen.cursor(), (1, 4));
    screen.write("ial\n");
    screen.paint(&["row 1"], Cursor::Margin);
    assert_eq!(screen.contents(), "three\npartial\nrow 1");
}

#[test]
fn a_board_is_never_higher_than_the_screen() {
    let mut screen = Screen::new(20, 3);
    screen.write("out\n");
    screen.paint(&["1", "2", "3", "4", "5"], Cursor::Margin);
    assert_eq!(screen.contents(), "out\n1\n2");
    screen.write("more\n");
    screen.paint(&["1", "2", "3"], Cursor::Margin);
    assert_eq!(screen.contents(), "more\n1\n2");
    // The scrollback is whole, each line once, and holds nothing of the board.
    screen.terminal.screen_mut().set_scrollback(10);
    assert_eq!(screen.contents(), "out\nmore\n1");
}

#[test]
fn text_that_stays_is_written_above_the_board() {
    let mut screen = Screen::new(20, 6);
    screen.paint(&["row"], Cursor::Margin);
    let frame = screen.painter.paint_below("left\r\n", &lines(&["row"]), screen.size, Cursor::Margin);
    screen.terminal.process(frame.as_bytes());
    assert_eq!(screen.contents(), "left\nrow");
    assert_eq!(screen.cursor(), (1, 0));
}

#[test]
fn foreign_output_is_kept() {
    let mut screen = Screen::new(30, 6);
    screen.paint(&["row 1", "row 2"], Cursor::Margin);
    // The board is not notified of this.
    screen.terminal.process(b"thread 'x' panicked\r\n");
    screen.paint(&["row 1", "row 2"], Cursor::Margin);
    assert_eq!(screen.contents(), "thread 'x' panicked\nrow 1\nrow 2");
}

#[test]
fn styles_are_colours_where_there_are_any_and_bold_everywhere() {
    let look = LineStyle { bold: true, dim: false, italic: true, status: RowStatus::Error };
    let line = Line { text: "x".to_owned(), look };
    assert_eq!(Painter::new(true).line(&line), "\x1b[1m\x1b[3m\x1b[31mx\x1b[0m\r\n");
    assert_eq!(Painter::new(false).line(&line), "\x1b[1m\x1b[3mx\x1b[0m\r\n");
    let plain = Line { text: "x".to_owned(), look: LineStyle::default() };
    assert_eq!(Painter::new(true).line(&plain), "x\r\n");
}

#[test]
fn a_frame_is_these_bytes() {
    let mut painter = Painter::new(false);
    assert_eq!(
        painter.paint(&lines(&["a", "b"]), Size::USUAL, Cursor::Margin),
        "\x1b[?2026h\x1b[?7l\r\u{b}\x1b[1A\x1b[K\x1b7\x1b[1B\x1b[J\x1b8\x1b7a\r\nb\x1b8\x1b[?7h\x1b[?2026l"
    );
    assert_eq!(painter.clear().unwrap(), "\x1b[K\x1b7\x1b[1B\x1b[J\x1b8");
    assert_eq!(painter.clear(), None);
}
