//! The engine's handler for function jobs that share workers: to the engine a whole worker is one job, and the jobs
//! of the caller are given to running workers here, above it.
//!
//! Which worker gets which job and when, and what a worker's end means for the job that it had, is decided by the
//! [`WorkerPool`], which the simulation of the core runs, too. This driver does the I/O of that pool: channels and
//! their messages, the memory that a worker shares, inputs, results and output as bytes, and events to the caller. Runs
//! on the engine's thread; never blocks, and never chooses a worker.
//!
//! - `worker`: a worker's channel and memory
//! - `output`: what workers write, and whose it is
//! - `turn`: one turn of the driver
//! - `resize`: more or fewer workers
//! - `batch`: many short jobs as one; `inputs_in_hand`: their inputs
//! - `commands`: attempts that have a process of their own

mod batch;
mod commands;
mod inputs_in_hand;
mod output;
mod resize;
mod turn;
mod worker;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use psmith_core::action::Notice;
use psmith_core::outcome::{Outcome, SpawnFailure, Usage};
use psmith_core::policy::{Order, TermSeq};
use psmith_core::worker_pool::{
    PoolAction, PoolEvent, PoolPolicy, Received, ToStart, WorkerKey, WorkerPool, WorkerReport,
};
use psmith_core::{AttemptId, JobId, JobPolicy, RunPolicy, SlotId, Table, Time};

use crate::job::flow::Judgement;
use crate::job::job::judged;
use crate::job::job::{JobRef, Request};
use crate::job::mailbox::{JobMailbox, Listeners};
use crate::observe::observer::ObserverEvent;
use crate::run::job_messages::{JobMessages, JobSource, receiver_of};
use crate::run::job_output::OutputPolicy;
use crate::run::live_output::LiveOutput;
use crate::run::options::{Options, RecyclePolicy};
use crate::run::reused::commands::EngineJob;
use crate::run::reused::inputs_in_hand::InputsInHand;
use crate::run::reused::turn::job_id_of;
use crate::run::reused::worker::ReusedWorker;
use crate::run::run_event::{RunEvent, Wants};
use crate::run::shared::RunShared;
use crate::run::surroundings::HostSurroundings;
use crate::run::worker_budget::Budget;
use psmith_engine::channel::messages::{CallEnd, CallUsage, FromWorker, JobRequest};
use psmith_engine::command::{Launch, OwnSurroundings, WorkerStart};
use psmith_engine::function::first_call::FirstCall;
use psmith_engine::handler::{
    AttemptOutput, AttemptSlot, Delivery, EngineCommand, EngineEvent, Handler, HandlerReply, Live,
    OutputKept, Pull, Taken, View, WorkerMessage,
};
use psmith_engine::limits::LimitsInForce;
use psmith_engine::spool::Spool;

/// Takes jobs from the caller's side, gives them to running workers, and gives back their outcomes.
pub(crate) struct ReusedDriver {
    shared: Arc<RunShared>,
    wants: Wants,
    worker_start: WorkerStart,
    recycle: RecyclePolicy,
    worker_policy: Arc<JobPolicy>,
    spool_dir: PathBuf,
    output: OutputPolicy,
    live: LiveOutput,
    pool: WorkerPool,
    /// Actions that the pool asks for, kept until the next turn.
    actions: Vec<PoolAction>,
    /// Single jobs.
    jobs: Table<JobId, ReusedJob>,
    /// Inputs of short jobs that have no outcome yet.
    inputs: InputsInHand,
    /// The outcome that several short jobs have together, until it is delivered.
    outcomes: Table<JobId, Box<Outcome>>,
    /// Events of short jobs that wait for their turn, by the index of the first job. Used only in an ordered run.
    reorder_buffer: Table<u64, Box<RunEvent>>,
    is_ordered: bool,
    /// Workers by key, which is the number of their job in the engine, too.
    workers: Table<WorkerKey, ReusedWorker>,
    /// Workers that have ended, for the next turn.
    ends: Vec<WorkerEnd>,
    /// Workers that have answered, where their growth is watched, for the next turn.
    growing: Vec<WorkerKey>,
    budget: Budget,
    /// The number of processes for which the engine has descriptors.
    room: u32,
    /// Pause until the budget is asked for more.
    asks_again: Option<Duration>,
    listeners: Listeners,
    surroundings: Arc<HostSurroundings>,
}

