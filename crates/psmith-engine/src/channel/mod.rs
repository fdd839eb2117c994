//! The channel between host and worker.
//!
//! - [`frame`]: whole, checked frames over a stream of bytes
//! - [`messages`]: all that host and worker say to each other
//! - [`shared_region`]: memory that both share: how far a batch is, and its results

pub mod frame;
pub mod messages;
pub mod shared_region;
