//! Runs jobs, Rust functions or commands, in OS processes of their own, and ends every job in exactly one
//! typed outcome: nothing lost, nothing left running, nothing left unsaid.
//!
//! In this version the library runs commands: [`engine::Engine`] takes jobs from a [`engine::handler::Handler`],
//! starts each in a process of its own, and hands back one outcome for each. The `psmith` command stands on it.
//!
//! A program that uses psmith calls [`init`] in the first line of its `main`.

mod command;
mod containment;
pub mod engine;
mod entry;
pub mod facilities;
mod kin;
mod warden;

pub use psmith_core as core;
pub use psmith_sys as sys;

pub use command::{Command, WORD_BYTES_MAX, check_words};
pub use containment::{Level, TreeSupport, Unavailable, tree_limits};
pub use engine::{Engine, EngineError, Setup, Surroundings, TreeLimits};
pub use entry::init;
