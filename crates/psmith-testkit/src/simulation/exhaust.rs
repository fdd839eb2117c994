//! The exhaustive test of a small run: every order of events, up to a depth, with two slots, three jobs of two tries
//! each, one loss of the warden, one stop. After each order the run is driven to its end without further faults. Draws
//! nothing at random.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use psmith_core::outcome::{Evidence, Exit, SpawnFailure, SpawnStep, Usage};
use psmith_core::policy::{Backoff, Halt, JobPolicy, Leak, Order, RunPolicy};
use psmith_core::{Action, AttemptId, Dispatcher, Event, JobId, Time};

use super::reference::Reference;

/// Runs every order of `depth` events; returns the number of runs.
///
/// # Errors
/// The first promise that was broken, with the events that led there.
pub fn exhaust(order: Order, depth: usize) -> Result<u64, String> {
    let mut runs = 0;
    let mut path = Vec::new();
    walk(order, depth, &mut path, &mut runs)?;
    Ok(runs)
}

/// Walks all paths that begin with `path`. Each is walked from the start: a run is its events and nothing else.
fn walk(order: Order, depth: usize, path: &mut Vec<usize>, runs: &mut u64) -> Result<(), String> {
    let mut small = SmallRun::new(order);
    let mut walked = || -> Result<usize, String> {
        small.begin()?;
        for choice in path.iter() {
            let step = small.choices()[*choice].clone();
            small.take(step)?;
        }
        let choices = small.choices().len();
        if path.len() == depth || choices == 0 {
            small.finish()?;
            return Ok(0);
        }
        Ok(choices)
    };
    let choices = walked().map_err(|broken| format!("{broken}\nafter {:#?}", small.taken))?;
    *runs += u64::from(choices == 0);
    for choice in 0..choices {
        path.push(choice);
        walk(order, depth, path, runs)?;
        path.pop();
    }
    Ok(())
}

/// A small run of the dispatcher, with its reference.
struct SmallRun {
    dispatcher: Dispatcher,
    reference: Reference,
    now: Time,
    attempts: BTreeMap<AttemptId, AttemptStage>,
    handed: Vec<JobId>,
    warden: WardenState,
    stopped: bool,
    taken: Vec<ExploredStep>,
}

/// The stage of an attempt; an attempt that is over is not in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AttemptStage {
    Starting,
    Running,
    /// The worker has reported that the function succeeded.
    Reported,
    /// The process has ended, and a descendant is alive.
    Leaking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WardenState {
    NeverLost,
    Lost,
    Back,
}

/// An event that can happen next.
#[derive(Clone, Debug)]
enum ExploredStep {
    Event(Event),
    Timer,
}

impl SmallRun {
    fn new(order: Order) -> SmallRun {
        let run = RunPolicy {
            slots: 2,
            window: 1,
            order,
            queue_max: 3,
            halt: Halt::Never,
            breaker: 0,
            start_gap: Duration::ZERO,
            slow: None,
            seed: 0,
        };
        SmallRun {
            dispatcher: Dispatcher::new(run.clone()),
            reference: Reference::new(&run),
            now: Time::ZERO,
            attempts: BTreeMap::new(),
            handed: Vec::new(),
            warden: WardenState::NeverLost,
            stopped: false,
            taken: Vec::new(),
        }
    }

    fn begin(&mut self) -> Result<(), String> {
        let backoff = Backoff { first: Duration::from_millis(10), max: None };
        let policy = Arc::new(JobPolicy { tries: 2, backoff, leak: Leak::Fail, ..JobPolicy::default() });
        for job in (1..=3).map(JobId) {
            self.take(ExploredStep::Event(Event::Accepted { job, policy: Arc::clone(&policy) }))?;
        }
        self.take(ExploredStep::Event(Event::SourceEnded))
    }

