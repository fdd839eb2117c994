//! One turn of the desk: what was heard is taken in, what the dispatcher asks for is done, workers get jobs.

use psmith_core::action::Notice;
use psmith_core::outcome::{Cause, Evidence, Exit, Outcome, Usage};
use psmith_core::policy::SIGTERM;
use psmith_core::{Action, AttemptId, Event, JobId, SlotId, Time};
use psmith_sys::proc_memory;
use std::sync::Arc;
use std::time::Duration;

use super::{Heard, Held, Life, Stage, WarmDesk};
use crate::api::desk::refused;
use crate::api::flow::Judgement;
use crate::api::run::{Finished, News as Told};
use crate::engine::handler::{Letters, Order};
use crate::worker::frame::Body;
use crate::worker::letters::{Errand, ToWorker};

impl WarmDesk {
    /// Does all that can be done now; gives how long nothing else is due.
    pub(super) fn turn(&mut self, now: Time, orders: &mut Vec<Order>) -> Option<Duration> {
        self.take_orders(orders);
        for heard in std::mem::take(&mut self.heard) {
            match heard {
                // News of its start are on the way, and come first.
                Heard::Done { life, .. } if self.lives.get(&life).is_some_and(|life| life.pid == 0) => {
                    self.heard.push_back(heard);
                }
                Heard::Done { life, verdict, judgement } => {
                    self.on_done(life, (verdict, judgement), now, orders);
                }
                Heard::Ended { life, outcome } => self.on_ended(life, &outcome),
                Heard::Lost { life } => {
                    self.on_lost(life);
                    // The engine would bear it again, as one that must live alone: another takes its place.
                    orders.push(Order::Cancel(life));
                }
            }
        }
        self.dispatcher.handle_timers(now, &mut self.actions);
        loop {
            while let Some(event) = self.events.pop_front() {
                self.dispatcher.handle(event, now, &mut self.actions);
            }
            let actions = std::mem::take(&mut self.actions);
            if actions.is_empty() && !self.accept_next() && !self.give_next(now, orders) {
                break;
            }
            for action in actions {
                self.carry_out(action, orders);
            }
        }
        self.want_lives();
        self.send_off(now, orders)
    }

    fn take_orders(&mut self, orders: &mut Vec<Order>) {
        let wishes = std::mem::take(&mut self.shared.lock().orders);
        for wish in wishes {
            match wish {
                Order::Drain => self.end_source(Event::Drain),
                Order::Stop => {
                    self.end_source(Event::Stop);
                    self.give_up_waiting(|_| true);
                }
                Order::Kill => {
                    self.end_source(Event::Kill);
                    self.give_up_waiting(|_| true);
                }
                Order::Cancel(job) => {
                    self.events.push_back(Event::Cancel(job));
                    self.give_up_waiting(|id| id == job);
                }
                Order::KillNow(job) => {
                    self.events.push_back(Event::Cancel(job));
                    self.give_up_waiting(|id| id == job);
                    if let Some(life) = self.jobs.get(&job).and_then(|held| held.life) {
                        self.doom(life);
                        orders.push(Order::KillNow(life));
                    }
                }
                Order::Signal(job, signal) => {
                    if let Some(life) = self.jobs.get(&job).and_then(|held| held.life) {
                        orders.push(Order::Signal(life, signal));
                    }
                }
                Order::Hold(reason, on) => self.events.push_back(Event::Hold { reason, on }),
                other => orders.push(other),
            }
        }
    }

    /// No more jobs are wanted.
    pub(super) fn end_source(&mut self, why: Event) {
        self.events.push_back(why);
        if !self.source_ended {
            self.source_ended = true;
            self.events.push_back(Event::SourceEnded);
        }
    }

    /// Attempts that are about to be ended and have no worker: nothing is started for them. To the dispatcher they come
    /// into being and end, because an end that was asked for waits for a process.
    fn give_up_waiting(&mut self, which: impl Fn(JobId) -> bool) {
        for (attempt, slot) in std::mem::take(&mut self.waiting) {
            if which(attempt.job) {
                self.events.push_back(Event::Started { attempt, pid: 0 });
            } else {
                self.waiting.push_back((attempt, slot));
            }
        }
    }

