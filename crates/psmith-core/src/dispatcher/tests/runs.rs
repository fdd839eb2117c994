//! Tests of a run as a whole: order, window, pace, slots, holds, halt, stop and finish.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::harness::*;
use crate::event::HoldReason;
use crate::policy::{Backoff, Halt, HaltCount, HaltMode, HaltOn, JobPolicy, Order, RunPolicy, Timeout};
use crate::{Action, Cause, Event, JobId, Notice};

fn plain(slots: u32) -> Harness {
    Harness::new(run_policy(slots), JobPolicy::default())
}

fn in_order(slots: u32, window: u32) -> Harness {
    let run = RunPolicy { order: Order::Submission, window, ..run_policy(slots) };
    let backoff = Backoff { first: ms(100), max: None };
    Harness::new(run, JobPolicy { tries: 2, backoff, ..JobPolicy::default() })
}

fn halting(slots: u32, what: HaltOn, count: HaltCount, mode: HaltMode) -> Harness {
    Harness::new(
        RunPolicy { halt: Halt::When { what, count, mode }, ..run_policy(slots) },
        JobPolicy::default(),
    )
}

fn held(reason: Option<HoldReason>, ready: u64) -> Action {
    Action::Notice(Notice::Held { reason, ready })
}

fn head(job: u64) -> Action {
    Action::Head { job: JobId(job) }
}

fn delivered(job: u64) -> Event {
    Event::Delivered(JobId(job))
}

fn verdicts(harness: &mut Harness) -> Vec<(u64, Result<(), Cause>)> {
    harness.skip().outcomes.drain(..).map(|(job, outcome)| (job, outcome.verdict)).collect()
}

#[test]
fn the_lowest_free_slot_is_taken() {
    let mut harness = plain(3);
    harness.accept(3).asks([start(1, 1, 0), start(2, 1, 1), start(3, 1, 2)]);
    harness.exits(2, 1, 0).exits(1, 1, 0).asks([deliver(2), deliver(1)]);
    harness.accept(2).asks([start(4, 1, 0), start(5, 1, 1)]);
}

#[test]
fn the_producer_is_not_asked_for_more_than_the_queue_holds() {
    let mut harness = Harness::new(RunPolicy { queue_max: 2, ..run_policy(1) }, JobPolicy::default());
    for expected in [true, true, true, false] {
        assert_eq!(harness.dispatcher.wants_job(), expected);
        harness.accept(u64::from(expected));
    }
    harness.exits(1, 1, 0);
    assert!(harness.dispatcher.wants_job());
    harness.feed(Event::SourceEnded);
    assert!(!harness.dispatcher.wants_job());
}

#[test]
fn failing_jobs_do_not_pile_up_behind_a_long_back_off() {
    let run = RunPolicy { window: 3, ..run_policy(1) };
    let backoff = Backoff { first: ms(3_600_000), max: None };
    let mut harness = Harness::new(run, JobPolicy { tries: 2, backoff, ..JobPolicy::default() });
    for job in 1..=3 {
        assert!(harness.dispatcher.wants_job());
        harness.accept(1).exits(job, 1, 1);
    }
    assert!(!harness.dispatcher.wants_job());
}

// proves: job-control
#[test]
fn fewer_slots_kill_nothing() {
    let mut harness = plain(3);
    harness.accept(5).skip();
    harness.feed(Event::Slots(1)).asks([Action::Notice(Notice::Slots { slots: 1 })]);
    harness.exits(1, 1, 0).exits(3, 1, 0).asks([deliver(1), deliver(3)]);
    harness.exits(2, 1, 0).asks([deliver(2), start(4, 1, 0)]);
    harness.feed(Event::Slots(0)).asks_nothing();
    harness.feed(Event::Slots(2)).asks([Action::Notice(Notice::Slots { slots: 2 }), start(5, 1, 1)]);
}

#[test]
fn starts_keep_their_distance_and_never_come_in_bursts() {
    let mut harness = Harness::new(RunPolicy { start_gap: ms(100), ..run_policy(5) }, JobPolicy::default());
    harness.accept(2).asks([start(1, 1, 0)]).pass(ms(99)).asks_nothing().pass(ms(1)).asks([start(2, 1, 1)]);
    harness.pass(ms(1000)).asks_nothing();
    assert_eq!(harness.dispatcher.next_deadline(), None, "nothing to start, nothing to wait for");
    harness.accept(2).asks([start(3, 1, 2)]).pass(ms(100)).asks([start(4, 1, 3)]);
}

