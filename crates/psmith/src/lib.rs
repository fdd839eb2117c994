//! Runs jobs, Rust functions or commands, in OS processes of their own, and ends every job in exactly one
//! typed outcome: nothing lost, nothing left running, nothing left unsaid.
//!
//! ```toml
//! [dependencies]
//! psmith = { path = "../psmith/crates/psmith", features = ["board"] } # on no registry yet: the path of a clone
//! ```
//!
//! | feature | adds; none is on by default |
//! |---|---|
//! | `authenticated` | values with an HMAC that only this program and its workers can make: `codec::Authenticated` |
//! | `board` | rows on a terminal, progress, the jobs of your runs as rows and as JSON |
//! | `stacks` | where a stuck job stands: `stack_of` |
//! | `tokio` | `run_tasks`: one stream of what n async tasks send |
//! | `tracing` | a span for each job and each attempt |
//! | `web` | the board for browsers, and `/metrics` |
//!
//! # The first map
//!
//! ```
//! fn main() -> Result<(), psmith::Failure> {
//!     psmith::init();
//!     let lengths = psmith::map(["one".to_owned(), "three".to_owned()], |word: String| word.len());
//!     assert_eq!(lengths.collect::<Result<Vec<_>, _>>()?, [3, 5]);
//!     Ok(())
//! }
//! ```
//!
//! Each item was a **job**: the closure was called in another process, a **worker**, and the results came back in the
//! order of the items. Had a worker crashed, hung (with [`Map::timeout`]) or been killed, the item that it was at would
//! be a [`Failure`] that says so, and the others would be as they are. Workers take one job after another; set
//! [`Map::isolation`]`(`[`Isolation::PerJob`]`)` where each job needs a fresh process.
//!
//! # What to know before the second
//!
//! - **[`init`] is the first line of `main`.** Workers are copies of a small helper process, the *warden*, which is this
//!   program executed again; a hook that runs before `main` turns it into what it is to be. **Workers never run `main`**:
//!   what it sets up (a logger, statics) is missing in jobs, unless [`Init::worker_setup`] or
//!   [`Init::worker_setup_with`] does it there.
//! - **A job function captures nothing.** What it needs comes with its item, or once for all jobs ([`map_with`]). It takes one argument and returns a value;
//!   both travel by serde ([`codec`]). One that returns a `Result` is given to [`try_map`] and its like: there an error
//!   is the job's failure, whereas in [`map()`] it is a value like any other.
//! - **A failure is data**: [`Failure`] holds the [`Cause`], the input, the attempts, the usage, the end of standard error.
//! - A job's output is passed on whole, when its outcome is handed out, or by lines while it runs ([`Output`]).
//!
//! # Then
//!
//! | to | use |
//! |---|---|
//! | get results in order, as they are asked for | [`map()`]; of a function that may fail: [`try_map`] |
//! | get results as they come | [`Map::unordered`] |
//! | give all jobs a model, a configuration, a dictionary | [`map_with`], [`each_with`]; elsewhere [`Options::share`] |
//! | run for the effect alone, without results | [`each`] |
//! | ask something of all items | [`any`], [`all`] |
//! | stop at the first result that is good enough | [`map_until`] |
//! | run commands, and functions of many kinds, in one run | [`run_jobs`], [`Job::command`] |
//! | serve a producer that blocks, with jobs of many kinds | [`Server`] |
//! | merge the values that long-lived workers send, each with a row of a board | [`run_workers`] |
//! | feed long-lived workers from one queue | [`Workers::feed`], [`WorkerCx::next`] |
//! | hand in jobs one by one and wait for each; keep a connection in each worker | [`Pool`], [`PoolBuilder::init`] |
//! | use the outcomes as they come | [`JobHandle::as_completed`], [`JobHandle::on_done`], [`Pool::map`] |
//! | start each job in a process of its own, as many as a strategy lets | [`Scheduler`], [`SpawnStrategy`] |
//! | drive processes step by step, with a handler for each end | [`ProcessManager`] |
//! | keep processes alive that serve for ever | [`Supervisor`] |
//! | let only one process do something at a time | [`Lock`] |
//! | try again, bound in time, bound ahead | [`Map::retry`], [`Map::timeout`], [`Map::window`] |
//! | keep settings in one value, for several of these | [`Options`] |
//! | bound memory, CPU time, files, processes | [`Map::limits`] |
//! | give each job a directory that is removed with it | [`Map::scratch_dir`] |
//! | show a run's progress | `.progress(true)` (feature `board`) |
//! | show its jobs: as rows, as JSON, as a list on a signal | `.board(&jobs)`, `board::JobBoard` (feature `board`) |
//! | get a job's own error back, not only its text | [`Map::error_type`] |
//! | ask from within a job for its number, report progress, notice a cancel | [`cx`] |
//! | send messages to a job that runs, and receive its own | [`JobHandle::send`], [`JobHandle::recv`], [`PoolBuilder::on_message`] |
//! | get the stack of a stuck job | `stack_of` (feature `stacks`) |
//! | end all jobs in good order on Ctrl-C | [`signals::guard`] |
//! | debug without processes | [`Map::workers`]`(0)` |
//!
//! # How it ends
//!
//! A [`Pool`], a [`Scheduler`] ([`global`], too), a [`ProcessManager`], a [`Supervisor`], and a [`Server`] (by its
//! [`ServerHandle`]) end by the same methods.
//!
//! | | new jobs | those that wait | those that run | returns |
//! |---|---|---|---|---|
//! | `join` | refused meanwhile, taken afterwards | are run | finish | when all have their outcome |
//! | `join_timeout(limit)` | the same | | | whether all had it by then; they go on |
//! | `drain` | refused | are run | finish | [`Unfinished`]: none, if nothing is cancelled meanwhile |
//! | `stop` | refused | end as cancelled | are asked to stop, and killed after the face's grace | [`Unfinished`]: both |
//! | `stop_within(grace)` | the same | | the same with this grace, if it is shorter; with none they are killed at once | |
//!
//! Each returns when no process is left, and each job has its outcome. A stop ends a drain that is under way. Dropping
//! is a stop. One job alone is ended by [`JobHandle::cancel`] and [`JobHandle::kill`].
//!
//! Differences: a scheduler begins anew with the next job, a supervisor with the next start. The jobs of a supervisor
//! are its workers: its drain starts none again and waits until each has ended by itself, and its join waits for
//! another thread's drain or stop. A server runs in the caller's own [`Server::run`], which is what returns; its handle
//! only asks. What a server's producer gave and was not begun is handed back by a stop ([`Server::on_left`]).
//!
//! # A supervised pool
//!
//! A [`Pool`] is a map whose items come when they come. Its workers may keep something between jobs, each its own; a
//! job is tried again when its worker dies, within bounds, and whatever happens to it, its handle gets an outcome:
//!
//! ```
//! use std::time::Duration;
//! use psmith::{Job, Pool, Retry, with_state};
//!
//! psmith::init();
//! let pool = Pool::builder()
//!     .workers(2)
//!     .init(|| Vec::<u32>::new())
//!     .timeout(Duration::from_secs(10))
//!     .retry(Retry::tries(3))
//!     .max_jobs(1000)
//!     .build()
//!     .unwrap();
//! let remember = |n: u32| {
//!     with_state(|seen: &mut Vec<u32>| {
//!         seen.push(n);
//!         seen.len()
//!     })
//! };
//! let handles: Vec<_> = (0..4).map(|n| pool.submit(Job::new(remember, n)).unwrap()).collect();
//! let seen: Vec<usize> = handles.iter().map(|handle| handle.wait().unwrap().unwrap()).collect();
//! assert!(seen.iter().all(|&seen| (1..=4).contains(&seen)));
//! pool.join();
//! assert_eq!(pool.report().failed, 0);
//! ```
//!
//! For work without items, a [`Supervisor`] keeps a number of processes alive and restarts each that ends, with growing
//! pauses where it ends at once. [`signals::guard`], held in `main`, ends either in good order on Ctrl-C.

