//! Short jobs in batches: made of jobs that wait when a worker is free, never waited for, and taken apart as soon as
//! anything in them is not plain success.
//!
//! To the dispatcher a batch is one job: its first attempt. Its values are told as they are known, and the jobs that
//! were not begun go back, so what is left, if there is any left, is the one job that something befell. That one keeps
//! the dispatcher's job, and has its verdict, its tries and its outcome as if it had been alone from the beginning.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use psmith_core::outcome::{Cause, Exit, Usage};
use psmith_core::{AttemptId, Event, JobId, JobPolicy, Time};

use crate::job::job::{JobRef, Request};
use crate::run::input_block::{Block, Results};
use crate::run::input_buffer::JOBS_MAX;
use crate::run::queue::Next;
use crate::run::reused::{Held, Life, WarmDesk};
use crate::run::run::News as Told;
use psmith_engine::channel::messages::How;
use psmith_engine::channel::shared_region::{Mark, Values};

/// So long a batch should take: long beside a wake-up, short for whoever waits.
const BATCH_TIME: Duration = Duration::from_micros(1500);

/// A batch that takes longer gives back what is not begun.
const BATCH_TIME_MAX: Duration = Duration::from_millis(10);

/// The inputs of a batch: they go by the socket, which should take them at once.
const BATCH_BYTES_MAX: usize = 64 * 1024;

/// The inputs that should be on their way, at most.
const WANTED_BYTES_MAX: u64 = 1 << 20;

/// So often a job may be with a worker that ends before it calls the function; then it counts as lost.
const UNBEGUN_MAX: u32 = 32;

/// Several jobs that the dispatcher takes for one.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Those whose outcomes are not told.
    pub(crate) block: Block,
    /// The index of the first that the worker was given.
    pub(crate) first: u64,
    /// The results that were taken from the worker.
    pub(crate) mark: Mark,
    /// When it was given to the worker; `None` once it gave the rest back.
    pub(crate) given: Option<Time>,
}

impl Batch {
    fn new(block: Block) -> Batch {
        Batch { first: block.index, block, mark: Mark::default(), given: None }
    }
}

/// How many jobs make a batch.
#[derive(Debug)]
pub(crate) struct Pace {
    jobs: usize,
}

impl Pace {
    pub(crate) fn new() -> Pace {
        Pace { jobs: 1 }
    }

    /// All jobs of a batch went well, in this time.
    pub(crate) fn on_whole(&mut self, jobs: usize, spent: Duration) {
        let each = (spent.as_nanos() / jobs.max(1) as u128).max(1);
        let fit = usize::try_from(BATCH_TIME.as_nanos() / each).unwrap_or(JOBS_MAX);
        // A few short ones prove little about the next.
        self.jobs = fit.clamp(1, self.jobs.saturating_mul(4).min(JOBS_MAX));
    }

    /// A batch ended early after so many.
    pub(crate) fn on_part(&mut self, jobs: usize) {
        self.jobs = self.jobs.min(2 * jobs + 1);
    }
}

impl WarmDesk {
    /// Takes in what makes one more batch, or one more job; false if there is none, or nobody to do it.
    pub(crate) fn take_in(&mut self, now: Time) -> bool {
        let counts = self.dispatcher.counts();
        if !self.dispatcher.wants_job() || counts.ready > 0 || counts.running >= u64::from(self.slots) {
            return false;
        }
        let Some(mut block) = self.next_waiting(now) else { return self.ends_here() };
        let others: usize = self.returned.iter().map(Block::len).sum();
        let waiting = {
            let bytes_each = block.body_len() as u64 / block.len() as u64 + 1;
            let wanted = self.pace.jobs as u64 * u64::from(self.slots) * 4;
            self.shared.wanted.store(wanted.min(WANTED_BYTES_MAX / bytes_each), Ordering::Relaxed);
            self.shared.lock().incoming.jobs()
        };
        // So that the other workers find something, too.
        let waiting = waiting as usize + others + block.len();
        let share = waiting.div_ceil(self.slots.max(1) as usize);
        let jobs = self.pace.jobs.min(share).min(block.fitting(BATCH_BYTES_MAX)).max(1);
        let rest = block.split_off(jobs);
        if rest.len() > 0 {
            self.returned.push_front(rest);
        }
        self.accept(block, now);
        true
    }

