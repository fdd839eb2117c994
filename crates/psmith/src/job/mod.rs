//! What a job is, and what it came to.
//!
//! - [`job`]: a job of a function, its request and its reference; [`command_job`]: a job of a command
//! - [`overrides`]: what one job asks for in place of its run's; [`retry`]: how often it is tried
//! - [`mailbox`]: messages from a handle to its running job
//! - [`failure`]: an outcome that is not success; [`flow`]: what a result says of the jobs after it;
//!   [`run_summary`]: how a run went

pub(crate) mod command_job;
pub(crate) mod failure;
pub(crate) mod flow;
pub(crate) mod job;
pub(crate) mod mailbox;
pub(crate) mod overrides;
pub(crate) mod retry;
pub(crate) mod run_summary;
