//! The engine's handler for function jobs that share workers: a worker's *life* is one job of the engine, and the jobs
//! are given to live workers here, above it.
//!
//! Who gets which job when, and what a worker's end means for the one that it had, is the [`WorkerPool`]'s to decide,
//! which the simulation of the core knows, too. Here is what it needs hands for: channels and what is said on them,
//! the memory that a worker shares, inputs, results and output as bytes, and the caller, who is told. Runs on the
//! engine's thread and never blocks.
//!
//! - `worker`: a worker's channel and memory
//! - `turn`: one turn of the driver
//! - `resize`: more or fewer workers
//! - `batch`: many short jobs as one; `inputs_in_hand`: their inputs
//! - `commands`: jobs that are no functions

mod batch;
mod commands;
mod inputs_in_hand;
mod resize;
mod turn;
mod worker;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use psmith_core::action::Notice;
use psmith_core::outcome::{Outcome, SpawnFailure};
use psmith_core::policy::{Order, TermSeq};
use psmith_core::worker_pool::{
    PoolAction, PoolEvent, PoolPolicy, Received, ToStart, WorkerKey, WorkerPool, WorkerReport,
};
use psmith_core::{AttemptId, JobId, JobPolicy, RunPolicy, SlotId, Time};

use crate::job::flow::Judgement;
use crate::job::job::judged;
use crate::job::job::{JobRef, Request};
use crate::job::mailbox::{JobMailbox, Listeners};
use crate::observe::observer::ObserverEvent;
use crate::run::job_messages::{JobMessages, Speaker};
use crate::run::options::{Options, RecyclePolicy};
use crate::run::reused::commands::EngineJob;
use crate::run::reused::inputs_in_hand::InputsInHand;
use crate::run::reused::worker::Life;
use crate::run::run_event::{RunEvent, Wants};
use crate::run::shared::RunShared;
use crate::run::worker_budget::Budget;
use psmith_engine::channel::messages::{CallEnd, FromWorker, JobRequest};
use psmith_engine::command::{Launch, WorkerStart};
use psmith_engine::function::registry::Function;
use psmith_engine::handler::{
    AttemptSlot, Delivery, EngineCommand, EngineEvent, Handler, HandlerReply, Live, Output, Pull, Taken,
    View, WorkerMessage,
};
use psmith_engine::limits::LimitsInForce;
use psmith_engine::spool::Spool;

/// Takes jobs from the caller's side, gives them to live workers, and gives back what became of them.
pub(crate) struct ReusedDriver {
    shared: Arc<RunShared>,
    wants: Wants,
    worker: WorkerStart,
    terms: RecyclePolicy,
    life_policy: Arc<JobPolicy>,
    spool_dir: PathBuf,
    pool: WorkerPool,
    /// What the pool asks for, until the next turn.
    actions: Vec<PoolAction>,
    /// Single jobs.
    jobs: BTreeMap<JobId, ReusedJob>,
    /// Of short jobs, whose outcomes are still to come.
    inputs: InputsInHand,
    /// The outcome that several short jobs have together, until it is delivered.
    outcomes: BTreeMap<JobId, Box<Outcome>>,
    /// Where short jobs are in order: what is to be told of them when it is their turn, by the index of the first.
    shelf: BTreeMap<u64, RunEvent>,
    is_ordered: bool,
    /// By the number that the engine gives them, too.
    lives: BTreeMap<WorkerKey, Life>,
    /// Workers that are no more, for the next turn.
    ends: Vec<End>,
    /// Workers that have answered, where their growth is watched, for the next turn.
    growing: Vec<WorkerKey>,
    budget: Budget,
    /// When the budget is to be asked for more.
    asks_again: Option<Duration>,
    listeners: Listeners,
}

/// A single job while this driver has it.
struct ReusedJob {
    /// Its place in the order of submission.
    index: u64,
    request: Request,
    /// The frame that brought the result, and where in it the value begins.
    value: Option<(Vec<u8>, usize)>,
    pid: u32,
    slot: SlotId,
    name: Option<String>,
    told_start: bool,
    /// The last attempt whose start was shown.
    shown_attempt: u32,
    output: Output,
    outcome: Option<Box<Outcome>>,
}

