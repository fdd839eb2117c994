//! Tests of jobs whose attempt did not succeed: tries, back-offs, and what is forgiven.

use super::harness::*;
use crate::event::HoldReason;
use crate::outcome::{CauseKind, Evidence, Limits, SpawnFailure, Usage};
use alloc::vec;
use alloc::vec::Vec;

use core::time::Duration;

use crate::policy::{Backoff, JobPolicy, REFUSED_MAX, RetryCause, RetryOn, Timeout};
use crate::{Action, Cause, Event, JobId, Notice};

fn with_tries(slots: u32, tries: u32, first: u64, max: Option<u64>) -> Harness {
    let backoff = Backoff { first: ms(first), max: max.map(ms) };
    Harness::new(run_policy(slots), JobPolicy { tries, backoff, ..JobPolicy::default() })
}

fn held(reason: Option<HoldReason>, ready: u64) -> Action {
    Action::Notice(Notice::Held { reason, ready })
}

#[test]
fn tries_are_total_tries() {
    let mut harness = with_tries(1, 3, 0, None);
    harness.accept(1).started(1, 1).skip();
    harness.exits(1, 1, 7).asks(retry(1, 1, Cause::Exit(7), ms(0), true).into_iter().chain([start(1, 2, 0)]));
    harness
        .started(1, 2)
        .exits(1, 2, 8)
        .asks(retry(1, 2, Cause::Exit(8), ms(0), true).into_iter().chain([start(1, 3, 0)]));
    harness.started(1, 3).exits(1, 3, 9).asks([deliver(1)]);
    let outcome = harness.ended(1, Err(Cause::Exit(9)));
    assert_eq!((outcome.attempts, outcome.tries), (3, 3));
    let history: Vec<_> =
        outcome.earlier.iter().map(|one| (one.number, one.cause.clone(), one.charged)).collect();
    assert_eq!(history, [(1, Some(Cause::Exit(7)), true), (2, Some(Cause::Exit(8)), true)]);
}

// proves: budgets-of-failure
#[test]
fn a_job_that_ran_out_of_memory_has_more_in_its_next_try_and_none_too_many() {
    let limits = Limits { memory_bytes: Some(100), ..Limits::default() };
    let policy =
        JobPolicy { tries: 4, crash_tries: 2, grow_memory_percent: 150, limits, ..JobPolicy::default() };
    let mut harness = Harness::new(run_policy(1), policy);
    let at = |number, bytes| Action::Start {
        attempt: id(1, number),
        slot: crate::SlotId(0),
        memory_bytes: Some(bytes),
    };
    let killed = |number| Event::Exited {
        attempt: id(1, number),
        exit: KILLED,
        usage: Usage::default(),
        evidence: Evidence { oom_kills: 1, pids_refused: 0 },
        alive: 0,
        output_open: false,
    };
    let oom = |bytes| Cause::OutOfMemory { limit_bytes: Some(bytes), kills: 1 };
    harness.accept(1).asks([at(1, 100)]);
    harness.started(1, 1).feed(killed(1));
    harness.asks(retry(1, 1, oom(100), ms(0), true).into_iter().chain([at(2, 150)]));
    harness.started(1, 2).feed(killed(2)).asks([deliver(1)]);
    let outcome = harness.ended(1, Err(oom(150)));
    assert!(outcome.quarantined && outcome.tries == 2, "{outcome:?}");
    assert_eq!(harness.dispatcher.counts().quarantined, 1);
}

// proves: retries-apart
#[test]
fn a_delayed_job_holds_no_slot_and_goes_before_new_ones() {
    let mut harness = with_tries(1, 2, 100, None);
    harness.accept(3).started(1, 1).skip();
    let again = retry(1, 1, Cause::Exit(1), ms(100), true);
    harness.exits(1, 1, 1).asks(again.into_iter().chain([start(2, 1, 0)]));
    harness.started(2, 1).pass(ms(100)).asks_nothing();
    harness.exits(2, 1, 0).asks([deliver(2), start(1, 2, 0)]);
    harness.ended(2, Ok(()));
    harness.started(1, 2).exits(1, 2, 0).asks([deliver(1), start(3, 1, 0)]);
    harness.ended(1, Ok(()));
    assert_eq!((harness.dispatcher.counts().flaky, harness.dispatcher.counts().ok), (1, 2));
}

