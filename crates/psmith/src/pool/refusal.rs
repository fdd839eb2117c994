//! What a pool says when it takes a job no more, or gives it back. Knows no pool.

use std::fmt;
use std::sync::Arc;

use crate::job::job::{Job, JobRef};
use psmith_engine::EngineError;

/// What was taken and not done when a face that lives had ended: empty after a drain in peace.
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
    /// Why.
    pub reason: Refusal,
}

/// Why a job was not taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no room for it.
    Full,
    /// Some thread waits for the end of all jobs ([`Pool::join`](crate::Pool::join)).
    Joining,
    /// The pool was ended.
    Closed,
    /// So many jobs in a row had crashed that the pool is over ([`breaker`](crate::PoolBuilder::breaker)).
    CircuitBroken(u32),
    /// The engine of a [`Scheduler`](crate::Scheduler) could not begin: for want of threads or descriptors, or for a
    /// setting that cannot be.
    NotBegun(Arc<EngineError>),
}

impl PartialEq for Refusal {
    /// Of two errors, only one and the same is equal.
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
            Refusal::Full => f.write_str("the pool is full"),
            Refusal::Joining => f.write_str("the pool takes no jobs while it is joined"),
            Refusal::Closed => f.write_str("the pool was ended"),
            Refusal::NotBegun(error) => write!(f, "the scheduler could not begin: {error}"),
            Refusal::CircuitBroken(1) => f.write_str("the pool has ended: a job had crashed"),
            Refusal::CircuitBroken(jobs) => write!(f, "the pool has ended: {jobs} jobs in a row had crashed"),
        }
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