/// What became of a worker.
enum End {
    /// It is no more.
    Ended(WorkerKey, Box<Outcome>),
    /// The warden that spawned it is no more, nor is it.
    Lost(WorkerKey),
}

impl ReusedDriver {
    pub(crate) fn new(
        shared: Arc<RunShared>,
        wants: Wants,
        options: &Options,
        policy: RunPolicy,
        (set_up, budget): (Vec<Function>, Budget),
    ) -> ReusedDriver {
        let worker = WorkerStart { frame_bytes_max: options.frame_bytes_max, set_up, ..WorkerStart::new() };
        let policy = pool_policy(options, wants, policy);
        ReusedDriver {
            shared,
            wants,
            worker,
            terms: options.terms,
            life_policy: Arc::new(JobPolicy {
                term_seq: TermSeq::with_grace(options.grace),
                limits: options.named,
                ..JobPolicy::default()
            }),
            spool_dir: std::env::temp_dir(),
            is_ordered: policy.batches && policy.ordered,
            pool: WorkerPool::new(policy),
            actions: Vec::new(),
            jobs: BTreeMap::new(),
            inputs: InputsInHand::default(),
            outcomes: BTreeMap::new(),
            shelf: BTreeMap::new(),
            lives: BTreeMap::new(),
            ends: Vec::new(),
            growing: Vec::new(),
            budget,
            asks_again: None,
            listeners: Listeners::default(),
        }
    }

    /// Tells the pool; what it asks for waits for the next turn.
    fn happens(&mut self, event: PoolEvent, now: Time) {
        self.pool.handle(event, now, &mut self.actions);
    }

    /// This worker wrote or said something.
    fn on_sign_of_life(&mut self, worker: WorkerKey) {
        self.pool.on_beat(worker);
    }

    /// The single job that this worker has.
    fn job_of(&mut self, worker: WorkerKey) -> Option<(AttemptId, &mut ReusedJob)> {
        let (attempt, _) = self.pool.job_at(worker)?;
        Some((attempt, self.jobs.get_mut(&attempt.job)?))
    }

    /// A worker says that its job is over.
    fn on_done(&mut self, worker: WorkerKey, letter: WorkerMessage, mail: &mut HandlerReply) {
        let WorkerMessage { message: FromWorker::Done { job, how, .. }, bytes, body } = letter else {
            return;
        };
        let mut judgement = Judgement::Go;
        if self.pool.is_at(worker, job)
            && let Some((_, held)) = self.job_of(worker)
        {
            if how == CallEnd::Value {
                judgement = judged(&held.request, &bytes[body..]);
            }
            held.value = how.has_body().then_some((bytes, body));
            if judgement != Judgement::Go {
                self.shared.lock().first.decided.get_or_insert(JobId(job));
            }
        }
        let verdict = how.verdict();
        let report = WorkerReport::Done { job, verdict: verdict.clone(), ends: judgement.run_end() };
        match self.pool.receive(worker, report) {
            Ok(Received::Kept) => {
                mail.reads_output = true;
                if self.terms.max_rss_growth.is_some() {
                    self.growing.push(worker);
                }
            }
            // Its worker's end is its own.
            Ok(Received::Final) => (mail.report, mail.hang_up) = (Some(verdict), true),
            Err(violation) => mail.breach = Some(violation.to_string()),
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
            told_start: false,
            shown_attempt: 0,
            output: Output::default(),
            outcome: None,
        }
    }

    fn job(&self) -> JobRef {
        JobRef {
            index: self.index,
            label: self.request.label.clone(),
            slot: self.slot.0,
            pid: self.pid,
            name: self.name.clone(),
        }
    }

    /// What its worker is told; `None` if its function cannot be called.
    fn job_request(&mut self, attempt: AttemptId, last: bool) -> Option<JobRequest> {
        Some(JobRequest {
            job: self.index + 1,
            index: self.index,
            attempt: attempt.number,
            slot: self.slot.0,
            function: self.request.callee.function.clone().ok()?,
            last,
            scratch: self.request.scratch(attempt.number),
        })
    }
}

/// A worker that shares its process with other jobs, as it speaks of one.
struct OneOfMany<'d> {
    worker: WorkerKey,
    pool: &'d WorkerPool,
    jobs: &'d mut BTreeMap<JobId, ReusedJob>,
    lives: &'d mut BTreeMap<WorkerKey, Life>,
}

