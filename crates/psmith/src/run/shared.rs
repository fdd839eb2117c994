//! What the caller's side and the engine's share, behind one lock that is held for a few moves only.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};

use psmith_core::JobId;
use psmith_sys::eventfd::Waker;

use crate::job::job::Request;
use crate::observe::observer::{FinishedJob, Observer, ObserverEvent};
use crate::run::driver::EngineDriver;
use crate::run::input_buffer::InputBuffer;
use crate::run::process_mutex::ProcessMutex;
use crate::run::queue::JobQueue;
use crate::run::run_event::{EVENTS_MAX, Finished, First, RunEvent, Tap};
use crate::run::start_order::StartOrder;
use crate::run::suspension::{SuspendedTime, Suspension};
use psmith_engine::EngineError;
use psmith_engine::condition::Condition;
use psmith_engine::engine::refused;
use psmith_engine::handler::EngineCommand;

/// What both sides share.
#[derive(Debug)]
pub(crate) struct RunShared {
    pub(crate) state: ProcessMutex<RunSharedState>,
    pub(crate) events_changed: Condition,
    pub(crate) taps: Vec<Tap>,
    pub(crate) observers: Vec<Box<dyn Observer>>,
    /// No more jobs are begun: somebody has ended the run. Asked for with each job.
    pub(crate) ended: AtomicBool,
    /// A job that fails ends the run.
    ends_on_failure: bool,
    /// The engine has workers without jobs, and wants to hear of the next.
    pub(crate) has_idle_workers: AtomicBool,
    /// So many short jobs should be on their way, for workers to have enough to do; 0: no matter.
    pub(crate) wanted: AtomicU64,
    pub(crate) waker: Waker,
    pub(crate) driver: EngineDriver,
}

#[derive(Debug, Default)]
pub(crate) struct RunSharedState {
    pub(crate) queue: JobQueue,
    /// The engine got the last job that it asked for, and will ask again by itself.
    pub(crate) polls_again: bool,
    /// No more jobs will come.
    pub(crate) closed: bool,
    pub(crate) orders: Vec<EngineCommand>,
    /// What to stand still for, when that is ordered.
    pub(crate) suspension: Option<Arc<Suspension>>,
    pub(crate) suspended_time: SuspendedTime,
    /// Jobs that listen and were sent something.
    pub(crate) with_messages: Vec<JobId>,
    pub(crate) events: VecDeque<RunEvent>,
    /// Where the caller is told of starts: in which order.
    starts: Option<StartOrder>,
    /// So many of them are a job's words while it runs.
    job_events: usize,
    /// A caller drives the engine and receives the events himself.
    pub(crate) is_caller_driven: bool,
    pub(crate) first: First,
    /// The engine has ended, and how.
    pub(crate) over: Option<Result<(), Arc<EngineError>>>,
}

impl RunSharedState {
    /// The state that a forked copy of the program sees: the run is over, for it.
    fn of_copies() -> RunSharedState {
        let over = Some(Err(Arc::new(EngineError::Forked)));
        RunSharedState { closed: true, over, ..RunSharedState::default() }
    }

    /// The outcomes of jobs that nobody will begin; gives whether there were any.
    pub(crate) fn end_incoming(&mut self) -> bool {
        let before = self.events.len();
        loop {
            let index = self.queue.index();
            let Some(next) = self.queue.next() else { return self.events.len() > before };
            for (index, request) in (index..).zip(next.requests()) {
                let finished = Finished::unstarted(index, request, self.first);
                self.events.push_back(RunEvent::Done(Box::new(finished)));
            }
        }
    }
}

