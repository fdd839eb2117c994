//! Refusals: the reasons for which a pool does not take a job, and the jobs that it did not finish. Knows no pool.

use std::fmt;
use std::sync::Arc;

use crate::job::failure::Failure;
use crate::job::job::{Job, JobRef};
use psmith_core::Cause;
use psmith_engine::EngineError;

/// The jobs that a pool, scheduler, manager or supervisor had taken and not done when it ended: none after a drain that
/// nothing interrupts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// The jobs that ended as cancelled, those that ran among them; by their place in the order of submission.
    pub jobs: Vec<JobRef>,
}

/// A job that was not taken, given back.
pub struct SubmitError<R> {
    /// The job.
    pub job: Box<Job<R>>,
    /// The reason.
    pub reason: Refusal,
}

/// The reason for which a job was not taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no room.
    Full,
    /// A thread waits for the end of all jobs ([`Pool::join`](crate::Pool::join)).
    Joining,
    /// The pool, or what else was to take it, was ended.
    Closed,
    /// It has ended because this number of jobs in a row had crashed ([`breaker`](crate::PoolBuilder::breaker)).
    CircuitBroken(u32),
    /// No process can run the job: the engine of a [`Scheduler`](crate::Scheduler) could not begin, for want of threads or
    /// descriptors or for a setting that is not valid, this program is a forked copy of the one that made the pool
    /// ([`EngineError::Forked`]), or it has another user since
    /// ([`EngineError::Credentials`]).
    NotBegun(Arc<EngineError>),
}

impl PartialEq for Refusal {
    /// Compares the reasons; two `NotBegun` are equal if they hold one and the same error.
    fn eq(&self, other: &Refusal) -> bool {
        match (self, other) {
            (Refusal::Full, Refusal::Full)
            | (Refusal::Joining, Refusal::Joining)
            | (Refusal::Closed, Refusal::Closed) => true,
            (Refusal::CircuitBroken(one), Refusal::CircuitBroken(other)) => one == other,
            (Refusal::NotBegun(one), Refusal::NotBegun(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Full => f.write_str("there is no room for another job"),
            Refusal::Joining => f.write_str("no job is taken during a join"),
            Refusal::Closed => f.write_str("it was ended, and takes no more jobs"),
            Refusal::NotBegun(error) => write!(f, "not begun: {error}"),
            Refusal::CircuitBroken(1) => f.write_str("it has ended: a job had crashed"),
            Refusal::CircuitBroken(jobs) => write!(f, "it has ended: {jobs} jobs in a row had crashed"),
        }
    }
}

impl<R> SubmitError<R> {
    /// Makes the failure of the job that was not taken, where its place needs one.
    pub(crate) fn into_failure(self, index: u64) -> Failure {
        let mut failure = match self.reason {
            Refusal::CircuitBroken(jobs) => Failure::new(Cause::CircuitBroken(jobs), index),
            Refusal::NotBegun(error) => Failure::ours(error, index),
            Refusal::Full | Refusal::Joining | Refusal::Closed => Failure::new(Cause::Cancelled, index),
        };
        failure.input = self.job.request.kept_input();
        failure.label.clone_from(&self.job.request.label);
        failure
    }
}

impl<R> fmt::Debug for SubmitError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubmitError({}: {:?})", self.job, self.reason)
    }
}

impl<R> fmt::Display for SubmitError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)
    }
}

impl<R> std::error::Error for SubmitError<R> {}
