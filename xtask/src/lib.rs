//! Tools that benchmarks and checks share: running other programs, and getting those that are missing.
//!
//! They know no check and no benchmark. `bench` stands on it; nothing that is published does.

pub mod needs;
pub mod shell;