    /// The jobs whose turn it is; a single one is accepted here and now, as that the next are asked for.
    fn next_waiting(&mut self, now: Time) -> Option<Block> {
        if let Some(block) = self.returned.pop_front() {
            return Some(block);
        }
        let next = self.shared.lock().incoming.next();
        let next = next.or_else(|| {
            self.shared.on_hunger();
            self.shared.lock().incoming.next().inspect(|_| self.shared.on_food())
        });
        match next? {
            Next::Many(block) => Some(block),
            Next::One(index, request, policy) => {
                self.accept_one((index, request), policy, now);
                None
            }
        }
    }

    /// Nothing was taken in: is that the end? True if something happened all the same.
    fn ends_here(&mut self) -> bool {
        let state = self.shared.lock();
        let is_closed = state.closed && state.incoming.is_empty();
        drop(state);
        (is_closed && self.close_source()) || !self.actions.is_empty()
    }

    fn accept(&mut self, block: Block, now: Time) {
        let policy = Arc::clone(block.policy());
        let mut held = Held::new(block.first(), block.index, policy.idle.is_some());
        held.batch = (block.len() > 1).then(|| Batch::new(block));
        self.accept_held(held, policy, now);
    }

    pub(crate) fn accept_one(&mut self, (index, request): (u64, Request), policy: Arc<JobPolicy>, now: Time) {
        let held = Held::new(request, index, policy.idle.is_some());
        self.accept_held(held, policy, now);
    }

    fn accept_held(&mut self, held: Held, policy: Arc<JobPolicy>, now: Time) {
        let job = self.dispatcher.next_job();
        let cancelled = held.request.cancelled;
        self.jobs.insert(job, held);
        self.dispatcher.handle(Event::Accepted { job, policy }, now, &mut self.actions);
        if cancelled {
            self.events.push_back(Event::Cancel(job));
        }
    }

    /// The run is about to end: all that waits is told to the dispatcher, which has an outcome for each.
    pub(crate) fn take_all_in(&mut self, now: Time) {
        if !self.blocks || self.source_ended {
            return;
        }
        loop {
            let before = self.shared.lock().incoming.index();
            match self.next_waiting(now) {
                Some(block) => self.accept(block, now),
                None if self.shared.lock().incoming.index() == before => return,
                None => {}
            }
        }
    }

    /// Jobs that were not begun wait again, in the order of all.
    pub(crate) fn give_back(&mut self, mut block: Block, now: Time) {
        if !self.source_ended {
            if block.len() > 0 {
                let place = self.returned.partition_point(|other| other.index < block.index);
                self.returned.insert(place, block);
            }
            return;
        }
        // Nobody asks for more any more, so they are accepted at once; in pieces, so that all can help.
        let piece = block.len().div_ceil(self.slots.max(1) as usize).max(1);
        while block.len() > 0 {
            let part = block.split_to(piece);
            self.accept(part, now);
        }
    }

    /// Tells values of jobs of this batch; the block keeps the others.
    fn tell_values(&mut self, job: JobRef, batch: &mut Batch, values: Values) {
        if values.ends.is_empty() {
            return;
        }
        let block = batch.block.split_to(values.ends.len());
        let job = JobRef { index: block.index, ..job };
        let Values { bytes, ends } = values;
        self.tell(Told::Results(Box::new(Results { block, job, bytes, ends, taken: 0 })));
    }

    /// Tells outcomes, in order if that was asked for.
    pub(crate) fn tell(&mut self, news: Told) {
        match &mut self.sequence {
            Some(sequence) => sequence.push(news, |news| self.shared.tell(news)),
            None => self.shared.tell(news),
        }
    }

