//! The world around the dispatcher, and the loop that turns one into the other. The clock jumps to the next event of
//! the kernel or the dispatcher's next timer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use psmith_core::event::HoldReason;
use psmith_core::{Action, Dispatcher, Event, JobId, Time};

use super::generator::Generator;
use super::kernel::{Kernel, KernelEvent, KernelEvents};
use super::reference::Reference;
use super::scenario::Scenario;
use super::{FAULTS_END, SimulationReport};

/// The maximum number of steps; no run of the sizes that are drawn needs more.
const STEPS_MAX: u64 = 100_000;

/// A run and everything around it.
#[derive(Debug)]
pub(super) struct World {
    seed: u64,
    generator: Generator,
    drawn: Scenario,
    dispatcher: Dispatcher,
    reference: Reference,
    kernel: Kernel,
    now: Time,
    agenda: BTreeMap<(Time, u64), NextEvent>,
    scheduled: u64,
    report: SimulationReport,
    offered: u64,
    warden_lives: bool,
    source_ended: bool,
    stopping: bool,
}

/// The next event around the dispatcher.
#[derive(Clone, Debug)]
enum NextEvent {
    Deed(KernelEvent),
    Producer,
    User,
    WardenDies,
    WardenReady,
    FaultsEnd,
    Delivered(JobId),
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        let mut generator = Generator::new(seed);
        let drawn = Scenario::draw(&mut generator);
        World {
            seed,
            dispatcher: Dispatcher::new(drawn.run.clone()),
            reference: Reference::new(&drawn.run),
            drawn,
            generator,
            kernel: Kernel::default(),
            now: Time::ZERO,
            agenda: BTreeMap::new(),
            scheduled: 0,
            report: SimulationReport { actions: Vec::new(), steps: 0, ends: Vec::new() },
            offered: 0,
            warden_lives: true,
            source_ended: false,
            stopping: false,
        }
    }

    pub(super) fn run(mut self) -> Result<SimulationReport, String> {
        let outcome = self.go();
        match outcome {
            Ok(()) => Ok(self.report),
            Err(broken) => Err(format!("seed {} at {:?}: {broken}", self.seed, self.now.0)),
        }
    }

    fn go(&mut self) -> Result<(), String> {
        if self.drawn.total_known {
            self.feed(Event::TotalKnown(self.drawn.jobs))?;
        }
        self.plan(Duration::ZERO, NextEvent::Producer);
        self.plan(FAULTS_END, NextEvent::FaultsEnd);
        for _ in 0..self.drawn.user_deeds {
            let when = self.generator.time(self.drawn.longest * 8);
            self.plan(when, NextEvent::User);
        }
        for _ in 0..self.drawn.warden_losses {
            let when = self.generator.time(self.drawn.longest * 4);
            self.plan(when, NextEvent::WardenDies);
        }
        while !self.reference.finished {
            self.report.steps += 1;
            if self.report.steps > STEPS_MAX {
                return Err("the run does not come to its end".into());
            }
            let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let due = self.dispatcher.next_deadline();
            match (planned, due) {
                (None, None) => {
                    return Err("nothing is left that could happen, and the run is not over".into());
                }
                (planned, Some(due)) if planned.is_none_or(|planned| due <= planned) => {
                    self.now = self.now.max(due);
                    let mut actions = Vec::new();
                    self.dispatcher.handle_timers(self.now, &mut actions);
                    if self.dispatcher.next_deadline().is_some_and(|next| next <= self.now) {
                        return Err("a timer that was handled is due again at once".into());
                    }
                    self.carry_out(actions)?;
                }
                (_, _) => {
                    let ((at, _), next) = self.agenda.pop_first().expect("it was looked at");
                    self.now = self.now.max(at);
                    self.happen(next)?;
                }
            }
        }
        self.settle_accounts()
    }

    fn happen(&mut self, next: NextEvent) -> Result<(), String> {
        match next {
            NextEvent::Deed(deed) => {
                let (event, deeds) = match deed {
                    KernelEvent::Exit(attempt, by) => self.kernel.exit(attempt, by),
                    KernelEvent::TreeEnds(attempt, by_us) => self.kernel.tree_ends(attempt, by_us),
                    KernelEvent::OutputEnds(attempt) => (self.kernel.output_ends(attempt), Vec::new()),
                    KernelEvent::Vanish(attempt) => self.kernel.vanish(attempt),
                    KernelEvent::Report(event) => (self.kernel.report(event), Vec::new()),
                };
                self.plan_all(deeds);
                event.map_or(Ok(()), |event| self.feed(event))
            }
            NextEvent::Producer => self.produce(),
            NextEvent::User => self.user_does_something(),
            NextEvent::WardenDies => {
                if !self.warden_lives || self.now.0 >= FAULTS_END {
                    return Ok(());
                }
                self.warden_lives = false;
                self.kernel.lose_all();
                let away = self.generator.time(50);
                self.plan(away, NextEvent::WardenReady);
                self.feed(Event::WardenLost)?;
                // Reports that were being sent may still come in, late; replies to new starts may not.
                let late = self.generator.chance(50);
                self.agenda.retain(|_, next| late || !matches!(next, NextEvent::Deed(_)));
                Ok(())
            }
            NextEvent::WardenReady => {
                self.warden_lives = true;
                self.feed(Event::WardenReady)
            }
            NextEvent::FaultsEnd => {
                for reason in [HoldReason::Paused, HoldReason::Events, HoldReason::Load, HoldReason::Memory] {
                    self.feed(Event::Hold { reason, on: false })?;
                }
                Ok(())
            }
            NextEvent::Delivered(job) => self.feed(Event::Delivered(job)),
        }
    }

    fn produce(&mut self) -> Result<(), String> {
        // One job may be in transit when a drain begins.
        let slips_through = self.stopping && !self.source_ended && self.generator.chance(30);
        while self.offered < self.drawn.jobs && (self.dispatcher.wants_job() || slips_through) {
            self.offered += 1;
            let policy = self.generator.one_of(&self.drawn.policies);
            let job = self.dispatcher.next_job();
            self.feed(Event::Accepted { job, policy: Arc::clone(&policy) })?;
            if slips_through || self.generator.chance(20) {
                break;
            }
        }
        if !self.source_ended && (self.offered == self.drawn.jobs || self.stopping) {
            self.source_ended = true;
            self.feed(Event::SourceEnded)?;
        }
        if !self.source_ended {
            let soon = Duration::from_millis(1) + self.generator.time(20);
            self.plan(soon, NextEvent::Producer);
        }
        Ok(())
    }

    fn user_does_something(&mut self) -> Result<(), String> {
        if self.now.0 >= FAULTS_END {
            return Ok(());
        }
        let on = self.generator.chance(50);
        let event = match self.generator.below(30) {
            0..=5 => Event::Slots(self.generator.below(7) as u32),
            6..=7 => Event::Hold { reason: HoldReason::Paused, on },
            8 => Event::Hold { reason: HoldReason::Events, on },
            9..=11 => Event::Hold { reason: HoldReason::Load, on },
            12..=14 => Event::Hold { reason: HoldReason::Memory, on },
            15..=20 => Event::Preempt,
            21..=26 => Event::Cancel(JobId(self.generator.below(self.offered + 2))),
            27 => Event::Drain,
            28 => Event::Stop,
            _ => Event::Kill,
        };
        self.feed(event)
    }

    /// Feeds an event, and everything that its actions lead to at once.
    fn feed(&mut self, event: Event) -> Result<(), String> {
        self.stopping |= matches!(event, Event::Drain | Event::Stop | Event::Kill);
        self.reference.observe(&event);
        let mut actions = Vec::new();
        self.dispatcher.handle(event, self.now, &mut actions);
        self.carry_out(actions)
    }

    fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), String> {
        for action in actions {
            self.reference
                .judge(&action, self.now, &|attempt| self.kernel.is_alive(attempt))
                .map_err(|broken| format!("{broken}; {action:?}"))?;
            self.act(&action);
            self.report.actions.push(action);
        }
        self.dispatcher.check();
        self.reference
            .judge_rest(self.dispatcher.counts().ready, self.now, &|attempt| self.kernel.is_alive(attempt))
    }

    fn act(&mut self, action: &Action) {
        let faults = self.now.0 < FAULTS_END;
        let deeds = match action {
            Action::Start { attempt, .. } => {
                self.kernel.start(*attempt, &self.drawn, faults, &mut self.generator)
            }
            Action::Signal { attempt, signal } => self.kernel.signal(*attempt, *signal, &mut self.generator),
            Action::KillTree { attempt } => self.kernel.kill(*attempt, &mut self.generator),
            Action::ReleaseTree { attempt } => self.kernel.release(*attempt, &mut self.generator),
            Action::StopReading { attempt } => self.kernel.stop_reading(*attempt, &mut self.generator),
            Action::Deliver { job } => {
                let after = self.generator.time(self.drawn.consumer);
                self.plan(after, NextEvent::Delivered(*job));
                Vec::new()
            }
            Action::End { outcome, .. } => {
                let word = outcome.verdict.as_ref().map_or_else(|cause| cause.kind().word(), |()| "ok");
                self.report.ends.push(word);
                Vec::new()
            }
            Action::Notice(psmith_core::Notice::Halted { .. } | psmith_core::Notice::Broken { .. }) => {
                self.stopping = true;
                Vec::new()
            }
            Action::Discard { .. } | Action::Head { .. } | Action::Notice(_) | Action::Finish => Vec::new(),
        };
        self.plan_all(deeds);
    }

    /// Checks that the counts at the end are those of the reference, and that nothing is left.
    fn settle_accounts(&self) -> Result<(), String> {
        let counts = self.dispatcher.counts();
        let own = (counts.accepted, counts.ok, counts.failed, counts.cancelled);
        let reference = &self.reference;
        let true_ones = (self.offered, reference.ok, reference.failed, reference.cancelled);
        if own != true_ones {
            return Err(format!("counts are {own:?}, not {true_ones:?}"));
        }
        if counts.running + counts.ready + counts.delayed + counts.undelivered > 0 {
            return Err(format!("something is left at the end: {counts:?}"));
        }
        match self.dispatcher.next_deadline() {
            Some(due) => Err(format!("a timer is left at the end: {due:?}")),
            None => Ok(()),
        }
    }

    fn plan_all(&mut self, deeds: KernelEvents) {
        for (after, deed) in deeds {
            self.plan(after, NextEvent::Deed(deed));
        }
    }

    fn plan(&mut self, after: Duration, next: NextEvent) {
        self.scheduled += 1;
        self.agenda.insert((self.now + after, self.scheduled), next);
    }
}
