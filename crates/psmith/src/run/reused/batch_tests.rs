//! A driver with simulated workers, whose messages, and when they come, the test chooses.

use std::sync::Arc;
use std::time::Duration;

use psmith_core::worker_pool::{PoolPolicy, WorkerPool};
use psmith_core::{Dispatcher, SlotId};
use psmith_sys::shared::SharedMapping;

use super::*;
use crate::job::callee::Callee;
use crate::run::input_writer::InputWriter;
use crate::run::options::Options;
use crate::run::reused::commands::EngineJob;
use crate::run::reused::pool_policy;
use crate::run::run_event::Wants;
use crate::run::shared::RunShared;
use crate::run::submitter::Submitter;
use crate::run::surroundings::HostSurroundings;
use crate::run::worker_budget::Budget;
use psmith_engine::channel::messages::{FromWorker, ToWorker};
use psmith_engine::channel::shared_region::SharedRegion;
use psmith_engine::command::Launch;
use psmith_engine::function::described::Described;
use psmith_engine::function::job_function::Plain;
use psmith_engine::handler::{
    AttemptSlot, EngineCommand, EngineEvent, Handler, HandlerReply, Pull, View, WorkerMessage,
};

fn surroundings() -> Arc<HostSurroundings> {
    Arc::new(HostSurroundings::now(Vec::new()))
}

struct Harness {
    driver: ReusedDriver,
    shared: Arc<RunShared>,
    input_writer: InputWriter,
    engine: Dispatcher,
    now: Time,
}

impl Harness {
    /// Makes a driver with this many slots, whose batches hold this many jobs.
    fn new(workers: u32, jobs: u64) -> Harness {
        let shared = Arc::new(RunShared::new(Vec::new(), Vec::new(), false, false).unwrap());
        let options = Options::new();
        let policy = options.run_policy(workers);
        let wants = Wants { blocks: true, ..Wants::default() };
        let mut driver = ReusedDriver::new(
            Arc::clone(&shared),
            wants,
            &options,
            policy.clone(),
            (Vec::new(), Budget::default(), surroundings()),
        );
        let first_batch = jobs;
        driver.pool =
            WorkerPool::new(PoolPolicy { first_batch, ..pool_policy(&options, wants, policy.clone()) });
        let submitter = Submitter::new(Arc::clone(&shared), &options, None, surroundings());
        let callee = Arc::new(Callee::new::<_, Described>(Plain(|n: u8| n), None));
        let input_writer = InputWriter::new(&submitter, &callee);
        Harness { driver, shared, input_writer, engine: Dispatcher::new(policy), now: Time::ZERO }
    }

    fn add(&mut self, inputs: u8) {
        for input in 0..inputs {
            let _ = self.input_writer.add(&[input]);
        }
    }

    /// Runs a turn this many milliseconds later; returns the batches that are given: the number of the first job and
    /// the number of jobs.
    fn turn(&mut self, later: u64) -> Vec<(u64, u32)> {
        self.now = self.now + Duration::from_millis(later);
        let mut commands = Vec::new();
        self.driver.tick(&View { dispatcher: &self.engine, now: self.now }, &mut commands);
        let messages = commands.into_iter().flat_map(|command| match command {
            EngineCommand::Send(_, messages) => messages.0,
            _ => Vec::new(),
        });
        messages
            .filter_map(|(message, _)| match message {
                ToWorker::Batch(first, jobs) => Some((first.job, jobs)),
                ToWorker::Job(job) => Some((job.job, 1)),
                _ => None,
            })
            .collect()
    }

    /// Starts the worker that the driver asks for, as its channel shows it: its process is not reported yet.
    fn start_worker(&mut self, number: u64) -> (AttemptSlot, SharedRegion) {
        assert!(matches!(self.driver.pull(), Pull::Job(..)));
        let attempt = AttemptId { job: JobId(number), number: 1 };
        let at = AttemptSlot { attempt, slot: SlotId(0) };
        let Ok(Launch::Worker(start)) = self.driver.launch(&mut EngineJob::Worker, at) else {
            panic!("worker {number} is to be started")
        };
        let file = start.region.unwrap();
        let view = View { dispatcher: &self.engine, now: self.now };
        self.driver.greeted(&view, &mut EngineJob::Worker, at, &mut HandlerReply::default());
        (at, SharedRegion::new(SharedMapping::open(file).unwrap()))
    }

