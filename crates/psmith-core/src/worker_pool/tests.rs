//! Tests of single rules, each a short scenario. The simulation covers events in any order.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use super::*;
use crate::outcome::{Cause, Exit, Usage};
use crate::policy::{Halt, LOST_MAX, Order};

struct Scenario {
    pool: WorkerPool,
    now: Time,
    /// The actions requested since the last call.
    requested: Vec<PoolAction>,
}

impl Scenario {
    /// A pool with `slots` slots, for short jobs in order.
    fn of_batches(slots: u32, jobs: u64) -> Scenario {
        Scenario::new(slots, true, jobs)
    }

    fn new(slots: u32, batches: bool, jobs: u64) -> Scenario {
        let run = RunPolicy {
            slots,
            window: 100,
            order: Order::Completion,
            queue_max: 100,
            halt: Halt::Never,
            breaker: 0,
            start_gap: Duration::ZERO,
            slow: None,
            seed: 0,
        };
        let grace = Duration::from_millis(50);
        let (max_jobs, max_rss_growth, idle) = (None, None, None);
        let pool = WorkerPool::new(PoolPolicy {
            run,
            grace,
            max_jobs,
            max_rss_growth,
            idle,
            batches,
            ordered: batches,
            first_batch: jobs,
        });
        Scenario { pool, now: Time::ZERO, requested: Vec::new() }
    }

    fn happens(&mut self, event: PoolEvent) {
        self.pool.handle(event, self.now, &mut self.requested);
    }

    fn jobs(&mut self, jobs: Range<u64>) {
        self.happens(PoolEvent::Jobs { jobs, fit: 1000, waiting: 0, policy: Arc::default() });
        while self.pool.wants_jobs() && self.pool.next_returned().is_some() {
            self.happens(PoolEvent::Returned { fit: 1000, waiting: 0 });
        }
    }

    /// Runs a turn `later` later; returns all actions requested.
    fn turn(&mut self, later: u64) -> Vec<PoolAction> {
        self.now = self.now + Duration::from_millis(later);
        let (now, requested) = (self.now, &mut self.requested);
        self.pool.begin_turn(now, requested);
        self.pool.handle_timers(now, requested);
        loop {
            self.pool.settle(now, requested);
            if self.pool.wants_jobs() && self.pool.next_returned().is_some() {
                self.pool.handle(PoolEvent::Returned { fit: 1000, waiting: 0 }, now, requested);
            } else if !self.pool.give_next(now, requested) {
                break;
            }
        }
        self.pool.finish_turn(now, requested);
        self.pool.check();
        core::mem::take(&mut self.requested)
    }

    /// The jobs that the actions give, each range with its worker.
    fn given(actions: &[PoolAction]) -> Vec<(WorkerKey, Range<u64>)> {
        let given = actions.iter().filter_map(|action| match action {
            PoolAction::Give { worker, jobs, .. } => Some((*worker, jobs.clone())),
            _ => None,
        });
        given.collect()
    }

    fn worker(&mut self) -> WorkerKey {
        let Some(ToStart::Worker(worker)) = self.pool.pull() else { panic!("no worker is wanted") };
        assert!(self.pool.greet(worker, true, self.now));
        self.happens(PoolEvent::Process { worker, pid: worker.0 as u32 });
        worker
    }

    fn dies(&mut self, worker: WorkerKey, begun: u32, results: u32) {
        let (signal, core_dumped) = (11, false);
        self.happens(PoolEvent::Ended {
            worker,
            verdict: Err(Cause::Signal { signal, core_dumped }),
            exit: Some(Exit::Signal { signal, core_dumped }),
            usage: Usage::default(),
            found: BatchProgress { begun, results },
        });
    }
}

/// The outcomes: of results, and of single jobs if they succeeded and how many tries they took.
fn outcomes(actions: &[PoolAction]) -> Vec<(Range<u64>, bool, u32)> {
    let outcomes = actions.iter().filter_map(|action| match action {
        PoolAction::Results { jobs, .. } => Some((jobs.clone(), true, 1)),
        PoolAction::End { jobs, outcome, .. } => Some((jobs.clone(), outcome.verdict.is_ok(), outcome.tries)),
        _ => None,
    });
    outcomes.collect()
}

#[test]
fn of_a_batch_whose_worker_dies_one_job_fails_and_the_rest_is_another_workers() {
    let mut scenario = Scenario::of_batches(1, 6);
    scenario.jobs(0..6);
    scenario.turn(0);
    let first = scenario.worker();
    assert_eq!(Scenario::given(&scenario.turn(0)), [(first, 0..6)]);
    // Two are done, the third was begun.
    scenario.dies(first, 3, 2);
    let actions = scenario.turn(1);
    assert_eq!(outcomes(&actions), [(0..2, true, 1), (2..3, false, 1)]);
    assert!(actions.contains(&PoolAction::HandOut(0..2)) && actions.contains(&PoolAction::HandOut(2..3)));
    let second = scenario.worker();
    assert_eq!(Scenario::given(&scenario.turn(0)), [(second, 3..6)]);
}

