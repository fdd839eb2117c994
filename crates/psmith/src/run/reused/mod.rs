//! The engine's handler for function jobs that share workers: a worker's *life* is one job of the engine, and the jobs
//! are given to live workers here, above it.
//!
//! So there are two dispatchers, the same machine twice. The engine's knows lives: starting, containment, deaths, usage.
//! The one here knows function jobs: order, window, tries, back-off, timeouts, halts. Its slots are promises to run a job
//! in some live worker; what it asks to be done to an attempt is done to the worker that has it. Runs on the engine's
//! thread and never blocks.
//!
//! A worker has at most one job, or one batch of short ones, and its answer is heard before it is given another. What
//! ends a worker concerns the one job that it was at, and that only if its function was called: otherwise the job waits
//! for another worker, and nothing is counted.
//!
//! - `worker`: a worker, passive
//! - `turn`: one turn of the desk
//! - `resize`: more or fewer workers; `start_backoff`: workers that never come
//! - `batch`: many short jobs as one; `reorder`: their outcomes in order
//! - `commands`: jobs that are no functions

mod batch;
mod commands;
mod reorder;
mod resize;
mod start_backoff;
mod turn;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use psmith_core::action::Notice;
use psmith_core::outcome::{Cause, Outcome, SpawnFailure};
use psmith_core::policy::{Order, TermSeq};
use psmith_core::{Action, AttemptId, Dispatcher, Event, JobId, JobPolicy, RunPolicy, SlotId};

use crate::job::flow::Judgement;
use crate::job::job::{JobRef, Request};
use crate::job::mailbox::Listeners;
use crate::observe::observer::Sight;
use crate::run::input_block::Block;
use crate::run::options::Options;
use crate::run::reused::batch::{Batch, BatchNews, Pace};
use crate::run::reused::commands::Kind;
use crate::run::reused::reorder::Sequence;
use crate::run::reused::start_backoff::Starts;
use crate::run::reused::worker::{Life, Stage};
use crate::run::run::{News as Told, Wants};
use crate::run::shared::Shared;
use crate::run::single_use::judged;
use crate::run::worker_budget::Budget;
use psmith_engine::channel::messages::{FromWorker, How};
use psmith_engine::command::{Launch, WorkerStart};
use psmith_engine::function::registry::Function;
use psmith_engine::handler::{
    AttemptSlot, Delivery, EngineCommand, EngineEvent, Handler, HandlerReply, Live, Output, Pull, Taken,
    View, WorkerMessage,
};
use psmith_engine::limits::LimitsInForce;
use psmith_engine::spool::Spool;

/// When a worker is replaced although nothing is wrong with it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) max_jobs: Option<u64>,
    pub(crate) max_rss_growth: Option<u64>,
    pub(crate) idle: Option<Duration>,
}

/// Takes jobs from the caller's side, gives them to live workers, and gives back what became of them.
pub(crate) struct WarmDesk {
    shared: Arc<Shared>,
    wants: Wants,
    worker: WorkerStart,
    terms: Terms,
    grace: Duration,
    life_policy: Arc<JobPolicy>,
    spool_dir: PathBuf,
    dispatcher: Dispatcher,
    events: VecDeque<Event>,
    actions: Vec<Action>,
    jobs: BTreeMap<JobId, Held>,
    /// Attempts that want a worker, longest waiting first.
    waiting: VecDeque<(AttemptId, SlotId)>,
    /// Attempts at commands that the engine has not asked for yet; `None` before the first.
    commands: Option<VecDeque<commands::Wanted>>,
    /// By the number that the engine gives them.
    lives: BTreeMap<JobId, Life>,
    /// Those that wait for a job; the one that worked last is the first to work again.
    idle: Vec<JobId>,
    starts: Starts,
    /// Lives to be handed to the engine.
    wanted: u32,
    pulled: u64,
    slots: u32,
    /// More workers than these leave when they are idle.
    lives_max: u32,
    budget: Budget,
    /// When the budget is to be asked for more.
    asks_again: Option<Duration>,
    /// Short jobs come as blocks, and become batches.
    blocks: bool,
    pace: Pace,
    /// Jobs that wait again, or still, in their order.
    returned: VecDeque<Block>,
    /// Where blocks are in order, that order is kept here: the dispatcher knows only of the first attempt at each.
    sequence: Option<Sequence>,
    /// What was heard of workers and is not dealt with.
    heard: VecDeque<Heard>,
    listeners: Listeners,
    source_ended: bool,
    finished: bool,
}

