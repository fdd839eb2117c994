//! One turn of the desk: what was heard is taken in, what the dispatcher asks for is done, workers get jobs.

use psmith_core::action::Notice;
use psmith_core::outcome::{Cause, Evidence, Exit, Outcome, Usage};
use psmith_core::policy::SIGTERM;
use psmith_core::{Action, AttemptId, Event, JobId, SlotId, Time};
use psmith_sys::proc_memory;
use std::sync::Arc;
use std::time::Duration;

use crate::job::flow::Judgement;
use crate::job::job::JobRef;
use crate::observe::observer::{Ended, Sight};
use crate::run::queue::Next;
use crate::run::reused::{BatchNews, Heard, Held, Life, Stage, WarmDesk};
use crate::run::run::{Finished, News as Told};
use crate::run::single_use::refused;
use psmith_engine::channel::frame::Body;
use psmith_engine::channel::messages::{Errand, How, ToWorker};
use psmith_engine::handler::{EngineCommand, Handler, MessagesToWorker, Output};

impl WarmDesk {
    /// Does all that can be done now; gives how long nothing else is due.
    pub(crate) fn turn(&mut self, now: Time, orders: &mut Vec<EngineCommand>) -> Option<Duration> {
        self.take_orders(now, orders);
        for heard in std::mem::take(&mut self.heard) {
            match heard {
                // News of its start are on the way, and come first.
                Heard::Done { life, .. } | Heard::Batch { life, .. }
                    if self.lives.get(&life).is_some_and(|life| life.pid == 0) =>
                {
                    self.heard.push_back(heard);
                }
                Heard::Ended { life, .. } | Heard::Lost { life } => {
                    // They will not come any more.
                    for before in self.take_heard(life) {
                        self.deal_with(before, now, orders);
                    }
                    self.deal_with(heard, now, orders);
                }
                heard => self.deal_with(heard, now, orders),
            }
        }
        if !self.takes_output() {
            // Those that nobody listens to just now are not idle.
            let lives: Vec<JobId> = self.lives.keys().copied().collect();
            lives.into_iter().for_each(|life| self.on_sign_of_life(life));
        }
        // A sign of life comes before the look for one.
        self.pass_on_events(now);
        let next_batch = self.look_after_batches(now);
        self.dispatcher.handle_timers(now, &mut self.actions);
        loop {
            self.pass_on_events(now);
            let actions = std::mem::take(&mut self.actions);
            let is_still = actions.is_empty() && !self.accept_next(now) && !self.give_next(now, orders);
            if is_still && !self.keep_budget() {
                break;
            }
            for action in actions {
                self.carry_out(action, orders);
            }
        }
        let next_start = self.want_lives(now);
        let next_tokens = self.asks_again.map(|pause| now + pause);
        self.send_off(now, [next_batch, next_start, next_tokens], orders)
    }

    fn pass_on_events(&mut self, now: Time) {
        while let Some(event) = self.events.pop_front() {
            self.dispatcher.handle(event, now, &mut self.actions);
        }
    }

    /// What was heard of this worker and put off.
    fn take_heard(&mut self, of: JobId) -> Vec<Heard> {
        let is_of = |heard: &Heard| match heard {
            Heard::Done { life, .. } | Heard::Batch { life, .. } => *life == of,
            Heard::Ended { .. } | Heard::Lost { .. } => false,
        };
        let (its, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.heard).into_iter().partition(is_of);
        self.heard.extend(others);
        its
    }

    fn deal_with(&mut self, heard: Heard, now: Time, orders: &mut Vec<EngineCommand>) {
        match heard {
            Heard::Done { life, verdict, judgement } => {
                self.learn(life, &verdict, now);
                self.on_done(life, (verdict, judgement), now, orders);
            }
            Heard::Batch { life, news } => self.on_batch_done(life, *news, now, orders),
            Heard::Ended { life, outcome } if self.is_command(life) => self.on_command_ended(life, &outcome),
            Heard::Ended { life, outcome } => self.on_ended(life, &outcome, now, orders),
            Heard::Lost { life } => {
                self.on_lost(life, now);
                // The engine would bear it again, as one that must live alone: another takes its place.
                orders.push(EngineCommand::Cancel(life));
            }
        }
    }

