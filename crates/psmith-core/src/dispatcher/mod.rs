//! The dispatcher: the state machine between [`Event`] and [`Action`]. It never waits, reads no clock and starts
//! nothing itself.
//!
//! A job is *ready* (in the queue), *delayed* (waiting for a back-off) or *live* (an attempt has a slot), until it
//! gets its final outcome; that waits in the *window* until the consumer took it. Each event is first handled by the
//! part that it concerns, then the whole is settled: is a halt policy met, which jobs may start, what is held, is the
//! run finished. The cost of each such question does not depend on the number of attempts that run.
//!
//! Rules that a driver can rely on:
//!
//! - Actions for an attempt begin with `Start`. `Signal`, `KillTree`, `ReleaseTree` and `StopReading` are requested
//!   only between its `Started` and its end; nothing is requested after its `End` or `Discard`.
//! - `Exited` with no descendant alive and the output closed ends the attempt. Otherwise `TreeEmpty` and
//!   `OutputClosed` are awaited, each only for what was still there. `ReleaseTree` and `StopReading` must be answered.
//! - An event for an attempt that is over is ignored, so no reply can come too late.
//! - Every accepted job gets one `End` and one `Deliver`; also one that arrives after a drain has begun: it ends
//!   as cancelled at once.
//! - `Finish` comes once, when the source has ended and everything has been delivered, and nothing after it. An
//!   attempt that cannot be killed does not hold it up.

mod attempt;
mod attempts;
mod breaker;
#[cfg(any(test, feature = "check"))]
mod check;
mod counts;
mod delivery;
mod halt;
mod hold;
mod job;
mod median;
mod queue;
pub(crate) mod random;
mod retry;
mod slots;
mod stop;
mod timers;
mod verdict;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub use counts::Counts;

use self::attempt::{Attempt, AttemptContext, ExitReport};
use self::breaker::Breaker;
use self::delivery::DeliveryWindow;
use self::hold::Holds;
use self::job::{JobEntry, JobState};
use self::median::Median;
use self::queue::Queue;
use self::random::Random;
use self::slots::SlotTable;
use self::stop::RunPhase;
use self::timers::{Timer, Timers};
use crate::action::Notice;
use crate::event::HoldReason;
use crate::policy::{JobPolicy, Timeout};
use crate::{Action, AttemptId, Event, JobId, RunPolicy, SlotId, Table, Time};

/// The state machine between events and actions.
#[derive(Debug)]
pub struct Dispatcher {
    policy: RunPolicy,
    phase: RunPhase,
    source_ended: bool,
    finished: bool,
    halted: bool,
    breaker: Breaker,
    /// The number of jobs that crashed in a row, once that broke the circuit.
    broken: Option<u32>,
    warden_ready: bool,
    /// The accepted jobs without an outcome.
    jobs: Table<JobId, Box<JobEntry>>,
    queue: Queue,
    delayed: usize,
    /// Running attempts in the order of their starts.
    live: Table<u64, JobId>,
    last_turn: u64,
    /// The running attempt that must stay alone.
    alone: Option<JobId>,
    /// Attempts whose job has an outcome but that cannot be killed: they keep their slots. Such a job
    /// is not tried again, so it has one.
    stuck: Table<JobId, Stuck>,
    slots: SlotTable,
    timers: Timers,
    holds: Holds,
    held: Option<HoldReason>,
    /// The time before which nothing starts.
    next_start: Time,
    gap: Option<Time>,
    /// The time of the next check for slow attempts.
    slow: Option<Time>,
    /// The last attempt, in the order of starts, whose time to be reported as slow has come.
    slow_turn: u64,
    delivery: DeliveryWindow,
    median: Option<Median>,
    random: Random,
    /// The sums; counts that the tables hold are filled in on request.
    sums: Counts,
}

/// An attempt that was given up.
#[derive(Clone, Copy, Debug)]
struct Stuck {
    id: AttemptId,
    slot: SlotId,
    exited: bool,
}

