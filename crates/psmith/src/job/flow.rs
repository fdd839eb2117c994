//! Results of a job function that end a whole run. Never ends it itself: the drivers do.

use serde::{Deserialize, Serialize};

use psmith_core::worker_pool::RunEnd;

/// Result of a function of [`map_until`](crate::map_until): the run goes on, or ends.
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
    /// Goes on with the run; this is the job's result.
    Next(R),
    /// Starts no more jobs; those that run may finish. This is the run's result.
    Break(B),
    /// Starts no more jobs, and kills those that run. This is the run's result.
    Kill(B),
}

/// Effect of a job's value on the other jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// No effect on them.
    Go,
    /// Stops further starts.
    Enough,
    /// Stops further starts, and kills the jobs that run.
    Kill,
}

/// Judges an encoded value, on the engine's thread: before the slot of the job that brought it is free again.
pub(crate) type Judge = fn(&[u8]) -> Judgement;

impl Judgement {
    /// Returns the end of the run that it means to a pool of workers, if any.
    pub(crate) fn run_end(self) -> Option<RunEnd> {
        match self {
            Judgement::Go => None,
            Judgement::Enough => Some(RunEnd::Drain),
            Judgement::Kill => Some(RunEnd::Kill),
        }
    }
}
