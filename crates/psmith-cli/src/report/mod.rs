//! Reports of a run to people, on stderr: failures as they come, how far it is, and what became of it all.
//!
//! Composes text; the run's loop writes it. Never changes an outcome, and keeps no more than a few lines however
//! many jobs there are. One wording for each cause, from [`cause`], wherever it is shown.

pub mod failure_line;
pub mod plain;
pub mod running;
pub mod summary;
pub mod tally;

pub use psmith_board::{standing, table};
pub use psmith_report::{cause, display, duration};
