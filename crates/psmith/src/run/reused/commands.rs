//! Commands beside workers that stay: each attempt at one is a job of the engine's for itself, with a process of its own.
//! So is each attempt at a function that has limits for itself, whose process is a worker for this one job.
//!
//! To the desk's dispatcher it is an attempt like any other: slot, deadline, tries and ladder are kept there. Here is what
//! differs: no worker is waited for, nothing is said by letters, and what the process comes to is the attempt's end.
//!
//! Workers that have nothing to do stay meanwhile, because what they keep between jobs may be dear. So the engine is given
//! room for as many commands as workers; where it has not that much, idle workers leave as commands wait.

use std::collections::VecDeque;
use std::sync::Arc;

use psmith_core::outcome::{Cause, Outcome, SpawnFailure};
use psmith_core::{AttemptId, Event, JobId};

use crate::job::command_job::attempted;
use crate::run::reused::{Life, Stage, WarmDesk};
use crate::run::single_use::refused;
use psmith_engine::channel::frame::Body;
use psmith_engine::channel::messages::{Errand, ToWorker};
use psmith_engine::command::{Launch, Numbers, WorkerStart};
use psmith_engine::handler::{EngineCommand, HandlerReply, Pull, View};
use psmith_engine::limits::LimitsInForce;

/// What a job of the engine is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A worker's life.
    Worker,
    /// The life of a process for one attempt alone, by its number.
    Command(JobId),
}

/// An attempt at a command, and its limit of memory.
pub(crate) type Wanted = (AttemptId, Option<u64>);

impl WarmDesk {
    /// An attempt at a command wants its process.
    pub(crate) fn want_command(&mut self, wanted: Wanted, orders: &mut Vec<EngineCommand>) {
        if self.commands.is_none() {
            self.commands = Some(VecDeque::new());
            orders.push(EngineCommand::Width(self.width()));
        }
        self.commands.get_or_insert_default().push_back(wanted);
        // The engine asks when it is woken.
        self.shared.waker.wake();
    }

    /// How many lives the engine is to have room for.
    pub(crate) fn width(&self) -> u32 {
        if self.commands.is_some() { self.lives_max.saturating_mul(2) } else { self.lives_max }
    }

    pub(crate) fn pull_command(&mut self) -> Option<Pull<Kind>> {
        let (attempt, memory_bytes) = self.commands.as_mut()?.pop_front()?;
        self.pulled += 1;
        let life = JobId(self.pulled);
        self.lives.insert(life, Life::of_command(attempt));
        if let Some(held) = self.jobs.get_mut(&attempt.job) {
            held.life = Some(life);
        }
        let mut policy = Arc::clone(&self.life_policy);
        if let Some(own) = self.limits_of(Kind::Command(life)) {
            Arc::make_mut(&mut policy).limits = own.named;
        }
        if policy.limits.memory_bytes != memory_bytes {
            Arc::make_mut(&mut policy).limits.memory_bytes = memory_bytes;
        }
        Some(Pull::Job(Kind::Command(life), policy))
    }

    /// Limits that the job of this life has for itself.
    pub(crate) fn limits_of(&self, kind: Kind) -> Option<Arc<LimitsInForce>> {
        let Kind::Command(life) = kind else { return None };
        let attempt = self.lives.get(&life)?.attempt()?;
        self.jobs.get(&attempt.job)?.request.limits().cloned()
    }

    /// The worker of one job gets it.
    pub(crate) fn greet_alone(&mut self, life: JobId, mail: &mut HandlerReply) {
        let Some((attempt, held)) = self.job_of(life) else { return };
        let Ok(function) = held.request.callee.function.clone() else { return };
        let errand = Errand {
            job: held.index + 1,
            index: held.index,
            attempt: attempt.number,
            slot: held.slot.0,
            function,
            last: true,
            scratch: held.request.scratch(attempt.number),
        };
        mail.messages.push((ToWorker::Job(errand), Body::Shared(Arc::clone(&held.request.input))));
    }

