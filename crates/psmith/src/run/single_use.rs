//! The engine's handler for function jobs of which each has a worker of its own: the worker's process is the attempt.
//!
//! Interprets the messages of a worker for its job, and decides nothing else. Runs on the engine's thread; never
//! blocks.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use psmith_core::dispatcher::Counts;
use psmith_core::outcome::{Cause, SpawnFailure};
use psmith_core::{JobId, Notice, SlotId};

use crate::job::flow::Judgement;
use crate::job::job::{JobRef, Request, judged, refused};
use crate::job::mailbox::{JobMailbox, Listeners};
use crate::observe::observer::{FinishedJob, ObserverEvent};
use crate::run::job_messages::{JobMessages, JobSource, receiver_of};
use crate::run::job_output::{OutputPolicy, tag_of};
use crate::run::live_output::LiveOutput;
use crate::run::options::Options;
use crate::run::queue::NextJobs;
use crate::run::run_event::{Finished, RunEvent, Wants};
use crate::run::shared::RunShared;
use crate::run::worker_budget::Budget;
use psmith_engine::channel::frame::Body;
use psmith_engine::channel::messages::{CallEnd, FromWorker, JobRequest, ToWorker};
use psmith_engine::command::{Launch, Numbers, OwnSurroundings, WorkerStart};
use psmith_engine::function::first_call::FirstCall;
use psmith_engine::handler::{
    AttemptSlot, Delivery, EngineCommand, EngineEvent, Handler, HandlerReply, Live, OutputKept, Pull, Taken,
    View, WorkerMessage,
};
use psmith_engine::limits::LimitsInForce;
use psmith_engine::spool::Spool;

/// Takes jobs from the caller's side and gives back their outcomes.
pub(crate) struct SingleUseDriver {
    shared: Arc<RunShared>,
    wants: Wants,
    worker_start: WorkerStart,
    /// The number of jobs that the engine has taken.
    pulled: u64,
    listeners: Listeners,
    budget: Budget,
    output: OutputPolicy,
    live: LiveOutput,
}

/// A job from the moment the engine takes it until it is delivered.
pub(crate) struct SingleUseJob {
    index: u64,
    request: Request,
    /// The frame with the result, and the offset of the value in it.
    value: Option<(Vec<u8>, usize)>,
    pid: u32,
    slot: SlotId,
    name: Option<String>,
    /// True once the caller was told of its start.
    start_reported: Cell<bool>,
}

impl SingleUseDriver {
    pub(crate) fn new(
        shared: Arc<RunShared>,
        wants: Wants,
        options: &Options,
        first_calls: Vec<FirstCall>,
        budget: Budget,
    ) -> SingleUseDriver {
        let frame_bytes_max = options.frame_bytes_max;
        let worker_start = WorkerStart { frame_bytes_max, first_calls, single: true, ..WorkerStart::new() };
        SingleUseDriver {
            live: LiveOutput::new(Arc::clone(&shared)),
            shared,
            wants,
            worker_start,
            pulled: 0,
            listeners: Listeners::default(),
            budget,
            output: OutputPolicy::of(options),
        }
    }

    fn on_decided(&self, job: JobId) {
        self.shared.lock().first.decided.get_or_insert(job);
    }

    /// Handles the end of the job, whose process is still to end.
    fn on_done(
        &self,
        id: JobId,
        job: &mut SingleUseJob,
        how: CallEnd,
        (bytes, body): (Vec<u8>, usize),
        reply: &mut HandlerReply,
    ) {
        if how == CallEnd::Value {
            match judged(&job.request, &bytes[body..]) {
                Judgement::Go => {}
                Judgement::Enough => {
                    self.on_decided(id);
                    reply.commands.push(EngineCommand::Drain);
                }
                Judgement::Kill => {
                    self.on_decided(id);
                    reply.commands.push(EngineCommand::Kill);
                }
            }
        }
        job.value = how.has_body().then_some((bytes, body));
        reply.report = Some(how.verdict());
        reply.hang_up = true;
    }

    fn take_commands(&mut self, commands: &mut Vec<EngineCommand>) {
        let mut state = self.shared.lock();
        let requested = std::mem::take(&mut state.orders);
        let with_messages = std::mem::take(&mut state.with_messages);
        drop(state);
        for command in requested {
            if let EngineCommand::Slots(workers) = command {
                self.budget.resize(workers);
                if self.budget.is_shared() {
                    continue;
                }
            }
            commands.push(command);
        }
        self.listeners.send(&with_messages, commands);
    }

