//! The model of the status display. Pure: times are parameters, and nothing is drawn.
//!
//! Two models, apart because their input differs:
//!
//! - [`RowTable`]: rows that a program adds and changes itself: texts, status, progress, pinned or not
//! - [`RunBoard`]: the running jobs and the totals of a run, folded from [`Update`]s
//!
//! Both compute when they are to be painted next ([`RowTable::next_repaint`], [`RunBoard::next_repaint`]): at most
//! once per [`Timing::update`], and not at all while nothing changes. A board can be absent without changing an
//! outcome: the painter alone uses what it returns.
//!
//! Without the feature `board` there are only the rows themselves, which jobs send to their host.

#[cfg(feature = "board")]
mod elapsed;
#[cfg(feature = "board")]
mod rate;
mod row;
#[cfg(feature = "board")]
mod rows;
#[cfg(all(test, feature = "board"))]
mod rows_tests;
#[cfg(feature = "board")]
mod run;
#[cfg(all(test, feature = "board"))]
mod run_tests;

#[cfg(feature = "board")]
pub use elapsed::{format_elapsed, is_report_due};
#[cfg(feature = "board")]
pub use rate::Rate;
pub use row::{BAR_CELLS, Progress, Row, RowStatus, TEXT_BYTES_MAX, bar};
#[cfg(feature = "board")]
pub use rows::{BoardFrame, DONE_MAX, RowId, RowTable, RowView, Timing};
#[cfg(feature = "board")]
pub use run::{JobRow, RowEnding, RunBoard, TAIL_BYTES_MAX, Totals, Update};