#[test]
fn a_pause_holds_all_and_memory_all_but_one() {
    let mut harness = plain(2);
    harness
        .feed(Event::Hold { reason: HoldReason::Paused, on: true })
        .accept(2)
        .asks([held(Some(HoldReason::Paused), 0)]);
    harness.feed(Event::Hold { reason: HoldReason::Memory, on: true }).asks_nothing();
    harness.feed(Event::Hold { reason: HoldReason::Paused, on: false });
    harness.asks([start(1, 1, 0), held(Some(HoldReason::Memory), 1)]);
    harness.exits(1, 1, 0).asks([deliver(1), start(2, 1, 0)]);
    harness.feed(Event::Hold { reason: HoldReason::Memory, on: false }).asks([held(None, 0)]);
}

// proves: endless-in-order
#[test]
fn a_slow_consumer_holds_the_starts() {
    let mut harness = Harness::new(RunPolicy { window: 2, ..run_policy(1) }, JobPolicy::default());
    harness.accept(4).exits(1, 1, 0).asks([start(1, 1, 0), deliver(1), start(2, 1, 0)]);
    harness.exits(2, 1, 0).asks([deliver(2), held(Some(HoldReason::Window), 2)]);
    assert!(!harness.dispatcher.wants_job());
    harness.feed(delivered(1)).asks([start(3, 1, 0), held(None, 1)]);
}

// proves: submission-order
#[test]
fn outcomes_are_delivered_in_submission_order() {
    let mut harness = in_order(3, 10);
    harness.accept(3).asks([head(1), start(1, 1, 0), start(2, 1, 1), start(3, 1, 2)]);
    harness.exits(3, 1, 0).exits(2, 1, 0).asks_nothing();
    harness.exits(1, 1, 0).asks([deliver(1), deliver(2), deliver(3)]);
    harness.feed(delivered(1)).feed(delivered(2)).accept(1).asks([start(4, 1, 0)]);
    // Only now has the last output before it been passed on.
    harness.feed(delivered(3)).asks([head(4)]);
}

#[test]
fn the_job_for_which_all_wait_is_started_although_the_window_is_full() {
    let mut harness = in_order(2, 2);
    harness.accept(4).started(1, 1).skip();
    harness.exits(1, 1, 1).skip();
    harness.exits(2, 1, 0).asks([start(4, 1, 1)]);
    harness.exits(3, 1, 0).asks([held(Some(HoldReason::Window), 0)]);
    harness.accept(1).asks_nothing();
    harness.exits(4, 1, 0).pass(ms(100)).asks([start(1, 2, 0)]);
    harness.exits(1, 2, 0).asks([deliver(1), deliver(2), deliver(3), deliver(4)]);
    // Now room comes from the consumer, and only from there.
    harness.feed(delivered(1)).feed(delivered(2)).asks_nothing();
    harness.feed(delivered(3)).asks([start(5, 1, 0), held(None, 0)]);
}

#[test]
fn halt_counts_final_outcomes() {
    let mut harness = halting(1, HaltOn::Fail, HaltCount::Number(2), HaltMode::Soon);
    harness.accept(3).exits(1, 1, 3).exits(2, 1, 0).skip().outcomes.clear();
    harness.exits(3, 1, 5).asks([deliver(3), Action::Notice(Notice::Halted { now: false })]);
    harness.ended(3, Err(Cause::Exit(5)));
}

#[test]
fn halt_now_ends_the_running_and_soon_lets_them_finish() {
    for (mode, now) in [(HaltMode::Soon, false), (HaltMode::Now, true)] {
        let mut harness = halting(2, HaltOn::Success, HaltCount::Number(1), mode);
        harness.accept(3).started(1, 1).started(2, 1).skip();
        let terminated = now.then(|| signal(2, 1, 15));
        let halted = Action::Notice(Notice::Halted { now });
        harness.exits(1, 1, 0).asks([deliver(1), halted].into_iter().chain(terminated).chain([deliver(3)]));
        harness.exits(2, 1, 0).asks([deliver(2)]);
        let second = if now { Err(Cause::Cancelled) } else { Ok(()) };
        assert_eq!(verdicts(&mut harness), [(1, Ok(())), (3, Err(Cause::Cancelled)), (2, second)]);
    }
}

#[test]
fn a_share_is_of_the_total_or_of_three_finished() {
    let halted = || Action::Notice(Notice::Halted { now: false });
    let half = HaltCount::Percent(50.0);
    let mut harness = halting(1, HaltOn::Fail, half, HaltMode::Soon);
    harness.accept(3).exits(1, 1, 1).exits(2, 1, 0).skip().outcomes.clear();
    harness.exits(3, 1, 1).asks([deliver(3), halted()]);
    let mut harness = halting(1, HaltOn::Fail, half, HaltMode::Soon);
    harness.feed(Event::TotalKnown(4)).accept(3).exits(1, 1, 1).exits(2, 1, 0).skip();
    harness.exits(3, 1, 1).asks([deliver(3), halted()]);
    let mut harness = halting(1, HaltOn::Fail, half, HaltMode::Soon);
    harness.accept(2).exits(1, 1, 1).skip();
    harness.feed(Event::SourceEnded).asks([halted()]);
}

