//! The faces of psmith for Rust programs, one file each, and what they share.
//!
//! - [`run`]: one run of the engine on a thread of its own, and how to talk to it
//! - [`desk`]: the engine's handler for function jobs, each in a worker of its own
//! - [`options`], [`job`], [`failure`], [`flow`], [`hooks`]: what is said with every face
//! - [`mod@map`], [`mod@each`], [`until`], [`server`]: the faces
//! - [`inline`]: the same without processes

mod desk;
mod each;
mod failure;
mod flow;
mod hooks;
mod inline;
mod job;
mod map;
mod options;
mod run;
mod server;
mod until;

pub use each::{All, Any, Each, all, any, each};
pub use failure::{Failure, FailureDetails};
pub use flow::Flow;
pub use hooks::HookAnswer;
pub use job::{Job, JobRef};
pub use map::{Map, map};
pub use options::{Isolation, OnError, Output, Retry};
pub use server::{Level as LogLevel, Report, Server, ServerError, Stopper};
pub use until::{MapUntil, map_until};
