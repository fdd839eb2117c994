//! The worker pool: the state machine between function jobs and the workers that run them one after the other. It
//! never waits, reads no clock and starts nothing itself.
//!
//! Two machines in one. The [`Dispatcher`] inside knows jobs: order, window, tries, back-off, timeouts, halts; its
//! slots are promises to run a job in some worker. The pool around it knows workers, and stands in for the kernel: an
//! action that the dispatcher requests for an attempt is carried out on the worker that has it, and an event of a
//! worker becomes an event of the one attempt that it had.
//!
//! ```text
//!                                .--- reply: idle again, or recycled ----.
//!   Starting --- greets ---> Idle --- is given a job, or a batch ---> Busy
//!      |                      |                                        |
//!      |                      '--- spent, idle too long, too many ---> Leaving
//!      '--- ends: a failed start, no job's fault                       |
//!                                          Busy: the end is its job's, if begun
//! ```
//!
//! Rules that a driver can rely on:
//!
//! - A worker has at most one job, or one batch of short ones, and its reply is handled before it is given another.
//! - A slot is taken from the start of an attempt to its end, and in between exactly one place has the attempt: the
//!   queue of those that wait for a worker, a worker, or the queue of those that need a process of their own.
//!   ([`WorkerPool::check`])
//! - The end of a worker concerns the one job that it was running, and that only if its begin was reported. Any other
//!   job that it had waits for another worker, uncharged; after [`UNBEGUN_MAX`] workers in a row the attempt counts as
//!   lost.
//! - A finished job is never run again because its worker died: results of a batch count one by one.
//! - A worker that never introduces itself is no job's failure. Starts pause then, and where no worker comes at all
//!   the run is given up.
//! - The driver ends a worker whose report breaks the protocol. If the report was about an earlier job, the job that
//!   the worker has by then is not to blame.
//!
//! A batch is one dispatcher's job: its first attempt. Results are passed on as they are known, and jobs that were not
//! begun are returned; so at most one job is left, the one that did not plainly succeed. That one keeps the
//! dispatcher's job, and has its verdict, its tries and its outcome as if it had been alone from the beginning.
//!
//! A driver's turn: [`begin_turn`](WorkerPool::begin_turn), then the ends of workers, then
//! [`handle_timers`](WorkerPool::handle_timers); after that [`settle`](WorkerPool::settle) with the actions that it
//! returns, more jobs, and [`give_next`](WorkerPool::give_next), until nothing happens; at last
//! [`finish_turn`](WorkerPool::finish_turn). Between turns there are only [`handle`](WorkerPool::handle) and
//! [`receive`](WorkerPool::receive), which record events and give nothing to a worker: a worker's report is compared
//! with what it was really sent.
//!
//! All of the state is plain data, named by numbers: jobs by their indices, workers by [`WorkerKey`]. Inputs, results
//! and the output of workers stay with the driver. That leaves room for extensions:
//!
//! - *Workers started ahead of need* are idle without a job that asked for them, as workers are after a job today.
//!   Their number is decided in one place, `start_backoff`.
//! - *Workers lent from run to run* enter by [`greet`](WorkerPool::greet) and leave by [`PoolAction::Leave`]; nothing
//!   in between depends on the run that started them.
//! - *The state serialized as a whole*: no closures, no handles of the system, no pointers but to policies.
//!
//! - `event`, `action`: everything that the pool receives and asks for; `worker`, `job`: its entries for each
//! - `reports`: reports of workers, checked and handled; `ends`: the ends of workers
//! - `give`: attempts to workers, and the dispatcher's requests; `alone`: attempts with processes of their own
//! - `batch`, `sizer`: many short jobs as one; `reorder`: their outcomes in order
//! - `start_backoff`: workers that never come; `leave`: workers that are dismissed

mod action;
mod alone;
mod batch;
#[cfg(any(test, feature = "check"))]
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

use alloc::collections::VecDeque;
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
use crate::{Action, AttemptId, Dispatcher, Event, JobId, RunPolicy, SlotId, Table, TableKey, Time};

/// The key of a worker: the number of its start. Processes for one attempt alone are counted with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerKey(pub u64);

impl TableKey for WorkerKey {
    fn from_number(number: u64) -> WorkerKey {
        WorkerKey(number)
    }

    fn number(self) -> u64 {
        self.0
    }
}

