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

mod elapsed;
mod rate;
mod row;
mod rows;
#[cfg(test)]
mod rows_tests;
mod run;
#[cfg(test)]
mod run_tests;

pub use elapsed::{format_elapsed, is_report_due};
pub use rate::Rate;
pub use row::{BAR_CELLS, Progress, Row, RowStatus, TEXT_BYTES_MAX, bar};
pub use rows::{BoardFrame, DONE_MAX, RowId, RowTable, RowView, Timing};
pub use run::{JobRow, RowEnding, RunBoard, TAIL_BYTES_MAX, Totals, Update};
