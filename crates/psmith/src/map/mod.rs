//! Functions over many items, and jobs of many kinds in one run.
//!
//! - [`mod@map`]: results in order; [`mod@each`]: only have it done, ask any, ask all; [`until`]: up to the first good one
//! - [`mod@run_jobs`]: jobs of many kinds; [`server`]: the same from a producer that may block
//! - [`hooks`]: what is called at starts, ends and messages; [`error_type`]: a job's own error, itself
//! - [`inline`]: the same without processes
//! - `progress_row` (feature `board`): how far a run is, on a row of a board

pub(crate) mod each;
pub(crate) mod error_type;
pub(crate) mod hooks;
pub(crate) mod inline;
pub(crate) mod map;
#[cfg(feature = "board")]
pub(crate) mod progress_row;
pub(crate) mod run_jobs;
pub(crate) mod server;
pub(crate) mod until;
