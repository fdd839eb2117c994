//! What the benchmarks share with the checks: running other programs, and getting those that are missing.
//!
//! It knows no check and no benchmark. `bench` stands on it; nothing that is published does.

pub mod needs;
pub mod shell;
