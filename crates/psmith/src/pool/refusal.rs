//! What a pool says when it takes a job no more, or gives it back. Knows no pool.

use std::fmt;

use crate::job::job::{Job, JobRef};

/// What a pool had not done when it was ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// The jobs that ended as cancelled for it, those that ran among them; by their place in the order of submission.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Full => f.write_str("the pool is full"),
            Refusal::Joining => f.write_str("the pool takes no jobs while it is joined"),
            Refusal::Closed => f.write_str("the pool was ended"),
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
