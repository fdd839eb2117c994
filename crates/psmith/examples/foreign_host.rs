//! psmith in a shared library that a program has loaded which knows nothing of psmith, as an extension of Python is. Such
//! a program cannot be executed again as a warden, so every face says so; commands run once a program is named for that.
//!
//! Loaded by `LD_PRELOAD`, it does its work before the program's `main`, if that is called `foreign-host`; its first
//! argument names a warden.

use psmith::{Job, Pool, ProcessManager, Scheduler, Server, Supervisor, WorkerCx};

psmith_sys::link_time_entry!(crate::begin);

fn begin() {
    let mut args = std::env::args();
    if args.next().as_deref() != Some("foreign-host") {
        return;
    }
    let _ = psmith::init();
    match args.next() {
        None => refused(),
        Some(warden) => {
            let _ = psmith::init().warden_program(warden);
            commands_alone();
        }
    }
    println!("done");
}

/// Shows what a face has answered, which must be an error.
fn show<T, E: std::fmt::Display>(face: &str, answer: Result<T, E>) {
    println!("{face}: {}", answer.err().map_or("no error".to_owned(), |error| error.to_string()));
}

fn double(n: u32) -> u32 {
    n * 2
}

fn refused() {
    show("map", psmith::map([1], double).into_iter().next().unwrap());
    show(
        "map per job",
        psmith::map([1], double).isolation(psmith::Isolation::PerJob).into_iter().next().unwrap(),
    );
    show("each", psmith::each([1], |_: u32| ()).run());
    show("pool", Pool::builder().build());
    show("scheduler", Scheduler::new().schedule(Job::new(double, 1)));
    show("manager", ProcessManager::<u32>::new());
    show("supervisor", Supervisor::new(1, |_: u32| ()).start());
    show("server", Server::new(|| Some(Job::new(double, 1))).run());
    show("workers", psmith::run_workers(1, |_: WorkerCx<u32>| ()).next().unwrap().1);
    show("jobs", psmith::run_jobs([Job::new(double, 1)]).into_iter().next().unwrap());
}

fn commands_alone() {
    let echo = || Job::command("echo").args(["said"]).job();
    let pool = Pool::builder().workers(1).build().unwrap();
    assert_eq!(pool.submit(echo()).unwrap().wait().unwrap(), b"said\n");
    show("pool", pool.submit(Job::new(double, 1)).unwrap().wait());
    let scheduler = Scheduler::new();
    assert_eq!(scheduler.schedule(echo()).unwrap().wait().unwrap(), b"said\n");
    show("scheduler", scheduler.schedule(Job::new(double, 1)).unwrap().wait());
    scheduler.drain();
    assert_eq!(psmith::run_jobs([echo()]).into_iter().next().unwrap().unwrap(), b"said\n");
    show("map", psmith::map([1], double).into_iter().next().unwrap());
    show(
        "map per job",
        psmith::map([1], double).isolation(psmith::Isolation::PerJob).into_iter().next().unwrap(),
    );
    show("workers", psmith::run_workers(1, |_: WorkerCx<u32>| ()).next().unwrap().1);
}