#[test]
fn a_job_that_was_not_begun_is_not_charged_until_workers_in_a_row_have_died_of_nothing() {
    let mut scenario = Scenario::new(1, false, 1);
    let (policy, placement) = (Arc::default(), Placement::Shared);
    scenario.happens(PoolEvent::Job { index: 0, policy, placement, cancelled: false });
    let mut actions = scenario.turn(0);
    // From then on each attempt counts as lost, and some of these in a row end the job.
    for round in 0..UNBEGUN_MAX + LOST_MAX {
        assert_eq!(outcomes(&actions), [], "round {round}");
        let worker = scenario.worker();
        assert_eq!(Scenario::given(&scenario.turn(0)), [(worker, 0..1)], "round {round}");
        scenario.dies(worker, 0, 0);
        actions = scenario.turn(0);
    }
    assert_eq!(outcomes(&actions), [(0..1, false, 0)]);
}

#[test]
fn a_reply_that_came_before_the_end_counts_although_it_was_not_handled_yet() {
    let mut scenario = Scenario::new(1, false, 1);
    let (policy, placement) = (Arc::default(), Placement::Shared);
    scenario.happens(PoolEvent::Job { index: 0, policy, placement, cancelled: false });
    scenario.turn(0);
    let Some(ToStart::Worker(worker)) = scenario.pool.pull() else { panic!("a worker is wanted") };
    assert!(scenario.pool.greet(worker, false, scenario.now));
    scenario.turn(0);
    let report = WorkerReport::Done { job: 1, verdict: Ok(()), ends: None };
    assert_eq!(scenario.pool.receive(worker, report.clone()), Ok(Received::Kept));
    // The event of its process has not come, so the reply is not handled yet.
    assert_eq!(outcomes(&scenario.turn(1)), []);
    assert_eq!(scenario.pool.receive(worker, report), Err(Violation::NotItsToAnswer(1)));
    scenario.dies(worker, 0, 0);
    assert_eq!(outcomes(&scenario.turn(0)), [(0..1, true, 1)]);
}

#[test]
fn what_is_not_begun_in_time_is_another_workers_and_outcomes_keep_their_order() {
    let mut scenario = Scenario::of_batches(2, 4);
    scenario.jobs(0..8);
    scenario.turn(0);
    let (other, slow) = (scenario.worker(), scenario.worker());
    // The second worker finds no more than its share of the rest. The worker that came last is the first to work.
    assert_eq!(Scenario::given(&scenario.turn(0)), [(slow, 0..4), (other, 4..6)]);
    let late = scenario.turn(20);
    assert!(late.contains(&PoolAction::TakeBack(slow)) && late.contains(&PoolAction::TakeBack(other)));
    scenario.happens(PoolEvent::TakenBack { worker: slow, stay: 2, results: 1 });
    scenario.happens(PoolEvent::TakenBack { worker: other, stay: 1, results: 1 });
    let actions = scenario.turn(0);
    assert_eq!(outcomes(&actions), [(0..1, true, 1), (4..5, true, 1)]);
    assert!(actions.contains(&PoolAction::HandOut(0..1)) && !actions.contains(&PoolAction::HandOut(4..5)));
    let (then, spent) = (None, Duration::ZERO);
    let report = WorkerReport::BatchDone { job: 5, values: 1, whole: 1, then, spent };
    assert_eq!(scenario.pool.receive(other, report), Ok(Received::Kept));
    assert_eq!(Scenario::given(&scenario.turn(0)), [(other, 2..3)]);
}

#[test]
fn a_report_that_claims_what_is_not_there_is_a_protocol_violation() {
    let refused = [
        (1, 5, 5, false, Violation::TooMany(5)),
        (1, 4, 4, true, Violation::TooMany(4)),
        (2, 2, 2, false, Violation::NotItsBatch(2)),
        (1, 3, 2, false, Violation::NotWhole { values: 3, whole: 2 }),
        (0, 2, 2, false, Violation::NotItsBatch(0)),
    ];
    for (job, values, whole, more, violation) in refused {
        let mut scenario = Scenario::of_batches(1, 4);
        scenario.jobs(0..4);
        scenario.turn(0);
        let worker = scenario.worker();
        scenario.turn(0);
        let (then, spent) = (more.then_some(Ok(())), Duration::ZERO);
        let report = WorkerReport::BatchDone { job, values, whole, then, spent };
        assert_eq!(scenario.pool.receive(worker, report), Err(violation), "{violation}");
        assert!(violation.to_string().starts_with(['i', 'o']));
    }
}

#[test]
fn batches_grow_as_measured_and_a_few_short_jobs_prove_little() {
    let mut sizer = BatchSizer::new(1);
    let mut sizes = Vec::new();
    for _ in 0..8 {
        sizer.on_whole(sizer.jobs, Duration::from_nanos(100 * sizer.jobs));
        sizes.push(sizer.jobs);
    }
    assert_eq!(sizes, [4, 16, 64, 256, 1024, 4096, BATCH_JOBS_MAX, BATCH_JOBS_MAX]);
    sizer.on_part(10);
    assert_eq!(sizer.jobs, 21);
}