impl Dispatcher {
    /// Creates a dispatcher that has received no event yet. The first warden counts as ready.
    #[must_use]
    pub fn new(policy: RunPolicy) -> Dispatcher {
        Dispatcher {
            phase: RunPhase::Open,
            source_ended: false,
            finished: false,
            halted: false,
            breaker: Breaker::new(policy.breaker),
            broken: None,
            warden_ready: true,
            jobs: Table::new(),
            queue: Queue::default(),
            delayed: 0,
            live: Table::new(),
            last_turn: 0,
            alone: None,
            stuck: Table::new(),
            slots: SlotTable::new(policy.slots),
            timers: Timers::default(),
            holds: Holds::default(),
            held: None,
            next_start: Time::ZERO,
            gap: None,
            slow: None,
            slow_turn: 0,
            delivery: DeliveryWindow::new(policy.order, policy.window),
            median: None,
            random: Random::new(policy.seed),
            sums: Counts::default(),
            policy,
        }
    }

    /// Handles an event that happened at `now`; the actions that follow are appended to `actions`.
    pub fn handle(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        match event {
            Event::Accepted { job, policy } => self.on_accepted(job, policy, now, actions),
            Event::SourceEnded => self.on_source_ended(),
            Event::TotalKnown(total) => self.sums.total = Some(total),
            Event::Started { attempt, pid } => self.on_started(attempt, pid, now, actions),
            Event::StartFailed { attempt, failure } => self.on_start_failed(attempt, failure, now, actions),
            Event::StartRefused { attempt, failure } => self.on_start_refused(attempt, failure, now, actions),
            Event::Reported { attempt, verdict } => self.on_reported(attempt, verdict, now, actions),
            // No other state depends on it, so nothing needs to be settled.
            Event::Beat(attempt) => return self.on_beat(attempt, now, actions),
            Event::Exited { attempt, exit, usage, evidence, alive, output_open } => {
                let report = ExitReport { exit, usage, evidence, alive, output_open };
                self.on_exited(attempt, report, now, actions);
            }
            Event::TreeEmpty { attempt, killed } => self.on_tree_empty(attempt, killed, now, actions),
            Event::OutputClosed { attempt } => self.on_output_closed(attempt, now, actions),
            Event::Vanished { attempt } => self.on_vanished(attempt, now, actions),
            Event::WardenLost => self.on_warden_lost(now, actions),
            Event::WardenReady => self.warden_ready = true,
            Event::Drain => self.stop_to(RunPhase::Draining, now, actions),
            Event::Stop => self.stop_to(RunPhase::Stopping, now, actions),
            Event::Kill => self.stop_to(RunPhase::Killing, now, actions),
            Event::Slots(slots) => {
                if self.slots.set_limit(slots) {
                    actions.push(Action::Notice(Notice::Slots { slots: self.slots.limit() }));
                }
            }
            Event::Hold { reason, on } => self.holds.set(reason, on),
            Event::Preempt => self.on_preempt(now, actions),
            Event::Cancel(job) => self.on_cancel(job, now, actions),
            Event::Delivered(job) => self.delivery.on_delivered(job),
        }
        self.settle(now, actions);
    }