/// The policy of the workers of a run.
#[derive(Clone, Debug)]
pub struct PoolPolicy {
    /// The policy of its jobs. There are as many workers as slots.
    pub run: RunPolicy,
    /// The time that a worker has to leave after it was asked to.
    pub grace: Duration,
    /// The number of jobs after which a worker is replaced.
    pub max_jobs: Option<u64>,
    /// The growth of resident memory, in bytes since the worker's first job, at which a worker is replaced.
    pub max_rss_growth: Option<u64>,
    /// The time without a job after which a worker leaves.
    pub idle: Option<Duration>,
    /// True if short jobs come in ranges, and become batches.
    pub batches: bool,
    /// True if outcomes of batches are put in order here: the dispatcher has only the first attempt at each batch.
    pub ordered: bool,
    /// The number of jobs of a batch as long as nothing is measured.
    pub first_batch: u64,
}

/// The state machine between function jobs and workers.
#[derive(Debug)]
pub struct WorkerPool {
    policy: PoolPolicy,
    dispatcher: Dispatcher,
    /// Events for the dispatcher, and its actions.
    events: VecDeque<Event>,
    asked: Vec<Action>,
    /// Actions for the driver.
    out: Vec<PoolAction>,
    jobs: Table<JobId, PoolJob>,
    /// Attempts that wait for a worker, longest waiting first.
    waiting: VecDeque<(AttemptId, SlotId)>,
    /// Attempts that need a process of their own and that the driver has not pulled; `None` before the first.
    alone: Option<VecDeque<(AttemptId, Option<u64>)>>,
    workers: Table<WorkerKey, Worker>,
    /// Idle workers; the one that worked last is the first to work again.
    idle: Vec<WorkerKey>,
    /// Workers whose replies are to be handled, in the order of their replies.
    replied: VecDeque<WorkerKey>,
    backoff: StartBackoff,
    /// The number of workers to start.
    wanted: u32,
    /// The number of the last start.
    started: u64,
    slots: u32,
    /// The maximum number of workers; beyond it idle ones leave.
    workers_max: u32,
    sizer: BatchSizer,
    /// Jobs that are queued here, again or still, in their order.
    returned: VecDeque<(Range<u64>, Arc<JobPolicy>)>,
    reorder: Option<Reorder>,
    source_ended: bool,
    finished: bool,
}

impl WorkerPool {
    /// Creates a pool without workers.
    #[must_use]
    pub fn new(policy: PoolPolicy) -> WorkerPool {
        WorkerPool {
            dispatcher: Dispatcher::new(policy.run.clone()),
            events: VecDeque::new(),
            asked: Vec::new(),
            out: Vec::new(),
            jobs: Table::new(),
            waiting: VecDeque::new(),
            alone: None,
            workers: Table::new(),
            idle: Vec::new(),
            replied: VecDeque::new(),
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

    /// Handles an event that happened at `now`; actions that follow at once are appended to `actions`.
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
                if let Some(worker) = self.workers.get_mut(worker) {
                    worker.resident = Some(bytes);
                }
            }
            PoolEvent::TakenBack { worker, stay, results } => {
                self.on_taken_back(worker, stay, results, now);
            }
            PoolEvent::Ended { worker, verdict, exit, usage, found } => {
                self.on_ended(worker, &ends::WorkerEnd { verdict, exit, usage, found }, now);
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
                if let Some(worker) = self.jobs.get(job).and_then(|job| job.worker) {
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

    /// Begins a turn: handles the replies of workers whose process is known, because the events of their start come
    /// first.
    pub fn begin_turn(&mut self, now: Time, actions: &mut Vec<PoolAction>) {
        for worker in core::mem::take(&mut self.replied) {
            match self.workers.get(worker) {
                Some(known) if known.pid == 0 => self.replied.push_back(worker),
                Some(_) => self.handle_reply(worker, now),
                None => {}
            }
        }
        actions.append(&mut self.out);
    }

    /// Handles the timers that are due.
    pub fn handle_timers(&mut self, now: Time, actions: &mut Vec<PoolAction>) {
        // A sign of life comes before the check for one.
        self.pass_on_events(now);
        self.take_back_overdue(now);
        self.dispatcher.handle_timers(now, &mut self.asked);
        self.settle(now, actions);
    }

    /// Settles all that follows from the events so far, until nothing more does.
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

    /// Finishes a turn: decides how many workers are to be started, dismisses those that are not needed, ends those
    /// that do not leave. Returns when the next turn is due if nothing happens.
    pub fn finish_turn(&mut self, now: Time, actions: &mut Vec<PoolAction>) -> Option<Time> {
        let next_start = self.want_workers(now);
        let next_batch = self.next_late_batch();
        let next_leave = self.dismiss_unneeded(now);
        actions.append(&mut self.out);
        [self.dispatcher.next_deadline(), next_start, next_batch, next_leave].into_iter().flatten().min()
    }

    fn pass_on_events(&mut self, now: Time) {
        while let Some(event) = self.events.pop_front() {
            self.dispatcher.handle(event, now, &mut self.asked);
        }
    }

    fn on_process(&mut self, id: WorkerKey, pid: u32) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        worker.pid = pid;
        if worker.alone {
            self.on_alone_started(id, pid);
        }
    }

    /// Records a sign of life of a worker.
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

    /// Ends the run for this reason: no more jobs are wanted.
    fn end_run(&mut self, why: Event, now: Time) {
        self.accept_returned(now);
        self.events.push_back(why);
        self.end_source();
    }

    /// Accepts all jobs that are queued here, as they will not be requested any more: the dispatcher has an outcome
    /// for each.
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
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.terminating = true;
        }
    }

