//! Workers: the processes in which job functions run.
//!
//! - [`set_up`]: from a copy of the warden to a process of its own
//! - `serve`: the worker's loop: job in, result out, until there are no more
//! - `batch`: many short jobs in a row
//! - [`context`]: the context of a running job, by which it asks and sends
//! - [`mailbox`]: received messages, sorted: control messages for the loop, messages for the job
//! - [`send_error`]: why a message could not be sent
//! - [`state`]: values that a worker keeps between jobs
//! - `process_state`: changes that a job left in its process
//! - `syscall_threshold`: whether a short job may have called the kernel
//! - `usage_meter`: what a job has used
//! - [`panics`]: the place of a panic, for the outcome
//!
//! A worker has a channel of its own, shared with no other worker. It never sees another job's channel, the warden's
//! socket or any other descriptor of the host.

mod batch;
pub mod context;
pub mod mailbox;
pub mod panics;
mod process_state;
pub mod send_error;
mod serve;
pub mod set_up;
pub mod state;
mod syscall_threshold;
mod usage_meter;

pub(crate) use serve::{MARKER, executed, forked, prepare};
