//! The worker pool: the state machine between function jobs and the workers that do them one after the other.
//!
//! Two machines in one. The [`Dispatcher`] inside knows jobs: order, window, tries, back-off, timeouts, halts; its slots
//! are promises to run a job in some worker. The pool around it knows workers, and plays the kernel to the dispatcher:
//! what that asks to be done to an attempt is done to the worker that has it, and what becomes of a worker becomes an
//! event of the one attempt that it had.
//!
//! ```text
//!                                .--- answer: idle again, or recycled ---.
//!   Starting --- greets ---> Idle --- is given a job, or a batch ---> Busy
//!      |                      |                                        |
//!      |                      '--- spent, idle too long, too many ---> Leaving
//!      '--- ends: a failed start, no job's fault                       |
//!                                          Busy: the end is its job's, if begun
//! ```
//!
//! Rules that a driver can rely on:
//!
//! - A worker has at most one job, or one batch of short ones, and its answer is dealt with before it is given another.
//! - A slot is taken from the start of an attempt to its end, and in between exactly one place has the attempt: the line
//!   of those that wait, a worker, or the line of those that want a process of their own. ([`WorkerPool::check`])
//! - What ends a worker concerns the one job that it was at, and that only if its begin was reported. Any other job that
//!   it had waits for another worker, uncharged; after [`UNBEGUN_MAX`] workers in a row the attempt counts as lost.
//! - What has finished is never run again because its worker died: results of a batch count one by one.
//! - A worker that never introduces itself is no job's failure. Starts pause then, and where no worker comes at all the
//!   run is given up.
//! - A worker whose report breaks the protocol is the driver's to end. If the report was about an earlier job, the job
//!   that the worker has by then is not to blame.
//!
//! A batch is one dispatcher's job: its first attempt. Results are passed on as they are known, and what was not begun
//! goes back; so what is left, if anything is left, is the one job that something befell. That one keeps the
//! dispatcher's job, and has its verdict, its tries and its outcome as if it had been alone from the beginning.
//!
//! A driver's turn: [`begin_turn`](WorkerPool::begin_turn), then the ends of workers, then
//! [`handle_timers`](WorkerPool::handle_timers); after that [`settle`](WorkerPool::settle) with the actions that come of
//! it, more jobs, and [`give_next`](WorkerPool::give_next), until nothing happens; at last
//! [`finish_turn`](WorkerPool::finish_turn). Between turns there are only [`handle`](WorkerPool::handle) and
//! [`receive`](WorkerPool::receive), which take in and give nothing to anybody: what a worker says counts for what it was
//! really sent.
//!
//! All of the state is plain data, named by numbers: jobs by their indices, workers by [`WorkerKey`]. Inputs, results and
//! what workers write stay with the driver. So there is room for what is to come:
//!
//! - *Workers started ahead of need* are idle without a job that asked for them, as workers are after a job today. How
//!   many are started is decided in one place, `start_backoff`.
//! - *Workers lent from run to run* enter by [`greet`](WorkerPool::greet) and leave by [`PoolAction::Leave`]; nothing in
//!   between knows which run started them.
//! - *The state written down whole*: no closures, no handles of the system, no pointers but to policies.
//!
//! - `event`, `action`: everything the pool hears and says; `worker`, `job`: what it knows of each
//! - `reports`: what workers say, checked and dealt with; `ends`: their deaths
//! - `give`: attempts to workers, and what the dispatcher asks for; `alone`: attempts with processes of their own
//! - `batch`, `sizer`: many short jobs as one; `reorder`: their outcomes in order
//! - `start_backoff`: workers that never come; `leave`: workers that go

mod action;
mod alone;
mod batch;
mod check;
mod ends;
mod event;
mod give;
mod job;
mod leave;
mod reorder;
mod reports;
mod sizer;
mod start_backoff;
mod worker;

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

pub use self::action::{PoolAction, ToStart};
pub use self::batch::UNBEGUN_MAX;
pub use self::event::{BatchProgress, Placement, PoolEvent, Received, RunEnd, Violation, WorkerReport};
pub use self::sizer::BATCH_JOBS_MAX;

use self::job::PoolJob;
use self::reorder::Reorder;
use self::sizer::BatchSizer;
use self::start_backoff::StartBackoff;
use self::worker::{Worker, WorkerStage};
use crate::dispatcher::Counts;
use crate::policy::JobPolicy;
use crate::{Action, AttemptId, Dispatcher, Event, JobId, RunPolicy, SlotId, Time};

