//! The board's thread: the only one that writes to the board's stream, and the only one that may wait for it.
//!
//! All signals are blocked in it: they are for the program's threads, and a closed pipe is an error here, not a
//! SIGPIPE.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use psmith_core::board::{Progress, RowView};

use crate::output::BoardStream;
use crate::painter::{Cursor, Painter};
use crate::screen::{Line, frame_lines, row_line};
use crate::shared::{BoardShared, DRAWS, Formatter, Mode, Turn};

/// Starts the thread. It ends when the board is shut down or its stream is gone.
pub(super) fn start(
    shared: Arc<BoardShared>,
    output: BoardStream,
    formatter: Option<Formatter>,
    colors: bool,
) -> io::Result<()> {
    // A new thread inherits the mask of the one that starts it: so it never takes a signal of the program's,
    // not even at its start.
    let old = psmith_sys::signals::block_all();
    let drawing = Drawing { formatter, is_formatter_bad: Cell::new(false) };
    let work = move || {
        DRAWS.set(true);
        let ended = EndOnDrop(&shared);
        drawing.work(&shared, &output, Painter::new(colors));
        // The stream is closed before any caller is notified that the board has ended.
        drop(output);
        drop(ended);
    };
    let started = std::thread::Builder::new().name("psmith-board".into()).spawn(work);
    psmith_sys::signals::restore(old);
    started.map(drop)
}

/// A guard that reports the thread's end, however it ends.
struct EndOnDrop<'a>(&'a BoardShared);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.on_ended();
    }
}

struct Drawing {
    /// The board's own formatter.
    formatter: Option<Formatter>,
    is_formatter_bad: Cell<bool>,
}

impl Drawing {
    fn work(&self, shared: &BoardShared, output: &BoardStream, mut painter: Painter) {
        // Where that is not to be had, the board is as good as without it while the program lives.
        let on_terminal = (shared.mode() == Mode::Console).then(|| output.leave_well()).flatten();
        let note_rows = |rows| on_terminal.iter().for_each(|terminal| terminal.set(rows));
        loop {
            let Some(turn) = shared.next_turn(output) else {
                let bytes = painter.clear().unwrap_or_default();
                note_rows(0);
                if output.write(bytes.as_bytes()).is_err() {
                    return;
                }
                shared.on_cleared();
                continue;
            };
            let bytes = match shared.mode() {
                Mode::Console => self.frame(shared, &mut painter, &turn),
                Mode::Minimal | Mode::Off => turn.lines.iter().map(|line| format!("{line}\n")).collect(),
            };
            note_rows(painter.rows());
            // The pipe is closed or the terminal is gone: nobody can see the board any more, and it is no error of the
            // program's.
            if output.write(bytes.as_bytes()).is_err() || turn.is_last {
                return;
            }
        }
    }

    fn frame(&self, shared: &BoardShared, painter: &mut Painter, turn: &Turn) -> String {
        let bad = RefCell::new(Vec::new());
        let text = |row: &RowView<'_>, progress: Progress| {
            let own = turn.formatters.get(&row.id);
            if own.is_some() && bad.borrow().contains(&row.id) {
                return progress.text();
            }
            self.text(own, progress).unwrap_or_else(|| {
                bad.borrow_mut().push(row.id);
                progress.text()
            })
        };
        let mut above: String = turn
            .lines
            .iter()
            .map(|line| painter.line(&Line { text: line.clone(), ..Line::default() }))
            .collect();
        for row in &turn.left {
            let progress = row.progress.map(|progress| text(row, progress)).unwrap_or_default();
            // Lines that stay are not cut: the terminal wraps them.
            above.push_str(&painter.line(&row_line(row, &progress, usize::MAX / 2)));
        }
        let mut lines = frame_lines(&turn.frame, turn.size.columns, text);
        if !turn.is_last {
            for below in &turn.below {
                let room = turn.size.board_rows().saturating_sub(lines.len());
                lines.extend(below.lines(turn.size.columns, room));
            }
        }
        shared.drop_formatters(&bad.borrow());
        painter.paint_below(&above, &lines, turn.size, Cursor::Margin)
    }

    /// Returns the text of the row's own formatter, else of the board's, else the default one; `None`: the row's own
    /// panicked.
    fn text(&self, own: Option<&Formatter>, progress: Progress) -> Option<String> {
        // A formatter borrows none of our state, so no state is half-changed after its panic.
        let ask = |formatter: &Formatter| catch_unwind(AssertUnwindSafe(|| formatter(progress))).ok();
        if let Some(own) = own {
            return ask(own);
        }
        if let Some(formatter) = &self.formatter
            && !self.is_formatter_bad.get()
        {
            if let Some(text) = ask(formatter) {
                return Some(text);
            }
            self.is_formatter_bad.set(true);
        }
        Some(progress.text())
    }
}
