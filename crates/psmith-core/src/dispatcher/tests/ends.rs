//! Tests of how attempts end: by themselves, with descendants left, by the ladder, and not at all.

use super::harness::*;
use crate::policy::{JobPolicy, LEAK_GRACE, Leak, Timeout, UNKILLABLE_AFTER};
use crate::{Action, Cause, Event, Notice, outcome::Exit};

fn with_leak(leak: Leak) -> Harness {
    let mut harness = Harness::new(run_policy(1), JobPolicy { leak, ..JobPolicy::default() });
    harness.accept(1).asks([start(1, 1, 0)]).started(1, 1).asks_nothing().pass(ms(1000)).asks_nothing();
    harness
}

fn stop_reading() -> Action {
    Action::StopReading { attempt: id(1, 1) }
}

#[test]
fn a_job_that_leaves_nothing_ends_with_its_process() {
    let mut harness = with_leak(Leak::Kill);
    harness.exits(1, 1, 0).asks([deliver(1)]);
    let outcome = harness.ended(1, Ok(()));
    assert_eq!((outcome.attempts, outcome.tries, outcome.earlier.len()), (1, 1, 0));
    let last = outcome.last.unwrap();
    assert_eq!((last.number, last.pid, last.wall, last.leaked), (1, 101, ms(1000), 0));
    harness.feed(Event::SourceEnded).asks_nothing();
    harness.feed(Event::Delivered(crate::JobId(1))).asks([Action::Finish]);
    harness.feed(Event::Delivered(crate::JobId(1))).feed(Event::Stop).asks_nothing();
}

#[test]
fn descendants_that_end_within_the_grace_are_no_leak() {
    let mut harness = with_leak(Leak::Fail);
    harness.exited(1, 1, Exit::Code(0), 2, true).asks_nothing();
    harness.pass(ms(50)).tree_empty(1, 1, 0).asks_nothing();
    harness.output_closed(1, 1).asks([deliver(1)]);
    assert_eq!(harness.ended(1, Ok(())).last.unwrap().leaked, 0);
}

#[test]
fn descendants_are_killed_after_the_grace_and_the_outcome_stands() {
    let mut harness = with_leak(Leak::Kill);
    harness.exited(1, 1, Exit::Code(3), 2, false).pass(LEAK_GRACE - ms(1)).asks_nothing();
    harness.pass(ms(1)).asks([kill(1, 1)]);
    harness.tree_empty(1, 1, 2).asks([deliver(1)]);
    let last = harness.ended(1, Err(Cause::Exit(3))).last.unwrap();
    assert_eq!((last.leaked, last.wall), (2, ms(1000)));
}

#[test]
fn a_leak_is_a_failure_only_where_that_was_asked_for() {
    let mut harness = with_leak(Leak::Fail);
    harness.exited(1, 1, Exit::Code(0), 2, false).pass(LEAK_GRACE).asks([kill(1, 1)]);
    harness.tree_empty(1, 1, 2).asks([deliver(1)]);
    harness.ended(1, Err(Cause::Leaked(2)));
}

#[test]
fn descendants_that_are_let_go_hold_nothing_up() {
    let mut harness = with_leak(Leak::Allow);
    harness.exited(1, 1, Exit::Code(0), 1, true).pass(LEAK_GRACE);
    harness.asks([Action::ReleaseTree { attempt: id(1, 1) }, stop_reading()]);
    harness.output_closed(1, 1).asks_nothing();
    harness.tree_empty(1, 1, 1).asks([deliver(1)]);
    assert_eq!(harness.ended(1, Ok(())).last.unwrap().leaked, 1);
}

#[test]
fn a_job_may_last_as_long_as_its_descendants() {
    let mut harness = with_leak(Leak::Wait);
    harness.exited(1, 1, Exit::Code(0), 1, true).pass(ms(60_000)).asks_nothing();
    harness.tree_empty(1, 1, 0).pass(ms(60_000)).asks_nothing();
    harness.output_closed(1, 1).asks([deliver(1)]);
    assert_eq!(harness.ended(1, Ok(())).last.unwrap().wall, ms(121_000));
}

