//! Reports of a run to people, on stderr: failures as they occur, progress, and a summary of the results.
//!
//! Composes text; the run's loop writes it. Never changes an outcome, and keeps no more than a few lines however many
//! jobs there are. The wording of each cause is that of [`cause`] everywhere.

pub mod failure_line;
pub mod plain;
pub mod running;
pub mod summary;
pub mod tally;

pub use psmith_board::{standing, table};
pub use psmith_report::{cause, display, duration};
