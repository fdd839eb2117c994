//! The faces of psmith for Rust programs, one file each, and what they share.
//!
//! - [`run`]: one run of the engine on a thread of its own, and how to talk to it; [`lead`]: who drives the engine
//! - [`desk`]: the engine's handler for function jobs, each in a worker of its own
//! - [`warm`]: the same for jobs that share workers; [`job_messages`]: what means the same to both
//! - [`block`]: many short jobs as one piece
//! - [`budget`]: one budget of workers for a run and the runs of its jobs
//! - [`post`]: messages from a handle to its job
//! - [`options`], [`retry`], [`own`], [`job`], [`failure`], [`flow`], [`hooks`]: what is said with every face
//! - [`mod@map`], [`mod@each`], [`until`], [`mod@run_jobs`], [`server`]: the faces
//! - [`workers`] (`workers_cx`, `workers_status`, `workers_tasks`): so many workers, or tasks, that send values
//! - [`standstill`]: all runs stand still together
//! - [`settle`]: what a job came to, decoded; [`typed`]: its error, itself
//! - [`inline`]: the same without processes
//! - `show_progress` (feature `board`): how far a run is, on a row of a board

mod block;
mod budget;
mod command;
mod desk;
mod each;
mod failure;
mod flow;
mod handle;
mod hooks;
mod incoming;
mod inline;
mod inputs;
mod job;
mod job_messages;
mod lead;
mod manager;
mod map;
mod onlooker;
mod options;
mod own;
mod pool;
mod pool_builder;
mod post;
mod proxy;
mod retry;
mod run;
mod run_jobs;
mod scheduler;
mod server;
mod settle;
#[cfg(feature = "board")]
mod show_progress;
mod standstill;
mod strategy;
mod submit;
mod supervisor;
mod typed;
mod until;
mod warm;
mod workers;
mod workers_cx;
#[cfg(feature = "board")]
mod workers_status;
#[cfg(feature = "tokio")]
mod workers_tasks;

#[cfg(feature = "web")]
pub(crate) use onlooker::Ended;
#[cfg(feature = "board")]
pub(crate) use onlooker::{Onlooker, Sight};

pub use command::CommandJob;
pub use each::{All, Any, Each, all, any, each};
pub(crate) use failure::text_of;
pub use failure::{Failure, FailureDetails};
pub use flow::Flow;
pub use handle::JobHandle;
pub use hooks::HookAnswer;
pub use job::{Job, JobRef};
pub use manager::{ManagerBuilder, ProcessId, ProcessManager, ProcessState, Wakeup};
pub use map::{Map, map};
pub use options::{Isolation, OnError, Output};
pub use pool::{Left, Pool, Refusal, Standing, SubmitError};
pub use pool_builder::{PoolBuilder, WithInit};
pub use proxy::{ByMut, ByRef, Method, Proxy};
pub use retry::Retry;
pub(crate) use run::Shared;
pub use run_jobs::{RunJobs, run_jobs};
pub use scheduler::{Scheduler, global};
pub use server::{Level as LogLevel, Report, Server, ServerError, Stopper};
#[cfg(feature = "board")]
pub use show_progress::ShowProgress;
pub(crate) use standstill::Standstill;
pub use strategy::{PerCore, SpawnStrategy, Throttled, Unlimited};
pub use submit::Submission;
pub use supervisor::{Supervisor, SupervisorError};
pub use until::{MapUntil, map_until};
pub use workers::{WorkerBody, Workers, run_workers};
pub use workers_cx::{WorkerCx, WorkerId, WorkerRow};
#[cfg(feature = "board")]
pub use workers_status::{WithStatus, wrap_with_status};
#[cfg(feature = "tokio")]
pub use workers_tasks::{TaskBody, TaskCx, Tasks, run_tasks};