    fn take_orders(&mut self, now: Time, orders: &mut Vec<EngineCommand>) {
        let mut state = self.shared.lock();
        let (wishes, mail) = (std::mem::take(&mut state.orders), std::mem::take(&mut state.mail));
        drop(state);
        self.listeners.send(&mail, orders);
        for wish in wishes {
            match wish {
                EngineCommand::Drain => self.end_source(Event::Drain, now),
                EngineCommand::Stop => {
                    self.end_source(Event::Stop, now);
                    self.give_up_waiting(|_| true);
                }
                EngineCommand::Kill => {
                    self.end_source(Event::Kill, now);
                    self.give_up_waiting(|_| true);
                }
                EngineCommand::Cancel(job) => {
                    self.events.push_back(Event::Cancel(job));
                    self.give_up_waiting(|id| id == job);
                }
                EngineCommand::KillNow(job) => {
                    self.events.push_back(Event::Cancel(job));
                    self.give_up_waiting(|id| id == job);
                    if let Some(life) = self.jobs.get(&job).and_then(|held| held.life) {
                        self.doom(life);
                        orders.push(EngineCommand::KillNow(life));
                    }
                }
                EngineCommand::Signal(job, signal) => {
                    if let Some(life) = self.jobs.get(&job).and_then(|held| held.life) {
                        orders.push(EngineCommand::Signal(life, signal));
                    }
                }
                EngineCommand::Hold(reason, on) => self.events.push_back(Event::Hold { reason, on }),
                EngineCommand::Width(workers) => self.resize(workers, orders),
                other => orders.push(other),
            }
        }
    }

    /// No more jobs are wanted.
    pub(crate) fn end_source(&mut self, why: Event, now: Time) {
        self.take_all_in(now);
        self.events.push_back(why);
        self.close_source();
    }

    /// There will be no more jobs; false if that was known.
    pub(crate) fn close_source(&mut self) -> bool {
        let is_news = !std::mem::replace(&mut self.source_ended, true);
        if is_news {
            self.events.push_back(Event::SourceEnded);
        }
        is_news
    }

    /// Attempts that are about to be ended and have no worker: nothing is started for them. To the dispatcher they come
    /// into being and end, because an end that was asked for waits for a process.
    fn give_up_waiting(&mut self, which: impl Fn(JobId) -> bool) {
        self.give_up_commands(&which);
        for (attempt, slot) in std::mem::take(&mut self.waiting) {
            // One that was with a worker before has come into being already, and is ended like any other.
            let is_new = self.jobs.get(&attempt.job).is_some_and(|held| !held.has_process);
            if is_new && which(attempt.job) {
                self.events.push_back(Event::Started { attempt, pid: 0 });
            } else {
                self.waiting.push_back((attempt, slot));
            }
        }
    }

    /// Takes one job from the caller's side; false if there is none, or no room.
    fn accept_next(&mut self, now: Time) -> bool {
        if self.is_out_of_budget() {
            return false;
        }
        if self.blocks {
            return self.take_in(now);
        }
        if !self.dispatcher.wants_job() {
            return false;
        }
        let mut state = self.shared.lock();
        let Some(Next::One(index, request, policy)) = state.incoming.next() else {
            let is_closed = state.closed;
            drop(state);
            return is_closed && self.close_source();
        };
        drop(state);
        self.accept_one((index, request), policy, now);
        true
    }

