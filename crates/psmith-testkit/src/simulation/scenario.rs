//! The scenario of a seed: the policies of a run, and the frequency of its faults. Simulates nothing itself.

use std::sync::Arc;
use std::time::Duration;

use psmith_core::RunPolicy;
use psmith_core::outcome::{CauseKind, Limits};
use psmith_core::policy::{
    Backoff, Halt, HaltCount, HaltMode, HaltOn, JobPolicy, Leak, Order, RetryCause, RetryOn, TermSeq,
    TermStep, Timeout,
};

use super::generator::Generator;

/// A drawn run.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) run: RunPolicy,
    pub(super) policies: Vec<Arc<JobPolicy>>,
    pub(super) jobs: u64,
    pub(super) total_known: bool,
    /// The frequency, in percent, of each of these faults.
    pub(super) refused: u64,
    pub(super) start_fails: u64,
    pub(super) job_fails: u64,
    pub(super) leaks: u64,
    pub(super) stubborn: u64,
    pub(super) unkillable: u64,
    pub(super) vanishing: u64,
    /// The share, in percent, of attempts that are workers, which report how their function ended.
    pub(super) workers: u64,
    /// The frequency of the warden's deaths, and of the user's actions.
    pub(super) warden_losses: u64,
    pub(super) user_deeds: u64,
    /// The slowest consumer and the longest job, in milliseconds.
    pub(super) consumer: u64,
    pub(super) longest: u64,
}

impl Scenario {
    pub(super) fn draw(generator: &mut Generator) -> Scenario {
        let run = RunPolicy {
            slots: 1 + generator.below(5) as u32,
            window: 1 + generator.below(6) as u32,
            order: generator.one_of(&[Order::Completion, Order::Submission]),
            queue_max: 1 + generator.below(5) as usize,
            halt: if generator.chance(70) { Halt::Never } else { draw_halt(generator) },
            breaker: generator.one_of(&[0, 0, 1, 2, 4]),
            start_gap: if generator.chance(70) { Duration::ZERO } else { generator.time(40) },
            slow: generator.chance(50).then(|| Duration::from_millis(30)),
            seed: generator.next(),
        };
        let policies = (0..1 + generator.below(3)).map(|_| Arc::new(draw_policy(generator))).collect();
        Scenario {
            run,
            policies,
            jobs: generator.below(30),
            total_known: generator.chance(30),
            refused: generator.one_of(&[0, 0, 5, 40, 90]),
            start_fails: generator.one_of(&[0, 0, 10]),
            job_fails: generator.one_of(&[0, 20, 60]),
            leaks: generator.one_of(&[0, 20, 60]),
            stubborn: generator.one_of(&[0, 30]),
            unkillable: generator.one_of(&[0, 0, 0, 20]),
            vanishing: generator.one_of(&[0, 0, 0, 10, 60]),
            workers: generator.one_of(&[0, 0, 50, 100]),
            warden_losses: generator.one_of(&[0, 0, 0, 1, 4]),
            user_deeds: generator.one_of(&[0, 0, 3, 12]),
            consumer: generator.one_of(&[0, 1, 200]),
            longest: generator.one_of(&[1, 50, 400]),
        }
    }
}

fn draw_halt(generator: &mut Generator) -> Halt {
    let count = if generator.chance(50) {
        HaltCount::Number(1 + generator.below(6))
    } else {
        HaltCount::Percent(generator.one_of(&[5.0, 30.0, 100.0]))
    };
    Halt::When {
        what: generator.one_of(&[HaltOn::Fail, HaltOn::Success, HaltOn::Done]),
        count,
        mode: generator.one_of(&[HaltMode::Soon, HaltMode::Now]),
    }
}

fn draw_policy(generator: &mut Generator) -> JobPolicy {
    let steps: Vec<TermStep> = (0..generator.below(3))
        .map(|_| TermStep {
            signal: generator.one_of(&[15, 1, 2]),
            wait: Duration::from_millis(generator.below(60)),
        })
        .collect();
    JobPolicy {
        timeout: match generator.below(4) {
            0 | 1 => Timeout::Never,
            2 => Timeout::After(Duration::from_millis(1 + generator.below(300))),
            _ => Timeout::PercentOfMedian(generator.one_of(&[50.0, 150.0, 1000.0])),
        },
        tries: generator.one_of(&[1, 1, 2, 3, 0]),
        crash_tries: generator.one_of(&[0, 0, 1, 2]),
        grow_memory_percent: generator.one_of(&[0, 100, 150, 200]),
        backoff: Backoff {
            first: Duration::from_millis(generator.one_of(&[0, 0, 20, 300])),
            max: generator.chance(50).then(|| Duration::from_millis(generator.one_of(&[20, 1000]))),
        },
        retry_on: if generator.chance(70) {
            RetryOn::Any
        } else {
            RetryOn::Only(vec![
                RetryCause::Kind(generator.one_of(&[
                    CauseKind::Signal,
                    CauseKind::Timeout,
                    CauseKind::SpawnFailed,
                ])),
                RetryCause::ExitCodes(vec![1, 75]),
            ])
        },
        term_seq: TermSeq::new(steps),
        leak: generator.one_of(&[Leak::Kill, Leak::Fail, Leak::Wait, Leak::Allow]),
        limits: Limits { memory_bytes: generator.chance(50).then_some(1000), ..Limits::default() },
        ..JobPolicy::default()
    }
}