impl Speaker for OneOfMany<'_> {
    fn job(&self, number: u64) -> Option<JobRef> {
        let (attempt, jobs) = self.pool.unanswered(self.worker)?;
        let index = number.checked_sub(1).filter(|index| jobs.contains(index))?;
        match (self.jobs.get(&attempt.job), self.lives.get(&self.worker)) {
            (Some(held), _) => Some(held.job()),
            (None, Some(life)) => Some(life.job(index)),
            (None, None) => None,
        }
    }

    fn listener(&self, number: u64) -> Option<(JobId, Option<&Arc<JobMailbox>>)> {
        let (attempt, _) = self.pool.unanswered(self.worker)?;
        let held = self.jobs.get(&attempt.job).filter(|_| attempt.job.0 == number)?;
        Some((attempt.job, held.request.mailbox.as_ref()))
    }

    fn is_named(&mut self, name: String) {
        if let Some((attempt, _)) = self.pool.job_at(self.worker)
            && let Some(held) = self.jobs.get_mut(&attempt.job)
        {
            held.name = Some(name.clone());
        }
        if let Some(life) = self.lives.get_mut(&self.worker) {
            life.name = Some(name);
        }
    }
}

impl Handler for ReusedDriver {
    type Job = EngineJob;

    fn pull(&mut self) -> Pull<EngineJob> {
        match self.pool.pull() {
            Some(ToStart::Worker(worker)) => {
                self.lives.insert(worker, Life::new());
                Pull::Job(EngineJob::Worker, Arc::clone(&self.life_policy))
            }
            Some(ToStart::Alone { worker, attempt, memory_bytes }) => {
                self.pull_command(worker, attempt, memory_bytes)
            }
            None if self.pool.has_finished() => Pull::Ended,
            None => Pull::Later,
        }
    }

    fn launch(&mut self, job: &mut EngineJob, at: AttemptSlot) -> Result<Launch, SpawnFailure> {
        if let EngineJob::Command(life) = *job {
            return self.launch_command(life);
        }
        let region = self.lives.get_mut(&worker_of(at.attempt.job)).and_then(|life| life.region_file.take());
        Ok(Launch::Worker(WorkerStart { region, ..self.worker.clone() }))
    }

    fn limits(&self, job: &EngineJob) -> Option<Arc<LimitsInForce>> {
        self.limits_of(*job)
    }

    fn greeted(&mut self, view: &View<'_>, job: &mut EngineJob, at: AttemptSlot, mail: &mut HandlerReply) {
        if let EngineJob::Command(life) = *job {
            return self.greet_alone(life, mail);
        }
        let worker = worker_of(at.attempt.job);
        let has_memory = self.lives.get(&worker).is_some_and(|life| life.region.is_some());
        mail.hang_up = !self.pool.greet(worker, has_memory, view.now);
    }

    fn on_message(
        &mut self,
        _view: &View<'_>,
        _job: &mut EngineJob,
        at: AttemptSlot,
        letter: WorkerMessage,
        mail: &mut HandlerReply,
    ) {
        let id = at.attempt.job;
        let worker = worker_of(id);
        self.on_sign_of_life(worker);
        let mut speaker =
            OneOfMany { worker, pool: &self.pool, jobs: &mut self.jobs, lives: &mut self.lives };
        let mut messages = JobMessages {
            shared: &self.shared,
            wants: self.wants,
            listeners: &mut self.listeners,
            budget: &mut self.budget,
        };
        let Some(letter) = messages.receive(id, &mut speaker, letter, mail) else { return };
        match letter.message {
            FromWorker::Began { job } => {
                let began = self.pool.receive(worker, WorkerReport::Began { job });
                mail.breach = began.err().map(|violation| violation.to_string());
            }
            FromWorker::BatchDone { .. } => self.on_batch_done(worker, letter, mail),
            _ => self.on_done(worker, letter, mail),
        }
    }

    fn live(&mut self, job: &EngineJob, _next_in_line: bool) -> Live {
        match job {
            // What it writes belongs to the job that it has at the time.
            EngineJob::Worker => Live::Both,
            EngineJob::Command(_) => Live::Nothing,
        }
    }

