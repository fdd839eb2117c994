//! Inputs, from where they are read to the arguments of one job.
//!
//! Inputs are bytes; nothing here knows the command but for how much fits into it.

mod job_args;
mod jobs;
mod rows;
mod source;
pub(crate) mod spec;
#[cfg(test)]
mod tests;

pub use job_args::JobArgs;
pub use jobs::Jobs;
pub(crate) use rows::{Group, Rows};
pub(crate) use source::Reader;
pub use source::{INPUT_BYTES_MAX, InputError};
pub use spec::{Columns, From, InputSpec, Source};
