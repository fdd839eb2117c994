//! The state of one attempt, from the request to start it until nothing of it is left. Has no access to other
//! attempts, takes no slot and decides no verdict.
//!
//! ```text
//!   Starting ----> Running ----> Exited: tree and output may live on ----> over
//!      |              |                     |
//!      '--- Ending: the ladder, begun as soon as there is a process ---'
//! ```
//!
//! *Stage* is what the kernel did, *ending* what psmith does about it; each has its own field, and every event is
//! matched on both. Rules where the two meet:
//!
//! - An attempt that psmith wants to end, but that has no process yet, is ended when it has one: no signal is
//!   requested before `Started`.
//! - The process may end during the ladder while descendants are alive: then the ladder goes on at its own pace. A
//!   shell that dies of the first signal must not cut short the clean-up of the program that it ran.
//! - An attempt that ended by itself has `LEAK_GRACE` for its descendants and its output; then the leak policy
//!   decides.
//! - An exit that was reported before an end was requested is final. Only a timeout may still overrule it, where the
//!   job lasts as long as its descendants (`Leak::Wait`).

use alloc::vec::Vec;
use core::time::Duration;

use super::timers::{Timer, Timers};
use super::verdict::{AttemptFacts, CutReason, ObservedEnd};
use crate::outcome::{AttemptReport, Cause, Evidence, Exit, SpawnFailure, Usage};
use crate::policy::{JobPolicy, LEAK_GRACE, Leak, SIGKILL, UNKILLABLE_AFTER};
use crate::{Action, AttemptId, SlotId, Time};

/// An attempt that has a slot.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) id: AttemptId,
    pub(super) slot: SlotId,
    /// The position in the order of starts.
    pub(super) turn: u64,
    /// The time at which the start was requested; the attempt's clock counts from here.
    pub(super) began: Time,
    pid: u32,
    stage: ProcessStage,
    ending: Option<Termination>,
    /// The timeout, as the deadline was computed from it.
    limit: Duration,
    pub(super) deadline: Option<Time>,
    /// The time of the last sign of life; the start is one.
    beat: Time,
    /// The time of the next check for a sign of life.
    pub(super) idle: Option<Time>,
    /// The time at which it is to be reported as slow; `None` once it has been, or has ended.
    pub(super) slow: Option<Time>,
    pub(super) step: Option<Time>,
    /// The result that its worker reported for its function.
    reported: Option<Result<(), Cause>>,
}

/// The state of the process, as the kernel reports it.
#[derive(Debug)]
enum ProcessStage {
    /// The start was requested.
    Starting,
    /// The process exists.
    Running,
    /// The process has ended.
    Exited(Tail),
    /// The program was never executed.
    NeverRan(SpawnFailure),
}

/// The state of an attempt after its process has ended.
#[derive(Debug)]
struct Tail {
    at: Time,
    exit: Exit,
    usage: Usage,
    evidence: Evidence,
    /// The reason for which psmith had begun to end it by then.
    cut: Option<CutReason>,
    tree: TreeState,
    output: OutputState,
    leaked: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TreeState {
    /// Descendants are alive.
    Alive,
    /// Descendants are being killed.
    Killing,
    /// Descendants are being released.
    Releasing,
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutputState {
    /// A process holds the output open.
    Open,
    /// The driver was asked to stop reading.
    Stopping,
    Closed,
}

/// The state of an end that psmith has begun.
#[derive(Clone, Copy, Debug)]
struct Termination {
    why: CutReason,
    ladder: Ladder,
}

#[derive(Clone, Copy, Debug)]
enum Ladder {
    /// The end is requested, but there is no process yet.
    Before { kill: bool },
    /// The ladder is at this step, to be taken once its time has come.
    Climbing { next: usize },
    /// The kill of the tree was requested.
    Killed,
}

/// The result of an event for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum AttemptStep {
    /// The attempt is not over.
    Alive,
    /// The attempt is over: nothing of it is left.
    Over,
    /// The attempt is not over and cannot be killed.
    Unkillable,
}

/// The context in which an attempt acts: the time, the timers, and the list of actions.
pub(super) struct AttemptContext<'a> {
    pub(super) now: Time,
    pub(super) timers: &'a mut Timers,
    pub(super) actions: &'a mut Vec<Action>,
}

