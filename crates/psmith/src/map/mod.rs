//! Functions over many items, and jobs of many kinds in one run.
//!
//! - [`mod@map`], [`map_iter`], [`map_run`], [`iterates`]: results in order
//! - [`mod@each`]: for effect, any, all; [`until`]: up to a decision
//! - [`mod@run_jobs`]: jobs of many kinds; [`server`], [`server_handle`]: the same from a
//!   producer that may block
//! - [`hooks`], [`start_gate`]: functions of the caller for starts, ends and messages; [`error_type`]: a job's own error, as a value
//! - [`inline`]: jobs without processes; [`left`]: items that were taken and not begun
//! - `progress_row` (feature `board`): a run's progress, on a row of a board
//!
//! Starts no process and talks to no worker: that is the run's part (`crate::run`).

pub(crate) mod delivery;
pub(crate) mod each;
pub(crate) mod error_type;
pub(crate) mod hooks;
pub(crate) mod inline;
mod iterates;
mod left;
pub(crate) mod map;
pub(crate) mod map_iter;
mod map_run;
#[cfg(feature = "board")]
pub(crate) mod progress_row;
pub(crate) mod run_jobs;
pub(crate) mod server;
pub(crate) mod server_handle;
mod start_gate;
pub(crate) mod until;