#[cfg(feature = "board")]
pub mod board;
pub mod codec;
#[cfg(doctest)]
mod compile_fail;
mod job;
mod lock;
mod map;
#[cfg(doctest)]
mod migrating;
mod observe;
mod pool;
mod run;
pub mod signals;
#[cfg(feature = "stacks")]
mod stacks;
mod streams;
#[cfg(feature = "web")]
pub mod web;

pub use psmith_core::board::RowStatus;
pub use psmith_core::outcome::{
    AttemptSummary, Cause, CauseKind, Exit, LimitKind, SpawnFailure, SpawnStep, Usage,
};
pub use psmith_engine::containment::Containment;
pub use psmith_engine::engine::EngineError;
pub use psmith_engine::entry::{Init, init};
pub use psmith_engine::function::shared_value::with_shared;
pub use psmith_engine::limits::ResourceLimits;
pub use psmith_engine::worker::context::{Cx, cx};
pub use psmith_engine::worker::mailbox::RecvError;
pub use psmith_engine::worker::send_error::SendError;
pub use psmith_engine::worker::state::with_state;
pub use psmith_macros::job;

pub use job::command_job::CommandJob;
pub use job::failure::{Failure, FailureDetails};
pub use job::flow::Flow;
pub use job::job::{Job, JobRef};
pub use job::lost_output::LostOutput;
pub use job::retry::Retry;
pub use job::run_summary::{LogLevel, RunSummary};
pub use lock::{Lock, LockGuard};
pub use map::each::{Reduce, all, any, each, each_with, try_all, try_any, try_each, try_each_with};
pub use map::hooks::HookAnswer;
pub use map::map::{Map, map, map_with, try_map, try_map_with};
pub use map::map_iter::MapIter;
pub use map::run_jobs::{RunJobs, RunJobsIter, run_jobs};
pub use map::server::{Server, ServerError};
pub use map::server_handle::ServerHandle;
pub use map::until::{map_until, try_map_until};
pub use pool::builder::PoolBuilder;
pub use pool::explain::PendingReason;
pub use pool::handle::JobHandle;
pub use pool::pool::Pool;
pub use pool::process_manager::{ManagerBuilder, ProcessId, ProcessManager, ProcessState};
pub use pool::proxy::Proxy;
pub use pool::refusal::{Refusal, SubmitError, Unfinished};
pub use pool::scheduler::{Scheduler, global};
pub use pool::strategy::{PerCore, SpawnStrategy, Throttled};
pub use pool::supervisor::{Supervisor, SupervisorError};
pub use run::options::{Isolation, OnError, Options, Output};
#[cfg(feature = "stacks")]
pub use stacks::{Frame, Stack, StackError, Thread, stack_of};
pub use streams::context::{WorkerCx, WorkerId, WorkerRow};
#[cfg(feature = "tokio")]
pub use streams::tasks::{TaskBody, TaskCx, Tasks, run_tasks};
pub use streams::workers::{Workers, run_workers};

/// Functions by name: those that `#[psmith::job]` has put into the table of the program.
pub mod registry {
    pub use psmith_engine::function::registry::names;
}

/// Names that the macros' output needs; not part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use psmith_engine::function::call::{RegisteredValue, ToRegister};
    pub use psmith_engine::function::registry::{JOBS, Registered, linkme};
}