/// The end of a process, as it was reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExitReport {
    pub(super) exit: Exit,
    pub(super) usage: Usage,
    pub(super) evidence: Evidence,
    pub(super) alive: u32,
    pub(super) output_open: bool,
}

impl Attempt {
    pub(super) fn new(id: AttemptId, slot: SlotId, turn: u64, began: Time) -> Attempt {
        Attempt {
            id,
            slot,
            turn,
            began,
            pid: 0,
            stage: ProcessStage::Starting,
            ending: None,
            limit: Duration::ZERO,
            deadline: None,
            beat: began,
            idle: None,
            slow: None,
            step: None,
            reported: None,
        }
    }

    /// Lets the attempt run for `limit` from its start on, unless it is ending already.
    pub(super) fn limit_to(&mut self, limit: Duration, policy: &JobPolicy, timers: &mut Timers) {
        let counts = match &self.stage {
            ProcessStage::Starting | ProcessStage::Running => true,
            ProcessStage::Exited(_) => policy.leak == Leak::Wait,
            ProcessStage::NeverRan(_) => false,
        };
        if counts && self.ending.is_none() && self.deadline.is_none() {
            self.limit = limit;
            timers.set(&mut self.deadline, self.began + limit, Timer::Deadline(self.id));
        }
    }

    /// Ends the attempt if it gives no sign of life for `limit`.
    pub(super) fn watch_idleness(&mut self, limit: Duration, timers: &mut Timers) {
        timers.set(&mut self.idle, self.beat + limit, Timer::Idle(self.id));
    }

    pub(super) fn on_beat(&mut self, now: Time) {
        // The timer is left as it is: most beats are followed by another long before it is due.
        self.beat = now;
    }

    /// Handles the idle timer: checks for a sign of life.
    pub(super) fn on_idle(&mut self, policy: &JobPolicy, context: &mut AttemptContext<'_>) {
        self.idle = None;
        let Some(limit) = policy.idle else { return };
        if self.beat + limit > context.now {
            self.watch_idleness(limit, context.timers);
        } else {
            self.end(CutReason::Idle(limit), false, policy, context);
        }
    }

    pub(super) fn on_started(&mut self, pid: u32, policy: &JobPolicy, context: &mut AttemptContext<'_>) {
        match self.stage {
            ProcessStage::Starting => {}
            ProcessStage::Running | ProcessStage::Exited(_) | ProcessStage::NeverRan(_) => {
                debug_assert!(false, "an attempt gets a process once, before anything else happens to it");
                return;
            }
        }
        self.pid = pid;
        self.beat = context.now;
        self.stage = ProcessStage::Running;
        match self.ending.map(|ending| ending.ladder) {
            None => {}
            Some(Ladder::Before { kill: true }) => self.kill(context),
            Some(Ladder::Before { kill: false }) => self.climb(0, policy, context),
            Some(Ladder::Climbing { .. } | Ladder::Killed) => {
                debug_assert!(false, "the ladder begins when there is a process");
            }
        }
    }

    pub(super) fn on_start_failed(&mut self, failure: SpawnFailure) -> AttemptStep {
        match self.stage {
            ProcessStage::Starting | ProcessStage::Running => {
                self.stage = ProcessStage::NeverRan(failure);
                AttemptStep::Over
            }
            ProcessStage::Exited(_) | ProcessStage::NeverRan(_) => {
                debug_assert!(false, "a start fails before the program runs, and once");
                AttemptStep::Alive
            }
        }
    }

    /// Records the result that a worker reported for its function, unless psmith had begun to end the attempt by then.
    pub(super) fn on_reported(&mut self, verdict: Result<(), Cause>) {
        let counts = match self.ending.map(|ending| ending.why) {
            None | Some(CutReason::Preempted) => true,
            Some(CutReason::Timeout(_) | CutReason::Idle(_) | CutReason::Cancelled) => false,
        };
        if counts && self.reported.is_none() {
            self.reported = Some(verdict);
        }
    }

