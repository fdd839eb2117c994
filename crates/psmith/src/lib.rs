//! Runs jobs, Rust functions or commands, in OS processes of their own, and ends every job in exactly one
//! typed outcome.

pub use psmith_core as core;
