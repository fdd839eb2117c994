//! Jobs as values, and their failures. Never runs a job.
//!
//! - [`callee`]: a function of jobs; [`job`]: a job of one, its request and its reference; [`command_job`]: a job of a command
//! - [`overrides`]: settings of one job in place of its run's; [`retry`]: how often it is tried
//! - [`mailbox`]: messages from a handle to its running job; [`inbox`]: messages from the job to its handle
//! - [`failure`]: an outcome that is not success; [`flow`]: what a result means for the other jobs;
//!   [`run_summary`]: the counts of a run; [`lost_output`]: what of its output was lost

pub(crate) mod callee;
pub(crate) mod command_job;
pub(crate) mod failure;
pub(crate) mod flow;
pub(crate) mod inbox;
pub(crate) mod job;
pub(crate) mod lost_output;
pub(crate) mod mailbox;
pub(crate) mod overrides;
pub(crate) mod retry;
pub(crate) mod run_summary;
