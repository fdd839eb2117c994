//! Functions as jobs: which functions can be jobs, how their values are encoded, how another process finds and calls
//! them.
//!
//! - [`codec`], [`described`]: values to bytes and back; `authenticated` (feature): a codec with an authentication code
//! - [`with_errors`]: the same with the job's own error
//! - [`job_function`]: the kinds of functions that can be jobs
//! - [`shared_value`]: a value that all jobs of a run share
//! - [`registry`]: functions by name
//! - [`call`]: a call, on the side that executes it; [`first_call`]: what a worker calls before its first job
//!
//! Knows no process and no channel: bytes in, bytes out.

#[cfg(feature = "authenticated")]
pub mod authenticated;
pub mod call;
pub mod codec;
pub mod described;
pub mod first_call;
pub mod job_function;
pub mod packed;
pub mod registry;
pub mod shared_value;
pub mod with_errors;