/// A single job while this driver has it.
struct ReusedJob {
    /// Index in the order of submission.
    index: u64,
    request: Request,
    /// The frame with the result, and the offset of the value in it.
    value: Option<(Vec<u8>, usize)>,
    pid: u32,
    slot: SlotId,
    name: Option<String>,
    start_reported: bool,
    /// The last attempt whose start was shown.
    shown_attempt: u32,
    output: AttemptOutput,
    /// What its last attempt used, as far as that is known; `None` if the outcome itself says it.
    usage: Option<Usage>,
    outcome: Option<Box<Outcome>>,
}

/// End of a worker.
enum WorkerEnd {
    /// The process ended, with this outcome of its job in the engine.
    Ended(WorkerKey, Box<Outcome>),
    /// The warden that spawned it has died, and the worker with it.
    Lost(WorkerKey),
}

impl ReusedDriver {
    pub(crate) fn new(
        shared: Arc<RunShared>,
        wants: Wants,
        options: &Options,
        policy: RunPolicy,
        (first_calls, budget, surroundings): (Vec<FirstCall>, Budget, Arc<HostSurroundings>),
    ) -> ReusedDriver {
        let worker_start =
            WorkerStart { frame_bytes_max: options.frame_bytes_max, first_calls, ..WorkerStart::new() };
        let policy = pool_policy(options, wants, policy);
        ReusedDriver {
            output: OutputPolicy::of(options),
            live: LiveOutput::new(Arc::clone(&shared)),
            shared,
            wants,
            worker_start,
            recycle: options.recycle,
            worker_policy: Arc::new(JobPolicy {
                term_seq: TermSeq::with_grace(options.grace),
                limits: options.named,
                ..JobPolicy::default()
            }),
            spool_dir: std::env::temp_dir(),
            is_ordered: policy.batches && policy.ordered,
            pool: WorkerPool::new(policy),
            actions: Vec::new(),
            jobs: Table::new(),
            inputs: InputsInHand::default(),
            outcomes: Table::new(),
            reorder_buffer: Table::new(),
            workers: Table::new(),
            ends: Vec::new(),
            growing: Vec::new(),
            budget,
            room: u32::MAX,
            asks_again: None,
            listeners: Listeners::default(),
            surroundings,
        }
    }

    /// Passes an event to the pool; the actions that it asks for wait for the next turn.
    fn handle_event(&mut self, event: PoolEvent, now: Time) {
        self.pool.handle(event, now, &mut self.actions);
    }

    /// Restarts the idle clock of a worker that wrote or sent something.
    fn on_activity(&mut self, worker: WorkerKey) {
        self.pool.on_beat(worker);
    }

    /// The single job that this worker has.
    fn job_of(&mut self, worker: WorkerKey) -> Option<(AttemptId, &mut ReusedJob)> {
        let (attempt, _) = self.pool.job_at(worker)?;
        Some((attempt, self.jobs.get_mut(attempt.job)?))
    }

