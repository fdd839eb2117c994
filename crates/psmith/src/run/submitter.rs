//! Submission of jobs to a run, from any thread, and a caller's turn at driving the run's engine. Never begins a job.

use std::sync::Arc;
use std::time::Duration;

use psmith_core::{Cause, JobId, JobPolicy};

use crate::job::job::Request;
use crate::job::job::refused;
use crate::job::overrides::LimitsCache;
use crate::run::driver::DriverTurn;
use crate::run::options::{Isolation, Options};
use crate::run::run_event::RunEvent;
use crate::run::shared::RunShared;
use crate::run::surroundings::HostSurroundings;
use psmith_engine::handler::EngineCommand;
use psmith_engine::scratch::Scratch;

/// The reason for which no function runs where the warden is another program.
pub(crate) const NO_FUNCTIONS: &str = "functions cannot be run from a shared library of another program: its warden, the program that was named, has not \
     their code (commands can)";

/// Hands jobs to a run.
#[derive(Clone, Debug)]
pub(crate) struct Submitter {
    pub(crate) shared: Arc<RunShared>,
    pub(crate) policy: Arc<JobPolicy>,
    limits: Arc<LimitsCache>,
    frame_bytes_max: u64,
    scratch: Option<Arc<Scratch>>,
    surroundings: Arc<HostSurroundings>,
    /// True if each job has a process that is started for it.
    is_per_job: bool,
    /// False where the warden is a program that has not the code of functions.
    runs_functions: bool,
}

impl Submitter {
    pub(crate) fn new(
        shared: Arc<RunShared>,
        options: &Options,
        scratch: Option<Arc<Scratch>>,
        surroundings: Arc<HostSurroundings>,
    ) -> Submitter {
        let (policy, frame_bytes_max) = (options.job_policy(), options.frame_bytes_max);
        let limits = Arc::new(LimitsCache::new(options.limits));
        let is_per_job = options.isolation_in_force() == Isolation::PerJob;
        Submitter {
            shared,
            policy,
            limits,
            frame_bytes_max,
            scratch,
            surroundings,
            is_per_job,
            runs_functions: true,
        }
    }

    /// Refuses functions, if `is_so`.
    pub(crate) fn of_commands_alone(self, is_so: bool) -> Submitter {
        Submitter { runs_functions: !is_so, ..self }
    }

    pub(crate) fn submit(&self, request: Request) {
        self.submit_without_wake(request);
        self.shared.wake_for_job();
    }

    /// Wakes the engine to look for jobs that were handed in.
    pub(crate) fn wake(&self) {
        self.shared.wake();
    }

    /// Submits a job without waking the engine: the caller wakes it, or takes the turn.
    pub(crate) fn submit_without_wake(&self, mut request: Request) {
        request.frame_bytes_max = self.frame_bytes_max;
        if request.refused.is_none() {
            request.refused = crate::job::job::too_long(request.input.len(), self.frame_bytes_max);
        }
        if let Some(overrides) = &mut request.overrides
            && let Err(refusal) = self.limits.resolve(overrides)
        {
            request.refused.get_or_insert(Cause::SpawnFailed(refused(refusal.to_string())));
        }
        request.scratch = self.scratch.as_ref().map(|scratch| Box::new(scratch.of_a_job()));
        if !self.runs_functions && request.command.is_none() {
            request.refused.get_or_insert(Cause::SpawnFailed(refused(NO_FUNCTIONS.to_owned())));
        }
        if self.is_per_job || request.command.is_some() {
            request.surroundings = self.surroundings.changed();
        }
        let mut state = match self.shared.accept() {
            Ok(state) => state,
            Err(index) => return self.shared.send_unstarted(index, request),
        };
        let policy = request
            .overrides
            .as_ref()
            .map_or_else(|| Arc::clone(&self.policy), |overrides| overrides.policy(&self.policy));
        state.queue.push(request, policy);
    }

