//! The engine of psmith: the one loop that runs jobs (functions or commands), and what it builds on.
//!
//! Used by the library `psmith` and by the command, which are its public faces; programs use those.
//!
//! - [`engine`]: the loop, from a [`handler::Handler`] that yields jobs to one outcome for each
//! - [`command`]: a program to start; [`limits`], [`containment`]: how a job is limited and held together
//! - `warden`: the helper process that starts, contains and reaps all others
//! - [`worker`]: the processes in which job functions run; [`channel`]: the messages between host and worker
//! - [`function`]: functions and values, and how they are sent
//! - [`entry`]: the entry point at which a program becomes a warden or a worker instead of itself
//! - [`facilities`]: the facilities that this machine offers
//! - [`lines`]: output of several jobs as whole lines
//! - [`refused`](mod@refused): errors that name the call
//! - [`scratch`]: a directory for each attempt; `descendants`: the processes that descend from a job

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
pub mod lines;
pub mod refused;
pub mod scratch;
mod warden;
pub mod worker;

pub use command::Command;
pub use containment::{Containment, TreeLimits};
pub use engine::{Engine, EngineError, Setup, Surroundings, error, handler, spool, stack_samples};
pub use entry::{Init, init};
pub use function::{codec, registry};
pub use limits::{LimitsInForce, ResourceLimits};
pub use warden::image::WardenImage;
