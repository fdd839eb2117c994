//! A run of the engine on a thread of its own, as the caller's thread drives it.
//!
//! Jobs go in, events come out; both through one lock that is held for a few moves only, never while a job, a hook or
//! the kernel is waited for. Dropping a run ends the jobs that run and waits until none of their processes is left.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::thread::JoinHandle;
use std::time::Instant;

use psmith_core::RunPolicy;
use psmith_core::policy::Halt;
use psmith_sys::signals;

use crate::run::options::{Isolation, OnError, Options, Output};
use crate::run::reused::ReusedDriver;
use crate::run::run_event::{First, RunEvent, Tap, Wants};
use crate::run::single_use::SingleUseDriver;
use crate::run::worker_budget::Budget;
use psmith_engine::engine::refused;
use psmith_engine::function::first_call::FirstCall;
use psmith_engine::handler::{EngineCommand, Streams};
use psmith_engine::limits::LimitsInForce;
use psmith_engine::scratch::Scratch;
use psmith_engine::{Engine, EngineError, Setup, Surroundings, WardenImage};

use crate::run::shared::RunShared;
use crate::run::submitter::Submitter;
use crate::run::surroundings::HostSurroundings;

/// A run, from the caller's side. One thread takes its events; any may submit through a [`Submitter`].
#[derive(Debug)]
pub(crate) struct Run {
    shared: Arc<RunShared>,
    engine: Option<JoinHandle<()>>,
    deadline: Option<Instant>,
    frame_bytes_max: u64,
    scratch: Option<Arc<Scratch>>,
}

impl Run {
    /// Begins a run with this many workers; no process is started before the first job.
    pub(crate) fn begin(
        options: &Options,
        workers: u32,
        wants: Wants,
    ) -> Result<(Run, Submitter), EngineError> {
        Run::begin_tapped(options, workers, wants, Vec::new())
    }

    /// Begins a run whose events these taps receive at once.
    pub(crate) fn begin_tapped(
        options: &Options,
        workers: u32,
        wants: Wants,
        taps: Vec<Tap>,
    ) -> Result<(Run, Submitter), EngineError> {
        options.check()?;
        // Who receives a job's messages may look for its process, which therefore has to be known.
        let wants = Wants { starts: wants.starts || wants.messages || wants.progress, ..wants };
        let image = check_image(wants)?;
        let observers = options.observers(workers, wants.total);
        let ends_on_failure = options.after_error() != OnError::Continue;
        let shared = RunShared::new(taps, observers, wants.starts, ends_on_failure);
        let shared = Arc::new(shared.map_err(EngineError::Kernel)?);
        let (budget, variable) = Budget::begin(workers, options.asked_workers().is_none())?;
        if budget.is_shared() {
            psmith_engine::worker::context::tell_nests();
        }
        let first_calls = options.first_calls()?;
        let limits = options.limits.map(|limits| limits.in_force()).transpose();
        let limits = limits.map_err(|refused| EngineError::Setting(refused.to_string()))?.unwrap_or_default();
        let options = Options { named: limits.named, ..options.clone() };
        crate::run::live_runs::on_begin(&shared);
        let side = Arc::clone(&shared);
        let scratch = options.scratch.as_deref().map(Scratch::new).transpose();
        let scratch = scratch.map_err(|error| EngineError::Setting(error.to_string()))?;
        let surroundings = Arc::new(HostSurroundings::now(variable));
        let setup = setup(&options, workers, limits, &surroundings, scratch.as_deref());
        let setup = setup.map_err(EngineError::Kernel)?;
        let frame_bytes_max = options.frame_bytes_max;
        let deadline = options.total_timeout;
        let submitter =
            Submitter::new(Arc::clone(&shared), &options, scratch.clone(), Arc::clone(&surroundings));
        let submitter = submitter.of_commands_alone(image.is_named());
        let thread = std::thread::Builder::new().name("psmith-engine".into());
        let own = (first_calls, budget, surroundings);
        let engine = thread.spawn(move || work(&side, setup, wants, &options, own));
        let run = Run {
            shared,
            engine: Some(engine.map_err(no_thread)?),
            deadline: deadline.map(|limit| Instant::now() + limit),
            frame_bytes_max,
            scratch,
        };
        Ok((run, submitter))
    }