    pub(super) fn on_exited(
        &mut self,
        report: ExitReport,
        policy: &JobPolicy,
        context: &mut AttemptContext<'_>,
    ) -> AttemptStep {
        match self.stage {
            // A process that ended at once was reported as ended only: a requested end begins here.
            ProcessStage::Starting => self.on_started(0, policy, context),
            ProcessStage::Running => {}
            ProcessStage::Exited(_) | ProcessStage::NeverRan(_) => {
                debug_assert!(false, "each attempt is reaped once");
                return AttemptStep::Alive;
            }
        }
        let ladder = self.ending.map(|ending| ending.ladder);
        let tree = match (report.alive, ladder) {
            (0, _) => TreeState::Empty,
            (_, Some(Ladder::Killed)) => TreeState::Killing,
            (_, None | Some(Ladder::Before { .. } | Ladder::Climbing { .. })) => TreeState::Alive,
        };
        let output = if report.output_open { OutputState::Open } else { OutputState::Closed };
        self.stage = ProcessStage::Exited(Tail {
            at: context.now,
            exit: report.exit,
            usage: report.usage,
            evidence: report.evidence,
            cut: self.ending.map(|ending| ending.why),
            tree,
            output,
            leaked: 0,
        });
        if !self.waits_for_leaks(policy) {
            context.timers.clear(&mut self.deadline, Timer::Deadline(self.id));
            context.timers.clear(&mut self.idle, Timer::Idle(self.id));
            self.slow = None;
        }
        match (tree, output, ladder) {
            (TreeState::Empty, OutputState::Closed, _) => return AttemptStep::Over,
            // The ladder, or the wait for its last step, goes on.
            (TreeState::Killing, _, _) | (TreeState::Alive, _, Some(Ladder::Climbing { .. })) => {}
            (TreeState::Alive | TreeState::Empty | TreeState::Releasing, _, _) => self.grace(context),
        }
        AttemptStep::Alive
    }

    pub(super) fn on_tree_empty(
        &mut self,
        killed: u32,
        policy: &JobPolicy,
        context: &mut AttemptContext<'_>,
    ) -> AttemptStep {
        let waits = self.waits_for_leaks(policy);
        let ProcessStage::Exited(tail) = &mut self.stage else {
            // The group was found empty before its leader's exit was reported. That event will say which descendants
            // are alive.
            return AttemptStep::Alive;
        };
        let before = tail.tree;
        if before == TreeState::Empty {
            // The reply to a kill that crossed the exit.
            return AttemptStep::Alive;
        }
        tail.tree = TreeState::Empty;
        if self.ending.is_none() {
            tail.leaked = tail.leaked.saturating_add(killed);
        }
        match (tail.output, before) {
            (OutputState::Closed, _) => return AttemptStep::Over,
            (OutputState::Stopping, _) => context.timers.clear(&mut self.step, Timer::Step(self.id)),
            (OutputState::Open, _) if waits => context.timers.clear(&mut self.step, Timer::Step(self.id)),
            // The grace of the descendants is running already.
            (OutputState::Open, TreeState::Alive) if self.ending.is_none() => {}
            // Output that the dead process wrote may still be on its way.
            (OutputState::Open, _) => self.grace(context),
        }
        AttemptStep::Alive
    }

    pub(super) fn on_output_closed(&mut self) -> AttemptStep {
        let ProcessStage::Exited(tail) = &mut self.stage else {
            // A process that closes its output may go on. The exit will report the state of both.
            return AttemptStep::Alive;
        };
        tail.output = OutputState::Closed;
        if tail.tree == TreeState::Empty { AttemptStep::Over } else { AttemptStep::Alive }
    }

