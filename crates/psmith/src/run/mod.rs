//! A run of the engine: its options, its drivers, and the state that the caller's side and the engine's share. Nothing
//! here waits for a child process: the engine does.
//!
//! - [`options`]: the settings of a run; [`settings`]: the same on every face; [`face`]: what each face serves
//! - [`run`]: a run from the caller's side; [`run_event`]: its events; [`driver`]: which thread drives the engine
//! - [`submitter`]: how jobs go in; [`shared`]: what both sides share; [`decode`]: how outcomes come out
//! - [`process_mutex`]: a lock that a forked copy of the program never finds held
//! - [`job_output`]: where the output of jobs goes; [`live_output`]: what is passed on while they run
//! - [`single_use`]: the engine's handler for function jobs, each in a worker of its own
//! - [`reused`]: the engine's handler for function jobs that share workers
//! - [`job_messages`]: a worker's messages about its job, for both handlers; [`start_order`]: none before its start
//! - [`input_block`], [`input_buffer`], [`input_writer`], [`queue`]: many short jobs as one piece
//! - [`surroundings`]: the environment and directory that jobs get
//! - [`worker_budget`]: one budget of workers for a run and the runs of its jobs
//! - [`suspension`]: all runs of a program suspended together; [`live_runs`]: which runs there are

pub(crate) mod decode;
pub(crate) mod driver;
pub(crate) mod face;
pub(crate) mod input_block;
pub(crate) mod input_buffer;
pub(crate) mod input_writer;
pub(crate) mod job_messages;
pub(crate) mod job_output;
pub(crate) mod listening;
pub(crate) mod live_output;
pub(crate) mod live_runs;
pub(crate) mod options;
pub(crate) mod process_mutex;
pub(crate) mod queue;
pub(crate) mod reused;
pub(crate) mod run;
pub(crate) mod run_event;
pub(crate) mod settings;
pub(crate) mod shared;
pub(crate) mod single_use;
pub(crate) mod start_order;
pub(crate) mod submitter;
pub(crate) mod surroundings;
pub(crate) mod suspension;
pub(crate) mod worker_budget;
