//! The parts of the `psmith` command, in the order a run uses them.