    /// Takes the next step of the end, which is due.
    pub(super) fn on_step(&mut self, policy: &JobPolicy, context: &mut AttemptContext<'_>) -> AttemptStep {
        self.step = None;
        let ladder = self.ending.map(|ending| ending.ladder);
        match (&mut self.stage, ladder) {
            (ProcessStage::Running, Some(Ladder::Climbing { next })) => self.climb(next, policy, context),
            (ProcessStage::Running, Some(Ladder::Killed)) => return AttemptStep::Unkillable,
            (ProcessStage::Exited(tail), _) => match (tail.tree, ladder) {
                (TreeState::Killing, _) => return AttemptStep::Unkillable,
                (TreeState::Alive, Some(Ladder::Climbing { next })) => self.climb(next, policy, context),
                (TreeState::Alive, None | Some(Ladder::Before { .. } | Ladder::Killed)) => {
                    match policy.leak {
                        Leak::Kill | Leak::Fail => self.kill(context),
                        Leak::Wait => {}
                        Leak::Allow => {
                            tail.tree = TreeState::Releasing;
                            context.actions.push(Action::ReleaseTree { attempt: self.id });
                            // Released descendants may keep the output open for ever.
                            if tail.output == OutputState::Open {
                                tail.output = OutputState::Stopping;
                                context.actions.push(Action::StopReading { attempt: self.id });
                            }
                        }
                    }
                }
                (TreeState::Empty, _) if self.waits_for_leaks(policy) => {}
                (TreeState::Empty, _) => self.stop_reading(context),
                (TreeState::Releasing, _) => {
                    debug_assert!(false, "no timer runs while descendants are let go");
                }
            },
            (ProcessStage::Starting | ProcessStage::NeverRan(_), _)
            | (ProcessStage::Running, None | Some(Ladder::Before { .. })) => {
                debug_assert!(false, "no step is due before an end is wanted and there is a process");
            }
        }
        AttemptStep::Alive
    }

    /// Ends the attempt by its ladder or, if `kill`, at once.
    pub(super) fn end(
        &mut self,
        why: CutReason,
        kill: bool,
        policy: &JobPolicy,
        context: &mut AttemptContext<'_>,
    ) {
        let climbs = match &mut self.ending {
            None => false,
            Some(ending) => {
                // A job that was to run again is now to end; any other reason stays.
                if ending.why == CutReason::Preempted {
                    ending.why = why;
                    if let ProcessStage::Exited(tail) = &mut self.stage {
                        tail.cut = Some(why);
                    }
                }
                true
            }
        };
        match &mut self.stage {
            ProcessStage::Starting => {
                let kill = kill
                    || matches!(self.ending, Some(Termination { ladder: Ladder::Before { kill: true }, .. }));
                let why = self.ending.map_or(why, |ending| ending.why);
                self.ending = Some(Termination { why, ladder: Ladder::Before { kill } });
            }
            ProcessStage::Running => {
                if !climbs {
                    self.ending = Some(Termination { why, ladder: Ladder::Climbing { next: 0 } });
                }
                if kill {
                    self.kill(context);
                } else if !climbs {
                    self.climb(0, policy, context);
                }
            }
            ProcessStage::Exited(tail) => {
                if !climbs {
                    match tail.tree {
                        // Its grace is shorter than any ladder.
                        TreeState::Alive | TreeState::Empty if !kill && policy.leak != Leak::Wait => return,
                        // Its grace is over: the leak policy is being carried out.
                        TreeState::Killing | TreeState::Releasing => return,
                        TreeState::Alive | TreeState::Empty => {}
                    }
                }
                if matches!(why, CutReason::Timeout(_) | CutReason::Idle(_)) && !climbs {
                    tail.cut = Some(why);
                }
                let (tree, output) = (tail.tree, tail.output);
                if !climbs {
                    self.ending = Some(Termination { why, ladder: Ladder::Climbing { next: 0 } });
                }
                match tree {
                    TreeState::Alive if kill => self.kill(context),
                    TreeState::Alive if !climbs => self.climb(0, policy, context),
                    TreeState::Alive | TreeState::Killing | TreeState::Releasing => {}
                    // The last output may still be on its way.
                    TreeState::Empty if output == OutputState::Open && self.step.is_none() => {
                        self.grace(context);
                    }
                    TreeState::Empty => {}
                }
            }
            ProcessStage::NeverRan(_) => debug_assert!(false, "what never ran is over"),
        }
        context.timers.clear(&mut self.deadline, Timer::Deadline(self.id));
        context.timers.clear(&mut self.idle, Timer::Idle(self.id));
    }

    /// Returns whether it could still give way to others.
    pub(super) fn is_at_work(&self) -> bool {
        let has_exited = match self.stage {
            ProcessStage::Starting | ProcessStage::Running => false,
            ProcessStage::Exited(_) | ProcessStage::NeverRan(_) => true,
        };
        !has_exited && self.ending.is_none()
    }

