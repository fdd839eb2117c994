//! A program that changes its user after a pool has begun: the pool says so at the next call, and nothing that it had
//! started goes on as the former user.

use std::path::PathBuf;
use std::time::Duration;

use psmith::{EngineError, Isolation, Job, JobHandle, Pool, Refusal, Scheduler};
use psmith_sys::credentials::become_user;
use psmith_testkit::forked::in_copy;
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;
use psmith_testkit::need::Need;
use psmith_testkit::{need, proc};

/// The user without rights, on most systems.
const NOBODY: u32 = 65_534;

/// Starts a job that stays, ignores the terminate signal, and has told that it runs.
fn stays(pool: &Pool) -> (JobHandle<()>, i32) {
    let gate = Gate::closed();
    let job = |path: PathBuf| -> () {
        let _reached = std::fs::write(path.with_extension("reached"), "");
        loop {
            std::thread::park();
        }
    };
    let reached = gate.path().with_extension("reached");
    let handle = pool.submit(Job::<()>::new(job, gate.path())).unwrap();
    while !reached.exists() {
        // sleep: the worker tells by a file, for which nothing wakes.
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = std::fs::remove_file(reached);
    let pid = loop {
        match handle.pid() {
            Some(pid) => break pid,
            None => std::thread::yield_now(),
        }
    };
    (handle, i32::try_from(pid).unwrap())
}

fn is_told(error: &EngineError) -> bool {
    matches!(error, EngineError::Credentials(change) if change == "its user (it was 0, and is 65534)")
}

// proves: F-69
#[test]
fn a_pool_whose_program_changes_its_user_says_so_and_leaves_no_process_of_the_former() {
    need!("F-69", Need::Root);
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::Reuse, Isolation::PerJob] {
        in_copy(&format!("{isolation:?}"), || {
            let pool = Pool::builder().workers(1).isolation(isolation).build().unwrap();
            let (handle, pid) = stays(&pool);
            become_user(NOBODY, NOBODY).unwrap();
            let refused = pool.submit(Job::new(|n: u32| n, 1)).unwrap_err();
            assert!(matches!(&refused.reason, Refusal::NotBegun(error) if is_told(error)), "{refused}");
            // The kernel refuses this process the signal; the warden, which is as it was, kills all.
            handle.kill();
            let failure = handle.wait().unwrap_err();
            assert!(failure.to_string().contains("this process has changed its user"), "{failure}");
            pool.stop();
            assert!(!proc::is_alive(pid), "it lives on as root");
        });
    }
}

/// Jobs that wait, or are tried again, when the user changes are not begun as the former one.
// proves: F-69
#[test]
fn no_job_is_begun_as_the_user_that_the_program_was() {
    need!("F-69", Need::Root);
    psmith::init();
    let _guard = LeakGuard::alone();
    in_copy("waiting", || {
        let pool = Pool::builder().workers(1).isolation(Isolation::PerJob).build().unwrap();
        let mut gate = Gate::closed();
        let first = pool.submit(Job::new(|path: PathBuf| gate::pass(&path), gate.path())).unwrap();
        let waits = pool.submit(Job::new(|_: ()| rustix::process::getuid().as_raw(), ())).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while first.pid().is_none() {
            assert!(std::time::Instant::now() < until, "it does not begin");
            std::thread::yield_now();
        }
        become_user(NOBODY, NOBODY).unwrap();
        gate.open();
        let _ = first.wait();
        let failure = waits.wait().unwrap_err();
        assert!(failure.to_string().contains("this process has changed its user"), "{failure}");
        pool.stop();
    });
    in_copy("scheduler", || {
        let scheduler = Scheduler::new();
        let user =
            || scheduler.schedule(Job::new(|_: ()| rustix::process::getuid().as_raw(), ())).unwrap().wait();
        assert_eq!(user().unwrap(), 0);
        become_user(NOBODY, NOBODY).unwrap();
        assert_eq!(user().unwrap(), NOBODY, "it has begun another engine");
        scheduler.stop();
    });
}