    /// Sets the slots to as many as the budget gives; returns when to ask it again.
    fn keep_budget(&mut self, counts: Counts, commands: &mut Vec<EngineCommand>) -> Option<Duration> {
        if !self.budget.is_shared() {
            return None;
        }
        let queue = self.shared.lock().queue.jobs();
        // A job that waits for its back-off begins without the budget being asked again.
        let wanted = counts.running + counts.ready + counts.delayed.min(1) + queue;
        let kept = self.budget.keep(wanted);
        if let Some(slots) = kept.slots {
            commands.push(EngineCommand::Slots(slots));
            // The engine asks for jobs when it is woken.
            self.shared.waker.wake();
        }
        kept.again
    }
}

impl SingleUseJob {
    fn job_ref(&self) -> JobRef {
        JobRef {
            index: self.index,
            label: self.request.label.clone(),
            slot: self.slot.0,
            pid: self.pid,
            name: self.name.clone(),
            input: self.request.kept_input(),
        }
    }
}

/// The only job of a worker, as its messages name it.
struct SingleUseSource<'j> {
    id: JobId,
    job: &'j mut SingleUseJob,
}

impl JobSource for SingleUseSource<'_> {
    fn job(&self, number: u64) -> Option<JobRef> {
        (number == self.id.0).then(|| self.job.job_ref())
    }

    fn listener(&self, number: u64) -> Option<(JobId, Option<&Arc<JobMailbox>>)> {
        (number == self.id.0).then_some((self.id, self.job.request.mailbox.as_ref()))
    }

    fn set_name(&mut self, name: String) {
        self.job.name = Some(name);
    }
}

impl Handler for SingleUseDriver {
    type Job = SingleUseJob;

    fn has_workers(&self) -> bool {
        true
    }

    fn pull(&mut self) -> Pull<SingleUseJob> {
        let mut state = self.shared.lock();
        if !state.queue.is_empty() && self.budget.is_exhausted() {
            // The next tick asks for more.
            state.polls_again = false;
            return Pull::Later;
        }
        match state.queue.next() {
            Some(NextJobs::One(index, request, policy)) => {
                let index = request.index.unwrap_or(index);
                self.pulled += 1;
                // A budget that is shared is asked for as much as waits.
                state.polls_again = !self.budget.is_shared();
                if request.cancelled {
                    state.orders.push(EngineCommand::Cancel(JobId(self.pulled)));
                    if request.killed {
                        state.orders.push(EngineCommand::KillNow(JobId(self.pulled)));
                    }
                }
                Pull::Job(
                    SingleUseJob {
                        index,
                        request,
                        value: None,
                        pid: 0,
                        slot: SlotId(0),
                        name: None,
                        start_reported: Cell::new(false),
                    },
                    policy,
                )
            }
            None if state.closed => Pull::Ended,
            // Blocks are never handed in where each job has a worker of its own.
            Some(NextJobs::Many(_)) | None => {
                state.polls_again = false;
                Pull::Later
            }
        }
    }

    fn launch(&mut self, job: &mut SingleUseJob, at: AttemptSlot) -> Result<Launch, SpawnFailure> {
        self.listeners.next_attempt(at.attempt.job);
        job.value = None;
        job.name = None;
        job.pid = 0;
        job.slot = at.slot;
        if job.request.refused.is_some() {
            // The true cause is added at the delivery.
            return Err(refused(String::new()));
        }
        let Some(command) = job.request.command_of(Numbers::default()) else {
            return Ok(Launch::Worker(self.worker_start.clone()));
        };
        // A command cannot report that it begins a run.
        self.budget.share();
        let scratch = job.request.scratch(at.attempt.number);
        Ok(Launch::Command(crate::job::command_job::attempted(command, scratch)?))
    }

    fn limits(&self, job: &SingleUseJob) -> Option<Arc<LimitsInForce>> {
        job.request.limits().cloned()
    }

    fn surroundings(&self, job: &SingleUseJob) -> Option<Arc<OwnSurroundings>> {
        job.request.surroundings.clone()
    }

    fn greeted(
        &mut self,
        _view: &View<'_>,
        job: &mut SingleUseJob,
        at: AttemptSlot,
        reply: &mut HandlerReply,
    ) {
        let Ok(function) = job.request.callee.function.clone() else { return };
        let job_request = JobRequest {
            job: at.attempt.job.0,
            index: job.index,
            attempt: at.attempt.number,
            slot: at.slot.0,
            function,
            last: true,
            scratch: job.request.scratch(at.attempt.number),
            receiver: receiver_of(self.wants, job.request.mailbox.as_ref()),
        };
        reply.messages.push((ToWorker::Job(job_request), Body::Shared(Arc::clone(&job.request.input))));
    }