/// A job while this desk has it.
struct Held {
    /// Its place in the order of submission.
    index: u64,
    request: Request,
    /// It stands for these jobs, of which the first is in `request` only once it is the only one.
    batch: Option<Batch>,
    /// The dispatcher was told that the attempt has a process.
    has_process: bool,
    /// How often its worker ended before it called the function.
    returns: u32,
    /// The frame that brought the result, and where in it the value begins.
    value: Option<(Vec<u8>, usize)>,
    pid: u32,
    slot: SlotId,
    /// Its signs of life are asked for.
    beats: bool,
    name: Option<String>,
    life: Option<JobId>,
    told_start: bool,
    /// The last attempt whose start was shown.
    shown_attempt: u32,
    output: Output,
    outcome: Option<Box<Outcome>>,
}

/// What was heard of a worker.
enum Heard {
    /// It has answered for its job.
    Done { life: JobId, verdict: Result<(), Cause>, judgement: Judgement },
    /// It has answered for its batch.
    Batch { life: JobId, news: Box<BatchNews> },
    /// It is no more.
    Ended { life: JobId, outcome: Box<Outcome> },
    /// The warden that bore it is no more, nor is it.
    Lost { life: JobId },
}

impl WarmDesk {
    pub(crate) fn new(
        shared: Arc<Shared>,
        wants: Wants,
        options: &Options,
        policy: RunPolicy,
        (set_up, budget): (Vec<Function>, Budget),
    ) -> WarmDesk {
        let worker = WorkerStart { frame_bytes_max: options.frame_bytes_max, set_up, ..WorkerStart::new() };
        WarmDesk {
            shared,
            wants,
            worker,
            terms: options.terms,
            grace: options.grace,
            life_policy: Arc::new(JobPolicy {
                term_seq: TermSeq::with_grace(options.grace),
                limits: options.named,
                ..JobPolicy::default()
            }),
            spool_dir: std::env::temp_dir(),
            slots: policy.slots,
            lives_max: policy.slots,
            budget,
            asks_again: None,
            blocks: wants.blocks,
            pace: Pace::new(),
            returned: VecDeque::new(),
            sequence: (wants.blocks && options.order == Order::Submission).then(Sequence::default),
            dispatcher: Dispatcher::new(policy),
            events: VecDeque::new(),
            actions: Vec::new(),
            jobs: BTreeMap::new(),
            waiting: VecDeque::new(),
            commands: None,
            lives: BTreeMap::new(),
            idle: Vec::new(),
            starts: Starts::default(),
            wanted: 0,
            pulled: 0,
            heard: VecDeque::new(),
            listeners: Listeners::default(),
            source_ended: false,
            finished: false,
        }
    }

    /// This worker wrote or said something.
    fn on_sign_of_life(&mut self, life: JobId) {
        if let Some((attempt, held)) = self.job_of(life)
            && held.beats
        {
            self.events.push_back(Event::Beat(attempt));
        }
    }

    /// The job that this worker has.
    fn job_of(&mut self, life: JobId) -> Option<(AttemptId, &mut Held)> {
        let attempt = self.lives.get(&life)?.attempt()?;
        Some((attempt, self.jobs.get_mut(&attempt.job)?))
    }
}

