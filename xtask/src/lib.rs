//! Tools that benchmarks and checks share: running other programs, and installing missing ones.
//!
//! They know no check and no benchmark. `bench` uses this crate; no published crate does.

pub mod needs;
pub mod shell;