    fn on_message(
        &mut self,
        _view: &View<'_>,
        job: &mut SingleUseJob,
        at: AttemptSlot,
        message: WorkerMessage,
        reply: &mut HandlerReply,
    ) {
        let id = at.attempt.job;
        if let Some(number) = message.message.job().filter(|number| *number != id.0) {
            reply.breach = Some(format!("it speaks of job {number}, and was given job {}", id.0));
            return;
        }
        let mut messages = JobMessages {
            shared: &self.shared,
            wants: self.wants,
            listeners: &mut self.listeners,
            budget: &mut self.budget,
        };
        let mut source = SingleUseSource { id, job };
        let Some(message) = messages.receive(id, &mut source, message, reply) else { return };
        match message.message {
            FromWorker::BatchDone { .. } => reply.breach = Some("it was given no batch".into()),
            FromWorker::Done { how, .. } => self.on_done(id, job, how, (message.bytes, message.body), reply),
            // The beginning of its job is the start of the attempt, which the engine reports.
            _ => {}
        }
    }

    fn live(&mut self, job: &SingleUseJob, _next_in_line: bool) -> Live {
        self.output.live(job.request.command.is_some())
    }

    fn kept_output(&self, job: &SingleUseJob) -> OutputKept {
        self.output.kept(job.request.command.is_some(), job.request.frame_bytes_max)
    }

    fn ends_at_lost_output(&self) -> bool {
        false
    }

    fn output(&mut self, id: JobId, job: &mut SingleUseJob, stream: u8, buffer: &mut Vec<u8>, length: usize) {
        self.live.pass_on(id, stream, &buffer[..length], tag_of(&job.job_ref()));
    }

    fn backlog(&mut self, _id: JobId, _job: &mut SingleUseJob, _stream: u8, _backlog: Spool) {}

    fn takes_output(&self) -> bool {
        self.shared.has_room_for_job_events() && self.live.takes()
    }

    fn read(&mut self, job: &SingleUseJob, _attempt: u32, _stream: u8, bytes: &[u8]) {
        self.shared.show(|| ObserverEvent::Wrote(job.index, bytes));
    }

    fn on_event(&mut self, _view: &View<'_>, event: EngineEvent<'_, SingleUseJob>) {
        match event {
            EngineEvent::Started { at, job, pid } => {
                let began = JobRef { pid, slot: at.slot.0, ..job.job_ref() };
                self.shared.show(|| ObserverEvent::Began(&began, at.attempt.number));
                // The first attempt may have had no process that was seen: refused, or lost before its report.
                if self.wants.starts && !job.start_reported.replace(true) {
                    self.shared.send_event(RunEvent::Started(began));
                }
            }
            EngineEvent::Ended(ending) => {
                let cut_short = matches!(ending.outcome.verdict, Err(Cause::Cancelled));
                if ending.outcome.verdict.is_err() && !cut_short {
                    self.shared.on_failed(ending.id);
                }
                let pid = ending.outcome.last.as_ref().map_or(0, |last| last.pid);
                let job = JobRef { pid, slot: ending.slot.0, ..ending.job.job_ref() };
                let (outcome, output) = (ending.outcome, ending.output);
                let refused = ending.job.request.refused.as_ref();
                self.shared
                    .show(|| ObserverEvent::Ended(FinishedJob { job: &job, outcome, refused, output }));
                if self.wants.slots {
                    self.shared.send_event(RunEvent::SlotFreed);
                }
            }
            EngineEvent::Notice(Notice::Retry { attempt, .. }, Some(job)) => {
                self.live.break_off(attempt.job, tag_of(&job.job_ref()));
                self.shared.show(|| ObserverEvent::Retried(job.index));
            }
            EngineEvent::Notice(Notice::Broken { jobs }, _) => self.shared.on_broken(*jobs),
            EngineEvent::Notice(..)
            | EngineEvent::Stopped { .. }
            | EngineEvent::Continued { .. }
            | EngineEvent::WardenLost { .. }
            | EngineEvent::OrphanKilled { .. } => {}
        }
    }

    fn deliver(&mut self, _view: &View<'_>, delivery: Delivery<SingleUseJob>) -> Taken {
        self.listeners.remove(delivery.id);
        let pid = delivery.outcome.last.as_ref().map_or(0, |last| last.pid);
        let job = JobRef { pid, slot: delivery.slot.0, ..delivery.job.job_ref() };
        let SingleUseJob { request, value, .. } = delivery.job;
        let mut finished = Finished::new(job, request, *delivery.outcome);
        (finished.value, finished.output) = (value, delivery.output);
        if self.output.is_live() {
            finished.live = self.live.end(delivery.id, &mut finished);
        }
        self.shared.send_event(RunEvent::Done(Box::new(finished)));
        Taken::Now
    }

    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.shared.waker.as_fd()]
    }

    fn woken(&mut self, _view: &View<'_>, commands: &mut Vec<EngineCommand>) {
        self.shared.waker.drain();
        self.take_commands(commands);
    }

    fn suspended(&mut self) {
        self.shared.wait_out_suspension();
    }

    fn tick(&mut self, view: &View<'_>, commands: &mut Vec<EngineCommand>) -> Option<Duration> {
        self.take_commands(commands);
        self.keep_budget(view.dispatcher.counts(), commands)
    }
}
