//! The test harness: feeds events, and keeps the requested actions until the test has named them.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::outcome::{Evidence, Exit, SpawnFailure, SpawnStep, Usage};
use crate::policy::{Halt, JobPolicy, Order, RunPolicy};
use crate::{Action, AttemptId, Cause, Dispatcher, Event, JobId, Notice, Outcome, SlotId, Time};

pub(super) fn run_policy(slots: u32) -> RunPolicy {
    RunPolicy {
        slots,
        window: 100,
        order: Order::Completion,
        queue_max: 8,
        halt: Halt::Never,
        breaker: 0,
        start_gap: Duration::ZERO,
        slow: None,
        seed: 1,
    }
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn id(job: u64, number: u32) -> AttemptId {
    AttemptId { job: JobId(job), number }
}

pub(super) const KILLED: Exit = Exit::Signal { signal: 9, core_dumped: false };

pub(super) fn refusal() -> SpawnFailure {
    SpawnFailure { step: SpawnStep::Clone, errno: 11, detail: String::new(), permanent: false }
}

pub(super) fn start(job: u64, number: u32, slot: u32) -> Action {
    Action::Start { attempt: id(job, number), slot: SlotId(slot), memory_bytes: None }
}

pub(super) fn kill(job: u64, number: u32) -> Action {
    Action::KillTree { attempt: id(job, number) }
}

pub(super) fn signal(job: u64, number: u32, signal: i32) -> Action {
    Action::Signal { attempt: id(job, number), signal }
}

pub(super) fn deliver(job: u64) -> Action {
    Action::Deliver { job: JobId(job) }
}

pub(super) fn retry(job: u64, number: u32, cause: Cause, delay: Duration, charged: bool) -> [Action; 2] {
    let attempt = id(job, number);
    [Action::Discard { attempt }, Action::Notice(Notice::Retry { attempt, cause, delay, charged })]
}

/// A dispatcher, the actions it requested, and the time.
pub(super) struct Harness {
    pub(super) dispatcher: Dispatcher,
    pub(super) now: Time,
    pub(super) policy: Arc<JobPolicy>,
    pub(super) outcomes: Vec<(u64, Outcome)>,
    actions: Vec<Action>,
}

impl Harness {
    pub(super) fn new(run: RunPolicy, job: JobPolicy) -> Harness {
        Harness {
            dispatcher: Dispatcher::new(run),
            now: Time::ZERO,
            policy: Arc::new(job),
            outcomes: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// Feeds an event.
    pub(super) fn feed(&mut self, event: Event) -> &mut Harness {
        self.dispatcher.handle(event, self.now, &mut self.actions);
        self.dispatcher.check();
        self
    }

    /// Lets time pass, stopping wherever a timer is due.
    pub(super) fn pass(&mut self, time: Duration) -> &mut Harness {
        let until = self.now + time;
        while let Some(due) = self.dispatcher.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.dispatcher.handle_timers(self.now, &mut self.actions);
            self.dispatcher.check();
        }
        self.now = until;
        self
    }

    /// Compares all actions requested since the last call. The outcomes of `End` are put aside and compared as `End`
    /// without their details, by [`Harness::ended`].
    #[track_caller]
    pub(super) fn asks(&mut self, expected: impl IntoIterator<Item = Action>) -> &mut Harness {
        let got: Vec<Action> = self.take();
        let expected: Vec<Action> = expected.into_iter().collect();
        assert_eq!(got, expected, "exactly this is asked for, and nothing else");
        self
    }

    /// Checks that no action was requested.
    #[track_caller]
    pub(super) fn asks_nothing(&mut self) -> &mut Harness {
        self.asks([])
    }

    /// Drops the actions requested so far.
    pub(super) fn skip(&mut self) -> &mut Harness {
        self.take();
        self
    }

    fn take(&mut self) -> Vec<Action> {
        let mut rest = Vec::new();
        for action in self.actions.drain(..) {
            match action {
                Action::End { job, outcome } => self.outcomes.push((job.0, *outcome)),
                other => rest.push(other),
            }
        }
        rest
    }

    /// Checks that since the last call exactly one job has got its outcome: this one, with this verdict.
    #[track_caller]
    pub(super) fn ended(&mut self, job: u64, verdict: Result<(), Cause>) -> Outcome {
        assert_eq!(self.outcomes.len(), 1, "one outcome: {:?}", self.outcomes);
        let (got, outcome) = self.outcomes.remove(0);
        assert_eq!((got, &outcome.verdict), (job, &verdict));
        outcome
    }

    pub(super) fn accept(&mut self, count: u64) -> &mut Harness {
        for _ in 0..count {
            let job = self.dispatcher.next_job();
            self.feed(Event::Accepted { job, policy: Arc::clone(&self.policy) });
        }
        self
    }

    pub(super) fn started(&mut self, job: u64, number: u32) -> &mut Harness {
        self.feed(Event::Started { attempt: id(job, number), pid: 100 + job as u32 })
    }

    pub(super) fn exited(
        &mut self,
        job: u64,
        number: u32,
        exit: Exit,
        alive: u32,
        output_open: bool,
    ) -> &mut Harness {
        self.feed(Event::Exited {
            attempt: id(job, number),
            exit,
            usage: Usage::default(),
            evidence: Evidence::default(),
            alive,
            output_open,
        })
    }

    /// Exits with `code`, leaving nothing behind.
    pub(super) fn exits(&mut self, job: u64, number: u32, code: i32) -> &mut Harness {
        self.exited(job, number, Exit::Code(code), 0, false)
    }

    pub(super) fn tree_empty(&mut self, job: u64, number: u32, killed: u32) -> &mut Harness {
        self.feed(Event::TreeEmpty { attempt: id(job, number), killed })
    }

    pub(super) fn output_closed(&mut self, job: u64, number: u32) -> &mut Harness {
        self.feed(Event::OutputClosed { attempt: id(job, number) })
    }
}
