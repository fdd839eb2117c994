//! Inputs, from where they are read to rows of arguments.
//!
//! Inputs are bytes; nothing here knows the command, except how many bytes fit into it.

mod csv_reader;
mod input_rows;
mod job_args;
mod source;
pub(crate) mod spec;
#[cfg(test)]
mod tests;

pub(crate) use input_rows::{Group, InputRows};
pub use job_args::JobArgs;
pub use source::{INPUT_BYTES_MAX, InputError};
pub(crate) use source::{InputReader, Opened, open_source};
pub use spec::{ColumnSplit, From, InputSpec, Source};
