//! The parts of the `psmith` command, in the order a run uses them.

pub mod exit_code;
pub mod record;
pub mod report;