    /// Returns whether its process has ended.
    pub(super) fn has_exited(&self) -> bool {
        match self.stage {
            ProcessStage::Starting | ProcessStage::Running => false,
            ProcessStage::Exited(_) | ProcessStage::NeverRan(_) => true,
        }
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Clears its timers: it is over, or given up.
    pub(super) fn clear_timers(&mut self, timers: &mut Timers) {
        timers.clear(&mut self.deadline, Timer::Deadline(self.id));
        timers.clear(&mut self.idle, Timer::Idle(self.id));
        timers.clear(&mut self.step, Timer::Step(self.id));
    }

    /// Returns the facts about it, for the verdict.
    pub(super) fn facts(&self) -> AttemptFacts {
        let reported = self.reported.clone();
        match &self.stage {
            ProcessStage::Starting | ProcessStage::Running => AttemptFacts {
                cut: self.ending.map(|ending| ending.why),
                end: ObservedEnd::Nothing,
                leaked: 0,
                reported,
            },
            ProcessStage::NeverRan(failure) => AttemptFacts {
                cut: self.ending.map(|ending| ending.why),
                end: ObservedEnd::StartFailed(failure.clone()),
                leaked: 0,
                reported,
            },
            ProcessStage::Exited(tail) => AttemptFacts {
                cut: tail.cut,
                end: ObservedEnd::Exited { exit: tail.exit, usage: tail.usage, evidence: tail.evidence },
                leaked: tail.leaked,
                reported,
            },
        }
    }

    /// Returns the report on it, for the outcome.
    pub(super) fn report(&self, policy: &JobPolicy, now: Time) -> AttemptReport {
        let (exit, usage, leaked, until) = match &self.stage {
            ProcessStage::Starting | ProcessStage::Running | ProcessStage::NeverRan(_) => {
                (None, Usage::default(), 0, now)
            }
            ProcessStage::Exited(tail) => {
                let until = if policy.leak == Leak::Wait { now } else { tail.at };
                (Some(tail.exit), tail.usage, tail.leaked, until)
            }
        };
        AttemptReport { number: self.id.number, pid: self.pid, wall: until - self.began, exit, usage, leaked }
    }

    /// Returns whether the job lasts as long as its descendants and its output.
    fn waits_for_leaks(&self, policy: &JobPolicy) -> bool {
        policy.leak == Leak::Wait && self.ending.is_none()
    }

    fn climb(&mut self, step: usize, policy: &JobPolicy, context: &mut AttemptContext<'_>) {
        match policy.term_seq.steps().get(step) {
            Some(now) if now.signal != SIGKILL => {
                context.actions.push(Action::Signal { attempt: self.id, signal: now.signal });
                context.timers.set(&mut self.step, context.now + now.wait, Timer::Step(self.id));
                if let Some(ending) = &mut self.ending {
                    ending.ladder = Ladder::Climbing { next: step + 1 };
                }
            }
            Some(_) | None => self.kill(context),
        }
    }

    fn kill(&mut self, context: &mut AttemptContext<'_>) {
        if let Some(ending) = &mut self.ending {
            if matches!(ending.ladder, Ladder::Killed) {
                return;
            }
            ending.ladder = Ladder::Killed;
        }
        if let ProcessStage::Exited(tail) = &mut self.stage {
            tail.tree = TreeState::Killing;
        }
        context.actions.push(Action::KillTree { attempt: self.id });
        context.timers.set(&mut self.step, context.now + UNKILLABLE_AFTER, Timer::Step(self.id));
    }

    fn grace(&mut self, context: &mut AttemptContext<'_>) {
        context.timers.set(&mut self.step, context.now + LEAK_GRACE, Timer::Step(self.id));
    }

    /// Stops reading the output: no process of the tree is alive, so one outside of it holds the output open.
    fn stop_reading(&mut self, context: &mut AttemptContext<'_>) {
        let ProcessStage::Exited(tail) = &mut self.stage else {
            debug_assert!(false, "output is given up after the exit");
            return;
        };
        context.timers.clear(&mut self.step, Timer::Step(self.id));
        tail.leaked = tail.leaked.max(1);
        tail.output = OutputState::Stopping;
        context.actions.push(Action::StopReading { attempt: self.id });
    }
}
