//! Benchmark of the dispatcher's own cost for a job: `cargo run --release -p psmith-testkit --example dispatcher_speed
//! [JOBS]`.
//!
//! Stands in for kernel and consumer in runs of several slot counts, the end of a job drawn at random among those that
//! run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use psmith_core::outcome::{Evidence, Exit, Usage};
use psmith_core::policy::{Halt, Order};
use psmith_core::{Action, AttemptId, Dispatcher, Event, JobPolicy, RunPolicy, Time};

fn main() {
    let jobs = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(300_000);
    for slots in [2, 100, 10_000] {
        for (order, name) in [(Order::Completion, "completion"), (Order::Submission, "submission")] {
            // The best of three: any other load of the machine makes it only slower.
            let times = [(); 3].map(|()| {
                let began = Instant::now();
                run(slots, order, jobs);
                began.elapsed()
            });
            let each = times.into_iter().min().unwrap_or_default().as_secs_f64() * 1e6 / jobs as f64;
            println!("{slots:>6} slots, {name:<10} order: {each:.2} us a job");
        }
    }
}

fn run(slots: u32, order: Order, jobs: u64) {
    let policy = RunPolicy {
        slots,
        // Wide enough that the window never holds a start.
        window: u32::MAX,
        order,
        queue_max: slots as usize + 64,
        slow: Some(Duration::from_secs(60)),
        halt: Halt::Never,
        breaker: 0,
        start_gap: Duration::ZERO,
        seed: 1,
    };
    let mut dispatcher = Dispatcher::new(policy);
    let job_policy = Arc::new(JobPolicy::default());
    let mut actions: Vec<Action> = Vec::new();
    let mut running: Vec<AttemptId> = Vec::new();
    let mut clock = 0_u64;
    let mut generator = 1_u64;
    let mut offered = 0;
    let mut finished = false;
    while !finished {
        clock += 10;
        let now = Time(Duration::from_micros(clock));
        while offered < jobs && dispatcher.wants_job() {
            let job = dispatcher.next_job();
            dispatcher.handle(Event::Accepted { job, policy: Arc::clone(&job_policy) }, now, &mut actions);
            offered += 1;
            if offered == jobs {
                dispatcher.handle(Event::SourceEnded, now, &mut actions);
            }
        }
        while !actions.is_empty() {
            for action in std::mem::take(&mut actions) {
                match action {
                    Action::Start { attempt, .. } => {
                        running.push(attempt);
                        dispatcher.handle(Event::Started { attempt, pid: 7 }, now, &mut actions);
                    }
                    Action::Deliver { job } => {
                        dispatcher.handle(Event::Delivered(job), now, &mut actions);
                    }
                    Action::Finish => finished = true,
                    _ => {}
                }
            }
        }
        if !running.is_empty() {
            generator ^= generator << 13;
            generator ^= generator >> 7;
            generator ^= generator << 17;
            let attempt = running.swap_remove((generator % running.len() as u64) as usize);
            let event = Event::Exited {
                attempt,
                exit: Exit::Code(0),
                usage: Usage::default(),
                evidence: Evidence::default(),
                alive: 0,
                output_open: false,
            };
            dispatcher.handle(event, now, &mut actions);
        }
        dispatcher.handle_timers(now, &mut actions);
        let _ = dispatcher.next_deadline();
    }
}