impl RunShared {
    /// `starts`: the caller is told of starts, too.
    pub(crate) fn new(
        taps: Vec<Tap>,
        observers: Vec<Box<dyn Observer>>,
        starts: bool,
        ends_on_failure: bool,
    ) -> io::Result<RunShared> {
        let starts = starts.then(StartOrder::default);
        Ok(RunShared {
            state: ProcessMutex::ours(
                RunSharedState { starts, ..RunSharedState::default() },
                RunSharedState::of_copies(),
            ),
            events_changed: Condition::default(),
            taps,
            observers,
            ended: AtomicBool::new(false),
            ends_on_failure,
            has_idle_workers: AtomicBool::new(false),
            wanted: AtomicU64::new(0),
            waker: Waker::new().map_err(|error| refused("eventfd2", "to wake a run's engine", error))?,
            driver: EngineDriver::default(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, RunSharedState> {
        self.state.lock()
    }

    /// Returns whether the run is this process's; a forked copy of it has neither the engine nor its children.
    pub(crate) fn is_ours(&self) -> bool {
        self.state.is_ours()
    }

    /// Has the engine take what is added to these.
    pub(crate) fn take_from(&self, inputs: &Arc<InputBuffer>) {
        self.lock().queue.push_all(Arc::clone(inputs));
    }

    /// Nobody begins what was handed in after the engine's end: that is told here.
    pub(crate) fn end_if_over(&self) {
        let mut state = self.lock();
        let ended = matches!(state.over, Some(Ok(()))) && state.end_incoming();
        drop(state);
        if ended {
            self.events_changed.notify_all();
        }
    }

    /// The engine has workers without jobs: whoever hands in the next one wakes it. What was handed in before is seen by
    /// the caller from now on.
    pub(crate) fn on_idle_workers(&self) {
        self.has_idle_workers.store(true, Ordering::SeqCst);
    }

    /// There was something to do after all.
    pub(crate) fn on_work_available(&self) {
        self.has_idle_workers.store(false, Ordering::SeqCst);
    }

    pub(crate) fn order(&self, order: EngineCommand) {
        self.lock().orders.push(order);
        self.wake();
    }

    /// Asks the engine where this process stands. Nobody hears it once that has ended.
    #[cfg(feature = "stacks")]
    pub(crate) fn look(&self, pid: u32, requester: psmith_engine::handler::StackRequester) {
        let mut state = self.lock();
        if state.over.is_none() {
            state.orders.push(EngineCommand::SampleStack(pid, requester));
            drop(state);
            self.waker.wake();
        }
    }

    /// Ends the run, from outside: by a drain, a stop or a kill.
    pub(crate) fn end(&self, how: EngineCommand) {
        self.ended.store(true, Ordering::Relaxed);
        self.order(how);
    }

    /// The next job that is handed in. Once the engine has ended there is nobody to begin it, and it has its outcome.
    pub(crate) fn accept(&self) -> Result<MutexGuard<'_, RunSharedState>, u64> {
        let mut state = self.lock();
        match state.over {
            Some(Ok(())) => Err(state.queue.skip()),
            Some(Err(_)) | None => Ok(state),
        }
    }

    pub(crate) fn send_unstarted(&self, index: u64, request: Request) {
        let first = self.lock().first;
        let finished = Box::new(Finished::unstarted(index, request, first));
        let Finished { job, outcome, output, .. } = &*finished;
        self.show(|| ObserverEvent::Ended(FinishedJob { job, outcome, refused: None, output }));
        self.send_event(RunEvent::Done(finished));
    }

    /// Returns whether the run was ended: then it begins no more jobs.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// A job has failed for good.
    pub(crate) fn on_failed(&self, job: JobId) {
        self.lock().first.failed.get_or_insert(job);
        if self.ends_on_failure {
            self.ended.store(true, Ordering::Relaxed);
        }
    }

    /// The circuit is broken: nobody needs more jobs.
    pub(crate) fn on_broken(&self, jobs: u32) {
        self.lock().first.broken = Some(jobs);
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Shows something to the observers.
    pub(crate) fn show<'a>(&self, event: impl Fn() -> ObserverEvent<'a>) {
        self.observers.iter().for_each(|observer| observer.on_event(event()));
    }

    /// Tells the caller.
    pub(crate) fn send_event(&self, event: RunEvent) {
        // Each hears all of them.
        let takers = self.taps.iter().filter(|tap| tap.0(&event)).count();
        if takers > 0 {
            return;
        }
        if matches!(event, RunEvent::Done(_)) {
            self.driver.on_end();
        }
        let mut state = self.lock();
        state.job_events += usize::from(event.is_from_running_job());
        match &mut state.starts {
            Some(starts) => {
                let events = starts.admit(event);
                state.events.extend(events);
            }
            None => state.events.push_back(event),
        }
        let is_caller_driven = state.is_caller_driven;
        drop(state);
        if !is_caller_driven {
            self.events_changed.notify_all();
        }
    }

    /// Wakes whoever drives.
    pub(crate) fn wake(&self) {
        if !self.is_ours() {
            return;
        }
        self.waker.wake();
        self.call_back_driver();
    }

    /// The same for a job: an engine that polls looks for the next by itself.
    pub(crate) fn wake_for_job(&self) {
        if !self.is_ours() {
            return;
        }
        if !self.lock().polls_again {
            self.waker.wake();
        }
        self.call_back_driver();
    }

    pub(crate) fn call_back_driver(&self) {
        if self.driver.is_free() {
            self.driver.call_back();
        }
    }

    /// Whether jobs may go on talking. Outcomes do not count: a caller who takes none until later jobs are done, as far
    /// as the window allows, gets these.
    pub(crate) fn has_room_for_job_events(&self) -> bool {
        self.lock().job_events < EVENTS_MAX
    }

    /// The next event, if there is one now, and it is to be taken.
    pub(crate) fn take_event_if(&self, takes: impl Fn(&RunEvent) -> bool) -> Option<RunEvent> {
        let mut state = self.lock();
        if !state.events.front().is_some_and(takes) {
            return None;
        }
        let event = state.events.pop_front();
        let is_from_running_job = event.as_ref().is_some_and(RunEvent::is_from_running_job);
        let was_full = is_from_running_job && state.job_events == EVENTS_MAX;
        state.job_events -= usize::from(is_from_running_job);
        drop(state);
        if was_full {
            // Workers may wait for this.
            self.wake();
        }
        event
    }
}