#[test]
fn a_drain_lets_the_running_finish_and_never_starts_the_rest() {
    let mut harness = plain(1);
    harness.accept(3).started(1, 1).skip();
    harness.feed(Event::Drain).asks([deliver(2), deliver(3)]);
    // The job was submitted when the drain began.
    harness.accept(1).asks([deliver(4)]);
    harness.exits(1, 1, 1).asks([deliver(1)]);
    let cancelled = Err(Cause::Cancelled);
    let expected =
        vec![(2, cancelled.clone()), (3, cancelled.clone()), (4, cancelled), (1, Err(Cause::Exit(1)))];
    assert_eq!(verdicts(&mut harness), expected);
    harness.feed(Event::SourceEnded);
    for job in 1..=3 {
        harness.feed(delivered(job));
    }
    harness.asks_nothing().feed(delivered(4)).asks([Action::Finish]);
    assert_eq!(harness.dispatcher.counts().total, None);
}

#[test]
fn stop_terminates_and_kill_kills() {
    let mut harness = plain(3);
    harness.accept(3).started(1, 1).started(2, 1).skip();
    harness.feed(Event::Stop).asks([signal(1, 1, 15), signal(2, 1, 15)]);
    harness.feed(Event::Stop).feed(Event::Drain).asks_nothing();
    harness.feed(Event::Kill).asks([kill(1, 1), kill(2, 1)]);
    harness.started(3, 1).asks([kill(3, 1)]);
    for job in 1..=3 {
        harness.exited(job, 1, KILLED, 0, false).asks([deliver(job)]);
        assert_eq!(harness.ended(job, Err(Cause::Cancelled)).tries, 0);
    }
}

#[test]
fn slow_attempts_are_named_once() {
    let mut harness = Harness::new(RunPolicy { slow: Some(ms(500)), ..run_policy(1) }, JobPolicy::default());
    harness.accept(1).started(1, 1).skip();
    harness.pass(ms(5000)).asks([Action::Notice(Notice::Slow { attempt: id(1, 1), after: ms(500) })]);
}

#[test]
fn the_third_success_gives_the_running_a_relative_deadline() {
    let policy = JobPolicy { timeout: Timeout::PercentOfMedian(200.0), ..JobPolicy::default() };
    let mut harness = Harness::new(run_policy(4), policy);
    harness.accept(5).skip().pass(ms(50)).exits(1, 1, 0).pass(ms(50)).exits(2, 1, 0).skip();
    assert_eq!(harness.dispatcher.next_deadline(), None);
    harness.pass(ms(5)).exits(3, 1, 0).started(4, 1).started(5, 1).skip();
    // Attempt 4 began at 0, attempt 5 at 50 ms; the median is 100 ms, give or take its bucket.
    let due = harness.dispatcher.next_deadline().expect("a deadline is set").0;
    assert!(due > ms(198) && due < ms(202), "{due:?}");
    harness.pass(ms(98)).asks([signal(4, 1, 15)]);
    harness.pass(ms(50)).asks([signal(5, 1, 15)]);
}

// proves: one-answer-a-job
#[test]
fn late_reports_of_old_attempts_change_nothing() {
    let mut harness = Harness::new(run_policy(1), JobPolicy { tries: 2, ..JobPolicy::default() });
    harness.accept(1).started(1, 1).exits(1, 1, 1).skip();
    harness.started(1, 1).exits(1, 1, 0).tree_empty(1, 1, 3).output_closed(1, 1).exits(7, 1, 0);
    harness.feed(Event::StartFailed { attempt: id(1, 1), failure: refusal() });
    harness.feed(Event::StartRefused { attempt: id(1, 1), failure: refusal() });
    harness.feed(delivered(1)).feed(Event::Cancel(JobId(9))).asks_nothing();
    harness.started(1, 2).exits(1, 2, 0).asks([deliver(1)]);
    harness.ended(1, Ok(()));
}

#[test]
fn the_same_events_at_the_same_times_give_the_same_actions() {
    let run = || {
        let backoff = Backoff { first: ms(10), max: Some(ms(1000)) };
        let policy = JobPolicy { tries: 5, backoff, ..JobPolicy::default() };
        let mut dispatcher = crate::Dispatcher::new(run_policy(3));
        let (mut actions, mut at) = (Vec::new(), crate::Time::ZERO);
        for job in 1..=3 {
            let accepted = Event::Accepted { job: JobId(job), policy: Arc::new(policy.clone()) };
            dispatcher.handle(accepted, at, &mut actions);
        }
        for number in 1..=4 {
            for job in 1..=3 {
                let attempt = id(job, number);
                dispatcher.handle(Event::StartFailed { attempt, failure: refusal() }, at, &mut actions);
            }
            while let Some(due) = dispatcher.next_deadline() {
                at = due;
                dispatcher.handle_timers(at, &mut actions);
            }
        }
        (at, actions)
    };
    assert_eq!(run(), run());
}