    fn read(&mut self, job: &EngineJob, _attempt: u32, _stream: u8, _bytes: &[u8]) {
        if let EngineJob::Command(life) = *job {
            self.on_sign_of_life(worker_of(life));
        }
    }

    fn reads_live(&mut self, id: JobId) {
        if let Some(region) = self.lives.get(&worker_of(id)).and_then(|life| life.region.as_ref()) {
            region.reads_output();
        }
    }

    fn output(&mut self, id: JobId, _job: &mut EngineJob, stream: u8, buffer: &mut Vec<u8>, length: usize) {
        let worker = worker_of(id);
        if let Some(life) = self.lives.get_mut(&worker) {
            life.wrote(stream, &buffer[..length], &self.spool_dir);
        }
        if let Some((_, jobs)) = self.pool.job_at(worker) {
            self.shared.show(|| ObserverEvent::Wrote(jobs.start, &buffer[..length]));
        }
        self.on_sign_of_life(worker);
    }

    fn backlog(&mut self, id: JobId, _job: &mut EngineJob, stream: u8, backlog: Spool) {
        if let (Some(life), Some(bytes)) = (self.lives.get_mut(&worker_of(id)), backlog.in_memory()) {
            life.wrote(stream, bytes, &self.spool_dir);
        }
    }

    fn takes_output(&self) -> bool {
        self.shared.has_room_for_job_events()
    }

    fn on_event(&mut self, view: &View<'_>, news: EngineEvent<'_, EngineJob>) {
        match news {
            EngineEvent::Started { at: place, pid, .. } => {
                self.on_process(worker_of(place.attempt.job), pid, view.now);
            }
            // What it wrote comes with the delivery, which is next.
            EngineEvent::Ended(ending) if *ending.job != EngineJob::Worker => {}
            EngineEvent::Ended(ending) => {
                let worker = worker_of(ending.id);
                let pid = ending.outcome.last.as_ref().map_or(0, |last| last.pid);
                if self.lives.get(&worker).is_some_and(|life| life.pid == 0) && pid != 0 {
                    self.on_process(worker, pid, view.now);
                }
                // What was read at its very end, too late to be passed on as it came.
                if let Some(life) = self.lives.get_mut(&worker) {
                    for (stream, rest) in [(1, &ending.output.stdout), (2, &ending.output.stderr)] {
                        life.wrote(stream, rest.in_memory().unwrap_or_default(), &self.spool_dir);
                    }
                }
                self.ends.push(End::Ended(worker, Box::new(ending.outcome.clone())));
                // The engine may be about to sleep.
                self.shared.waker.wake();
            }
            EngineEvent::Notice(Notice::Retry { attempt, .. }, _) => {
                self.ends.push(End::Lost(worker_of(attempt.job)));
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
        if let EngineJob::Command(life) = delivery.job {
            let worker = worker_of(life);
            if let Some(life) = self.lives.get_mut(&worker) {
                life.command = Some(delivery.output);
            }
            self.ends.push(End::Ended(worker, delivery.outcome));
            self.shared.waker.wake();
        }
        Taken::Now
    }

    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.shared.waker.as_fd()]
    }

    fn woken(&mut self, _view: &View<'_>, _orders: &mut Vec<EngineCommand>) {
        // The tick that follows looks at everything.
        self.shared.waker.drain();
    }

    fn suspended(&mut self) {
        self.shared.wait_out_suspension();
    }

    fn tick(&mut self, view: &View<'_>, orders: &mut Vec<EngineCommand>) -> Option<Duration> {
        self.pool.make_room(view.dispatcher.slots(), view.now, &mut self.actions);
        self.turn(view.now, orders)
    }
}

fn pool_policy(options: &Options, wants: Wants, run: RunPolicy) -> PoolPolicy {
    PoolPolicy {
        run,
        grace: options.grace,
        max_jobs: options.terms.max_jobs,
        max_rss_growth: options.terms.max_rss_growth,
        idle: options.terms.idle,
        batches: wants.blocks,
        ordered: options.order == Order::Submission,
        first_batch: 1,
    }
}

/// The engine and the pool count starts alike.
fn worker_of(life: JobId) -> WorkerKey {
    WorkerKey(life.0)
}