    pub(crate) fn launch_command(&mut self, life: JobId) -> Result<Launch, SpawnFailure> {
        let Some((attempt, held)) = self.job_of(life) else { return Err(refused("its job is over".into())) };
        held.value = None;
        if held.request.command.is_none() {
            return Ok(Launch::Worker(WorkerStart { single: true, ..self.worker.clone() }));
        }
        let told = Numbers { job: Some(held.index + 1), place: Some((held.slot.0, attempt.number)) };
        let command = held.request.command_of(told);
        let scratch = held.request.scratch(attempt.number);
        // It cannot tell that it begins a run.
        self.budget.share();
        let command = command.ok_or_else(|| refused("it is no command".into()))?;
        attempted(command, scratch).map(Launch::Command)
    }

    /// The process of a command exists.
    pub(crate) fn on_command_started(&mut self, life: JobId, pid: u32) {
        if let Some((attempt, held)) = self.job_of(life)
            && !std::mem::replace(&mut held.has_process, true)
        {
            self.events.push_back(Event::Started { attempt, pid });
        }
    }

    pub(crate) fn on_command_ended(&mut self, life: JobId, outcome: &Outcome) {
        let Some(mut life) = self.take_life(life) else { return };
        let Some(attempt) = life.attempt() else { return };
        let Some(held) = self.jobs.get_mut(&attempt.job) else { return };
        held.output = life.take_output();
        held.life = None;
        let is_known = std::mem::replace(&mut held.has_process, true);
        let last = outcome.last.as_ref();
        match (&outcome.verdict, last.and_then(|last| last.exit)) {
            // Also of a process that has been told of: exec comes last.
            (Err(Cause::SpawnFailed(failure)), None) => {
                self.events.push_back(Event::StartFailed { attempt, failure: failure.clone() });
            }
            (verdict, Some(exit)) => {
                let (pid, usage) = last.map(|last| (last.pid, last.usage)).unwrap_or_default();
                held.pid = pid;
                if !is_known {
                    self.events.push_back(Event::Started { attempt, pid });
                }
                self.events.push_back(Event::Reported { attempt, verdict: verdict.clone() });
                self.over(attempt, exit, usage);
            }
            // Nobody saw its end, or it was ended before it began.
            (_, None) => self.events.push_back(Event::Vanished { attempt }),
        }
    }

    /// Attempts at commands that are about to be ended and have no process: to the dispatcher they come into being and end,
    /// because an end that was asked for waits for a process.
    pub(crate) fn give_up_commands(&mut self, which: impl Fn(JobId) -> bool) {
        let queued = self.commands.iter().flatten().map(|(attempt, _)| *attempt);
        let handed_on = self.lives.values().filter(|life| life.command.is_some()).filter_map(Life::attempt);
        let attempts: Vec<AttemptId> = queued.chain(handed_on).filter(|attempt| which(attempt.job)).collect();
        for attempt in attempts {
            if let Some(held) = self.jobs.get_mut(&attempt.job)
                && !std::mem::replace(&mut held.has_process, true)
            {
                self.events.push_back(Event::Started { attempt, pid: 0 });
            }
        }
    }

    /// An attempt was ended before the engine knew it.
    pub(crate) fn forget_command(&mut self, attempt: AttemptId) {
        if let Some(commands) = &mut self.commands {
            commands.retain(|(waiting, _)| *waiting != attempt);
        }
    }

    pub(crate) fn is_command(&self, life: JobId) -> bool {
        self.lives.get(&life).is_some_and(|life| life.command.is_some())
    }

    /// So many workers may live; only where commands have widened the engine it does not see to that by itself.
    pub(crate) fn room_for_workers(&self) -> usize {
        match self.commands {
            None => usize::MAX,
            Some(_) => {
                let workers = self.lives.values().filter(|life| life.command.is_none()).count();
                (self.lives_max as usize).saturating_sub(workers)
            }
        }
    }

    /// Lets idle workers go for commands that find no room; those first that have been idle longest. Before a turn, because
    /// what that turn wants of the engine has not been done at its end.
    pub(crate) fn make_room(&mut self, view: &View<'_>, orders: &mut Vec<EngineCommand>) {
        let Some(queued) = self.commands.as_ref().map(|commands| commands.len()) else { return };
        let (mut staying, mut waiting) = (queued, queued);
        for life in self.lives.values() {
            staying += usize::from(!matches!(life.stage, Stage::Leaving(_)));
            waiting += usize::from(life.command.is_some() && life.pid == 0);
        }
        let surplus = staying.saturating_sub(view.dispatcher.width() as usize).min(waiting);
        self.dismiss(surplus, view.now, orders);
    }
}