    /// Takes one job from the caller's side; false if there is none, or no room.
    fn accept_next(&mut self) -> bool {
        if !self.dispatcher.wants_job() {
            return false;
        }
        let mut state = self.shared.lock();
        let Some((request, policy)) = state.incoming.pop_front() else {
            let ends = state.closed && !self.source_ended;
            if ends {
                self.source_ended = true;
                self.events.push_back(Event::SourceEnded);
            }
            return ends;
        };
        drop(state);
        let job = self.dispatcher.next_job();
        self.events.push_back(Event::Accepted { job, policy });
        if request.cancelled {
            self.events.push_back(Event::Cancel(job));
        }
        self.jobs.insert(job, Held::new(request));
        true
    }

    fn carry_out(&mut self, action: Action, orders: &mut Vec<Order>) {
        match action {
            Action::Start { attempt, slot } => self.start(attempt, slot),
            Action::Signal { attempt, .. } => match self.life_of(attempt) {
                // The engine climbs the same ladder, with the same waits.
                Some(life) => {
                    self.doom(life);
                    orders.push(Order::Cancel(life));
                }
                None => self.never_was(attempt),
            },
            Action::KillTree { attempt } => match self.life_of(attempt) {
                Some(life) => {
                    self.doom(life);
                    orders.push(Order::KillNow(life));
                }
                None => self.never_was(attempt),
            },
            // Not asked for: an attempt here ends with nobody alive and nothing open.
            Action::ReleaseTree { attempt } => self.events.push_back(Event::TreeEmpty { attempt, killed: 0 }),
            Action::StopReading { attempt } => self.events.push_back(Event::OutputClosed { attempt }),
            Action::Discard { attempt } => {
                if let Some(held) = self.jobs.get_mut(&attempt.job) {
                    held.output = Default::default();
                    held.value = None;
                    held.life = None;
                }
            }
            Action::End { job, outcome } => {
                let cut_short = matches!(outcome.verdict, Err(Cause::Cancelled));
                if outcome.verdict.is_err() && !cut_short {
                    self.shared.lock().first.failed.get_or_insert(job);
                }
                if let Some(held) = self.jobs.get_mut(&job) {
                    held.outcome = Some(outcome);
                }
            }
            Action::Deliver { job } => self.deliver_job(job),
            Action::Notice(Notice::Halted { now }) => {
                if !self.source_ended {
                    self.source_ended = true;
                    self.events.push_back(Event::SourceEnded);
                }
                if now {
                    self.give_up_waiting(|_| true);
                }
            }
            Action::Head { .. } | Action::Notice(_) => {}
            Action::Finish => {
                self.finished = true;
                // So that the engine asks for lives once more, and hears that there are none.
                self.shared.waker.wake();
            }
        }
    }

    fn start(&mut self, attempt: AttemptId, slot: SlotId) {
        let Some(held) = self.jobs.get_mut(&attempt.job) else { return };
        held.slot = slot;
        held.pid = 0;
        held.name = None;
        if held.request.refused.is_some() {
            // Its true cause is told at the delivery.
            self.events.push_back(Event::StartFailed { attempt, failure: refused(String::new()) });
        } else if held.request.cancelled {
            // As in `give_up_waiting`: it was ended before it came here.
            self.events.push_back(Event::Started { attempt, pid: 0 });
        } else {
            self.waiting.push_back((attempt, slot));
        }
    }