#[test]
fn waiting_for_descendants_counts_against_the_deadline() {
    let policy = JobPolicy { leak: Leak::Wait, timeout: Timeout::After(ms(500)), ..JobPolicy::default() };
    let mut harness = Harness::new(run_policy(1), policy);
    harness.accept(1).started(1, 1).skip();
    harness.exited(1, 1, Exit::Code(0), 1, true).pass(ms(500)).asks([signal(1, 1, 15)]);
    harness.pass(ms(2000)).asks([kill(1, 1)]);
    harness.tree_empty(1, 1, 1).pass(LEAK_GRACE).asks([stop_reading()]);
    harness.output_closed(1, 1).asks([deliver(1)]);
    harness.ended(1, Err(Cause::Timeout(ms(500))));
}

#[test]
fn output_held_from_outside_is_given_up_and_named() {
    let mut harness = with_leak(Leak::Kill);
    harness.exited(1, 1, Exit::Code(0), 0, true).pass(LEAK_GRACE).asks([stop_reading()]);
    harness.output_closed(1, 1).asks([deliver(1)]);
    assert_eq!(harness.ended(1, Ok(())).last.unwrap().leaked, 1);
}

// proves: timeouts-and-grace
#[test]
fn a_timeout_climbs_the_ladder() {
    let policy = JobPolicy { timeout: Timeout::After(ms(500)), ..JobPolicy::default() };
    let mut harness = Harness::new(run_policy(1), policy);
    harness.accept(1).asks([start(1, 1, 0)]).pass(ms(100)).started(1, 1);
    harness.pass(ms(399)).asks_nothing().pass(ms(1)).asks([signal(1, 1, 15)]);
    harness.pass(ms(1999)).asks_nothing().pass(ms(1)).asks([kill(1, 1)]);
    harness.exited(1, 1, KILLED, 0, false).asks([deliver(1)]);
    harness.tree_empty(1, 1, 0).asks_nothing();
    harness.ended(1, Err(Cause::Timeout(ms(500))));
}

// U-31
#[test]
fn a_sign_of_life_puts_the_end_of_an_idle_attempt_off() {
    let policy = JobPolicy { idle: Some(ms(500)), ..JobPolicy::default() };
    let mut harness = Harness::new(run_policy(1), policy);
    // Its process is the first.
    harness.accept(1).asks([start(1, 1, 0)]).pass(ms(100)).started(1, 1);
    harness.pass(ms(450)).feed(Event::Beat(id(1, 1))).asks_nothing();
    harness.pass(ms(499)).asks_nothing();
    // A sign of life of an attempt that does not exist is ignored.
    harness.feed(Event::Beat(id(1, 2))).pass(ms(1)).asks([signal(1, 1, 15)]);
    // Too late.
    harness.feed(Event::Beat(id(1, 1))).pass(ms(2000)).asks([kill(1, 1)]);
    harness.exited(1, 1, KILLED, 0, false).asks([deliver(1)]);
    harness.ended(1, Err(Cause::Idle(ms(500))));
}

#[test]
fn an_idle_attempt_that_exits_in_time_leaves_no_timer_and_a_timeout_wins_that_comes_first() {
    let policy = JobPolicy { idle: Some(ms(500)), ..JobPolicy::default() };
    let mut harness = Harness::new(run_policy(1), policy);
    harness.accept(1).skip().started(1, 1).pass(ms(499));
    harness.exited(1, 1, Exit::Code(0), 0, false).asks([deliver(1)]).pass(ms(5000)).asks_nothing();
    harness.ended(1, Ok(()));
    let policy = JobPolicy { idle: Some(ms(500)), timeout: Timeout::After(ms(700)), ..JobPolicy::default() };
    let mut harness = Harness::new(run_policy(1), policy);
    harness.accept(1).skip().started(1, 1).pass(ms(300)).feed(Event::Beat(id(1, 1)));
    harness.pass(ms(400)).asks([signal(1, 1, 15)]).pass(ms(200)).asks_nothing();
    harness.exited(1, 1, KILLED, 0, false).asks([deliver(1)]);
    harness.ended(1, Err(Cause::Timeout(ms(700))));
}