/// A worker, by the number of its start. Processes for one attempt alone are counted with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerKey(pub u64);

/// What holds for the workers of a run.
#[derive(Clone, Debug)]
pub struct PoolPolicy {
    /// What holds for its jobs. There are as many workers as slots.
    pub run: RunPolicy,
    /// How long a worker that was told to leave has for it.
    pub grace: Duration,
    /// A worker is replaced after so many jobs.
    pub max_jobs: Option<u64>,
    /// A worker is replaced when it holds so many bytes more than after its first job.
    pub max_rss_growth: Option<u64>,
    /// A worker leaves when it had no job for so long.
    pub idle: Option<Duration>,
    /// Short jobs come in ranges, and become batches.
    pub batches: bool,
    /// Where they do, outcomes are put in order here: the dispatcher knows only of the first attempt at each batch.
    pub ordered: bool,
    /// How many jobs make a batch so long as nothing is measured.
    pub first_batch: u64,
}

/// The state machine between function jobs and workers.
#[derive(Debug)]
pub struct WorkerPool {
    policy: PoolPolicy,
    dispatcher: Dispatcher,
    /// For the dispatcher, and from it.
    events: VecDeque<Event>,
    asked: Vec<Action>,
    /// For the driver.
    out: Vec<PoolAction>,
    jobs: BTreeMap<JobId, PoolJob>,
    /// Attempts that want a worker, longest waiting first.
    waiting: VecDeque<(AttemptId, SlotId)>,
    /// Attempts that want a process of their own and that the driver has not pulled; `None` before the first.
    alone: Option<VecDeque<(AttemptId, Option<u64>)>>,
    workers: BTreeMap<WorkerKey, Worker>,
    /// Those that wait for a job; the one that worked last is the first to work again.
    idle: Vec<WorkerKey>,
    /// Those whose answers are to be dealt with, in the order of their answers.
    answered: VecDeque<WorkerKey>,
    backoff: StartBackoff,
    /// So many workers are to be started.
    wanted: u32,
    /// The number of the last start.
    started: u64,
    slots: u32,
    /// More workers than these leave when they are idle.
    workers_max: u32,
    sizer: BatchSizer,
    /// Jobs that wait again, or still, in their order.
    returned: VecDeque<(Range<u64>, Arc<JobPolicy>)>,
    reorder: Option<Reorder>,
    source_ended: bool,
    finished: bool,
}

impl WorkerPool {
    /// A pool without workers.
    #[must_use]
    pub fn new(policy: PoolPolicy) -> WorkerPool {
        WorkerPool {
            dispatcher: Dispatcher::new(policy.run.clone()),
            events: VecDeque::new(),
            asked: Vec::new(),
            out: Vec::new(),
            jobs: BTreeMap::new(),
            waiting: VecDeque::new(),
            alone: None,
            workers: BTreeMap::new(),
            idle: Vec::new(),
            answered: VecDeque::new(),
            backoff: StartBackoff::default(),
            wanted: 0,
            started: 0,
            slots: policy.run.slots,
            workers_max: policy.run.slots,
            sizer: BatchSizer::new(policy.first_batch),
            returned: VecDeque::new(),
            reorder: (policy.batches && policy.ordered).then(Reorder::default),
            source_ended: false,
            finished: false,
            policy,
        }
    }

