//! The simulated processes: what they do by themselves, and what they do when they are asked to end. Has no access to
//! jobs, tries or outcomes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use psmith_core::outcome::{Evidence, Exit, SpawnFailure, SpawnStep, Usage};
use psmith_core::{AttemptId, Cause, Event};

use super::generator::Generator;
use super::scenario::Scenario;

const KILLED: Exit = Exit::Signal { signal: 9, core_dumped: false };

/// The processes that are alive, or leave something behind.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    processes: BTreeMap<AttemptId, SimulatedProcess>,
    /// Attempts whose keeper died: it reports nothing any more.
    silenced: BTreeSet<AttemptId>,
}

/// The process of an attempt, as the kernel has it.
#[derive(Debug)]
struct SimulatedProcess {
    exit: Exit,
    /// The number of processes killed because memory ran out.
    oom_kills: u64,
    has_exited: bool,
    /// The number of descendants that outlive it.
    tree: u32,
    /// The time that they live by themselves.
    tree_lives: Duration,
    output: StreamHolder,
    ignores_signals: bool,
    /// The time that a kill takes.
    dies_after: Duration,
    /// True if it was killed and hangs in the kernel: until it dies of that, nothing else happens to it.
    hangs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamHolder {
    /// The output is not held open after the exit.
    Nobody,
    Tree,
    /// A process outside of the tree holds the output open, for this long.
    Outsider(Duration),
}

/// An event in the kernel that comes after a while.
#[derive(Clone, Debug)]
pub(super) enum KernelEvent {
    /// The process ends, by itself or by a signal.
    Exit(AttemptId, Option<Exit>),
    /// The descendants end; true if they were killed or released.
    TreeEnds(AttemptId, bool),
    /// The output is not held open any more, or not read any more.
    OutputEnds(AttemptId),
    /// The keeper of this attempt is gone, and the attempt with it.
    Vanish(AttemptId),
    /// A report is delivered.
    Report(Event),
}

/// Events, each with the time until it comes.
pub(super) type KernelEvents = Vec<(Duration, KernelEvent)>;

impl Kernel {
    pub(super) fn start(
        &mut self,
        attempt: AttemptId,
        drawn: &Scenario,
        faults: bool,
        generator: &mut Generator,
    ) -> KernelEvents {
        let percent = |percent: u64| if faults { percent } else { 0 };
        // In a run without faults a job takes no time, so that it meets any deadline.
        let (latency, life) =
            if faults { (generator.time(3), generator.time(drawn.longest)) } else { Default::default() };
        if generator.chance(percent(drawn.refused)) {
            return vec![(
                latency,
                KernelEvent::Report(Event::StartRefused { attempt, failure: failure(false) }),
            )];
        }
        let pid = (attempt.job.0 * 100 + u64::from(attempt.number)) as u32;
        let mut deeds = Vec::new();
        let fails = generator.chance(percent(drawn.start_fails));
        if !fails || generator.chance(50) {
            deeds.push((latency, KernelEvent::Report(Event::Started { attempt, pid })));
        }
        if fails {
            let failure = failure(generator.chance(30));
            deeds.push((
                latency + generator.time(2),
                KernelEvent::Report(Event::StartFailed { attempt, failure }),
            ));
        }
        let leaks = generator.chance(percent(drawn.leaks));
        let tree = if leaks { generator.below(3) as u32 } else { 0 };
        let process = SimulatedProcess {
            exit: match generator.chance(percent(drawn.job_fails)) {
                false => Exit::Code(0),
                true if generator.chance(30) => Exit::Signal { signal: 11, core_dumped: true },
                true => Exit::Code(generator.one_of(&[1, 2, 75])),
            },
            oom_kills: u64::from(generator.chance(percent(drawn.job_fails / 2))),
            has_exited: false,
            tree,
            tree_lives: Duration::from_millis(generator.one_of(&[5, 90, 100, 101, 3000])),
            output: match generator.below(3) {
                0 if leaks && tree > 0 => StreamHolder::Tree,
                1 if leaks => {
                    StreamHolder::Outsider(Duration::from_millis(generator.one_of(&[5, 100, 5000])))
                }
                _ => StreamHolder::Nobody,
            },
            ignores_signals: generator.chance(percent(drawn.stubborn)),
            dies_after: match generator.chance(percent(drawn.unkillable)) {
                true => Duration::from_millis(generator.one_of(&[9_999, 10_001, 25_000])),
                false => generator.time(4),
            },
            hangs: false,
        };
        if !fails {
            deeds.push((latency + life, KernelEvent::Exit(attempt, None)));
            if generator.chance(drawn.workers) {
                // Perhaps before the event of its start, perhaps at the very end, now and then a second time.
                for _ in 0..=u64::from(generator.chance(percent(10))) {
                    let verdict = reported_result(generator.chance(percent(drawn.job_fails)), generator);
                    let after =
                        if faults { generator.time((latency + life).as_millis() as u64) } else { latency };
                    deeds.push((after, KernelEvent::Report(Event::Reported { attempt, verdict })));
                }
            }
            if generator.chance(percent(drawn.vanishing)) {
                // Before the start was reported, while it is running, or long after a kill that did not work.
                let within = generator.one_of(&[4, drawn.longest, drawn.longest, 20_000]);
                deeds.push((generator.time(within), KernelEvent::Vanish(attempt)));
            }
            self.processes.insert(attempt, process);
        }
        deeds
    }

