//! Tests of single rules, each a short scenario. The simulation covers events in any order.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use super::*;
use crate::outcome::{Cause, Exit, Usage};
use crate::policy::{Halt, LOST_MAX, Order};

struct Story {
    pool: WorkerPool,
    now: Time,
    /// All actions requested since the last call.
    asked: Vec<PoolAction>,
}

impl Story {
    /// A pool with `slots` slots, for short jobs in order.
    fn of_batches(slots: u32, jobs: u64) -> Story {
        Story::new(slots, true, jobs)
    }

    fn new(slots: u32, batches: bool, jobs: u64) -> Story {
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
        Story { pool, now: Time::ZERO, asked: Vec::new() }
    }

    fn happens(&mut self, event: PoolEvent) {
        self.pool.handle(event, self.now, &mut self.asked);
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
        let (now, asked) = (self.now, &mut self.asked);
        self.pool.begin_turn(now, asked);
        self.pool.handle_timers(now, asked);
        loop {
            self.pool.settle(now, asked);
            if self.pool.wants_jobs() && self.pool.next_returned().is_some() {
                self.pool.handle(PoolEvent::Returned { fit: 1000, waiting: 0 }, now, asked);
            } else if !self.pool.give_next(now, asked) {
                break;
            }
        }
        self.pool.finish_turn(now, asked);
        self.pool.check();
        core::mem::take(&mut self.asked)
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
    let mut story = Story::of_batches(1, 6);
    story.jobs(0..6);
    story.turn(0);
    let first = story.worker();
    assert_eq!(Story::given(&story.turn(0)), [(first, 0..6)]);
    // Two are done, the third was begun.
    story.dies(first, 3, 2);
    let actions = story.turn(1);
    assert_eq!(outcomes(&actions), [(0..2, true, 1), (2..3, false, 1)]);
    assert!(actions.contains(&PoolAction::HandOut(0..2)) && actions.contains(&PoolAction::HandOut(2..3)));
    let second = story.worker();
    assert_eq!(Story::given(&story.turn(0)), [(second, 3..6)]);
}

#[test]
fn a_job_that_was_not_begun_is_not_charged_until_workers_in_a_row_have_died_of_nothing() {
    let mut story = Story::new(1, false, 1);
    let (policy, placement) = (Arc::default(), Placement::Shared);
    story.happens(PoolEvent::Job { index: 0, policy, placement, cancelled: false });
    let mut told = story.turn(0);
    // From then on each attempt counts as lost, and some of these in a row end the job.
    for round in 0..UNBEGUN_MAX + LOST_MAX {
        assert_eq!(outcomes(&told), [], "round {round}");
        let worker = story.worker();
        assert_eq!(Story::given(&story.turn(0)), [(worker, 0..1)], "round {round}");
        story.dies(worker, 0, 0);
        told = story.turn(0);
    }
    assert_eq!(outcomes(&told), [(0..1, false, 0)]);
}

#[test]
fn an_answer_that_came_before_the_end_stands_although_nobody_had_looked() {
    let mut story = Story::new(1, false, 1);
    let (policy, placement) = (Arc::default(), Placement::Shared);
    story.happens(PoolEvent::Job { index: 0, policy, placement, cancelled: false });
    story.turn(0);
    let Some(ToStart::Worker(worker)) = story.pool.pull() else { panic!("a worker is wanted") };
    assert!(story.pool.greet(worker, false, story.now));
    story.turn(0);
    let report = WorkerReport::Done { job: 1, verdict: Ok(()), ends: None };
    assert_eq!(story.pool.receive(worker, report.clone()), Ok(Received::Kept));
    // The event of its process has not come, so the reply is not handled yet.
    assert_eq!(outcomes(&story.turn(1)), []);
    assert_eq!(story.pool.receive(worker, report), Err(Violation::NotItsToAnswer(1)));
    story.dies(worker, 0, 0);
    assert_eq!(outcomes(&story.turn(0)), [(0..1, true, 1)]);
}

#[test]
fn what_is_not_begun_in_time_is_another_workers_and_outcomes_keep_their_order() {
    let mut story = Story::of_batches(2, 4);
    story.jobs(0..8);
    story.turn(0);
    let (other, slow) = (story.worker(), story.worker());
    // The second worker finds no more than its share of the rest. The worker that came last is the first to work.
    assert_eq!(Story::given(&story.turn(0)), [(slow, 0..4), (other, 4..6)]);
    let late = story.turn(20);
    assert!(late.contains(&PoolAction::TakeBack(slow)) && late.contains(&PoolAction::TakeBack(other)));
    story.happens(PoolEvent::TakenBack { worker: slow, stay: 2, results: 1 });
    story.happens(PoolEvent::TakenBack { worker: other, stay: 1, results: 1 });
    let told = story.turn(0);
    assert_eq!(outcomes(&told), [(0..1, true, 1), (4..5, true, 1)]);
    assert!(told.contains(&PoolAction::HandOut(0..1)) && !told.contains(&PoolAction::HandOut(4..5)));
    let (then, spent) = (None, Duration::ZERO);
    let report = WorkerReport::BatchDone { job: 5, values: 1, whole: 1, then, spent };
    assert_eq!(story.pool.receive(other, report), Ok(Received::Kept));
    assert_eq!(Story::given(&story.turn(0)), [(other, 2..3)]);
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
        let mut story = Story::of_batches(1, 4);
        story.jobs(0..4);
        story.turn(0);
        let worker = story.worker();
        story.turn(0);
        let (then, spent) = (more.then_some(Ok(())), Duration::ZERO);
        let report = WorkerReport::BatchDone { job, values, whole, then, spent };
        assert_eq!(story.pool.receive(worker, report), Err(violation), "{violation}");
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
