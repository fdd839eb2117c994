//! A value that all jobs of a run share: encoded once, there in each worker once, lent to jobs, on every face.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use psmith::{
    Cause, EngineError, Flow, Isolation, Job, Options, Output, Pool, ProcessManager, Retry, Scheduler,
    Server, Supervisor, WorkerCx, run_jobs, run_workers, with_shared, with_state,
};
use psmith_testkit::leak::LeakGuard;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const BOTH: [Isolation; 2] = [Isolation::Reuse, Isolation::PerJob];

/// How often this process has encoded and decoded a model.
static ENCODED: AtomicU32 = AtomicU32::new(0);
static DECODED: AtomicU32 = AtomicU32::new(0);

/// Longer than the buffer of a socket.
struct Model(Vec<u32>);

impl Model {
    fn new() -> Model {
        Model((0..300_000).collect())
    }
}

impl Serialize for Model {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ENCODED.fetch_add(1, Ordering::Relaxed);
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Model, D::Error> {
        DECODED.fetch_add(1, Ordering::Relaxed);
        Vec::deserialize(deserializer).map(Model)
    }
}

/// An entry of the model, and how often the worker has decoded it.
fn look_up(model: &Model, n: usize) -> (u32, u32) {
    if n == 13 && psmith::cx().unwrap().attempt() == 1 {
        std::process::abort();
    }
    (model.0[n], DECODED.load(Ordering::Relaxed))
}

// proves: value-shared-by-jobs, reused-workers
#[test]
fn a_value_is_encoded_once_and_each_worker_decodes_it_once_also_one_that_replaces_another() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for (encoded, isolation) in (1..).zip(BOTH) {
        let run = psmith::map_with(&Model::new(), 0..40, look_up).isolation(isolation).workers(2);
        let run = run.max_jobs(7).retry(Retry::tries(2)).output(Output::Discard);
        for (n, got) in (0..).zip(run) {
            assert_eq!(got.unwrap(), (n, 1), "{isolation:?}");
        }
        assert_eq!((ENCODED.load(Ordering::Relaxed), DECODED.load(Ordering::Relaxed)), (encoded, 0));
    }
}

// proves: value-shared-by-jobs, run-inline
#[test]
fn jobs_in_the_callers_own_process_share_it_too_and_keep_nothing() {
    psmith::init();
    let nested = |names: &Vec<String>, n: usize| {
        let inner = psmith::map_with(&7_u32, [n], |seven: &u32, n: usize| n as u32 + seven).workers(0);
        (names[n].clone(), inner.map(Result::unwrap).sum::<u32>())
    };
    let names = vec!["zero".to_owned(), "one".to_owned()];
    let got: Vec<_> = psmith::map_with(&names, 0..2, nested).workers(0).map(Result::unwrap).collect();
    assert_eq!(got, [("zero".to_owned(), 7), ("one".to_owned(), 8)]);
    assert!(with_shared(|_: &Vec<String>| ()).is_none());
    let none = psmith::run_jobs([Job::lent(|_: &u32, n: u32| n, 1)]).into_iter().next().unwrap().unwrap_err();
    assert!(matches!(&none.cause, Cause::Undecodable(text) if text.contains("u32")), "{none}");
}

/// What a job finds there.
fn word() -> Option<String> {
    with_shared(|word: &String| word.clone())
}

// proves: value-shared-by-jobs
#[test]
fn every_face_gives_its_jobs_a_value_to_share() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let (word_is, shared) = ("shared".to_owned(), Some("shared".to_owned()));
    let options = Options::new().share(&word_is);
    let of_item = |n: u32| (n, word());
    for isolation in BOTH {
        let settings = options.clone().isolation(isolation);
        let got = psmith::map([1], of_item).options(settings.clone()).into_iter().next().unwrap().unwrap();
        assert_eq!(got, (1, shared.clone()));
        let has = |_: u32| word().is_some();
        assert!(psmith::any([1], has).options(settings.clone()).run().unwrap());
        assert!(psmith::all([1], has).options(settings.clone()).run().unwrap());
        let found = psmith::map_until([1], |_: u32| Flow::<(), _>::Break(word()));
        assert_eq!(found.options(settings.clone()).run().unwrap(), ControlFlow::Break(shared.clone()));
        psmith::each_with(&word_is, [1], |word, _| assert_eq!(word, "shared"))
            .isolation(isolation)
            .run()
            .unwrap();
        let all = [Job::new(of_item, 2), Job::lent(|word: &String, n| (n, Some(word.clone())), 3)];
        let got: Vec<_> = run_jobs(all).options(settings.clone()).map(Result::unwrap).collect();
        assert_eq!(got, [(2, shared.clone()), (3, shared.clone())]);
        let pool = Pool::builder().options(settings.clone()).build().unwrap();
        assert_eq!(pool.submit(Job::new(of_item, 4)).unwrap().wait().unwrap(), (4, shared.clone()));
        let mut jobs = [Job::new(of_item, 5)].into_iter();
        let mut got = None;
        let server = Server::new(move || jobs.next()).options(settings.clone());
        server.consumer(|_, end| got = Some(end.unwrap())).run().unwrap();
        assert_eq!(got, Some((5, shared.clone())));
    }
    let scheduler = Scheduler::new().options(options.clone());
    assert_eq!(scheduler.schedule(Job::new(of_item, 6)).unwrap().wait().unwrap(), (6, shared.clone()));
    let seen = Mutex::new(None);
    let mut manager = ProcessManager::builder().options(options.clone()).build().unwrap();
    manager
        .create_process(Job::new(of_item, 7), |_, end| *seen.lock().unwrap() = Some(end.unwrap()))
        .unwrap();
    while manager.process_count() > 0 {
        manager.step(Duration::from_secs(60));
    }
    assert_eq!(seen.lock().unwrap().take(), Some((7, shared.clone())));
    drop(manager);
    let send = |cx: WorkerCx<Option<String>>| cx.send(word());
    let (_, sent) = run_workers(1, send).options(options.clone()).next().unwrap();
    assert_eq!(sent.unwrap(), shared);
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("word");
    let serve = |_: u32, place: std::path::PathBuf| {
        std::fs::write(&place, word().unwrap_or_default()).unwrap();
        loop {
            std::thread::park();
        }
    };
    let mut supervisor = Supervisor::with_input(1, place.clone(), serve).options(options);
    supervisor.start().unwrap();
    while std::fs::read_to_string(&place).unwrap_or_default() != "shared" {
        std::thread::yield_now();
    }
    supervisor.stop();
}

