//! Long-lived workers that send values, merged into one stream.
//!
//! - [`workers`]: worker processes; [`context`]: a worker from within
//! - `rows` (feature `board`): each on a row of a board; `tasks` (feature `tokio`): the same for tasks

pub(crate) mod context;
#[cfg(feature = "board")]
pub(crate) mod rows;
#[cfg(feature = "tokio")]
pub(crate) mod tasks;
pub(crate) mod workers;