    /// Returns the events that can happen now, those without faults first.
    fn choices(&self) -> Vec<ExploredStep> {
        let mut kind = Vec::new();
        let mut unkind = Vec::new();
        for (&attempt, stage) in &self.attempts {
            match stage {
                AttemptStage::Starting => {
                    kind.push(Event::Started { attempt, pid: 1 });
                    unkind.push(Event::StartRefused { attempt, failure: refusal() });
                }
                AttemptStage::Running => {
                    kind.push(exited(attempt, 0, 0));
                    unkind.push(exited(attempt, 1, 0));
                    unkind.push(exited(attempt, 0, 1));
                    unkind.push(Event::Reported { attempt, verdict: Ok(()) });
                }
                // However its process ends, it has succeeded.
                AttemptStage::Reported => {
                    kind.push(exited(attempt, 0, 0));
                    unkind.push(exited(attempt, 1, 0));
                }
                AttemptStage::Leaking => kind.push(Event::TreeEmpty { attempt, killed: 1 }),
            }
        }
        kind.extend(self.handed.first().map(|job| Event::Delivered(*job)));
        match self.warden {
            WardenState::NeverLost => unkind.push(Event::WardenLost),
            WardenState::Lost => kind.push(Event::WardenReady),
            WardenState::Back => {}
        }
        if !self.stopped {
            unkind.push(Event::Stop);
        }
        let timer = self.dispatcher.next_deadline().map(|_| ExploredStep::Timer);
        kind.into_iter()
            .map(ExploredStep::Event)
            .chain(timer)
            .chain(unkind.into_iter().map(ExploredStep::Event))
            .collect()
    }

    fn take(&mut self, step: ExploredStep) -> Result<(), String> {
        self.taken.push(step.clone());
        let mut actions = Vec::new();
        match step {
            ExploredStep::Timer => {
                self.now = self.now.max(self.dispatcher.next_deadline().ok_or("no timer runs")?);
                self.dispatcher.handle_timers(self.now, &mut actions);
            }
            ExploredStep::Event(event) => {
                self.happens(&event);
                self.reference.observe(&event);
                self.dispatcher.handle(event, self.now, &mut actions);
            }
        }
        let attempts = &mut self.attempts;
        for action in &actions {
            let is_alive = |attempt| attempts.contains_key(&attempt);
            self.reference
                .judge(action, self.now, &is_alive)
                .map_err(|broken| format!("{broken}; {action:?}"))?;
            match action {
                Action::Start { attempt, .. } => drop(attempts.insert(*attempt, AttemptStage::Starting)),
                Action::Deliver { job } => self.handed.push(*job),
                Action::Signal { .. }
                | Action::KillTree { .. }
                | Action::ReleaseTree { .. }
                | Action::StopReading { .. }
                | Action::Discard { .. }
                | Action::Head { .. }
                | Action::End { .. }
                | Action::Notice(_)
                | Action::Finish => {}
            }
        }
        self.dispatcher.check();
        self.reference.judge_rest(self.dispatcher.counts().ready, self.now, &|attempt| {
            self.attempts.contains_key(&attempt)
        })
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Started { attempt, .. } => {
                let _ = self.attempts.insert(*attempt, AttemptStage::Running);
            }
            Event::Exited { attempt, alive: 1.., .. } => {
                let _ = self.attempts.insert(*attempt, AttemptStage::Leaking);
            }
            Event::Reported { attempt, .. } => {
                let _ = self.attempts.insert(*attempt, AttemptStage::Reported);
            }
            Event::StartRefused { attempt, .. }
            | Event::Exited { attempt, .. }
            | Event::TreeEmpty { attempt, .. } => drop(self.attempts.remove(attempt)),
            Event::WardenLost => {
                self.attempts.clear();
                self.warden = WardenState::Lost;
            }
            Event::WardenReady => self.warden = WardenState::Back,
            Event::Stop => self.stopped = true,
            Event::Delivered(job) => self.handed.retain(|handed| handed != job),
            _ => {}
        }
    }

    /// Drives the run to its end without further faults: it must end.
    fn finish(&mut self) -> Result<(), String> {
        for _ in 0..200 {
            if self.reference.finished {
                return Ok(());
            }
            let Some(kindest) = self.choices().into_iter().next() else {
                return Err("nothing can happen, and the run is not over".into());
            };
            self.take(kindest)?;
        }
        Err("the run does not come to its end".into())
    }
}

fn refusal() -> SpawnFailure {
    SpawnFailure { step: SpawnStep::Clone, errno: 11, detail: String::new(), permanent: false }
}

fn exited(attempt: AttemptId, code: i32, alive: u32) -> Event {
    let (usage, evidence) = (Usage::default(), Evidence::default());
    Event::Exited { attempt, exit: Exit::Code(code), usage, evidence, alive, output_open: false }
}
