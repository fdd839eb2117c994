//! How a job function ends a whole run.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use psmith_core::worker_pool::RunEnd;
use psmith_engine::function::returns::Return;

/// What a function of [`map_until`](crate::map_until) returns: go on, or enough.
///
/// ```
/// # psmith::init();
/// use psmith::Flow;
/// use std::ops::ControlFlow;
///
/// let find = |n: u32| if n * n == 49 { Flow::Break(n) } else { Flow::Next(()) };
/// let found = psmith::map_until(0.., find).workers(2).run().unwrap();
/// assert_eq!(found, ControlFlow::Break(7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flow<R, B> {
    /// This job's result; the run goes on.
    Next(R),
    /// Start no more; what runs may finish. The run's result is this.
    Break(B),
    /// Start no more, and kill what runs. The run's result is this.
    Kill(B),
}

impl<R, B> Return for Flow<R, B> {
    type Value = Flow<R, B>;
    type Error = Infallible;

    fn into_result(self) -> Result<Flow<R, B>, Infallible> {
        Ok(self)
    }
}

/// What a job's value means for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Nothing.
    Go,
    /// No more starts.
    Enough,
    /// No more starts, and an end to what runs.
    Kill,
}

/// Judges an encoded value, on the engine's thread: before the slot of the job that brought it is free again.
pub(crate) type Judge = fn(&[u8]) -> Judgement;

impl Judgement {
    /// What it is to a pool.
    pub(crate) fn run_end(self) -> Option<RunEnd> {
        match self {
            Judgement::Go => None,
            Judgement::Enough => Some(RunEnd::Drain),
            Judgement::Kill => Some(RunEnd::Kill),
        }
    }
}
