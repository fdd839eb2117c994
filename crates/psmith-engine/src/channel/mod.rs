//! The channel between host and worker. Never starts or ends a process, and never decides about a job.
//!
//! - [`frame`]: whole, checked frames over a stream of bytes
//! - [`messages`]: all messages between host and worker
//! - [`shared_region`]: memory that both share: progress of a batch, and its results

pub mod frame;
pub mod messages;
pub mod shared_region;
