//! The scenario of a seed: the policies of a run, and the frequency of its faults. Simulates nothing itself.

use std::sync::Arc;
use std::time::Duration;

use psmith_core::RunPolicy;
use psmith_core::policy::{Backoff, Halt, HaltCount, HaltMode, HaltOn, JobPolicy, Order, TermSeq, Timeout};
use psmith_core::worker_pool::PoolPolicy;

use super::super::generator::Generator;

/// A drawn run.
#[derive(Debug)]
pub(super) struct PoolScenario {
    pub(super) pool: PoolPolicy,
    pub(super) policies: Vec<Arc<JobPolicy>>,
    pub(super) jobs: u64,
    /// The frequency, in percent, of each of these.
    pub(super) start_fails: u64,
    pub(super) dies: u64,
    pub(super) hangs: u64,
    pub(super) lies: u64,
    pub(super) fails: u64,
    pub(super) alone: u64,
    pub(super) without_memory: u64,
    pub(super) stays: u64,
    pub(super) warden_losses: u64,
    pub(super) user_deeds: u64,
    /// The longest job, in milliseconds.
    pub(super) longest: u64,
}

impl PoolScenario {
    pub(super) fn draw(generator: &mut Generator) -> PoolScenario {
        let batches = generator.chance(60);
        let order = generator.one_of(&[Order::Completion, Order::Submission]);
        let run = RunPolicy {
            slots: 1 + generator.below(4) as u32,
            window: if batches { u32::MAX } else { 1 + generator.below(8) as u32 },
            order: if batches { Order::Completion } else { order },
            queue_max: 1 + generator.below(8) as usize,
            halt: if batches || generator.chance(80) { Halt::Never } else { draw_halt(generator) },
            breaker: generator.one_of(&[0, 0, 0, 3]),
            start_gap: Duration::ZERO,
            slow: None,
            seed: generator.next(),
        };
        let pool = PoolPolicy {
            run,
            grace: Duration::from_millis(generator.one_of(&[5, 50])),
            max_jobs: generator.one_of(&[None, None, Some(1), Some(5)]),
            max_rss_growth: (!batches && generator.chance(20)).then_some(100),
            idle: generator.one_of(&[None, None, Some(Duration::from_millis(3))]),
            batches,
            ordered: order == Order::Submission,
            first_batch: generator.one_of(&[1, 1, 10]),
        };
        let policies =
            (0..1 + generator.below(2)).map(|_| Arc::new(draw_policy(generator, batches))).collect();
        PoolScenario {
            pool,
            policies,
            jobs: if batches { generator.below(300) } else { generator.below(30) },
            start_fails: generator.one_of(&[0, 0, 0, 30, 100]),
            dies: generator.one_of(&[0, 0, 5, 30]),
            hangs: generator.one_of(&[0, 0, 1, 5]),
            lies: generator.one_of(&[0, 0, 0, 10, 30]),
            fails: generator.one_of(&[0, 5, 30]),
            alone: if batches { generator.one_of(&[0, 2]) } else { generator.one_of(&[0, 0, 30]) },
            without_memory: generator.one_of(&[0, 0, 20, 100]),
            stays: generator.one_of(&[0, 0, 30]),
            warden_losses: generator.one_of(&[0, 0, 0, 1, 3]),
            user_deeds: generator.one_of(&[0, 0, 2, 8]),
            longest: generator.one_of(&[1, 3, 40]),
        }
    }
}

fn draw_halt(generator: &mut Generator) -> Halt {
    Halt::When {
        what: generator.one_of(&[HaltOn::Fail, HaltOn::Success, HaltOn::Done]),
        count: HaltCount::Number(1 + generator.below(6)),
        mode: generator.one_of(&[HaltMode::Soon, HaltMode::Now]),
    }
}

fn draw_policy(generator: &mut Generator, batches: bool) -> JobPolicy {
    let limit = Duration::from_millis(1 + generator.below(60));
    JobPolicy {
        timeout: if batches || generator.chance(60) { Timeout::Never } else { Timeout::After(limit) },
        idle: (!batches && generator.chance(20)).then_some(limit),
        tries: generator.one_of(&[1, 1, 2, 3]),
        backoff: Backoff { first: Duration::from_millis(generator.one_of(&[0, 0, 20])), max: None },
        term_seq: TermSeq::with_grace(Duration::from_millis(generator.below(30))),
        ..JobPolicy::default()
    }
}
