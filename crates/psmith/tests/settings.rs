//! One value of settings for every face, and the refusal of those that a face does not serve.

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use psmith::{
    Cause, EngineError, Failure, Isolation, Job, Options, Output, Pool, ProcessManager, Refusal, Scheduler,
    Server, Supervisor, SupervisorError, WorkerCx, run_workers,
};
use psmith_testkit::leak::LeakGuard;

const LIMIT: Duration = Duration::from_millis(200);

fn hang<A>(_: A) {
    loop {
        std::thread::park();
    }
}

fn hang_worker(_: WorkerCx<u32>) {
    hang(());
}

fn strict() -> Options {
    Options::new().timeout(LIMIT).output(Output::Discard)
}

#[test]
fn one_value_of_settings_holds_in_every_face() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let job = || Job::<()>::new(hang, ());
    let failures = Mutex::new(Vec::new());
    let keep = |end: Result<(), Failure>| failures.lock().unwrap().push(end.unwrap_err().into_cause());

    keep(psmith::map([()], hang).options(strict()).into_iter().next().unwrap());
    keep(psmith::each([()], hang).options(strict()).run().map(drop));
    let question = |(): ()| -> bool {
        hang(());
        true
    };
    keep(psmith::any([()], question).options(strict()).run().map(drop));
    keep(psmith::run_jobs([job()]).options(strict()).into_iter().next().unwrap());
    let mut jobs = [job()].into_iter();
    Server::new(move || jobs.next()).options(strict()).consumer(|_, end| keep(end)).run().unwrap();
    let pool = Pool::builder().options(strict()).build().unwrap();
    keep(pool.submit(job()).unwrap().wait());
    keep(run_workers(1, hang_worker).options(strict()).next().unwrap().1.map(drop));
    let scheduler = Scheduler::new().options(strict());
    keep(scheduler.schedule(job()).unwrap().wait());
    let mut manager = ProcessManager::builder().options(strict()).build().unwrap();
    manager.create_process(job(), |_, end| keep(end)).unwrap();
    assert_eq!(manager.drain().jobs, []);
    drop(manager);
    assert_eq!(failures.into_inner().unwrap(), [(); 9].map(|()| Cause::Timeout(LIMIT)));

    // A supervisor starts again what was ended, and says why it had to.
    let (sender, lines) = mpsc::channel();
    let options = strict().logger(move |_, line| drop(sender.send(line.to_string())));
    let mut supervisor = Supervisor::new(1, hang::<u32>).options(options);
    supervisor.start().unwrap();
    let line = lines.recv().unwrap();
    assert!(line.starts_with("worker 1: ") && line.contains("timed out"), "{line}");
    drop(supervisor.stop());
}

#[test]
fn a_setting_that_a_face_does_not_serve_is_an_error_when_it_begins() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let named = |text: String, face: &str, setting: &str| {
        assert!(text.contains(&format!("{face} does not serve `{setting}`")), "{text}");
    };
    let chatty = || Options::new().logger(|_, _| ());
    let ended = psmith::map(0..3, |n: u32| n).options(chatty()).into_iter().next().unwrap();
    named(ended.unwrap_err().to_string(), "map", "logger");
    // Also where no process would be started.
    let ended = psmith::map(0..3, |n: u32| n).options(chatty()).workers(0).into_iter().next().unwrap();
    named(ended.unwrap_err().to_string(), "map", "logger");
    let ended = psmith::run_jobs([Job::new(|n: u32| n, 1)]).options(chatty()).into_iter().next().unwrap();
    named(ended.unwrap_err().to_string(), "run_jobs", "logger");
    let ended = psmith::each(0..3, |_: u32| ()).options(chatty()).run();
    named(ended.unwrap_err().to_string(), "map_until", "logger");
    let (_, ended) = run_workers(1, hang_worker).isolation(Isolation::Reuse).next().unwrap();
    named(ended.unwrap_err().to_string(), "run_workers", "isolation");
    let refused = Scheduler::new().window(3).schedule(Job::new(|n: u32| n, 1)).unwrap_err();
    assert!(matches!(&refused.reason, Refusal::NotBegun(_)));
    named(refused.to_string(), "Scheduler", "window");
    let refused = ProcessManager::builder().workers(3).build::<()>().unwrap_err();
    assert!(matches!(&refused, EngineError::Setting(_)));
    named(refused.to_string(), "ProcessManager", "workers");
    let refused = Supervisor::new(1, hang::<u32>).breaker(3).start().unwrap_err();
    assert!(matches!(&refused, SupervisorError::Engine(EngineError::Setting(_))));
    named(refused.to_string(), "Supervisor", "breaker");
    // What the face does anyway may be said.
    let scheduler = Scheduler::new().isolation(Isolation::PerJob);
    assert_eq!(scheduler.schedule(Job::new(|n: u32| n, 1)).unwrap().wait().unwrap(), 1);
}