    /// Handles the timers that are due by `now` (deadlines, back-offs, gaps between starts).
    pub fn handle_timers(&mut self, now: Time, actions: &mut Vec<Action>) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Gap => self.gap = None,
                Timer::Resources => self.holds.refusal.on_timer(),
                Timer::Delay(job) => self.on_delay_over(job),
                Timer::Deadline(attempt) => self.on_deadline(attempt, now, actions),
                Timer::Idle(attempt) => self.on_idle(attempt, now, actions),
                Timer::Step(attempt) => self.on_step(attempt, now, actions),
                Timer::Slow => self.on_slow(now, actions),
            }
        }
        self.settle(now, actions);
    }

    /// Returns when `handle_timers` must be called at the latest; `None`: not before the next event.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Returns whether the producer may be asked for another job.
    #[must_use]
    pub fn wants_job(&self) -> bool {
        self.phase == RunPhase::Open
            && !self.source_ended
            && self.queue.len() < self.policy.queue_max.max(1)
            && (self.delayed as u64) < u64::from(self.policy.window.max(1))
            && !self.delivery.is_full()
    }

    /// Returns the number that the next accepted job must have.
    #[must_use]
    pub fn next_job(&self) -> JobId {
        JobId(self.sums.accepted + 1)
    }

    /// Returns the maximum number of attempts that run at once.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots.limit()
    }

    /// Returns the running attempts, longest running first, with their start.
    pub fn running(&self) -> impl Iterator<Item = (AttemptId, SlotId, Time)> {
        self.live_attempts().map(|attempt| (attempt.id, attempt.slot, attempt.began))
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            running: self.live.len() as u64,
            ready: self.queue.len() as u64,
            delayed: self.delayed as u64,
            undelivered: self.delivery.undelivered(),
            ..self.sums
        }
    }

    fn on_accepted(&mut self, id: JobId, policy: Arc<JobPolicy>, now: Time, actions: &mut Vec<Action>) {
        if id != self.next_job() || self.finished {
            debug_assert!(false, "jobs are numbered one after the other, and none comes after the end");
            return;
        }
        self.sums.accepted += 1;
        if self.median.is_none() && matches!(policy.timeout, Timeout::PercentOfMedian(_)) {
            self.median = Some(Median::new());
        }
        let place = self.queue.push_new(id);
        self.jobs.insert(id, Box::new(JobEntry::new(policy, place)));
        if self.phase != RunPhase::Open {
            self.end_unstarted(id, now, actions);
        }
    }

    fn on_source_ended(&mut self) {
        self.source_ended = true;
        // A drained run does not read its source to the end, so the number of accepted jobs is not the total.
        if self.phase == RunPhase::Open {
            self.sums.total = Some(self.sums.accepted);
        }
    }

    fn on_delay_over(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(id) else {
            debug_assert!(false, "a job that waits for its back-off has no outcome");
            return;
        };
        debug_assert!(
            matches!(job.state, JobState::Delayed(_)),
            "its back-off is over, so it was waiting for it"
        );
        self.delayed -= 1;
        job.state = JobState::Ready(self.queue.push_returned(id));
    }

    /// Settles what follows from any event: halt, starts, notices, the end.
    fn settle(&mut self, now: Time, actions: &mut Vec<Action>) {
        // Before the halt: jobs that wait for another try may end as failed by it.
        self.break_if_met(now, actions);
        self.halt_if_met(now, actions);
        if let Some(job) = self.delivery.next_announcement(self.sums.accepted) {
            actions.push(Action::Head { job });
        }
        self.start_ready(now, actions);
        self.notify_held(actions);
        if self.source_ended && self.jobs.is_empty() && self.delivery.undelivered() == 0 && !self.finished {
            self.finished = true;
            self.holds.refusal.end(&mut self.timers);
            self.timers.clear(&mut self.gap, Timer::Gap);
            actions.push(Action::Finish);
        }
    }

    fn start_ready(&mut self, now: Time, actions: &mut Vec<Action>) {
        while let Some(id) = self.next_to_start() {
            if now < self.next_start {
                if self.gap.is_none() {
                    self.timers.set(&mut self.gap, self.next_start, Timer::Gap);
                }
                return;
            }
            self.next_start = now + self.policy.start_gap;
            self.start(id, now, actions);
        }
    }

    /// Returns the job whose turn it is, if one may start now.
    fn next_to_start(&self) -> Option<JobId> {
        let is_open = self.phase == RunPhase::Open && self.warden_ready && self.alone.is_none();
        if !is_open || !self.slots.has_free() || !self.holds.allows_start(self.live.len()) {
            return None;
        }
        let id = if self.delivery.is_full() { self.ready_head() } else { self.queue.first() }?;
        let must_wait = !self.live.is_empty() && self.jobs.get(id).is_some_and(|job| job.is_suspect());
        (!must_wait).then_some(id)
    }

    /// Returns the job for which the whole window waits, if it is ready.
    fn ready_head(&self) -> Option<JobId> {
        let head = self.delivery.head()?;
        match self.jobs.get(head)?.state {
            JobState::Ready(_) => Some(head),
            JobState::Delayed(_) | JobState::Live(_) => None,
        }
    }

    fn start(&mut self, id: JobId, now: Time, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(id) else {
            debug_assert!(false, "a job in the queue has no outcome");
            return;
        };
        let JobState::Ready(place) = job.state else {
            debug_assert!(false, "a job in the queue is ready");
            return;
        };
        self.queue.remove(place);
        job.number += 1;
        self.last_turn += 1;
        let attempt_id = AttemptId { job: id, number: job.number };
        let slot = self.slots.take();
        let mut attempt = Attempt::new(attempt_id, slot, self.last_turn, now);
        if let Some(limit) = limit_of(job.policy.timeout, self.median.as_ref()) {
            attempt.limit_to(limit, &job.policy, &mut self.timers);
        }
        if let Some(limit) = job.policy.idle {
            attempt.watch_idleness(limit, &mut self.timers);
        }
        if let Some(after) = self.policy.slow {
            attempt.slow = Some(now + after);
            // An attempt that started earlier is reported earlier, so one timer is enough.
            if self.slow.is_none() {
                self.timers.set(&mut self.slow, now + after, Timer::Slow);
            }
        }
        let memory_bytes = job.memory_bytes;
        job.state = JobState::Live(Box::new(attempt));
        if job.is_suspect() {
            self.alone = Some(id);
        }
        self.live.insert(self.last_turn, id);
        self.holds.refusal.on_start(attempt_id);
        actions.push(Action::Start { attempt: attempt_id, slot, memory_bytes });
    }

    fn notify_held(&mut self, actions: &mut Vec<Action>) {
        let can_start = self.phase == RunPhase::Open && !self.finished;
        let has_more = !self.source_ended || self.queue.len() + self.delayed > 0;
        let reason = self.holds.reason(has_more && self.delivery.is_full()).filter(|_| can_start);
        if reason != self.held {
            self.held = reason;
            actions.push(Action::Notice(Notice::Held { reason, ready: self.queue.len() as u64 }));
        }
    }

    /// Returns the running attempts, longest running first.
    fn live_attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.live.values().filter_map(|id| match &self.jobs.get(*id)?.state {
            JobState::Live(attempt) => Some(&**attempt),
            JobState::Ready(_) | JobState::Delayed(_) => None,
        })
    }

    /// Returns the running attempt with this id, with its job's policy and a context to act with; `None` if it is
    /// over.
    fn at_work<'a>(
        &'a mut self,
        id: AttemptId,
        now: Time,
        actions: &'a mut Vec<Action>,
    ) -> Option<(&'a mut Attempt, &'a JobPolicy, AttemptContext<'a>)> {
        let job = self.jobs.get_mut(id.job)?;
        let JobState::Live(attempt) = &mut job.state else { return None };
        if attempt.id != id {
            return None;
        }
        Some((attempt, &job.policy, AttemptContext { now, timers: &mut self.timers, actions }))
    }
}

/// Returns the time that an attempt may run, if it is limited and known.
fn limit_of(timeout: Timeout, median: Option<&Median>) -> Option<core::time::Duration> {
    match timeout {
        Timeout::Never => None,
        Timeout::After(limit) => Some(limit),
        Timeout::PercentOfMedian(percent) => {
            let nanos = median?.get()?.as_nanos() as f64 * percent / 100.0;
            // The median is no more exact, and people will read it. A conversion from a float saturates.
            Some(core::time::Duration::from_millis((nanos as u64).div_ceil(1_000_000)))
        }
    }
}