    /// Takes in what happened at `now`; what is to be done at once is appended to `actions`.
    pub fn handle(&mut self, event: PoolEvent, now: Time, actions: &mut Vec<PoolAction>) {
        match event {
            PoolEvent::Job { index, policy, placement, cancelled } => {
                let mut job = PoolJob::new(index..index + 1, policy, placement);
                job.cancelled = cancelled;
                self.accept(job, now);
            }
            PoolEvent::Jobs { jobs, fit, waiting, policy } => {
                self.accept_some((jobs, policy), fit, waiting, now);
            }
            PoolEvent::Returned { fit, waiting } => {
                if let Some(first) = self.returned.pop_front() {
                    self.accept_some(first, fit, waiting, now);
                }
            }
            PoolEvent::LastJobs { jobs, policy } => self.accept_jobs(jobs, policy, now),
            PoolEvent::SourceEnded => self.end_source(),
            PoolEvent::Process { worker, pid } => self.on_process(worker, pid),
            PoolEvent::Resident { worker, bytes } => {
                if let Some(worker) = self.workers.get_mut(&worker) {
                    worker.resident = Some(bytes);
                }
            }
            PoolEvent::TakenBack { worker, stay, results } => {
                self.on_taken_back(worker, stay, results, now);
            }
            PoolEvent::Ended { worker, verdict, exit, usage, found } => {
                self.on_ended(worker, &ends::End { verdict, exit, usage, found }, now);
            }
            PoolEvent::Lost { worker, found } => self.on_lost(worker, found, now),
            PoolEvent::Drain => self.end_run(Event::Drain, now),
            PoolEvent::Stop => {
                self.end_run(Event::Stop, now);
                self.give_up_waiting(|_| true);
            }
            PoolEvent::Kill => {
                self.end_run(Event::Kill, now);
                self.give_up_waiting(|_| true);
            }
            PoolEvent::Cancel(job) => self.cancel(job),
            PoolEvent::KillNow(job) => {
                self.cancel(job);
                if let Some(worker) = self.jobs.get(&job).and_then(|job| job.worker) {
                    self.terminate(worker);
                    self.out.push(PoolAction::Kill(worker));
                }
            }
            PoolEvent::Workers(workers) => {
                self.workers_max = workers;
                self.out.push(PoolAction::Room(self.room()));
            }
            PoolEvent::Slots(slots) => {
                self.slots = slots;
                self.events.push_back(Event::Slots(slots));
            }
            PoolEvent::Hold { reason, on } => self.events.push_back(Event::Hold { reason, on }),
        }
        actions.append(&mut self.out);
    }

    /// Deals with the answers of workers whose process is known: news of their start come first.
    pub fn begin_turn(&mut self, now: Time, actions: &mut Vec<PoolAction>) {
        for worker in core::mem::take(&mut self.answered) {
            match self.workers.get(&worker) {
                Some(known) if known.pid == 0 => self.answered.push_back(worker),
                Some(_) => self.deal_with_answer(worker, now),
                None => {}
            }
        }
        actions.append(&mut self.out);
    }

    /// Does what has fallen due.
    pub fn handle_timers(&mut self, now: Time, actions: &mut Vec<PoolAction>) {
        // A sign of life comes before the look for one.
        self.pass_on_events(now);
        self.look_after_batches(now);
        self.dispatcher.handle_timers(now, &mut self.asked);
        self.settle(now, actions);
    }

    /// Does all that follows from what was taken in, until nothing more does.
    pub fn settle(&mut self, now: Time, actions: &mut Vec<PoolAction>) {
        loop {
            self.pass_on_events(now);
            if self.asked.is_empty() {
                break;
            }
            for action in core::mem::take(&mut self.asked) {
                self.carry_out(action, now);
            }
        }
        actions.append(&mut self.out);
    }

    /// The end of a turn: says how many workers are to be started, lets go whom nobody needs, ends who does not go. Gives
    /// when the next turn is due, though nothing happens.
    pub fn finish_turn(&mut self, now: Time, actions: &mut Vec<PoolAction>) -> Option<Time> {
        let next_start = self.want_workers(now);
        let next_batch = self.next_late_batch();
        let next_leave = self.send_off(now);
        actions.append(&mut self.out);
        [self.dispatcher.next_deadline(), next_start, next_batch, next_leave].into_iter().flatten().min()
    }

    fn pass_on_events(&mut self, now: Time) {
        while let Some(event) = self.events.pop_front() {
            self.dispatcher.handle(event, now, &mut self.asked);
        }
    }