#[test]
fn the_pause_doubles_up_to_its_bound_give_or_take_a_quarter() {
    let mut harness = with_tries(1, 0, 100, Some(1000));
    harness.accept(1).skip();
    for (number, nominal) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (6, 1000)] {
        harness.started(1, number).exits(1, number, 1).skip();
        let due = harness.dispatcher.next_deadline().expect("a back-off runs") - harness.now;
        assert!(due >= ms(nominal) * 3 / 4 && due <= ms(nominal) * 5 / 4, "{due:?} for {nominal} ms");
        harness.pass(due).asks([start(1, number + 1, 0)]);
    }
}

#[test]
fn only_what_was_named_is_tried_again() {
    let retry_on = RetryOn::Only(vec![RetryCause::Kind(CauseKind::Signal), RetryCause::ExitCodes(vec![75])]);
    let mut harness = Harness::new(run_policy(1), JobPolicy { tries: 9, retry_on, ..JobPolicy::default() });
    harness
        .accept(1)
        .started(1, 1)
        .exits(1, 1, 75)
        .started(1, 2)
        .exited(1, 2, KILLED, 0, false)
        .started(1, 3)
        .skip();
    harness.exits(1, 3, 1).asks([deliver(1)]);
    harness.ended(1, Err(Cause::Exit(1)));
}

#[test]
fn a_start_that_can_never_succeed_is_not_tried_again() {
    for (permanent, tries) in [(true, 1), (false, 3)] {
        let mut harness = with_tries(1, 3, 0, None);
        harness.accept(1);
        let failure = SpawnFailure { permanent, ..refusal() };
        for number in 1..=tries {
            harness.feed(Event::StartFailed { attempt: id(1, number), failure: failure.clone() });
        }
        harness.skip();
        assert_eq!(harness.ended(1, Err(Cause::SpawnFailed(failure))).tries, tries);
    }
}

#[test]
fn a_lost_warden_is_blamed_on_no_job() {
    let mut harness = with_tries(2, 1, 0, None);
    harness.accept(3).started(1, 1).started(2, 1).skip();
    harness.exited(2, 1, crate::outcome::Exit::Code(5), 1, false).asks_nothing();
    let lost = retry(1, 1, Cause::Lost, ms(0), false);
    harness.feed(Event::WardenLost).asks(lost.into_iter().chain([deliver(2)]));
    harness.ended(2, Err(Cause::Exit(5)));
    harness.exits(1, 1, 0).asks_nothing();
    harness.feed(Event::WardenReady).asks([start(1, 2, 0), start(3, 1, 1)]);
    harness.started(1, 2).exits(1, 2, 4).asks([deliver(1)]);
    let outcome = harness.ended(1, Err(Cause::Exit(4)));
    assert_eq!((outcome.attempts, outcome.tries), (2, 1));
}

#[test]
fn who_takes_the_warden_along_is_found_and_the_others_live() {
    let mut harness = with_tries(2, 1, 0, None);
    harness.accept(2).skip();
    for number in 1..=2 {
        harness.started(1, number).started(2, number).feed(Event::WardenLost).feed(Event::WardenReady);
    }
    // Both were running at both losses, so each runs alone from here on.
    assert_eq!(harness.dispatcher.counts().running, 1);
    harness.skip().started(1, 3).feed(Event::WardenLost).asks([deliver(1)]);
    let outcome = harness.ended(1, Err(Cause::Lost));
    assert_eq!((outcome.attempts, outcome.tries), (3, 0));
    harness.feed(Event::WardenReady).accept(1).asks([start(2, 3, 0), start(3, 1, 1)]);
}