    /// Takes the turn at driving the engine, if it is free.
    pub(crate) fn try_drive(&self) -> Option<RunDriver<'_>> {
        let turn = self.shared.driver.try_drive()?;
        self.shared.lock().is_caller_driven = true;
        Some(RunDriver { shared: &self.shared, turn: Some(turn) })
    }

    /// Notes that a caller waits for the only job, and would have driven the engine for it.
    pub(crate) fn request_drive(&self) {
        self.shared.driver.request_drive();
    }

    /// Takes the next event, if there is one now, and `takes` accepts it.
    pub(crate) fn take_event_if(&self, takes: impl Fn(&RunEvent) -> bool) -> Option<RunEvent> {
        self.shared.take_event_if(takes)
    }

    /// Returns whether there are events that were not taken.
    pub(crate) fn has_events(&self) -> bool {
        !self.shared.lock().events.is_empty()
    }

    /// Returns whether the run was ended early: then it needs no more jobs.
    pub(crate) fn is_ended(&self) -> bool {
        self.shared.is_ended()
    }

    /// Closes the queue: there will be no more jobs.
    pub(crate) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.wake();
    }

    pub(crate) fn order(&self, order: EngineCommand) {
        self.shared.order(order);
    }

    /// The longest frame.
    pub(crate) fn frame_bytes_max(&self) -> u64 {
        self.frame_bytes_max
    }

    /// Notifies the engine that there are new messages for this job, which listens.
    pub(crate) fn has_messages(&self, job: JobId) {
        let mut state = self.shared.lock();
        state.with_messages.push(job);
        let first = state.with_messages.len() == 1;
        drop(state);
        if first {
            self.shared.wake();
        }
    }

    /// Ends the job with this index: by its ladder, or at once.
    pub(crate) fn cancel(&self, index: u64, kill: bool) {
        let mut state = self.shared.lock();
        // A caller that cancels single jobs hands them in one by one.
        if let Some(request) = state.queue.get_mut(index) {
            // The engine does not know the job yet: it gets the cancellation together with the job.
            request.cancelled = true;
            request.killed |= kill;
            return;
        }
        state.orders.push(EngineCommand::Cancel(JobId(index + 1)));
        if kill {
            state.orders.push(EngineCommand::KillNow(JobId(index + 1)));
        }
        drop(state);
        self.shared.wake();
    }
}

/// A caller's turn at a run's engine. Events of this time the caller takes itself, or leaves to the listener at its
/// end.
pub(crate) struct RunDriver<'r> {
    shared: &'r RunShared,
    turn: Option<DriverTurn<'r>>,
}

impl RunDriver<'_> {
    /// Does all that can be done now; false when the turn is to be given up.
    pub(crate) fn advance(&mut self) -> bool {
        self.turn.as_mut().is_some_and(DriverTurn::advance)
    }

    /// Notes that there is new work, which the next [`RunDriver::advance`] does.
    pub(crate) fn has_more(&mut self) {
        if let Some(turn) = &mut self.turn {
            turn.has_more();
        }
    }

    /// Waits until something happens, or for `limit`.
    pub(crate) fn wait(&mut self, limit: Option<Duration>) {
        if let Some(turn) = &mut self.turn {
            turn.wait(limit);
        }
    }

    /// Gives the turn up: to the engine's thread at once, or to the next that takes it.
    pub(crate) fn leave(mut self, at_once: bool) {
        self.give_up(at_once);
    }

    fn give_up(&mut self, at_once: bool) {
        let Some(turn) = self.turn.take() else { return };
        let mut state = self.shared.lock();
        state.is_caller_driven = false;
        let is_left = !state.events.is_empty();
        drop(state);
        turn.leave(at_once);
        if is_left {
            self.shared.events_changed.notify_all();
        }
    }
}

impl Drop for RunDriver<'_> {
    fn drop(&mut self) {
        self.give_up(true);
    }
}