    fn on_process(&mut self, id: WorkerKey, pid: u32) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.pid = pid;
        if worker.alone {
            self.on_alone_started(id, pid);
        }
    }

    /// A worker gave a sign of life.
    pub fn on_beat(&mut self, worker: WorkerKey) {
        if let Some((attempt, job)) = self.job_of(worker)
            && job.policy.idle.is_some()
        {
            self.events.push_back(Event::Beat(attempt));
        }
    }

    fn cancel(&mut self, job: JobId) {
        self.events.push_back(Event::Cancel(job));
        self.give_up_waiting(|id| id == job);
    }

    /// No more jobs are wanted, for this reason.
    fn end_run(&mut self, why: Event, now: Time) {
        self.accept_returned(now);
        self.events.push_back(why);
        self.end_source();
    }

    /// Nobody will ask for those that wait here: the dispatcher has an outcome for each.
    fn accept_returned(&mut self, now: Time) {
        for (jobs, policy) in core::mem::take(&mut self.returned) {
            self.accept_jobs(jobs, policy, now);
        }
    }

    fn end_source(&mut self) {
        if !core::mem::replace(&mut self.source_ended, true) {
            self.events.push_back(Event::SourceEnded);
        }
    }

    fn terminate(&mut self, worker: WorkerKey) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.terminating = true;
        }
    }

    /// The job that this worker has.
    fn job_of(&self, worker: WorkerKey) -> Option<(AttemptId, &PoolJob)> {
        let attempt = self.workers.get(&worker)?.attempt()?;
        Some((attempt, self.jobs.get(&attempt.job)?))
    }

    fn worker_with(&self, attempt: AttemptId) -> Option<WorkerKey> {
        let worker = self.jobs.get(&attempt.job)?.worker?;
        (self.workers.get(&worker)?.attempt() == Some(attempt)).then_some(worker)
    }
}

/// What a driver may ask.
impl WorkerPool {
    /// Whether another job is wanted, or another range of short ones; not so long as there is nobody to do it.
    #[must_use]
    pub fn wants_jobs(&self) -> bool {
        let has_room = || {
            let counts = self.dispatcher.counts();
            counts.ready == 0 && counts.running < u64::from(self.slots)
        };
        self.dispatcher.wants_job() && (!self.policy.batches || has_room())
    }

    /// The jobs that wait here again, if there are any: these come before new ones.
    #[must_use]
    pub fn next_returned(&self) -> Option<Range<u64>> {
        self.returned.front().map(|(jobs, _)| jobs.clone())
    }

    /// How many jobs wait here again.
    #[must_use]
    pub fn returned_jobs(&self) -> u64 {
        self.returned.iter().map(|(jobs, _)| job::length(jobs)).sum()
    }

    /// How many inputs should be on their way, so that no worker waits for one.
    #[must_use]
    pub fn inputs_wanted(&self) -> u64 {
        self.sizer.jobs * u64::from(self.slots) * 4
    }

    /// The number that the next job will have.
    #[must_use]
    pub fn next_job(&self) -> JobId {
        self.dispatcher.next_job()
    }

    /// The attempt that this worker has, and the index of its first job.
    #[must_use]
    pub fn job_at(&self, worker: WorkerKey) -> Option<(AttemptId, Range<u64>)> {
        self.job_of(worker).map(|(attempt, job)| (attempt, job.jobs.clone()))
    }

    /// The same, unless it has answered for it.
    #[must_use]
    pub fn unanswered(&self, worker: WorkerKey) -> Option<(AttemptId, Range<u64>)> {
        let is_unanswered = self.workers.get(&worker)?.answer.is_none();
        self.job_at(worker).filter(|_| is_unanswered)
    }

    /// Whether it is this single job, by its number, that the worker has not answered for.
    #[must_use]
    pub fn is_at(&self, worker: WorkerKey, number: u64) -> bool {
        let is_unanswered = self.workers.get(&worker).is_some_and(|worker| worker.answer.is_none());
        let job = self.job_of(worker).filter(|_| is_unanswered);
        job.is_some_and(|(_, job)| job.batch.is_none() && job.number() == number)
    }

    /// How many results the batch of this worker can have by now, with those that were taken.
    #[must_use]
    pub fn results_max(&self, worker: WorkerKey) -> Option<u32> {
        if self.workers.get(&worker)?.answer.is_some() {
            return None;
        }
        let (_, job) = self.job_of(worker)?;
        job.batch.map(|batch| batch.results + job::length(&job.jobs) as u32)
    }

    /// The worker that has this job.
    #[must_use]
    pub fn worker_of(&self, job: JobId) -> Option<WorkerKey> {
        self.jobs.get(&job)?.worker
    }

    /// Whether there will be no more jobs.
    #[must_use]
    pub fn source_has_ended(&self) -> bool {
        self.source_ended
    }

    /// Whether all is over: nothing will be started any more.
    #[must_use]
    pub fn has_finished(&self) -> bool {
        self.finished
    }

    /// Counts of jobs, as the dispatcher knows them.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.dispatcher.counts()
    }

    /// So many workers may live.
    #[must_use]
    pub fn workers_max(&self) -> u32 {
        self.workers_max
    }
}
