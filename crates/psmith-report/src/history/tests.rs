//! Histories of invented runs: bounded, and nothing lost by folding.

use std::time::Duration;

use psmith_core::event::HoldReason;
use psmith_core::outcome::Cause;

use crate::history::bars::{BARS_MAX, LANES_MAX};
use crate::history::*;
use crate::sample;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn attempt(job: u64, slot: u32, began: u64, wall: u64, end: AttemptEnd) -> EndedAttempt {
    EndedAttempt { job, slot, began: ms(began), starting: ms(1), wall: ms(wall), end }
}

/// Makes the history of a hundred thousand jobs of 10 ms in 80 slots, every thousandth of which fails.
fn long_run() -> History {
    let mut history = History::new(80, BARS_MAX);
    let mut failed = sample::failed(Cause::Exit(7));
    let mut ok = sample::succeeded();
    for job in 1..=100_000_u64 {
        let fails = job % 1000 == 0;
        let (slot, began) = ((job - 1) % 80, (job - 1) / 80 * 10);
        let end = if fails { AttemptEnd::Failed } else { AttemptEnd::Ok };
        history.on_attempt(&attempt(job, slot as u32 + 1, began, 9, end));
        let outcome = if fails { &mut failed } else { &mut ok };
        outcome.last.as_mut().unwrap().wall = ms(9);
        history.on_end(&sample::record(job, outcome, b"cmd"), ms(began + 9));
    }
    history
}

#[test]
fn memory_does_not_grow_with_the_jobs_and_every_job_is_counted() {
    let history = long_run();
    let bars: Vec<_> = history.bars.lanes().iter().flatten().collect();
    assert!(bars.len() <= BARS_MAX, "{} bars", bars.len());
    assert_eq!(history.bars.lanes().len(), LANES_MAX);
    let drawn: u64 = bars.iter().map(|bar| u64::from(bar.attempts)).sum();
    assert_eq!(drawn + history.bars.not_drawn(), 100_000);
    assert_eq!(drawn, 100_000 / 80 * 64);
    assert!(!history.bars.resolution().is_zero());
    assert_eq!((history.ok, history.failed_count, history.failed.len()), (99_900, 100, 100));
    let (ok, failed) = history
        .columns
        .columns()
        .iter()
        .fold((0, 0), |(ok, failed), column| (ok + column.ok, failed + column.failed));
    assert_eq!((ok, failed), (99_900, 100));
    assert!(history.columns.columns().len() <= 240);
    let busy: Duration = history.columns.columns().iter().map(|column| column.busy).sum();
    assert_eq!(busy, ms(900_000));
    assert_eq!(history.working + history.starting, busy);
    assert_eq!(history.durations.count(), 100_000);
    assert_eq!(history.durations.sum(), busy);
}

#[test]
fn bars_stay_in_order_and_never_overlap() {
    for lane in long_run().bars.lanes() {
        assert!(lane.windows(2).all(|pair| pair[0].ended <= pair[1].began), "{lane:?}");
    }
}

#[test]
fn a_failure_among_joined_bars_is_still_seen() {
    let mut history = History::new(1, 0);
    for job in 0..10_000 {
        let end = if job == 5_000 { AttemptEnd::Retried } else { AttemptEnd::Ok };
        history.on_attempt(&attempt(job, 1, job * 10, 9, end));
    }
    let bars = &history.bars.lanes()[0];
    assert!(bars.len() <= LANES_MAX);
    let failed: Vec<_> = bars.iter().filter(|bar| bar.failed > 0).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].failed, failed[0].worst, history.retries), (1, AttemptEnd::Retried, 1));
}

#[test]
fn few_attempts_have_a_bar_each() {
    let mut history = History::new(2, BARS_MAX);
    history.on_attempt(&attempt(1, 1, 0, 1, AttemptEnd::Ok));
    history.on_attempt(&attempt(2, 1, 1, 1, AttemptEnd::Cut));
    history.on_attempt(&attempt(3, 2, 0, 1, AttemptEnd::Ok));
    let jobs: Vec<Vec<u64>> =
        history.bars.lanes().iter().map(|lane| lane.iter().map(|bar| bar.job).collect()).collect();
    assert_eq!(jobs, [vec![1, 2], vec![3]]);
    assert!(history.bars.resolution().is_zero());
}

#[test]
fn what_slots_offer_follows_their_limit() {
    let mut history = History::new(4, BARS_MAX);
    history.on_slots(2, ms(1_000));
    assert_eq!(history.offered(ms(2_500)), ms(4_000 + 3_000));
    assert_eq!(history.slots(), 2);
}

#[test]
fn holds_are_summed_by_reason() {
    let mut history = History::new(1, BARS_MAX);
    history.on_held(Some(HoldReason::Memory), ms(100));
    history.on_held(Some(HoldReason::Load), ms(300));
    history.on_held(None, ms(350));
    history.on_held(Some(HoldReason::Memory), ms(400));
    history.on_held(None, ms(500));
    let held: Vec<_> = history.held.iter().map(|(word, time)| (*word, time.as_millis())).collect();
    assert_eq!(held, [("load", 50), ("memory", 300)]);
}

#[test]
fn causes_are_counted_apart_up_to_a_bound() {
    let mut history = History::new(1, BARS_MAX);
    for code in 1..=200 {
        let outcome = sample::failed(Cause::Exit(code));
        history.on_end(&sample::record(code as u64, &outcome, b"x"), ms(1));
    }
    assert_eq!(history.causes["exit 1"], 1);
    assert_eq!(history.causes["other"], 200 - 64);
    assert_eq!(history.causes.values().sum::<u64>(), 200);
}

#[test]
fn the_slowest_are_the_slowest_whatever_came_first() {
    let mut history = History::new(1, BARS_MAX);
    let mut outcome = sample::succeeded();
    for job in 0..1000_u64 {
        outcome.last.as_mut().unwrap().wall = ms(job * 7919 % 1000);
        history.on_end(&sample::record(job, &outcome, b"x"), ms(job));
    }
    let walls: Vec<u128> = history.slowest.jobs().map(|job| job.wall.as_millis()).collect();
    assert_eq!(walls, (980..1000).rev().collect::<Vec<_>>());
}

#[test]
fn durations_lie_in_the_bucket_that_names_them() {
    let mut durations = DurationCounts::default();
    let times = [0, 1, 15, 16, 999, 1_000, 59_000, 4_000_000, 90_000_000_000];
    for time in times {
        durations.add(ms(time));
    }
    let buckets = durations.buckets();
    assert_eq!(buckets.iter().map(|bucket| bucket.count).sum::<u64>(), times.len() as u64);
    for time in times.map(ms) {
        let bucket = buckets.iter().find(|b| b.from <= time && b.to.is_none_or(|to| time < to)).unwrap();
        assert!(bucket.count > 0, "{time:?} is not in {bucket:?}");
    }
    assert_eq!(durations.shortest(), ms(0));
    assert_eq!(durations.longest(), ms(90_000_000_000));
    let median = durations.quantile(0.5).unwrap();
    assert!(median.from <= ms(999) && ms(999) < median.to.unwrap(), "{median:?}");
    assert_eq!(DurationCounts::default().quantile(0.5), None);
    assert_eq!(DurationCounts::default().buckets(), []);
}