    /// Handles a worker's report that its job is over.
    fn on_done(&mut self, worker: WorkerKey, message: WorkerMessage, reply: &mut HandlerReply) {
        let WorkerMessage { message: FromWorker::Done { job: number, how, usage, .. }, bytes, body } =
            message
        else {
            return;
        };
        let mut judgement = Judgement::Go;
        if self.pool.is_at(worker, number)
            && let Some((_, job)) = self.job_of(worker)
        {
            if how == CallEnd::Value {
                judgement = judged(&job.request, &bytes[body..]);
            }
            job.value = how.has_body().then_some((bytes, body));
            if let Some(reused) = self.workers.get_mut(worker) {
                reused.usage = usage.map(CallUsage::usage);
            }
            if judgement != Judgement::Go {
                self.shared.lock().first.decided.get_or_insert(JobId(number));
            }
        }
        let verdict = how.verdict();
        let report = WorkerReport::Done { job: number, verdict: verdict.clone(), ends: judgement.run_end() };
        match self.pool.receive(worker, report) {
            Ok(Received::Kept) => {
                reply.reads_output = true;
                if self.recycle.max_rss_growth.is_some() {
                    self.growing.push(worker);
                }
            }
            // The worker had this one job, and ends with it.
            Ok(Received::Final) => (reply.report, reply.hang_up) = (Some(verdict), true),
            Err(violation) => reply.breach = Some(violation.to_string()),
        }
    }
}

impl ReusedJob {
    fn new(request: Request, index: u64) -> ReusedJob {
        ReusedJob {
            index,
            request,
            value: None,
            pid: 0,
            slot: SlotId(0),
            name: None,
            start_reported: false,
            shown_attempt: 0,
            output: AttemptOutput::default(),
            usage: None,
            outcome: None,
        }
    }

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

    /// The request that its worker is sent; `None` if its function cannot be called.
    fn job_request(&mut self, attempt: AttemptId, wants: Wants, last: bool) -> Option<JobRequest> {
        Some(JobRequest {
            job: self.index + 1,
            index: self.index,
            attempt: attempt.number,
            slot: self.slot.0,
            function: self.request.callee.function.clone().ok()?,
            last,
            scratch: self.request.scratch(attempt.number),
            receiver: receiver_of(wants, self.request.mailbox.as_ref()),
        })
    }
}

/// The jobs of a reused worker, as its messages name them.
struct ReusedSource<'d> {
    worker: WorkerKey,
    pool: &'d WorkerPool,
    jobs: &'d mut Table<JobId, ReusedJob>,
    workers: &'d mut Table<WorkerKey, ReusedWorker>,
    inputs: &'d InputsInHand,
}

impl JobSource for ReusedSource<'_> {
    fn job(&self, number: u64) -> Option<JobRef> {
        let (attempt, jobs) = self.pool.unanswered(self.worker)?;
        let index = number.checked_sub(1).filter(|index| jobs.contains(index))?;
        match (self.jobs.get(attempt.job), self.workers.get(self.worker)) {
            (Some(job), _) => Some(job.job_ref()),
            (None, Some(reused)) => {
                let block = self.inputs.get(&(index..index + 1));
                Some(reused.job_ref(index, block.and_then(|block| block.first().kept_input())))
            }
            (None, None) => None,
        }
    }

    fn listener(&self, number: u64) -> Option<(JobId, Option<&Arc<JobMailbox>>)> {
        let (attempt, jobs) = self.pool.unanswered(self.worker)?;
        number.checked_sub(1).filter(|index| jobs.contains(index))?;
        match self.jobs.get(attempt.job).map(|job| job.request.mailbox.as_ref()) {
            Some(mailbox @ Some(_)) => Some((attempt.job, mailbox)),
            // One of a batch, or without a handle: nobody can send it anything, and it is told so by its own number.
            Some(None) | None => Some((JobId(number), None)),
        }
    }

    fn set_name(&mut self, name: String) {
        if let Some((attempt, _)) = self.pool.job_at(self.worker)
            && let Some(job) = self.jobs.get_mut(attempt.job)
        {
            job.name = Some(name.clone());
        }
        if let Some(reused) = self.workers.get_mut(self.worker) {
            reused.name = Some(name);
        }
    }
}

impl Handler for ReusedDriver {
    type Job = EngineJob;

    fn has_workers(&self) -> bool {
        true
    }

    fn on_room(&mut self, slots: u32) {
        self.room = slots;
        let workers = self.pool.workers_max();
        if slots < workers {
            self.resize(workers, Time::ZERO);
        }
    }

