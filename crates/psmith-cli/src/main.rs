//! The psmith command.
fn main() {}