// proves: reused-workers
#[test]
fn a_pools_init_is_given_its_value_in_each_worker() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let pool = Pool::builder().workers(1).max_jobs(2).init_with(&vec![1_u32, 2], |first| (first, 0));
    let pool = pool.exit(|(first, calls): (Vec<u32>, u32)| assert_eq!((first.len(), calls), (2, 2)));
    let pool = pool.build().unwrap();
    let ask = |_: ()| {
        let state = with_state(|(first, calls): &mut (Vec<u32>, u32)| {
            *calls += 1;
            (first.clone(), *calls)
        });
        (state.unwrap(), std::process::id())
    };
    let got: Vec<_> = (0..4).map(|_| pool.submit(Job::new(ask, ())).unwrap().wait().unwrap()).collect();
    let states: Vec<_> = got.iter().map(|(state, _)| state.clone()).collect();
    assert_eq!(states, [(vec![1, 2], 1), (vec![1, 2], 2), (vec![1, 2], 1), (vec![1, 2], 2)]);
    assert_eq!(got.iter().map(|(_, pid)| *pid).collect::<BTreeSet<_>>().len(), 2);
}

/// A value that cannot be encoded.
#[derive(Debug, Deserialize)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it has no form"))
    }
}

// proves: crash-is-no-answer
#[test]
fn a_value_that_cannot_be_shared_is_told_before_the_first_job() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let refused = Pool::builder().share(&Unwritable).build().unwrap_err();
    assert!(matches!(&refused, EngineError::Setting(text) if text.contains("it has no form")), "{refused}");
    let long = "x".repeat(5000);
    let refused = Pool::builder().share(&long).max_message_bytes(4096).build().unwrap_err();
    assert!(
        matches!(&refused, EngineError::Setting(text) if text.contains("max_message_bytes")),
        "{refused}"
    );
    let refused = Pool::builder().init_with(&Unwritable, |_| ()).build().unwrap_err();
    assert!(matches!(&refused, EngineError::Setting(text) if text.contains("it has no form")), "{refused}");
}

// proves: crash-is-no-answer
#[test]
fn a_job_that_wants_a_value_of_which_its_run_has_none_is_not_called() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let other = Pool::builder().workers(1).isolation(isolation).share(&7_u64).build().unwrap();
        let job = || Job::lent(|_: &String, _: ()| -> () { std::process::abort() }, ());
        let failure = other.submit(job()).unwrap().wait().unwrap_err();
        assert!(matches!(&failure.cause, Cause::Undecodable(text) if text.contains("String")), "{failure}");
        let next = other.submit(Job::lent(|seven: &u64, n: u64| seven + n, 1)).unwrap();
        assert_eq!(next.wait().unwrap(), 8);
    }
}

// The arguments in a job were those of its warden: none.
// proves: caller-untouched
#[test]
fn a_job_finds_the_arguments_of_its_program() {
    psmith::init();
    let arguments = || std::env::args().skip(1).collect::<Vec<_>>();
    if arguments().is_empty() {
        let mut named = std::process::Command::new(std::env::current_exe().unwrap());
        let ended = named.args(["--exact", "a_job_finds_the_arguments_of_its_program"]).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
        // return: the copy that has arguments has shown the rest.
        return;
    }
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let found = psmith::map([()], |()| std::env::args().skip(1).collect::<Vec<_>>());
        assert_eq!(found.isolation(isolation).into_iter().next().unwrap().unwrap(), arguments());
    }
}
