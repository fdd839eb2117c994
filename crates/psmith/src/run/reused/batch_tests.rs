//! A driver with workers that are played: what is said, and when, is the test's choice.

use std::sync::Arc;
use std::time::Duration;

use psmith_core::worker_pool::{PoolPolicy, WorkerKey, WorkerPool};
use psmith_core::{Dispatcher, SlotId};
use psmith_sys::shared::SharedMapping;

use super::*;
use crate::job::job::Callee;
use crate::run::input_writer::InputWriter;
use crate::run::options::Options;
use crate::run::reused::commands::EngineJob;
use crate::run::reused::pool_policy;
use crate::run::run_event::Wants;
use crate::run::shared::RunShared;
use crate::run::submitter::Submitter;
use psmith_engine::channel::messages::{FromWorker, ToWorker};
use psmith_engine::channel::shared_region::SharedRegion;
use psmith_engine::function::described::Described;
use psmith_engine::handler::{
    AttemptSlot, EngineCommand, EngineEvent, Handler, HandlerReply, Pull, View, WorkerMessage,
};

struct Play {
    driver: ReusedDriver,
    shared: Arc<RunShared>,
    input_writer: InputWriter,
    engine: Dispatcher,
    now: Time,
}

impl Play {
    /// A driver with so many slots, whose batches hold so many jobs.
    fn new(workers: u32, jobs: u64) -> Play {
        let shared = Arc::new(RunShared::new(Vec::new(), Vec::new(), false).unwrap());
        let options = Options::new();
        let policy = options.run_policy(workers);
        let wants = Wants { blocks: true, ..Wants::default() };
        let mut driver =
            ReusedDriver::new(Arc::clone(&shared), wants, &options, policy.clone(), Default::default());
        let first_batch = jobs;
        driver.pool =
            WorkerPool::new(PoolPolicy { first_batch, ..pool_policy(&options, wants, policy.clone()) });
        let submitter = Submitter::new(Arc::clone(&shared), &options, None);
        let callee = Arc::new(Callee::new::<_, u8, u8, Described>(|n: u8| n, None));
        let input_writer = InputWriter::new(&submitter, &callee);
        Play { driver, shared, input_writer, engine: Dispatcher::new(policy), now: Time::ZERO }
    }

    fn add(&mut self, inputs: u8) {
        for input in 0..inputs {
            let _ = self.input_writer.add(&[input]);
        }
    }

    /// A turn, so many milliseconds later: the batches that are given, by the number of the first job and how many.
    fn turn(&mut self, later: u64) -> Vec<(u64, u32)> {
        self.now = self.now + Duration::from_millis(later);
        let mut orders = Vec::new();
        self.driver.tick(&View { dispatcher: &self.engine, now: self.now }, &mut orders);
        let letters = orders.into_iter().flat_map(|order| match order {
            EngineCommand::Send(_, letters) => letters.0,
            _ => Vec::new(),
        });
        letters
            .filter_map(|(letter, _)| match letter {
                ToWorker::Batch(first, jobs) => Some((first.job, jobs)),
                ToWorker::Job(job) => Some((job.job, 1)),
                _ => None,
            })
            .collect()
    }

    /// The worker that the driver asks for comes to be, as far as its channel tells.
    fn bear(&mut self, number: u64) -> (AttemptSlot, SharedRegion) {
        assert!(matches!(self.driver.pull(), Pull::Job(..)));
        let attempt = AttemptId { job: JobId(number), number: 1 };
        let place = AttemptSlot { attempt, slot: SlotId(0) };
        let file = self.driver.lives[&WorkerKey(number)].region_file.clone().unwrap();
        let view = View { dispatcher: &self.engine, now: self.now };
        self.driver.greeted(&view, &mut EngineJob::Worker, place, &mut HandlerReply::default());
        (place, SharedRegion::new(SharedMapping::open(file).unwrap()))
    }

