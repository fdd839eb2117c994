//! The status board of a program: rows on a terminal that change in place, lines where there is no terminal.
//!
//! ```no_run
//! use psmith::board::{Board, Row, RowStatus};
//!
//! let board = Board::auto(std::io::stderr());
//! let row = board.add_row(Row::new().prefix("copy: ").summary("waiting"));
//! row.start(3);
//! for step in 1..=3 {
//!     row.set_summary(format!("step {step}"));
//!     row.tick(1);
//! }
//! row.set_status(RowStatus::Success);
//! drop(row); // completed: it moves up, and stays on the screen
//! board.shutdown();
//! ```
//!
//! Any number of threads may change rows. No change blocks on the terminal, fails, or panics, and none can harm another
//! row: a thread of the board paints, at most ten times a second, and not at all while nothing changes. It
//! never hides the cursor, and changes terminal modes (no wrapping, synchronized output) only within the one write of a
//! frame. So the terminal is as it was if the program ends between two frames, however it ends.
//!
//! While rows are on a terminal, signals that would end the program by default (INT, TERM, HUP, QUIT, ABRT), and `exit`,
//! first put the cursor below them; signals that are ignored, or that somebody handles, are left alone. A panic's message
//! is written where no rows are, by the panic hook that there was before.
//!
//! - [`Board`], [`Builder`]: the board; [`RowHandle`]: one row of it
//! - [`report_progress()`]: a counter of items that tells a row
//! - [`redirect()`]: sends to files what a piece of code prints
//! - [`Painter`], [`Line`], [`Size`]: lines onto a terminal, for programs that have a model of their own
//! - [`visible`]: text that cannot control a terminal

mod aside;
mod below;
mod board;
mod handle;
mod output;
mod painter;
#[cfg(test)]
mod painter_tests;
mod redirect;
mod report;
mod screen;
mod shared;
pub mod standing;
pub mod table;
mod text;
mod thread;

pub use aside::beside_rows;
pub use below::{LinesBelow, WeakBoard};
pub use board::{Board, Builder, Colors};
pub use handle::RowHandle;
pub use painter::{Cursor, Painter};
pub use psmith_core::board::{
    BAR_CELLS, Progress, Row, RowStatus, Timing, bar, format_elapsed, is_report_due,
};
pub use redirect::redirect;
pub use report::{ReportProgress, report_progress};
pub use screen::{Line, LineStyle, Size, more_text};
pub use text::{columns_of, visible};
