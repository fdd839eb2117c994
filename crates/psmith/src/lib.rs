//! Runs jobs, Rust functions or commands, in OS processes of their own, and ends every job in exactly one
//! typed outcome: nothing lost, nothing left running, nothing left unsaid.
//!
//! In this version the library runs commands: [`engine::Engine`] takes jobs from a [`engine::handler::Handler`],
//! starts each in a process of its own, and hands back one outcome for each. The `psmith` command stands on it.
//!
//! A program that uses psmith calls [`init`] in the first line of its `main`.

mod api;
#[cfg(feature = "board")]
pub mod board;
mod command;
mod containment;
pub mod engine;
mod entry;
pub mod facilities;
mod function;
mod kin;
mod warden;
mod worker;

pub use psmith_core as core;
pub use psmith_core::outcome::{Cause, CauseKind, Exit};
pub use psmith_sys as sys;

pub use api::{
    All, Any, Each, Failure, FailureDetails, Flow, HookAnswer, Isolation, Job, JobRef, LogLevel, Map,
    MapUntil, OnError, Output, Report, Retry, Server, ServerError, Stopper, all, any, each, map, map_until,
};
pub use command::{Command, Launch, WORD_BYTES_MAX, WorkerStart, check_words};
pub use containment::{Level, TreeSupport, Unavailable, tree_limits};
pub use engine::{Engine, EngineError, Setup, Surroundings, TreeLimits};
pub use entry::{Init, init};
pub use function::returns::Return;
pub use function::{codec, registry};
pub use psmith_macros::{Value, job};
pub use worker::cx::{Cx, SendError, cx};

/// What the macros need; not part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::function::call::{described_entry, described_identity};
    pub use crate::function::registry::{JOBS, Registered, linkme};
}
