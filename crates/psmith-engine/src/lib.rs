//! The engine of psmith: the one loop that runs jobs, functions or commands, and what it stands on.
//!
//! For the library `psmith` and the command, which are its faces; programs use these.
//!
//! - [`engine`]: the loop, from a [`handler::Handler`] that yields jobs to one outcome for each
//! - [`command`]: what is to be started; [`limits`], [`containment`]: how it is bounded and held together
//! - `warden`: the helper process that starts, contains and reaps all others
//! - [`worker`]: the processes in which job functions run; [`channel`]: how host and worker talk
//! - [`function`]: functions and values, as they travel
//! - [`entry`]: where a program becomes a warden or a worker instead of itself
//! - [`facilities`]: what this machine offers
//! - [`scratch`]: a directory for each attempt; `descendants`: which processes stem from a job

pub mod channel;
pub mod command;
pub mod condition;
pub mod containment;
mod descendants;
pub mod engine;
pub mod entry;
pub mod facilities;
pub mod function;
pub mod limits;
pub mod scratch;
mod warden;
pub mod worker;

pub use command::Command;
pub use containment::{Containment, TreeLimits};
pub use engine::{Engine, EngineError, Setup, Surroundings, error, handler, spool, stack_samples};
pub use entry::{Init, init};
pub use function::{codec, registry};
pub use limits::{LimitsInForce, ResourceLimits};