    /// Returns the job that this worker has.
    fn job_of(&self, worker: WorkerKey) -> Option<(AttemptId, &PoolJob)> {
        let attempt = self.workers.get(worker)?.attempt()?;
        Some((attempt, self.jobs.get(attempt.job)?))
    }

    fn worker_with(&self, attempt: AttemptId) -> Option<WorkerKey> {
        let worker = self.jobs.get(attempt.job)?.worker?;
        (self.workers.get(worker)?.attempt() == Some(attempt)).then_some(worker)
    }
}

/// The queries of a driver.
impl WorkerPool {
    /// Returns whether another job is wanted, or another range of short ones; not as long as there is no worker for
    /// it.
    #[must_use]
    pub fn wants_jobs(&self) -> bool {
        let has_room = || {
            let counts = self.dispatcher.counts();
            counts.ready == 0 && counts.running < u64::from(self.slots)
        };
        self.dispatcher.wants_job() && (!self.policy.batches || has_room())
    }

    /// Returns the jobs that are queued here again, if there are any: these come before new ones.
    #[must_use]
    pub fn next_returned(&self) -> Option<Range<u64>> {
        self.returned.front().map(|(jobs, _)| jobs.clone())
    }

    /// Returns the number of jobs that are queued here again.
    #[must_use]
    pub fn returned_jobs(&self) -> u64 {
        self.returned.iter().map(|(jobs, _)| job::length(jobs)).sum()
    }

    /// Returns the number of inputs that should be on their way, so that no worker waits for one.
    #[must_use]
    pub fn inputs_wanted(&self) -> u64 {
        self.sizer.jobs * u64::from(self.slots) * 4
    }

    /// Returns the number that the next job will have.
    #[must_use]
    pub fn next_job(&self) -> JobId {
        self.dispatcher.next_job()
    }

    /// Returns the attempt that this worker has, and the index of its first job.
    #[must_use]
    pub fn job_at(&self, worker: WorkerKey) -> Option<(AttemptId, Range<u64>)> {
        self.job_of(worker).map(|(attempt, job)| (attempt, job.jobs.clone()))
    }

    /// Returns the attempt that this worker has and has not replied for, and the index of its first job.
    #[must_use]
    pub fn unanswered(&self, worker: WorkerKey) -> Option<(AttemptId, Range<u64>)> {
        let is_unanswered = self.workers.get(worker)?.reply.is_none();
        self.job_at(worker).filter(|_| is_unanswered)
    }

    /// Returns whether the worker has this single job, by its number, and has not replied for it.
    #[must_use]
    pub fn is_at(&self, worker: WorkerKey, number: u64) -> bool {
        let is_unanswered = self.workers.get(worker).is_some_and(|worker| worker.reply.is_none());
        let job = self.job_of(worker).filter(|_| is_unanswered);
        job.is_some_and(|(_, job)| job.batch.is_none() && job.number() == number)
    }

    /// Returns the number of results that the batch of this worker can have by now, with those that were taken.
    #[must_use]
    pub fn results_max(&self, worker: WorkerKey) -> Option<u32> {
        if self.workers.get(worker)?.reply.is_some() {
            return None;
        }
        let (_, job) = self.job_of(worker)?;
        job.batch.map(|batch| batch.results + job::length(&job.jobs) as u32)
    }

    /// Returns the worker that has this job.
    #[must_use]
    pub fn worker_of(&self, job: JobId) -> Option<WorkerKey> {
        self.jobs.get(job)?.worker
    }

    /// Returns whether there will be no more jobs.
    #[must_use]
    pub fn source_has_ended(&self) -> bool {
        self.source_ended
    }

    /// Returns whether the run is over: nothing will be started any more.
    #[must_use]
    pub fn has_finished(&self) -> bool {
        self.finished
    }

    /// Returns the counts of jobs, as the dispatcher keeps them.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.dispatcher.counts()
    }

    /// Returns the maximum number of workers.
    #[must_use]
    pub fn workers_max(&self) -> u32 {
        self.workers_max
    }
}