impl Held {
    fn new(request: Request, index: u64, beats: bool) -> Held {
        Held {
            index,
            request,
            batch: None,
            has_process: false,
            returns: 0,
            value: None,
            pid: 0,
            slot: SlotId(0),
            beats,
            name: None,
            life: None,
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
}

impl Held {
    /// The job of this number, if it is this one or of this batch.
    fn job_at(&self, number: u64) -> Option<JobRef> {
        let jobs = self.batch.as_ref().map_or(1, |batch| batch.block.len() as u64);
        let first = self.batch.as_ref().map_or(self.index, |batch| batch.block.index);
        let index = number.checked_sub(1)?;
        (first..first + jobs).contains(&index).then(|| JobRef { index, ..self.job() })
    }
}

impl Handler for WarmDesk {
    type Job = Kind;

    fn pull(&mut self) -> Pull<Kind> {
        if let Some(command) = self.pull_command() {
            command
        } else if self.wanted > 0 {
            self.wanted -= 1;
            self.pulled += 1;
            self.lives.insert(JobId(self.pulled), Life::new());
            Pull::Job(Kind::Worker, Arc::clone(&self.life_policy))
        } else if self.finished {
            Pull::Ended
        } else {
            Pull::Later
        }
    }

    fn launch(&mut self, job: &mut Kind, at: AttemptSlot) -> Result<Launch, SpawnFailure> {
        if let Kind::Command(life) = *job {
            return self.launch_command(life);
        }
        let region = self.lives.get_mut(&at.attempt.job).and_then(|life| life.region_file.take());
        Ok(Launch::Worker(WorkerStart { region, ..self.worker.clone() }))
    }

    fn limits(&self, job: &Kind) -> Option<Arc<LimitsInForce>> {
        self.limits_of(*job)
    }

    fn greeted(&mut self, view: &View<'_>, job: &mut Kind, at: AttemptSlot, mail: &mut HandlerReply) {
        let id = at.attempt.job;
        if let Kind::Command(life) = *job {
            return self.greet_alone(life, mail);
        }
        match self.lives.get_mut(&id) {
            Some(life) if life.stage == Stage::Starting && !life.doomed => {
                life.stage = Stage::Idle(view.now);
                self.idle.push(id);
                self.starts.succeeded();
            }
            // It was given up before it came.
            Some(_) | None => mail.hang_up = true,
        }
    }

    fn on_message(
        &mut self,
        _view: &View<'_>,
        _job: &mut Kind,
        at: AttemptSlot,
        letter: WorkerMessage,
        mail: &mut HandlerReply,
    ) {
        let id = at.attempt.job;
        let WorkerMessage { message: letter, bytes, body } = letter;
        self.on_sign_of_life(id);
        if let FromWorker::Named { name } = letter {
            if let Some(life) = self.lives.get_mut(&id) {
                life.name = Some(name.clone());
            }
            if let Some((_, held)) = self.job_of(id) {
                held.name = Some(name);
            }
            return;
        }
        let wants = self.wants;
        let shared = Arc::clone(&self.shared);
        let has_answered = self.heard.iter().any(|heard| match heard {
            Heard::Done { life, .. } | Heard::Batch { life, .. } => *life == id,
            Heard::Ended { .. } | Heard::Lost { .. } => false,
        });
        let current = if has_answered { None } else { self.job_of(id) };
        match letter {
            FromWorker::Began { job } => match current {
                Some((attempt, held)) if held.index + 1 == job => {
                    if let Some(life) = self.lives.get_mut(&id) {
                        life.stage = Stage::Busy { attempt, began: true };
                    }
                }
                Some(_) | None => mail.breach = Some(format!("it began job {job}, which it was not given")),
            },
            FromWorker::Done { job, how, .. } => match current {
                Some((_, held)) if held.index + 1 == job && held.batch.is_none() => {
                    let mut judgement = Judgement::Go;
                    if how == How::Value {
                        judgement = judged(&held.request, &bytes[body..]);
                        if judgement != Judgement::Go {
                            shared.lock().first.decided.get_or_insert(JobId(job));
                        }
                    }
                    held.value = how.has_body().then_some((bytes, body));
                    if held.request.is_alone() {
                        // Its worker's end is its own.
                        (mail.report, mail.hang_up) = (Some(how.verdict()), true);
                        return;
                    }
                    mail.reads_output = true;
                    self.heard.push_back(Heard::Done { life: id, verdict: how.verdict(), judgement });
                }
                Some(_) | None => {
                    let is_of_earlier = current.is_some_and(|(_, held)| job <= held.index);
                    if let (true, Some(life)) = (is_of_earlier, self.lives.get_mut(&id)) {
                        life.betrayed = true;
                    }
                    mail.breach = Some(format!("it answered for job {job}, which it was not given"));
                }
            },
            FromWorker::BatchDone { job, values, then, nanos, .. } => {
                let known =
                    current.map(|_| ()).ok_or(format!("it answered for a batch from job {job} on twice"));
                match known.and_then(|()| self.values_of(id, (job, values, then.is_some()))) {
                    Ok((values, mark, is_whole)) => {
                        mail.reads_output = then.is_some();
                        let spent = Duration::from_nanos(nanos);
                        let news = Box::new(BatchNews { values, mark, is_whole, then, bytes, body, spent });
                        self.heard.push_back(Heard::Batch { life: id, news });
                    }
                    Err(breach) => mail.breach = Some(breach),
                }
            }
            // A thread that an earlier job left behind may still speak of that one: nobody listens.
            FromWorker::Progress { job, done, total } => {
                if let Some(job) = current.and_then(|(_, held)| held.job_at(job)) {
                    shared.show(|| Sight::Progressed(job.index, done, total));
                    if wants.progress {
                        shared.tell(Told::Progress(job, done, total));
                    }
                }
            }
            FromWorker::Message { job } => {
                if let Some(job) = current.and_then(|(_, held)| held.job_at(job))
                    && wants.messages
                {
                    shared.tell(Told::Message(job, bytes, body));
                }
            }
            // Of the life, and so of the job that it has.
            FromWorker::Overflowed => mail.report = Some(Err(Cause::StackOverflow)),
            FromWorker::Listens { job } => {
                if let Some((attempt, held)) = current
                    && attempt.job.0 == job
                {
                    let post = held.request.post.clone();
                    mail.messages = self.listeners.add(attempt.job, id, post.as_ref());
                }
            }
            FromWorker::Took { job } => {
                if current.is_some_and(|(attempt, _)| attempt.job.0 == job)
                    && !self.listeners.took(JobId(job))
                {
                    mail.breach = Some("it took a message that it was not sent".into());
                }
            }
            FromWorker::Heartbeat { .. } | FromWorker::Named { .. } => {}
            FromWorker::Nests => self.budget.share(),
            FromWorker::Hello { .. } | FromWorker::SetUpFailed { .. } => {
                mail.breach = Some("it introduced itself twice".into());
            }
        }
    }

    fn live(&mut self, job: &Kind, _next_in_line: bool) -> Live {
        match job {
            // What it writes belongs to the job that it has at the time.
            Kind::Worker => Live::Both,
            Kind::Command(_) => Live::Nothing,
        }
    }

    fn read(&mut self, job: &Kind, _attempt: u32, _stream: u8, _bytes: &[u8]) {
        if let Kind::Command(life) = *job {
            self.on_sign_of_life(life);
        }
    }

    fn reads_live(&mut self, id: JobId) {
        if let Some(region) = self.lives.get(&id).and_then(|life| life.region.as_ref()) {
            region.reads_output();
        }
    }

    fn output(&mut self, id: JobId, _job: &mut Kind, stream: u8, buffer: &mut Vec<u8>, length: usize) {
        if let Some(life) = self.lives.get_mut(&id) {
            life.wrote(stream, &buffer[..length], &self.spool_dir);
        }
        if let Some(index) = self.job_of(id).map(|(_, held)| held.index) {
            self.shared.show(|| Sight::Wrote(index, &buffer[..length]));
        }
        self.on_sign_of_life(id);
    }

    fn backlog(&mut self, id: JobId, _job: &mut Kind, stream: u8, backlog: Spool) {
        if let (Some(life), Some(bytes)) = (self.lives.get_mut(&id), backlog.in_memory()) {
            life.wrote(stream, bytes, &self.spool_dir);
        }
    }

    fn takes_output(&self) -> bool {
        self.shared.has_room_for_words()
    }

    fn on_event(&mut self, _view: &View<'_>, news: EngineEvent<'_, Kind>) {
        match news {
            EngineEvent::Started { at: place, pid, job } => {
                let id = place.attempt.job;
                if let Some(life) = self.lives.get_mut(&id) {
                    life.pid = pid;
                }
                if let Kind::Command(life) = *job {
                    self.on_command_started(life, pid);
                }
                self.tell_start(id);
            }
            // What it wrote comes with the delivery, which is next.
            EngineEvent::Ended(ending) if *ending.job != Kind::Worker => {}
            EngineEvent::Ended(ending) => {
                let outcome = Box::new(ending.outcome.clone());
                if let (Some(life), Some(last)) = (self.lives.get_mut(&ending.id), &outcome.last)
                    && life.pid == 0
                {
                    life.pid = last.pid;
                    self.tell_start(ending.id);
                }
                // What was read at its very end, too late to be passed on as it came.
                if let Some(life) = self.lives.get_mut(&ending.id) {
                    for (stream, rest) in [(1, &ending.output.stdout), (2, &ending.output.stderr)] {
                        life.wrote(stream, rest.in_memory().unwrap_or_default(), &self.spool_dir);
                    }
                }
                self.heard.push_back(Heard::Ended { life: ending.id, outcome });
                // The engine may be about to sleep.
                self.shared.waker.wake();
            }
            EngineEvent::Notice(Notice::Retry { attempt, .. }, _) => {
                self.heard.push_back(Heard::Lost { life: attempt.job });
                self.shared.waker.wake();
            }
            EngineEvent::Notice(..)
            | EngineEvent::Stopped { .. }
            | EngineEvent::Continued { .. }
            | EngineEvent::WardenLost { .. }
            | EngineEvent::OrphanKilled { .. } => {}
        }
    }

    fn deliver(&mut self, _view: &View<'_>, delivery: Delivery<Kind>) -> Taken {
        if let Kind::Command(life) = delivery.job {
            if let Some(life) = self.lives.get_mut(&life) {
                life.command = Some(delivery.output);
            }
            self.heard.push_back(Heard::Ended { life, outcome: delivery.outcome });
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
        self.shared.stand_still();
    }

    fn tick(&mut self, view: &View<'_>, orders: &mut Vec<EngineCommand>) -> Option<Duration> {
        self.make_room(view, orders);
        self.turn(view.now, orders)
    }
}