#[test]
fn a_refused_start_waits_and_is_asked_again_alone() {
    let mut harness = with_tries(3, 1, 0, None);
    harness.accept(3).asks([start(1, 1, 0), start(2, 1, 1), start(3, 1, 2)]);
    harness.started(1, 1).asks_nothing();
    harness.feed(Event::StartRefused { attempt: id(2, 1), failure: refusal() });
    harness.asks([held(Some(HoldReason::Resources), 1)]);
    harness.feed(Event::StartRefused { attempt: id(3, 1), failure: refusal() }).asks_nothing();
    let due = harness.dispatcher.next_deadline().expect("it is asked again") - harness.now;
    assert!(due >= ms(7) && due <= ms(13), "{due:?}");
    // Both are next again, in their order.
    harness.pass(due).asks([start(2, 2, 1)]);
    harness.feed(Event::StartRefused { attempt: id(2, 2), failure: refusal() }).asks_nothing();
    // The end of an attempt makes room before the pause is over.
    harness.exits(1, 1, 0).asks([deliver(1), start(3, 2, 0)]);
    harness.ended(1, Ok(()));
    harness.started(3, 2).asks([start(2, 3, 1), held(None, 0)]);
    harness.started(2, 3).exits(2, 3, 0).skip();
    let outcome = harness.ended(2, Ok(()));
    assert_eq!((outcome.attempts, outcome.tries, outcome.last.unwrap().number), (1, 1, 3));
}

#[test]
fn a_start_refused_again_and_again_with_nothing_else_running_has_failed() {
    let mut harness = with_tries(1, 5, 0, None);
    harness.accept(1);
    for number in 1..=REFUSED_MAX {
        harness.skip().feed(Event::StartRefused { attempt: id(1, number), failure: refusal() });
        if number < REFUSED_MAX {
            harness.pass(ms(2000));
        }
    }
    let outcome = { harness.skip().ended(1, Err(Cause::SpawnFailed(refusal()))) };
    assert_eq!((outcome.attempts, outcome.tries, outcome.last), (0, 0, None));
}

// proves: admission-by-memory
#[test]
fn the_youngest_gives_way_and_never_the_last_one() {
    let mut harness = with_tries(3, 1, 0, None);
    harness.accept(3).started(1, 1).started(2, 1).started(3, 1).skip();
    harness.feed(Event::Preempt).asks([kill(3, 1)]);
    harness.feed(Event::Preempt).asks([kill(2, 1)]);
    harness.feed(Event::Preempt).asks_nothing();
    harness
        .feed(Event::Hold { reason: HoldReason::Memory, on: true })
        .asks([held(Some(HoldReason::Memory), 0)]);
    harness.exited(3, 1, KILLED, 0, false).asks(retry(3, 1, Cause::Cancelled, ms(0), false));
    harness.exited(2, 1, KILLED, 0, false).asks(retry(2, 1, Cause::Cancelled, ms(0), false));
    harness.exits(1, 1, 0).asks([deliver(1), start(3, 2, 0)]);
    harness.ended(1, Ok(()));
    harness.started(3, 2).exits(3, 2, 6).asks([deliver(3), start(2, 2, 0)]);
    assert_eq!(harness.ended(3, Err(Cause::Exit(6))).tries, 1);
}

#[test]
fn a_failure_stands_when_its_retry_will_not_come() {
    for stop in [Event::Drain, Event::Stop, Event::Kill] {
        let mut harness = with_tries(1, 2, 100, None);
        harness.accept(1).started(1, 1).exits(1, 1, 3).skip();
        harness.feed(stop).asks([deliver(1)]);
        harness.ended(1, Err(Cause::Exit(3)));
        assert_eq!(harness.dispatcher.next_deadline(), None);
    }
}