    /// Gives the attempt that waits longest to an idle worker; false if one of the two is missing.
    fn give_next(&mut self, now: Time, orders: &mut Vec<Order>) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        let Some(life_id) = self.idle.pop() else { return false };
        let (Some(life), Some((attempt, slot))) = (self.lives.get_mut(&life_id), self.waiting.pop_front())
        else {
            return true;
        };
        let Some(held) = self.jobs.get_mut(&attempt.job) else { return true };
        self.dispatcher.handle(Event::Started { attempt, pid: life.pid }, now, &mut self.actions);
        let is_cut = self.actions.iter().any(|action| match action {
            Action::Signal { attempt: cut, .. } | Action::KillTree { attempt: cut } => *cut == attempt,
            _ => false,
        });
        let Ok(function) = held.request.callee.function.clone() else { return true };
        if is_cut {
            // Its time was up before its worker came.
            self.idle.push(life_id);
            return true;
        }
        held.life = Some(life_id);
        held.pid = life.pid;
        held.name.clone_from(&life.name);
        life.stage = Stage::Busy { attempt, began: false };
        life.jobs += 1;
        let errand = Errand {
            job: attempt.job.0,
            index: attempt.job.0 - 1,
            attempt: attempt.number,
            slot: slot.0,
            function,
            last: false,
        };
        let body = Body::Shared(Arc::clone(&held.request.input));
        orders.push(Order::Tell(life_id, Letters(vec![(ToWorker::Job(errand), body)])));
        self.tell_start(life_id);
        true
    }

    /// Says that the first attempt of a job has a process, once that is known.
    pub(super) fn tell_start(&mut self, life: JobId) {
        let (wants, shared) = (self.wants, Arc::clone(&self.shared));
        let pid = self.lives.get(&life).map_or(0, |life| life.pid);
        let Some((attempt, held)) = self.job_of(life) else { return };
        held.pid = pid;
        if wants.starts && pid != 0 && !held.told_start {
            held.told_start = true;
            shared.tell(Told::Started(held.job(attempt.job)));
        }
    }

    fn on_done(
        &mut self,
        id: JobId,
        (verdict, judgement): (Result<(), Cause>, Judgement),
        now: Time,
        orders: &mut Vec<Order>,
    ) {
        let Some(life) = self.lives.get_mut(&id) else { return };
        let Some(attempt) = life.attempt() else { return };
        let output = life.take_output();
        let panicked = matches!(verdict, Err(Cause::Panic { .. }));
        let leaves = life.doomed || panicked || self.terms.are_over(life);
        if leaves {
            life.stage = Stage::Leaving(now + self.grace);
            orders.push(Order::Tell(id, Letters(vec![(ToWorker::Leave, Body::None)])));
        } else {
            life.stage = Stage::Idle(now);
            self.idle.push(id);
        }
        if let Some(held) = self.jobs.get_mut(&attempt.job) {
            held.output = output;
            held.life = None;
        }
        self.events.push_back(Event::Reported { attempt, verdict });
        // After what was said, and before its slot is free for another.
        if let Some(event) = judgement.event() {
            self.end_source(event);
        }
        self.over(attempt, Exit::Code(0), Usage::default());
        if judgement == Judgement::Kill {
            self.give_up_waiting(|_| true);
        }
    }

    fn on_ended(&mut self, id: JobId, outcome: &Outcome) {
        let Some(mut life) = self.take_life(id) else { return };
        let (exit, usage, pid) = outcome
            .last
            .as_ref()
            .map_or((None, Usage::default(), 0), |last| (last.exit, last.usage, last.pid));
        let (attempt, began) = match life.stage {
            Stage::Busy { attempt, began } => (attempt, began),
            // It never came to be. The one that waits longest learns why; a worker that was not wanted any more is
            // none that failed.
            Stage::Starting if !life.doomed => match self.waiting.pop_front() {
                Some((attempt, _)) => (attempt, false),
                None => return,
            },
            Stage::Starting | Stage::Idle(_) | Stage::Leaving(_) => return,
        };
        if let Some(held) = self.jobs.get_mut(&attempt.job) {
            held.output = life.take_output();
            held.life = None;
            held.pid = pid;
        }
        match (&outcome.verdict, exit) {
            (Err(Cause::SpawnFailed(failure)), _) => {
                self.events.push_back(Event::StartFailed { attempt, failure: failure.clone() });
            }
            (verdict, Some(exit)) if began || life.doomed => {
                let verdict = verdict.clone().and(Err(Cause::Exit(0)));
                self.events.push_back(Event::Reported { attempt, verdict });
                self.over(attempt, exit, usage);
            }
            _ => self.events.push_back(Event::Vanished { attempt }),
        }
    }

    fn on_lost(&mut self, id: JobId) {
        let Some(mut life) = self.take_life(id) else { return };
        let Some(attempt) = life.attempt() else { return };
        if let Some(held) = self.jobs.get_mut(&attempt.job) {
            held.output = life.take_output();
            held.life = None;
        }
        self.events.push_back(Event::Vanished { attempt });
    }

    fn take_life(&mut self, id: JobId) -> Option<Life> {
        self.idle.retain(|idle| *idle != id);
        self.lives.remove(&id)
    }

    /// Nothing of the attempt is left: its worker belongs to the next.
    fn over(&mut self, attempt: AttemptId, exit: Exit, usage: Usage) {
        let evidence = Evidence::default();
        self.events.push_back(Event::Exited { attempt, exit, usage, evidence, alive: 0, output_open: false });
    }

    /// An attempt that was ended before it had a worker.
    fn never_was(&mut self, attempt: AttemptId) {
        self.over(attempt, Exit::Signal { signal: SIGTERM, core_dumped: false }, Usage::default());
    }

    fn doom(&mut self, life: JobId) {
        if let Some(life) = self.lives.get_mut(&life) {
            life.doomed = true;
        }
    }

    fn life_of(&self, attempt: AttemptId) -> Option<JobId> {
        let life = self.jobs.get(&attempt.job)?.life?;
        (self.lives.get(&life)?.attempt() == Some(attempt)).then_some(life)
    }

    fn deliver_job(&mut self, id: JobId) {
        self.events.push_back(Event::Delivered(id));
        let Some(held) = self.jobs.remove(&id) else { return };
        let job = held.job(id);
        let Held { request, value, output, outcome: Some(mut outcome), pid, .. } = held else { return };
        if let Some(last) = &mut outcome.last {
            last.pid = pid;
        }
        let finished = Finished { job, request, outcome: *outcome, value, output };
        self.shared.tell(Told::Done(Box::new(finished)));
    }

    /// As many lives as attempts wait for one, and no more.
    fn want_lives(&mut self) {
        let coming = self.lives.values().filter(|life| life.stage == Stage::Starting && !life.doomed).count();
        let missing = self.waiting.len().saturating_sub(coming);
        let wanted = u32::try_from(missing).unwrap_or(u32::MAX);
        if wanted > self.wanted {
            // The engine asks when it is woken.
            self.shared.waker.wake();
        }
        self.wanted = wanted;
    }

    /// Lets go whom nobody needs, ends who does not go; gives how long nobody is due.
    fn send_off(&mut self, now: Time, orders: &mut Vec<Order>) -> Option<Duration> {
        let mut next = self.dispatcher.next_deadline();
        let mut due = |at: Time| next = Some(next.map_or(at, |next| next.min(at)));
        for (id, life) in &mut self.lives {
            match life.stage {
                Stage::Idle(since) => {
                    let until = self.terms.idle.map(|limit| since + limit);
                    if self.finished || until.is_some_and(|until| until <= now) {
                        self.idle.retain(|idle| idle != id);
                        life.stage = Stage::Leaving(now + self.grace);
                        orders.push(Order::Tell(*id, Letters(vec![(ToWorker::Leave, Body::None)])));
                        due(now + self.grace);
                    } else if let Some(until) = until {
                        due(until);
                    }
                }
                Stage::Leaving(until) if life.doomed => due(until.max(now + self.grace)),
                Stage::Leaving(until) if until <= now => {
                    life.doomed = true;
                    orders.push(Order::KillNow(*id));
                }
                Stage::Leaving(until) => due(until),
                Stage::Starting if self.finished && !life.doomed => {
                    life.doomed = true;
                    orders.push(Order::Cancel(*id));
                }
                Stage::Starting | Stage::Busy { .. } => {}
            }
        }
        next.map(|at| at.since(now))
    }
}

impl super::Terms {
    /// Whether this worker has done enough.
    fn are_over(self, life: &mut Life) -> bool {
        let has_grown = self.max_rss_growth.is_some_and(|most| {
            // What cannot be told is no reason.
            let Ok(now) = proc_memory::resident_of_tree(life.pid, 1) else { return false };
            now > life.rss_first.get_or_insert(now).saturating_add(most)
        });
        has_grown || self.max_jobs.is_some_and(|most| life.jobs >= most)
    }
}