#[test]
fn no_signal_is_sent_before_there_is_a_process() {
    let policy = JobPolicy { timeout: Timeout::After(ms(500)), ..JobPolicy::default() };
    let mut harness = Harness::new(run_policy(1), policy);
    harness.accept(1).skip().pass(ms(700)).asks_nothing();
    harness.started(1, 1).asks([signal(1, 1, 15)]);
    harness.feed(Event::Kill).asks([kill(1, 1)]);
    harness.exited(1, 1, KILLED, 0, false).asks([deliver(1)]);
    harness.ended(1, Err(Cause::Timeout(ms(500))));
}

#[test]
fn the_ladder_goes_on_for_descendants_of_a_dead_shell() {
    let mut harness = with_leak(Leak::Kill);
    harness.feed(Event::Stop).asks([signal(1, 1, 15)]);
    harness
        .exited(1, 1, Exit::Signal { signal: 15, core_dumped: false }, 1, false)
        .pass(ms(1999))
        .asks_nothing();
    harness.pass(ms(1)).asks([kill(1, 1)]).tree_empty(1, 1, 1).asks([deliver(1)]);
    assert_eq!(harness.ended(1, Err(Cause::Cancelled)).last.unwrap().leaked, 0);
}

#[test]
fn an_exit_before_the_stop_stands() {
    let mut harness = with_leak(Leak::Kill);
    harness.exited(1, 1, Exit::Code(0), 1, false).feed(Event::Stop).asks_nothing();
    harness.feed(Event::Kill).asks([kill(1, 1)]).tree_empty(1, 1, 1).asks([deliver(1)]);
    harness.ended(1, Ok(()));
}

#[test]
fn what_cannot_be_killed_keeps_its_slot_until_it_ends() {
    let mut harness = with_leak(Leak::Kill);
    harness.accept(1).asks_nothing();
    harness.feed(Event::Cancel(crate::JobId(1))).asks([signal(1, 1, 15)]);
    harness.pass(ms(2000)).asks([kill(1, 1)]).pass(UNKILLABLE_AFTER);
    harness.asks([Action::Notice(Notice::Unkillable { attempt: id(1, 1) }), deliver(1)]);
    harness.ended(1, Err(Cause::Cancelled));
    harness.exited(1, 1, KILLED, 1, false).asks_nothing();
    harness.tree_empty(1, 1, 1).asks([start(2, 1, 0)]);
}

#[test]
fn a_tree_that_cannot_be_killed_keeps_its_slot_too() {
    let mut harness = with_leak(Leak::Kill);
    harness.accept(1).exited(1, 1, Exit::Code(0), 1, false).pass(LEAK_GRACE).asks([kill(1, 1)]);
    harness
        .pass(UNKILLABLE_AFTER)
        .asks([Action::Notice(Notice::Unkillable { attempt: id(1, 1) }), deliver(1)]);
    harness.ended(1, Ok(()));
    harness.tree_empty(1, 1, 1).asks([start(2, 1, 0)]);
}

#[test]
fn what_could_not_be_killed_may_still_end_and_leave_nothing() {
    let mut harness = with_leak(Leak::Kill);
    harness.accept(1).feed(Event::Cancel(crate::JobId(1))).pass(ms(2000)).pass(UNKILLABLE_AFTER).skip();
    harness.ended(1, Err(Cause::Cancelled));
    harness.tree_empty(1, 1, 0).asks_nothing();
    harness.exited(1, 1, KILLED, 0, false).asks([start(2, 1, 0)]);
}