    /// What the letter at the end of a batch says, compared with what is known, and whether nothing of the batch had been
    /// taken back; an error breaks the protocol.
    pub(crate) fn values_of(
        &mut self,
        life: JobId,
        (job, count, more): (u64, u32, bool),
    ) -> Result<(Values, Mark, bool), String> {
        let nothing = || format!("it answered for a batch from job {job} on, which it was not given");
        let region = self.lives.get(&life).and_then(|life| Some((life.attempt()?, life.region.as_ref()?)));
        let Some((attempt, region)) = region else { return Err(nothing()) };
        let batch = self.jobs.get_mut(&attempt.job).and_then(|held| held.batch.as_mut());
        let Some(batch) = batch.filter(|batch| batch.first + 1 == job) else { return Err(nothing()) };
        let new = count.checked_sub(batch.mark.results).map(|new| new as usize + usize::from(more));
        if new.is_none_or(|new| new > batch.block.len()) {
            return Err(format!("it answered for {count} jobs of a batch, and had others"));
        }
        let (values, mark) = region.results(batch.mark, count);
        if mark.results != count {
            return Err(format!("of {count} values in its memory {} are whole", mark.results));
        }
        // Nothing is taken back from a batch that is over, however late its letter is dealt with.
        Ok((values, mark, batch.given.take().is_some()))
    }

    /// A batch is over. Gives what there is to say of the job that ended it, if one did.
    pub(crate) fn settle_batch(&mut self, attempt: AttemptId, news: BatchNews, now: Time) {
        let BatchNews { values, mark, is_whole, ref then, spent, .. } = news;
        let more = then.is_some();
        let Some(held) = self.jobs.get_mut(&attempt.job) else { return };
        let job = held.job();
        let Some(mut batch) = held.batch.take() else { return };
        let done = mark.results as usize;
        batch.mark = mark;
        self.tell_values(job, &mut batch, values);
        let rest = batch.block.split_off(usize::from(more));
        if more || rest.len() > 0 {
            self.pace.on_part(done);
        } else if is_whole {
            self.pace.on_whole(done, spent);
        }
        self.keep_first(attempt, batch, more);
        self.give_back(rest, now);
    }

    /// What is left of a batch is one job, which has become the attempt's own, or none.
    fn keep_first(&mut self, attempt: AttemptId, batch: Batch, more: bool) {
        let Some(held) = self.jobs.get_mut(&attempt.job) else { return };
        if more {
            held.request = batch.block.first();
            held.index = batch.block.index;
        } else {
            held.batch = Some(batch);
        }
    }

    /// The worker of this batch is no more. What it finished is told, what it did not begin waits again. Gives whether
    /// it was at work on a job: that one is now the attempt's own.
    pub(crate) fn salvage(&mut self, attempt: AttemptId, life: &Life, now: Time) -> bool {
        let (Some(held), Some(region)) = (self.jobs.get_mut(&attempt.job), &life.region) else {
            return false;
        };
        let job = held.job();
        let Some(mut batch) = held.batch.take() else { return region.begun() > 0 };
        let most = batch.mark.results + batch.block.len() as u32;
        let (values, mark) = region.results(batch.mark, most);
        batch.mark = mark;
        self.tell_values(job, &mut batch, values);
        let at_work = batch.block.len() > 0 && region.begun() > mark.results;
        self.pace.on_part(mark.results as usize);
        if at_work {
            let rest = batch.block.split_off(1);
            self.keep_first(attempt, batch, true);
            self.give_back(rest, now);
        } else if let Some(held) = self.jobs.get_mut(&attempt.job) {
            held.index = batch.block.index;
            held.batch = Some(Batch::new(batch.block));
        }
        at_work
    }

    /// Whether an attempt whose worker ended before it began is not told as lost. Workers that never come to a job, one
    /// after the other, are not a thing to wait out.
    pub(crate) fn may_wait_again(&mut self, attempt: AttemptId, life: &Life, now: Time) -> bool {
        let Some(held) = self.jobs.get(&attempt.job) else { return false };
        match &held.batch {
            Some(batch) if life.doomed || batch.block.len() == 0 => true,
            None if life.doomed => false,
            _ if held.returns < UNBEGUN_MAX => true,
            _ => {
                self.leave_first(attempt, now);
                false
            }
        }
    }