    fn carry_out(&mut self, action: Action, orders: &mut Vec<EngineCommand>) {
        match action {
            Action::Start { attempt, slot, memory_bytes } => {
                self.start((attempt, memory_bytes), slot, orders);
            }
            Action::Signal { attempt, .. } => match self.life_of(attempt) {
                // The engine climbs the same ladder, with the same waits.
                Some(life) => {
                    self.doom(life);
                    orders.push(EngineCommand::Cancel(life));
                }
                None => self.never_was(attempt),
            },
            Action::KillTree { attempt } => match self.life_of(attempt) {
                Some(life) => {
                    self.doom(life);
                    if self.is_command(life) {
                        // It may not have begun; then there is nothing to kill.
                        orders.push(EngineCommand::Cancel(life));
                    }
                    orders.push(EngineCommand::KillNow(life));
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
                    held.has_process = false;
                }
            }
            Action::End { job, outcome } => {
                let cut_short = matches!(outcome.verdict, Err(Cause::Cancelled));
                if outcome.verdict.is_err() && !cut_short {
                    let number = self.jobs.get(&job).map_or(job, |held| JobId(held.index + 1));
                    self.shared.lock().first.failed.get_or_insert(number);
                }
                if let Some(held) = self.jobs.get_mut(&job) {
                    // Where somebody looks on there are no batches.
                    let (its, refused) = (held.job(), held.request.refused.as_ref());
                    let ended = || Ended { job: &its, outcome: &outcome, refused, output: &held.output };
                    self.shared.show(|| Sight::Ended(ended()));
                    held.outcome = Some(outcome);
                }
            }
            Action::Deliver { job } => self.deliver_job(job),
            Action::Notice(Notice::Halted { now }) => {
                self.close_source();
                if now {
                    self.give_up_waiting(|_| true);
                }
            }
            Action::Notice(Notice::Broken { jobs }) => {
                self.shared.on_broken(jobs);
                self.close_source();
            }
            Action::Notice(Notice::Retry { attempt, .. }) => {
                if let Some(held) = self.jobs.get(&attempt.job) {
                    self.shared.show(|| Sight::Retried(held.index));
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

    fn start(
        &mut self,
        (attempt, memory_bytes): (AttemptId, Option<u64>),
        slot: SlotId,
        orders: &mut Vec<EngineCommand>,
    ) {
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
        } else if held.request.is_alone() {
            self.want_command((attempt, memory_bytes), orders);
        } else {
            self.waiting.push_back((attempt, slot));
        }
    }

    /// Gives the attempt that waits longest to an idle worker; false if one of the two is missing.
    fn give_next(&mut self, now: Time, orders: &mut Vec<EngineCommand>) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        let Some(life_id) = self.idle.pop() else { return false };
        let (Some(life), Some((attempt, slot))) = (self.lives.get_mut(&life_id), self.waiting.pop_front())
        else {
            return true;
        };
        let Some(held) = self.jobs.get_mut(&attempt.job) else { return true };
        if !held.has_process {
            held.has_process = true;
            self.dispatcher.handle(Event::Started { attempt, pid: life.pid }, now, &mut self.actions);
            let is_cut = self.actions.iter().any(|action| match action {
                Action::Signal { attempt: cut, .. } | Action::KillTree { attempt: cut } => *cut == attempt,
                _ => false,
            });
            if is_cut {
                // Its time was up before its worker came.
                self.idle.push(life_id);
                return true;
            }
        }
        let Ok(function) = held.request.callee.function.clone() else { return true };
        let mut surplus = None;
        if let Some(batch) = &mut held.batch {
            let most = self.terms.max_jobs.map_or(u64::MAX, |most| most.saturating_sub(life.jobs));
            let most = if life.region.is_some() { usize::try_from(most).unwrap_or(usize::MAX) } else { 1 };
            surplus = Some(batch.block.split_off(most.max(1)));
            if batch.block.len() == 1 {
                held.index = batch.block.index;
                held.request = batch.block.first();
                held.batch = None;
            }
        }
        let jobs = held.batch.as_ref().map_or(1, |batch| batch.block.len() as u32);
        if let Some(region) = &life.region {
            region.prepare(jobs);
        }
        held.life = Some(life_id);
        held.pid = life.pid;
        held.name.clone_from(&life.name);
        life.stage = Stage::Busy { attempt, began: false };
        life.jobs += u64::from(jobs);
        life.given = now;
        let errand = Errand {
            job: held.index + 1,
            index: held.index,
            attempt: attempt.number,
            slot: slot.0,
            function,
            last: false,
            scratch: held.request.scratch(attempt.number),
        };
        let letter = match &mut held.batch {
            None => (ToWorker::Job(errand), Body::Shared(Arc::clone(&held.request.input))),
            Some(batch) => {
                batch.given = Some(now);
                (ToWorker::Batch(errand, jobs), Body::Owned(batch.block.body()))
            }
        };
        orders.push(EngineCommand::Send(life_id, MessagesToWorker(vec![letter])));
        self.tell_start(life_id);
        if let Some(surplus) = surplus {
            self.give_back(surplus, now);
        }
        true
    }

    /// Says that the first attempt of a job has a process, once that is known.
    pub(crate) fn tell_start(&mut self, life: JobId) {
        let (wants, shared) = (self.wants, Arc::clone(&self.shared));
        let pid = self.lives.get(&life).map_or(0, |life| life.pid);
        let Some((attempt, held)) = self.job_of(life) else { return };
        held.pid = pid;
        if pid != 0 && held.shown_attempt < attempt.number {
            held.shown_attempt = attempt.number;
            let job = held.job();
            shared.show(|| Sight::Began(&job, attempt.number));
        }
        if wants.starts && pid != 0 && !held.told_start {
            held.told_start = true;
            shared.tell(Told::Started(held.job()));
        }
    }

    fn on_done(
        &mut self,
        id: JobId,
        (verdict, judgement): (Result<(), Cause>, Judgement),
        now: Time,
        orders: &mut Vec<EngineCommand>,
    ) {
        let Some(life) = self.lives.get_mut(&id) else { return };
        let Some(attempt) = life.attempt() else { return };
        // What was written in a batch without ending it is no job's that could be named: the next one's.
        let is_over = self.jobs.get(&attempt.job).is_some_and(|held| held.batch.is_some());
        let output = if is_over { Output::default() } else { life.take_output() };
        let panicked = matches!(verdict, Err(Cause::Panic { .. }));
        let leaves = life.doomed || panicked || self.terms.are_over(life);
        if leaves {
            life.stage = Stage::Leaving(now + self.grace);
            orders.push(EngineCommand::Send(id, MessagesToWorker(vec![(ToWorker::Leave, Body::None)])));
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
            self.end_source(event, now);
        }
        self.over(attempt, Exit::Code(0), Usage::default());
        if judgement == Judgement::Kill {
            self.give_up_waiting(|_| true);
        }
    }

    /// A batch is over: what it brought is told, and the job that ended it, if one did, is answered for alone.
    fn on_batch_done(&mut self, id: JobId, mut news: BatchNews, now: Time, orders: &mut Vec<EngineCommand>) {
        let Some(attempt) = self.lives.get(&id).and_then(Life::attempt) else { return };
        let given = self.jobs.get(&attempt.job).and_then(|held| held.batch.as_ref());
        let given = given.map_or(0, |batch| batch.block.len());
        let answered = news.values.ends.len() + usize::from(news.then.is_some());
        if let Some(life) = self.lives.get_mut(&id) {
            life.jobs = life.jobs.saturating_sub(given.saturating_sub(answered) as u64);
        }
        let verdict = news.then.clone().map_or(Ok(()), How::verdict);
        let has_body = news.then.as_ref().is_some_and(How::has_body);
        let value = has_body.then(|| (std::mem::take(&mut news.bytes), news.body));
        self.settle_batch(attempt, news, now);
        if let Some(held) = self.jobs.get_mut(&attempt.job) {
            held.value = value;
        }
        self.on_done(id, (verdict, Judgement::Go), now, orders);
    }

    fn on_ended(&mut self, id: JobId, outcome: &Outcome, now: Time, orders: &mut Vec<EngineCommand>) {
        let Some(mut life) = self.take_life(id) else { return };
        let (exit, usage, pid) = outcome
            .last
            .as_ref()
            .map_or((None, Usage::default(), 0), |last| (last.exit, last.usage, last.pid));
        let (attempt, began) = match life.stage {
            Stage::Busy { attempt, began } => (attempt, self.salvage(attempt, &life, now) || began),
            // A worker that was not wanted any more is none that failed.
            Stage::Starting if !life.doomed => {
                let cause = outcome.verdict.clone().err().unwrap_or(Cause::Exit(0));
                return self.on_start_failed(cause, now, orders);
            }
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
            _ if !began && life.attempt().is_some() && self.may_wait_again(attempt, &life, now) => {
                self.wait_again(attempt, &life, now);
            }
            (verdict, Some(exit)) if (began && !life.betrayed) || life.doomed => {
                let verdict = verdict.clone().and(Err(Cause::Exit(0)));
                self.events.push_back(Event::Reported { attempt, verdict });
                self.over(attempt, exit, usage);
            }
            _ => self.events.push_back(Event::Vanished { attempt }),
        }
    }

    fn on_lost(&mut self, id: JobId, now: Time) {
        let Some(mut life) = self.take_life(id) else { return };
        let Some(attempt) = life.attempt() else { return };
        let began =
            self.salvage(attempt, &life, now) || matches!(life.stage, Stage::Busy { began: true, .. });
        if !began && self.may_wait_again(attempt, &life, now) {
            return self.wait_again(attempt, &life, now);
        }
        if let Some(held) = self.jobs.get_mut(&attempt.job) {
            held.output = life.take_output();
            held.life = None;
        }
        self.events.push_back(Event::Vanished { attempt });
    }

    pub(crate) fn take_life(&mut self, id: JobId) -> Option<Life> {
        self.idle.retain(|idle| *idle != id);
        self.lives.remove(&id)
    }

    /// Nothing of the attempt is left: its worker belongs to the next.
    pub(crate) fn over(&mut self, attempt: AttemptId, exit: Exit, usage: Usage) {
        let evidence = Evidence::default();
        self.events.push_back(Event::Exited { attempt, exit, usage, evidence, alive: 0, output_open: false });
    }

    /// An attempt that was ended before it had a worker.
    fn never_was(&mut self, attempt: AttemptId) {
        self.waiting.retain(|(waiting, _)| *waiting != attempt);
        self.forget_command(attempt);
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
        self.listeners.remove(id);
        let job = held.job();
        let Held { request, batch, value, output, outcome: Some(mut outcome), pid, .. } = held else {
            return;
        };
        if let Some(last) = &mut outcome.last {
            last.pid = pid;
        }
        let Some(mut batch) = batch else {
            let finished = Finished { job, request, outcome: *outcome, value, output };
            return self.tell(Told::Done(Box::new(finished)));
        };
        // Those of a batch whose outcomes were not told: none of them was begun.
        while batch.block.len() > 0 {
            let one = batch.block.split_to(1);
            let (job, outcome) = (JobRef { index: one.index, ..job.clone() }, (*outcome).clone());
            let output = Output::default();
            let finished = Finished { job, request: one.first(), outcome, value: None, output };
            self.tell(Told::Done(Box::new(finished)));
        }
    }

    /// Lets go whom nobody needs, ends who does not go; gives how long nobody is due.
    fn send_off(
        &mut self,
        now: Time,
        others: [Option<Time>; 3],
        orders: &mut Vec<EngineCommand>,
    ) -> Option<Duration> {
        let mut next = self.dispatcher.next_deadline();
        let mut due = |at: Time| next = Some(next.map_or(at, |next| next.min(at)));
        others.into_iter().flatten().for_each(&mut due);
        self.dismiss_surplus(now, orders);
        for (id, life) in &mut self.lives {
            match life.stage {
                Stage::Idle(since) => {
                    let until = self.terms.idle.map(|limit| since + limit);
                    if self.finished || until.is_some_and(|until| until <= now) {
                        self.idle.retain(|idle| idle != id);
                        life.stage = Stage::Leaving(now + self.grace);
                        orders.push(EngineCommand::Send(
                            *id,
                            MessagesToWorker(vec![(ToWorker::Leave, Body::None)]),
                        ));
                        due(now + self.grace);
                    } else if let Some(until) = until {
                        due(until);
                    }
                }
                Stage::Leaving(until) if life.doomed => due(until.max(now + self.grace)),
                Stage::Leaving(until) if until <= now => {
                    life.doomed = true;
                    orders.push(EngineCommand::KillNow(*id));
                }
                Stage::Leaving(until) => due(until),
                Stage::Starting if self.finished && !life.doomed => {
                    life.doomed = true;
                    orders.push(EngineCommand::Cancel(*id));
                }
                Stage::Starting | Stage::Busy { .. } => {}
            }
        }
        next.map(|at| at.since(now))
    }
}

impl crate::run::reused::Terms {
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
