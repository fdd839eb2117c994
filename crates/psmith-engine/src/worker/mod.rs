//! Workers: the processes in which job functions run.
//!
//! - [`set_up`]: from a copy of the warden to a process of its own
//! - `serve`: the worker's loop: job in, result out, until there are no more
//! - `batch`: many short jobs in a row
//! - [`context`]: what a job function can ask and say while it runs
//! - [`mailbox`]: what comes over the channel, sorted: control messages for the loop, messages for the job
//! - [`state`]: what a worker keeps between jobs
//! - `process_state`: what a job left where the kernel keeps it
//! - [`panics`]: where a panic was, for the outcome
//!
//! A worker has a channel of its own, shared with no other worker. It never sees another job's channel, the warden's
//! socket or anything else of the host's.

mod batch;
pub mod context;
pub mod mailbox;
pub mod panics;
mod process_state;
mod serve;
pub mod set_up;
pub mod state;

pub(crate) use serve::{MARKER, born, executed, prepare};
