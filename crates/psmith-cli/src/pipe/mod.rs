//! `--pipe`: one input cut into blocks of whole records, each on the stdin of a job of its own.
//!
//! Where a block ends is GNU parallel's rule, so that the same options make the same jobs. Nothing here starts a job.

mod block_jobs;
mod blocks;
mod feeder;
mod job_stdin;
mod parts;
mod round_robin;
mod spec;

pub(crate) use block_jobs::BlockJobs;
pub(crate) use feeder::ReadFailure;
pub(crate) use job_stdin::JobStdin;
pub use spec::{BlockSize, PipeSpec, RecordCut};
pub(crate) use spec::{pipe, refuse_with_pipe};
