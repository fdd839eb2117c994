//! Long-lived workers that send values, merged into one stream. Starts no process itself: that is the run's part.
//!
//! - [`workers`]: worker processes; [`context`]: a worker from within
//! - [`feed`]: the common queue from which workers take items
//! - `rows` (feature `board`): a row of a board for each; `tasks` (feature `tokio`): tasks in place of processes

pub(crate) mod context;
pub(crate) mod feed;
#[cfg(feature = "board")]
pub(crate) mod rows;
#[cfg(feature = "tokio")]
pub(crate) mod tasks;
pub(crate) mod workers;
