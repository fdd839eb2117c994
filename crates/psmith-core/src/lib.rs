//! The pure core of psmith: what happens to a job between its acceptance and its one outcome.
//!
//! This crate never reads a clock, never calls the operating system, and never draws a random number of its
//! own: time and seed are parameters, so the same events at the same times give the same actions. The build
//! enforces that: the crate is `no_std`.
//!
//! A driver feeds [`Event`]s to a [`Dispatcher`] and carries out the [`Action`]s that it asks for. A reader
//! who knows those two enums knows the system. Modules, in the order a job travels:
//!
//! - [`id`]: names of jobs, attempts and slots, and the run's [`Time`]
//! - [`policy`]: the user's settings: timeouts, retries, halt, leak handling, pace
//! - [`event`], [`action`]: everything that the core receives and asks for
//! - [`dispatcher`]: the state machine between them
//! - [`worker_pool`]: function jobs and the workers that run them one after the other, on top of a dispatcher
//! - [`outcome`]: how a job ended
//! - [`table`]: tables by number
//! - [`board`]: the model of the status display
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod action;
pub mod board;
pub mod dispatcher;
pub mod event;
pub mod id;
pub mod outcome;
pub mod policy;
pub mod table;
pub mod worker_pool;

pub use action::{Action, Notice};
pub use dispatcher::Dispatcher;
pub use event::Event;
pub use id::{AttemptId, JobId, SlotId, Time};
pub use outcome::{Cause, Outcome};
pub use policy::{JobPolicy, RunPolicy};
pub use table::{Table, TableKey};
