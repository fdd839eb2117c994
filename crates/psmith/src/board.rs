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
//! Any number of threads may change rows. No change blocks on the terminal, fails, or panics, and none can harm
//! another row: a thread of the board's own paints, at most ten times a second, and not at all while nothing
//! changes. The board never hides the cursor, and the modes that it changes (no wrapping, hold the picture) are changed
//! only within the one write of a frame. So a program may end however it likes between two frames, and the terminal is as
//! it was.
//!
//! While rows are on a terminal, signals that would end the program by default (INT, TERM, HUP, QUIT, ABRT), and `exit`,
//! first put the cursor below them; signals that are ignored, or that somebody handles, are left alone. A panic's message
//! is written where no rows are, by the panic hook that there was before.
//!
//! - [`Board`], [`Builder`]: the board; [`RowHandle`]: one row of it
//! - [`JobBoard`], [`Snapshot`]: the jobs of a run, as rows, as JSON, as a list when a signal comes
//! - [`ShowProgress`]: the progress of a `map`, an `each` and the like
//! - [`report_progress()`]: a counter of items, shown on a row
//! - [`WithStatus`]: a row for each worker of `run_workers`, or for each task of `run_tasks`
//! - [`redirect()`]: the output of a piece of code, written to files

#[doc(inline)]
pub use psmith_board::{Board, Builder, Colors, Progress, Row, RowHandle, redirect, report_progress};
// Nameable for programs that store it; documented at `report_progress`.
#[doc(hidden)]
pub use psmith_board::ReportProgress;
// The same as `psmith::RowStatus`, which the rows of workers need without this module.
#[doc(no_inline)]
pub use psmith_core::board::RowStatus;

pub use crate::map::progress_row::ShowProgress;
pub use crate::observe::job_board::{Format, JobBoard};
pub use crate::observe::snapshot::{JobSnapshot, Phase, Snapshot};
pub use crate::streams::rows::WithStatus;
#[cfg(feature = "tokio")]
pub use crate::streams::rows::wrap_with_status;
