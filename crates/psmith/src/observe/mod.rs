//! Observation of runs by boards. Never changes an outcome.
//!
//! - [`observer`]: the events that an observer gets, on the engine's thread
//! - `job_board`, `terminal`, `snapshot` (feature `board`): the jobs of runs as rows on a terminal, as data, and as
//!   JSON
//! - `web` (feature `web`): the jobs of runs in a browser

#[cfg(feature = "board")]
pub(crate) mod job_board;
pub(crate) mod observer;
#[cfg(feature = "board")]
pub(crate) mod snapshot;
#[cfg(feature = "board")]
pub(crate) mod terminal;
#[cfg(feature = "web")]
pub(crate) mod web;