    fn has_process(&mut self, place: AttemptSlot, pid: u32) {
        let view = View { dispatcher: &self.engine, now: self.now };
        self.driver.on_event(&view, EngineEvent::Started { at: place, job: &EngineJob::Worker, pid });
    }

    /// The worker's last message of a batch; gives what is wrong with it.
    fn answer(&mut self, place: AttemptSlot, job: u64, values: u32, then: Option<CallEnd>) -> Option<String> {
        let letter = FromWorker::BatchDone { job, pid: 0, values, then, nanos: 1 };
        let mut mail = HandlerReply::default();
        let view = View { dispatcher: &self.engine, now: self.now };
        let letter = WorkerMessage { message: letter, bytes: Vec::new(), body: 0 };
        self.driver.on_message(&view, &mut EngineJob::Worker, place, letter, &mut mail);
        mail.breach
    }

    /// The jobs that were told of, in that order, and how many were well.
    fn told(&self) -> Vec<(u64, usize)> {
        let news = std::mem::take(&mut self.shared.lock().events);
        news.iter()
            .map(|news| match news {
                RunEvent::Results(results) => (results.job.index, results.ends.len()),
                RunEvent::Done(finished) => {
                    (finished.job.index, usize::from(finished.outcome.verdict.is_ok()))
                }
                _ => panic!("{news:?}"),
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

// The news of a worker's start came later than the batch lasts: it was given back, done as it was, and done again.
#[test]
fn a_batch_that_is_over_is_not_taken_back_while_its_worker_is_unknown() {
    let mut play = Play::new(1, 4);
    play.add(4);
    assert_eq!(play.turn(0), []);
    let (place, region) = play.bear(1);
    assert_eq!(play.turn(0), [(1, 4)]);
    work(&region, 4);
    assert_eq!(play.answer(place, 1, 4, None), None);
    assert_eq!(play.turn(100), []);
    play.has_process(place, 7);
    assert_eq!(play.turn(0), []);
    assert_eq!(play.told(), [(0, 4)]);
}

#[test]
fn what_is_not_begun_in_time_is_given_to_another_and_outcomes_keep_their_order() {
    let mut play = Play::new(2, 4);
    play.add(8);
    assert_eq!(play.turn(0), []);
    let ((one, slow), (other, quick)) = (play.bear(1), play.bear(2));
    play.has_process(one, 7);
    play.has_process(other, 8);
    // The second finds no more than its share of the rest. The worker that came last is the first to work.
    assert_eq!(play.turn(0), [(1, 4), (5, 2)]);
    let ((one, slow), (other, quick)) = ((other, quick), (one, slow));
    work(&slow, 1);
    assert_eq!(slow.begin_next(), Some(1));
    assert_eq!(play.turn(1), []);
    assert_eq!(play.told(), []);
    // Each keeps the job that it is at, or would be at.
    assert_eq!(play.turn(20), []);
    assert_eq!(play.told(), [(0, 1)]);
    assert_eq!(slow.begin_next(), None);
    work(&quick, 1);
    assert_eq!(quick.begin_next(), None);
    assert_eq!(play.answer(other, 5, 1, None), None);
    // What came back is the next, and goes alone.
    assert_eq!(play.turn(0), [(3, 1)]);
    assert_eq!(play.told(), []);
    assert!(slow.put(b"at last"));
    assert_eq!(play.answer(one, 1, 2, None), None);
    assert_eq!(play.turn(0), [(4, 1)]);
    assert_eq!(play.told(), [(1, 1)]);
}

#[test]
fn a_message_that_claims_what_is_not_there_breaks_the_protocol() {
    for (job, values, then) in
        [(1, 5, None), (1, 4, Some(CallEnd::Value)), (2, 2, None), (1, 3, None), (0, 2, None)]
    {
        let mut play = Play::new(1, 4);
        play.add(4);
        play.turn(0);
        let (place, region) = play.bear(1);
        play.turn(0);
        work(&region, 2);
        assert!(play.answer(place, job, values, then.clone()).is_some(), "{job} {values} {then:?}");
    }
}
