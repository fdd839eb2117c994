//! What a seed stands for: the policies of a run, and how unkind its world is.

use std::sync::Arc;
use std::time::Duration;

use psmith_core::RunPolicy;
use psmith_core::outcome::{CauseKind, Limits};
use psmith_core::policy::{
    Backoff, Halt, HaltCount, HaltMode, HaltOn, JobPolicy, Leak, Order, RetryCause, RetryOn, TermSeq,
    TermStep, Timeout,
};

use super::dice::Dice;

/// One drawn run.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) run: RunPolicy,
    pub(super) policies: Vec<Arc<JobPolicy>>,
    pub(super) jobs: u64,
    pub(super) total_known: bool,
    /// How often, in percent, each of these goes wrong.
    pub(super) refused: u64,
    pub(super) start_fails: u64,
    pub(super) job_fails: u64,
    pub(super) leaks: u64,
    pub(super) stubborn: u64,
    pub(super) unkillable: u64,
    pub(super) vanishing: u64,
    /// How many are workers that say how their function ended.
    pub(super) workers: u64,
    /// How often the warden dies, how often the user does something.
    pub(super) warden_losses: u64,
    pub(super) user_deeds: u64,
    /// The slowest consumer and the longest job, in milliseconds.
    pub(super) consumer: u64,
    pub(super) longest: u64,
}

impl Scenario {
    pub(super) fn draw(dice: &mut Dice) -> Scenario {
        let run = RunPolicy {
            slots: 1 + dice.below(5) as u32,
            window: 1 + dice.below(6) as u32,
            order: dice.one_of(&[Order::Completion, Order::Submission]),
            queue_max: 1 + dice.below(5) as usize,
            halt: if dice.chance(70) { Halt::Never } else { draw_halt(dice) },
            breaker: dice.one_of(&[0, 0, 1, 2, 4]),
            start_gap: if dice.chance(70) { Duration::ZERO } else { dice.time(40) },
            slow: dice.chance(50).then(|| Duration::from_millis(30)),
            seed: dice.next(),
        };
        let policies = (0..1 + dice.below(3)).map(|_| Arc::new(draw_policy(dice))).collect();
        Scenario {
            run,
            policies,
            jobs: dice.below(30),
            total_known: dice.chance(30),
            refused: dice.one_of(&[0, 0, 5, 40, 90]),
            start_fails: dice.one_of(&[0, 0, 10]),
            job_fails: dice.one_of(&[0, 20, 60]),
            leaks: dice.one_of(&[0, 20, 60]),
            stubborn: dice.one_of(&[0, 30]),
            unkillable: dice.one_of(&[0, 0, 0, 20]),
            vanishing: dice.one_of(&[0, 0, 0, 10, 60]),
            workers: dice.one_of(&[0, 0, 50, 100]),
            warden_losses: dice.one_of(&[0, 0, 0, 1, 4]),
            user_deeds: dice.one_of(&[0, 0, 3, 12]),
            consumer: dice.one_of(&[0, 1, 200]),
            longest: dice.one_of(&[1, 50, 400]),
        }
    }
}

fn draw_halt(dice: &mut Dice) -> Halt {
    let count = if dice.chance(50) {
        HaltCount::Number(1 + dice.below(6))
    } else {
        HaltCount::Percent(dice.one_of(&[5.0, 30.0, 100.0]))
    };
    Halt::When {
        what: dice.one_of(&[HaltOn::Fail, HaltOn::Success, HaltOn::Done]),
        count,
        mode: dice.one_of(&[HaltMode::Soon, HaltMode::Now]),
    }
}

fn draw_policy(dice: &mut Dice) -> JobPolicy {
    let steps: Vec<TermStep> = (0..dice.below(3))
        .map(|_| TermStep { signal: dice.one_of(&[15, 1, 2]), wait: Duration::from_millis(dice.below(60)) })
        .collect();
    JobPolicy {
        timeout: match dice.below(4) {
            0 | 1 => Timeout::Never,
            2 => Timeout::After(Duration::from_millis(1 + dice.below(300))),
            _ => Timeout::PercentOfMedian(dice.one_of(&[50.0, 150.0, 1000.0])),
        },
        tries: dice.one_of(&[1, 1, 2, 3, 0]),
        crash_tries: dice.one_of(&[0, 0, 1, 2]),
        grow_memory_percent: dice.one_of(&[0, 100, 150, 200]),
        backoff: Backoff {
            first: Duration::from_millis(dice.one_of(&[0, 0, 20, 300])),
            max: dice.chance(50).then(|| Duration::from_millis(dice.one_of(&[20, 1000]))),
        },
        retry_on: if dice.chance(70) {
            RetryOn::Any
        } else {
            RetryOn::Only(vec![
                RetryCause::Kind(dice.one_of(&[
                    CauseKind::Signal,
                    CauseKind::Timeout,
                    CauseKind::SpawnFailed,
                ])),
                RetryCause::ExitCodes(vec![1, 75]),
            ])
        },
        term_seq: TermSeq::new(steps),
        leak: dice.one_of(&[Leak::Kill, Leak::Fail, Leak::Wait, Leak::Allow]),
        limits: Limits { memory_bytes: dice.chance(50).then_some(1000), ..Limits::default() },
        ..JobPolicy::default()
    }
}