#[test]
fn a_cancelled_job_is_not_tried_again() {
    let mut harness = with_tries(1, 9, 100, None);
    harness.accept(3).started(1, 1).exits(1, 1, 1).started(2, 1).skip();
    harness.feed(Event::Cancel(JobId(1))).asks([deliver(1)]);
    harness.ended(1, Err(Cause::Cancelled));
    harness.feed(Event::Cancel(JobId(3))).asks([deliver(3)]);
    assert_eq!(harness.ended(3, Err(Cause::Cancelled)).attempts, 0);
    harness.feed(Event::Cancel(JobId(2))).asks([signal(2, 1, 15)]);
    harness.exits(2, 1, 0).asks([deliver(2)]);
    assert_eq!(harness.ended(2, Err(Cause::Cancelled)).tries, 0);
}

#[test]
fn what_a_worker_reported_decides_over_another_try_and_not_how_its_process_ended() {
    let mut harness = Harness::new(run_policy(1), JobPolicy { tries: 2, ..JobPolicy::default() });
    harness.accept(1).asks([start(1, 1, 0)]).started(1, 1).skip();
    let failed = Cause::Error("no".into());
    harness.feed(Event::Reported { attempt: id(1, 1), verdict: Err(failed.clone()) }).asks_nothing();
    // The second report is ignored.
    harness.feed(Event::Reported { attempt: id(1, 1), verdict: Ok(()) }).asks_nothing();
    let again = retry(1, 1, failed, Duration::ZERO, true);
    harness.exits(1, 1, 0).asks(again.into_iter().chain([start(1, 2, 0)]));
    harness.started(1, 2).feed(Event::Reported { attempt: id(1, 2), verdict: Ok(()) }).asks_nothing();
    harness.exited(1, 2, KILLED, 0, false).asks([deliver(1)]);
    harness.ended(1, Ok(()));
}

#[test]
fn what_has_finished_is_not_run_again_because_its_warden_is_lost() {
    let mut harness = Harness::new(run_policy(2), JobPolicy::default());
    harness.accept(1).asks([start(1, 1, 0)]).started(1, 1).skip();
    harness.feed(Event::Reported { attempt: id(1, 1), verdict: Ok(()) });
    harness.feed(Event::WardenLost).asks([deliver(1)]);
    harness.ended(1, Ok(()));
}

#[test]
fn a_report_that_comes_after_the_deadline_comes_too_late() {
    let policy = JobPolicy { timeout: Timeout::After(ms(100)), ..JobPolicy::default() };
    let mut harness = Harness::new(run_policy(1), policy);
    harness.accept(1).skip().started(1, 1).pass(ms(100)).asks([signal(1, 1, 15)]);
    harness.feed(Event::Reported { attempt: id(1, 1), verdict: Ok(()) }).exits(1, 1, 0).asks([deliver(1)]);
    harness.ended(1, Err(Cause::Timeout(ms(100))));
}

// proves: retries-apart, budgets-of-failure
#[test]
fn crashes_and_errors_are_counted_apart() {
    let error = || Err(Cause::Error("no".into()));
    let policy = JobPolicy { tries: 4, crash_tries: 2, ..JobPolicy::default() };
    let mut harness = Harness::new(run_policy(1), policy);
    harness.accept(1).skip();
    for (number, crashes) in [(1, true), (2, false)] {
        harness.started(1, number);
        if crashes {
            harness.exited(1, number, KILLED, 0, false);
        } else {
            harness.feed(Event::Reported { attempt: id(1, number), verdict: error() }).exits(1, number, 0);
        }
        harness.skip();
        assert!(harness.outcomes.is_empty(), "try {number} is not the last");
    }
    harness.started(1, 3).exited(1, 3, KILLED, 0, false).asks([deliver(1)]);
    let outcome = harness.ended(1, Err(Cause::Signal { signal: 9, core_dumped: false }));
    assert_eq!((outcome.tries, outcome.attempts), (3, 3));

    let mut harness =
        Harness::new(run_policy(1), JobPolicy { tries: 4, crash_tries: 2, ..JobPolicy::default() });
    harness.accept(1).skip();
    for number in 1..=4 {
        harness.started(1, number);
        harness.feed(Event::Reported { attempt: id(1, number), verdict: error() }).exits(1, number, 0);
    }
    harness.skip();
    assert_eq!(harness.ended(1, error()).tries, 4);
}