    fn pull(&mut self) -> Pull<EngineJob> {
        match self.pool.pull() {
            Some(ToStart::Worker(worker)) => {
                self.workers.insert(worker, ReusedWorker::default());
                Pull::Job(EngineJob::Worker, Arc::clone(&self.worker_policy))
            }
            Some(ToStart::Alone { worker, attempt, memory_bytes }) => {
                self.pull_alone(worker, attempt, memory_bytes)
            }
            None if self.pool.has_finished() => Pull::Ended,
            None => Pull::Later,
        }
    }

    fn launch(&mut self, job: &mut EngineJob, at: AttemptSlot) -> Result<Launch, SpawnFailure> {
        if let EngineJob::Alone(id) = *job {
            return self.launch_alone(id);
        }
        let region = self.workers.get_mut(worker_of(at.attempt.job)).and_then(ReusedWorker::share_memory);
        Ok(Launch::Worker(WorkerStart { region, ..self.worker_start.clone() }))
    }

    fn limits(&self, job: &EngineJob) -> Option<Arc<LimitsInForce>> {
        self.limits_of(*job)
    }

    fn surroundings(&self, job: &EngineJob) -> Option<Arc<OwnSurroundings>> {
        self.surroundings_of(*job)
    }

    fn greeted(&mut self, view: &View<'_>, job: &mut EngineJob, at: AttemptSlot, reply: &mut HandlerReply) {
        if let EngineJob::Alone(id) = *job {
            return self.send_single_request(id, reply);
        }
        let worker = worker_of(at.attempt.job);
        let has_memory = self.workers.get(worker).is_some_and(|reused| reused.region.is_some());
        reply.hang_up = !self.pool.greet(worker, has_memory, view.now);
    }

    fn on_message(
        &mut self,
        _view: &View<'_>,
        _job: &mut EngineJob,
        at: AttemptSlot,
        message: WorkerMessage,
        reply: &mut HandlerReply,
    ) {
        let id = at.attempt.job;
        let worker = worker_of(id);
        self.on_activity(worker);
        let mut source = ReusedSource {
            worker,
            pool: &self.pool,
            jobs: &mut self.jobs,
            workers: &mut self.workers,
            inputs: &self.inputs,
        };
        let mut messages = JobMessages {
            shared: &self.shared,
            wants: self.wants,
            listeners: &mut self.listeners,
            budget: &mut self.budget,
        };
        let Some(message) = messages.receive(id, &mut source, message, reply) else { return };
        match message.message {
            FromWorker::Began { job } => {
                let began = self.pool.receive(worker, WorkerReport::Began { job });
                reply.breach = began.err().map(|violation| violation.to_string());
            }
            FromWorker::BatchDone { .. } => self.on_batch_done(worker, message, reply),
            _ => self.on_done(worker, message, reply),
        }
    }

    fn live(&mut self, job: &EngineJob, _next_in_line: bool) -> Live {
        match job {
            // Its output belongs to the job that it has at the time.
            EngineJob::Worker => Live::Both,
            EngineJob::Alone(_) => self.output.live(self.is_command(*job)),
        }
    }

    fn kept_output(&self, job: &EngineJob) -> OutputKept {
        match job {
            EngineJob::Worker => OutputKept::ALL,
            EngineJob::Alone(_) => self.output.kept(self.is_command(*job), self.worker_start.frame_bytes_max),
        }
    }

    fn ends_at_lost_output(&self) -> bool {
        false
    }

    fn read(&mut self, job: &EngineJob, _attempt: u32, _stream: u8, _bytes: &[u8]) {
        if let EngineJob::Alone(id) = *job {
            self.on_activity(worker_of(id));
        }
    }

    fn reads_live(&mut self, id: JobId) {
        if let Some(region) = self.workers.get(worker_of(id)).and_then(|reused| reused.region.as_ref()) {
            region.reads_output();
        }
    }