    fn has_process(&mut self, at: AttemptSlot, pid: u32) {
        let view = View { dispatcher: &self.engine, now: self.now };
        self.driver.on_event(&view, EngineEvent::Started { at, job: &EngineJob::Worker, pid });
    }

    /// Sends the worker's last message of a batch; returns its violation of the protocol, if it is one.
    fn answer(&mut self, at: AttemptSlot, job: u64, values: u32, then: Option<CallEnd>) -> Option<String> {
        let message = FromWorker::BatchDone { job, pid: 0, values, then, nanos: 1, usage: None };
        let mut reply = HandlerReply::default();
        let view = View { dispatcher: &self.engine, now: self.now };
        let message = WorkerMessage { message, bytes: Vec::new(), body: 0 };
        self.driver.on_message(&view, &mut EngineJob::Worker, at, message, &mut reply);
        reply.breach
    }

    /// Takes the events: the first job of each, in order, and how many jobs succeeded.
    fn reported(&self) -> Vec<(u64, usize)> {
        let events = std::mem::take(&mut self.shared.lock().events);
        events
            .iter()
            .map(|event| match event {
                RunEvent::Results(results) => (results.job.index, results.ends.len()),
                RunEvent::Done(finished) => {
                    (finished.job.index, usize::from(finished.outcome.verdict.is_ok()))
                }
                _ => panic!("{event:?}"),
            })
            .collect()
    }
}

fn work(region: &SharedRegion, jobs: usize) {
    for _ in 0..jobs {
        assert!(region.begin_next().is_some());
        assert!(region.put(b"value"));
    }
}

// The report of a worker's start came later than the batch lasts: the finished batch was taken back, and done again.
#[test]
fn a_batch_that_is_over_is_not_taken_back_while_its_worker_is_unknown() {
    let mut harness = Harness::new(1, 4);
    harness.add(4);
    assert_eq!(harness.turn(0), []);
    let (at, region) = harness.start_worker(1);
    assert_eq!(harness.turn(0), [(1, 4)]);
    work(&region, 4);
    assert_eq!(harness.answer(at, 1, 4, None), None);
    assert_eq!(harness.turn(100), []);
    harness.has_process(at, 7);
    assert_eq!(harness.turn(0), []);
    assert_eq!(harness.reported(), [(0, 4)]);
}

#[test]
fn what_is_not_begun_in_time_is_given_to_another_and_outcomes_keep_their_order() {
    let mut harness = Harness::new(2, 4);
    harness.add(8);
    assert_eq!(harness.turn(0), []);
    let ((one, slow), (other, quick)) = (harness.start_worker(1), harness.start_worker(2));
    harness.has_process(one, 7);
    harness.has_process(other, 8);
    // The second finds no more than its share of the rest. The worker that came last is the first to work.
    assert_eq!(harness.turn(0), [(1, 4), (5, 2)]);
    let ((one, slow), (other, quick)) = ((other, quick), (one, slow));
    work(&slow, 1);
    assert_eq!(slow.begin_next(), Some(1));
    assert_eq!(harness.turn(1), []);
    assert_eq!(harness.reported(), []);
    // Each worker keeps the job that it is doing, or would do next.
    assert_eq!(harness.turn(20), []);
    assert_eq!(harness.reported(), [(0, 1)]);
    assert_eq!(slow.begin_next(), None);
    work(&quick, 1);
    assert_eq!(quick.begin_next(), None);
    assert_eq!(harness.answer(other, 5, 1, None), None);
    // The job that was taken back is the next, and goes alone.
    assert_eq!(harness.turn(0), [(3, 1)]);
    assert_eq!(harness.reported(), []);
    assert!(slow.put(b"at last"));
    assert_eq!(harness.answer(one, 1, 2, None), None);
    assert_eq!(harness.turn(0), [(4, 1)]);
    assert_eq!(harness.reported(), [(1, 1)]);
}

#[test]
fn a_message_that_claims_what_is_not_there_breaks_the_protocol() {
    for (job, values, then) in
        [(1, 5, None), (1, 4, Some(CallEnd::Value)), (2, 2, None), (1, 3, None), (0, 2, None)]
    {
        let mut harness = Harness::new(1, 4);
        harness.add(4);
        harness.turn(0);
        let (at, region) = harness.start_worker(1);
        harness.turn(0);
        work(&region, 2);
        assert!(harness.answer(at, job, values, then.clone()).is_some(), "{job} {values} {then:?}");
    }
}