    /// Ends the process now; returns the report, and the events that follow.
    pub(super) fn exit(&mut self, attempt: AttemptId, by: Option<Exit>) -> (Option<Event>, KernelEvents) {
        let Some(process) = self.processes.get_mut(&attempt).filter(|process| !process.has_exited) else {
            return (None, Vec::new());
        };
        if process.hangs && by != Some(KILLED) {
            return (None, Vec::new());
        }
        process.has_exited = true;
        let mut deeds = Vec::new();
        if process.tree > 0 {
            deeds.push((process.tree_lives, KernelEvent::TreeEnds(attempt, false)));
        }
        if let StreamHolder::Outsider(time) = process.output {
            deeds.push((time, KernelEvent::OutputEnds(attempt)));
        }
        let event = Event::Exited {
            attempt,
            exit: by.unwrap_or(process.exit),
            usage: Usage::default(),
            evidence: Evidence { oom_kills: process.oom_kills, ..Evidence::default() },
            alive: process.tree,
            output_open: process.output != StreamHolder::Nobody,
        };
        (Some(event), deeds)
    }

    /// Ends or releases the descendants now.
    pub(super) fn tree_ends(&mut self, attempt: AttemptId, by_us: bool) -> (Option<Event>, KernelEvents) {
        let Some(process) = self.processes.get_mut(&attempt).filter(|process| process.has_exited) else {
            return (None, Vec::new());
        };
        if process.hangs && !by_us {
            return (None, Vec::new());
        }
        let were = std::mem::take(&mut process.tree);
        let deeds = match process.output {
            StreamHolder::Tree => vec![(Duration::from_millis(1), KernelEvent::OutputEnds(attempt))],
            StreamHolder::Nobody | StreamHolder::Outsider(_) => Vec::new(),
        };
        // The reply to a kill comes also if no descendant was left.
        let event =
            (were > 0 || by_us).then_some(Event::TreeEmpty { attempt, killed: if by_us { were } else { 0 } });
        (event, deeds)
    }

    /// Ends the keeper. The processes that it held die by their parent-death signal or are swept by the warden: before
    /// the exit the end of the attempt is not observed, after it the rest of the tree is gone.
    pub(super) fn vanish(&mut self, attempt: AttemptId) -> (Option<Event>, KernelEvents) {
        match self.processes.get_mut(&attempt) {
            Some(process) if process.has_exited => {
                process.hangs = false;
                self.tree_ends(attempt, false)
            }
            Some(_) => {
                self.processes.remove(&attempt);
                self.silenced.insert(attempt);
                (Some(Event::Vanished { attempt }), Vec::new())
            }
            None => (None, Vec::new()),
        }
    }

    /// Returns the report on a start, or of a worker, if it is delivered.
    pub(super) fn report(&self, event: Event) -> Option<Event> {
        let gets_through = match &event {
            Event::Started { attempt, .. } => !self.silenced.contains(attempt),
            // A dead process reports nothing, nor does one that hangs.
            Event::Reported { attempt, .. } => {
                self.processes.get(attempt).is_some_and(|process| !process.has_exited && !process.hangs)
            }
            _ => true,
        };
        gets_through.then_some(event)
    }

    pub(super) fn output_ends(&mut self, attempt: AttemptId) -> Option<Event> {
        let process = self.processes.get_mut(&attempt)?;
        let was_open = std::mem::replace(&mut process.output, StreamHolder::Nobody) != StreamHolder::Nobody;
        was_open.then_some(Event::OutputClosed { attempt })
    }

    pub(super) fn signal(
        &mut self,
        attempt: AttemptId,
        signal: i32,
        generator: &mut Generator,
    ) -> KernelEvents {
        match self.processes.get(&attempt) {
            Some(process) if process.ignores_signals => Vec::new(),
            Some(process) if process.has_exited => {
                vec![(generator.time(80), KernelEvent::TreeEnds(attempt, false))]
            }
            Some(_) => {
                let exit = generator.one_of(&[
                    Exit::Signal { signal, core_dumped: false },
                    Exit::Code(0),
                    Exit::Code(9),
                ]);
                vec![(generator.time(80), KernelEvent::Exit(attempt, Some(exit)))]
            }
            None => Vec::new(),
        }
    }

    pub(super) fn kill(&mut self, attempt: AttemptId, generator: &mut Generator) -> KernelEvents {
        let Some(process) = self.processes.get_mut(&attempt) else { return Vec::new() };
        process.hangs = true;
        vec![
            (process.dies_after, KernelEvent::Exit(attempt, Some(KILLED))),
            (process.dies_after + generator.time(2), KernelEvent::TreeEnds(attempt, true)),
        ]
    }

    pub(super) fn release(&mut self, attempt: AttemptId, generator: &mut Generator) -> KernelEvents {
        vec![(generator.time(2), KernelEvent::TreeEnds(attempt, true))]
    }

    pub(super) fn stop_reading(&mut self, attempt: AttemptId, generator: &mut Generator) -> KernelEvents {
        vec![(generator.time(2), KernelEvent::OutputEnds(attempt))]
    }

    /// Ends every process with its warden, without a report.
    pub(super) fn lose_all(&mut self) {
        self.processes.clear();
    }

    /// Returns whether a process of the attempt is alive.
    pub(super) fn is_alive(&self, attempt: AttemptId) -> bool {
        self.processes.get(&attempt).is_some_and(|process| !process.has_exited || process.tree > 0)
    }
}

/// Returns the result that a worker reports for its function.
fn reported_result(fails: bool, generator: &mut Generator) -> Result<(), Cause> {
    match fails {
        false => Ok(()),
        true if generator.chance(30) => Err(Cause::Protocol("no frame".into())),
        true => Err(Cause::Error("its own".into())),
    }
}

fn failure(permanent: bool) -> SpawnFailure {
    SpawnFailure { step: SpawnStep::Exec, errno: 2, detail: String::new(), permanent }
}