    fn output(&mut self, id: JobId, job: &mut EngineJob, stream: u8, buffer: &mut Vec<u8>, length: usize) {
        let worker = worker_of(id);
        self.take_output(worker, *job, stream, &buffer[..length]);
        if let Some((_, jobs)) = self.pool.job_at(worker) {
            self.shared.show(|| ObserverEvent::Wrote(jobs.start, &buffer[..length]));
        }
        self.on_activity(worker);
    }

    fn backlog(&mut self, _id: JobId, _job: &mut EngineJob, _stream: u8, _backlog: Spool) {}

    fn takes_output(&self) -> bool {
        self.shared.has_room_for_job_events() && self.live.takes()
    }

    fn on_event(&mut self, view: &View<'_>, event: EngineEvent<'_, EngineJob>) {
        match event {
            EngineEvent::Started { at, pid, .. } => {
                self.on_process(worker_of(at.attempt.job), pid, view.now);
            }
            // Its output comes with the delivery, which is next.
            EngineEvent::Ended(ending) if *ending.job != EngineJob::Worker => {}
            EngineEvent::Ended(ending) => {
                let worker = worker_of(ending.id);
                let pid = ending.outcome.last.as_ref().map_or(0, |last| last.pid);
                if self.workers.get(worker).is_some_and(|reused| reused.pid == 0) && pid != 0 {
                    self.on_process(worker, pid, view.now);
                }
                // Output that was read at its very end, too late to be passed on as it came.
                for (stream, rest) in [(1, &ending.output.stdout), (2, &ending.output.stderr)] {
                    self.take_rest(worker, stream, rest);
                }
                self.ends.push(WorkerEnd::Ended(worker, Box::new(ending.outcome.clone())));
                // The engine may be about to sleep.
                self.shared.waker.wake();
            }
            EngineEvent::Notice(Notice::Retry { attempt, .. }, _) => {
                self.ends.push(WorkerEnd::Lost(worker_of(attempt.job)));
                self.shared.waker.wake();
            }
            EngineEvent::Notice(..)
            | EngineEvent::Stopped { .. }
            | EngineEvent::Continued { .. }
            | EngineEvent::WardenLost { .. }
            | EngineEvent::OrphanKilled { .. } => {}
        }
    }

    fn deliver(&mut self, _view: &View<'_>, delivery: Delivery<EngineJob>) -> Taken {
        if let EngineJob::Alone(id) = delivery.job {
            let worker = worker_of(id);
            if let Some(reused) = self.workers.get_mut(worker) {
                reused.alone_output = Some(delivery.output);
            }
            self.ends.push(WorkerEnd::Ended(worker, delivery.outcome));
            self.shared.waker.wake();
        }
        Taken::Now
    }

    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.shared.waker.as_fd()]
    }

    fn woken(&mut self, _view: &View<'_>, _commands: &mut Vec<EngineCommand>) {
        // The tick that follows handles everything.
        self.shared.waker.drain();
    }

    fn suspended(&mut self) {
        self.shared.wait_out_suspension();
    }

    fn tick(&mut self, view: &View<'_>, commands: &mut Vec<EngineCommand>) -> Option<Duration> {
        self.pool.make_room(view.dispatcher.slots(), view.now, &mut self.actions);
        self.turn(view.now, commands)
    }
}

fn pool_policy(options: &Options, wants: Wants, run: RunPolicy) -> PoolPolicy {
    PoolPolicy {
        run,
        grace: options.grace,
        max_jobs: options.recycle.max_jobs,
        max_rss_growth: options.recycle.max_rss_growth,
        idle: options.recycle.idle,
        batches: wants.blocks,
        ordered: options.order == Order::Submission,
        first_batch: 1,
    }
}

/// Returns the worker that is this job of the engine: the engine and the pool count starts alike.
fn worker_of(id: JobId) -> WorkerKey {
    WorkerKey(id.0)
}
