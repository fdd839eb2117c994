//! Jobs handed in one by one, each with a handle. Runs none itself: that is the run's part (`crate::run`).
//!
//! - [`pool`], [`builder`]: a pool, and its settings; [`submission`]: handing in without blocking; [`control`]: pausing,
//!   resuming, resizing; [`listener`]: the thread that receives events; [`refusal`]: the reasons for not taking a job
//! - [`ending`]: draining, stopping, joining; [`async_ending`]: the same without blocking
//! - [`shared`]: the state that all of these share; [`completion`]: the place where one job's outcome arrives
//! - [`handle`]: one job from outside; [`explain`]: the reason for which it waits; [`receiving`]: its messages
//! - [`pool_map`]: many items as jobs, in order; [`as_completed`]: handles as their jobs end
//! - [`scheduler`], [`strategy`]: a process for each job, as many as a strategy lets; [`proxy`]: methods as jobs
//! - [`process_manager`]: processes driven step by step; [`supervisor`]: processes that are kept alive,
//!   [`body`]: what they call

pub(crate) mod as_completed;
pub(crate) mod async_ending;
mod body;
pub(crate) mod builder;
pub(crate) mod completion;
pub(crate) mod control;
pub(crate) mod ending;
pub(crate) mod explain;
pub(crate) mod handle;
pub(crate) mod listener;
pub(crate) mod pool;
pub(crate) mod pool_map;
pub(crate) mod process_manager;
pub(crate) mod proxy;
pub(crate) mod receiving;
pub(crate) mod refusal;
pub(crate) mod scheduler;
pub(crate) mod shared;
pub(crate) mod strategy;
pub(crate) mod submission;
pub(crate) mod supervisor;