    /// Returns the limit of a frame, in bytes.
    pub(crate) fn frame_bytes_max(&self) -> u64 {
        self.frame_bytes_max
    }

    /// Takes the next event, if there is one now.
    pub(crate) fn try_next(&mut self) -> Option<RunEvent> {
        self.end_when_due();
        self.shared.take_event_if(|_| true)
    }

    /// Ends the run once its time is over, also where there is always an event to take.
    fn end_when_due(&mut self) {
        if self.deadline.is_some() && self.shared.lock().suspended_time.is_due(self.deadline) {
            self.deadline = None;
            self.shared.end(EngineCommand::Stop);
        }
    }

    /// Waits for an event; `Ok(None)` when the engine has ended and nothing more will come.
    ///
    /// # Errors
    /// psmith itself failed, or this process is a copy of the one that began the run.
    pub(crate) fn next(&mut self) -> Result<Option<RunEvent>, Arc<EngineError>> {
        loop {
            if let Some(event) = self.try_next() {
                return Ok(Some(event));
            }
            if !self.wait()? {
                return Ok(None);
            }
        }
    }

    /// Waits until there are events to take; false when the engine has ended and nothing more will come.
    ///
    /// # Errors
    /// As [`Run::next`].
    pub(crate) fn wait(&mut self) -> Result<bool, Arc<EngineError>> {
        if self.is_forked() {
            return Err(Arc::new(EngineError::Forked));
        }
        loop {
            let state = self.shared.lock();
            if !state.events.is_empty() && !state.is_caller_driven {
                return Ok(true);
            }
            if let Some(over) = &state.over {
                return over.clone().map(|()| !state.events.is_empty());
            }
            let until = state.suspended_time.put_off(self.deadline);
            drop(self.shared.events_changed.wait_until(state, until));
            self.end_when_due();
        }
    }

    /// Sends the engine a command.
    pub(crate) fn order(&self, command: EngineCommand) {
        self.shared.order(command);
    }

    /// Ends the run early.
    pub(crate) fn end(&self, how: EngineCommand) {
        self.shared.end(how);
    }

    /// Returns whether the run was ended early: then it needs no more jobs.
    pub(crate) fn is_ended(&self) -> bool {
        self.shared.is_ended()
    }

    /// Returns what happened first that may end the run early.
    pub(crate) fn first(&self) -> First {
        self.shared.lock().first
    }

    /// Waits for the engine's end.
    pub(crate) fn finish(&mut self) {
        if self.is_forked() {
            // Another process's thread: nothing of it is here.
            std::mem::forget(self.engine.take());
            return;
        }
        if let Some(engine) = self.engine.take() {
            // The thread does not panic, and if it did, the warden would clean up what it left.
            let _ = engine.join();
        }
    }

    fn is_forked(&self) -> bool {
        !self.shared.is_ours()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.engine.is_some() && !self.is_forked() {
            self.order(EngineCommand::Stop);
        }
        self.finish();
        // Outcomes that were not taken may still hold directories.
        self.scratch.iter().for_each(|scratch| scratch.remove());
    }
}

/// Returns the error of a thread that could not be started.
pub(crate) fn no_thread(error: io::Error) -> EngineError {
    EngineError::Kernel(refused("clone3", "for a thread of a run", error))
}