    /// Leaves an attempt the first job of its batch, of which none was begun.
    pub(crate) fn leave_first(&mut self, attempt: AttemptId, now: Time) {
        let Some(mut batch) = self.jobs.get_mut(&attempt.job).and_then(|held| held.batch.take()) else {
            return;
        };
        let rest = batch.block.split_off(1);
        self.keep_first(attempt, batch, true);
        self.give_back(rest, now);
    }

    /// One job went well, alone: how long that took tells how many might go together.
    pub(crate) fn learn(&mut self, life: JobId, verdict: &Result<(), Cause>, now: Time) {
        if let (Ok(()), Some(life)) = (verdict, self.lives.get(&life)) {
            self.pace.on_whole(1, now.since(life.given));
        }
    }

    /// The worker of this attempt ended between two jobs: the attempt waits for another one. Its start was the
    /// dispatcher's; nobody is blamed, and nothing is counted. If it is to end, or there is nothing left to do, it ends.
    pub(crate) fn wait_again(&mut self, attempt: AttemptId, life: &Life, now: Time) {
        let Some(held) = self.jobs.get_mut(&attempt.job) else { return };
        held.life = None;
        held.returns += 1;
        let slot = held.slot;
        let block = held.batch.as_mut().map(|batch| &mut batch.block);
        let is_empty = block.as_ref().is_some_and(|block| block.len() == 0);
        if is_empty || (life.doomed && block.is_some()) {
            let rest = block.map(|block| block.split_off(0));
            self.events.push_back(Event::Reported { attempt, verdict: Ok(()) });
            self.over(attempt, Exit::Code(0), Usage::default());
            if let Some(rest) = rest {
                self.give_back(rest, now);
            }
        } else {
            self.waiting.push_front((attempt, slot));
        }
    }

    /// Takes from batches that last too long what is not begun, and tells what is finished. Gives when the next is due.
    pub(crate) fn look_after_batches(&mut self, now: Time) -> Option<Time> {
        let mut next: Option<Time> = None;
        let mut late = Vec::new();
        for life in self.lives.values() {
            let Some(attempt) = life.attempt() else { continue };
            let Some(batch) = self.jobs.get(&attempt.job).and_then(|held| held.batch.as_ref()) else {
                continue;
            };
            match batch.given.map(|given| given + BATCH_TIME_MAX) {
                Some(due) if due <= now => late.push(attempt),
                Some(due) => next = Some(next.map_or(due, |next| next.min(due))),
                None => {}
            }
        }
        for attempt in late {
            self.take_back(attempt, now);
        }
        next
    }

    /// Leaves a worker the job that it is at, and takes the others of its batch.
    fn take_back(&mut self, attempt: AttemptId, now: Time) {
        let Some(held) = self.jobs.get_mut(&attempt.job) else { return };
        let job = held.job();
        let Some(life) = held.life.and_then(|life| self.lives.get_mut(&life)) else { return };
        let Some(region) = &life.region else { return };
        let Some(mut batch) = held.batch.take() else { return };
        // One stays, even if it is not begun: on a busy machine the worker may not even have looked.
        let stay = region.take_back(1);
        batch.given = None;
        let rest = batch.block.split_off((stay - batch.mark.results.min(stay)) as usize);
        let most = batch.mark.results + batch.block.len() as u32;
        let (values, mark) = region.results(batch.mark, most);
        batch.mark = mark;
        life.jobs = life.jobs.saturating_sub(rest.len() as u64);
        self.tell_values(job, &mut batch, values);
        if let Some(held) = self.jobs.get_mut(&attempt.job) {
            held.batch = Some(batch);
        }
        self.pace.on_part(mark.results as usize / 2);
        self.give_back(rest, now);
    }
}

/// What the last letter of a batch brought.
#[derive(Debug)]
pub(crate) struct BatchNews {
    pub(crate) values: Values,
    /// How far they go.
    pub(crate) mark: Mark,
    /// Nothing of it was taken back.
    pub(crate) is_whole: bool,
    /// The job after them, which ended the batch.
    pub(crate) then: Option<How>,
    /// The frame, and where in it that job's value lies.
    pub(crate) bytes: Vec<u8>,
    pub(crate) body: usize,
    pub(crate) spent: Duration,
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