/// Runs the engine, on its own thread.
fn work(
    shared: &Arc<RunShared>,
    setup: Setup,
    wants: Wants,
    options: &Options,
    (first_calls, budget, surroundings): (Vec<FirstCall>, Budget, Arc<HostSurroundings>),
) {
    /// Reports the engine's end at its drop: whatever happens on this thread, the caller does not wait for ever.
    struct Ends<'s>(&'s RunShared, Option<Result<(), EngineError>>);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            let ended = self.1.take();
            let ended =
                ended.unwrap_or_else(|| Err(EngineError::Kernel(io::Error::other("the engine panicked"))));
            let mut state = self.0.lock();
            // Jobs that were handed in after the engine's end was requested get their outcomes, too. (Where the engine
            // failed, all callers get its error.)
            if ended.is_ok() {
                state.end_incoming();
            }
            state.over = Some(ended.map_err(Arc::new));
            drop(state);
            self.0.events_changed.notify_all();
        }
    }
    let mut ends = Ends(shared, None);
    // Signals are for the program's own threads.
    signals::block_all();
    let shared = Arc::clone(shared);
    let workers = setup.policy.slots;
    ends.1 = Some(match options.isolation_in_force() {
        Isolation::PerJob => {
            let driver = SingleUseDriver::new(Arc::clone(&shared), wants, options, first_calls, budget);
            Engine::new(driver, single_use_setup(setup)).and_then(|engine| {
                tell_if_narrower(engine.slots(), workers);
                shared.driver.work(engine)
            })
        }
        Isolation::Reuse => {
            let policy = setup.policy.clone();
            let policy = if wants.blocks { block_policy(policy) } else { policy };
            let own = (first_calls, budget, surroundings);
            let driver = ReusedDriver::new(Arc::clone(&shared), wants, options, policy, own);
            Engine::new(driver, reused_setup(setup)).and_then(|engine| {
                tell_if_narrower(engine.slots(), workers);
                shared.driver.work(engine)
            })
        }
    });
}

/// Tells, once per process, that a run has fewer workers than were asked for.
fn tell_if_narrower(slots: u32, workers: u32) {
    static TOLD: Once = Once::new();
    // A face that takes as many as there can be has asked for no number.
    if slots < workers && workers < crate::run::face::WORKERS_MAX {
        TOLD.call_once(|| {
            // A closed standard error is no failure of the run.
            let _ = writeln!(
                io::stderr(),
                "psmith: warning: {workers} workers need more descriptors than ulimit -n allows, which suffice for {slots}"
            );
        });
    }
}

/// Returns a setup whose engine takes no more jobs than its slots need next: jobs that wait outside need not wake it.
fn single_use_setup(setup: Setup) -> Setup {
    let policy = RunPolicy { queue_max: setup.policy.slots as usize, ..setup.policy };
    Setup { policy, ..setup }
}

/// Returns the setup of an engine whose jobs are reused workers: the policies for the caller's jobs are kept above it.
fn reused_setup(setup: Setup) -> Setup {
    let slots = setup.policy.slots;
    let policy = RunPolicy {
        window: u32::MAX,
        order: psmith_core::policy::Order::Completion,
        queue_max: slots as usize,
        halt: Halt::Never,
        breaker: 0,
        ..setup.policy
    };
    Setup { policy, ..setup }
}

/// Returns the policy where a block is one job: outcomes are put in order, and counted against the window, outside of
/// the dispatcher.
fn block_policy(policy: RunPolicy) -> RunPolicy {
    RunPolicy { order: psmith_core::policy::Order::Completion, window: u32::MAX, ..policy }
}

/// Finds what can be executed as the warden; refuses a program in which nothing can, or that would run functions by
/// a program without their code.
fn check_image(wants: Wants) -> Result<WardenImage, EngineError> {
    let image = WardenImage::find().map_err(|error| EngineError::Setting(error.to_string()))?;
    if wants.blocks && image.is_named() {
        return Err(EngineError::Setting(crate::run::submitter::NO_FUNCTIONS.to_owned()));
    }
    Ok(image)
}

fn setup(
    options: &Options,
    workers: u32,
    limits: LimitsInForce,
    surroundings: &HostSurroundings,
    scratch: Option<&Scratch>,
) -> io::Result<Setup> {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let inherit = match options.output {
        Output::Inherit => {
            let (stdout, stderr) = (io::stdout(), io::stderr());
            Some((stdout.as_fd().try_clone_to_owned()?, stderr.as_fd().try_clone_to_owned()?))
        }
        _ => None,
    };
    Ok(Setup {
        policy: options.run_policy(workers),
        contain: options.contain,
        streams: Streams { stdin: None, inherit, captures_values: true },
        surroundings: Surroundings {
            env: surroundings.env().to_vec(),
            rlimits: limits.rlimits,
            tree: limits.tree,
            scratch: scratch.map(|scratch| scratch.root().to_owned()),
            has_arguments: true,
            ..Surroundings::default()
        },
        spool_dir: std::env::temp_dir(),
        run: format!("{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed)),
    })
}
