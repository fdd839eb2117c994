//! Runs whose jobs begin runs of their own: all of them together stay within the workers of the outermost.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use psmith::{EngineError, Failure, Isolation, Job, Pool};
use psmith_testkit::leak::LeakGuard;
use rustix::time::{ClockId, clock_gettime};

const BOTH: [Isolation; 2] = [Isolation::Reuse, Isolation::PerJob];

/// What is waited for comes within this, or a test fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(30);

fn isolation(fresh: bool) -> Isolation {
    BOTH[usize::from(fresh)]
}

fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Works for some milliseconds, so that jobs that may run beside it do.
fn leaf(_: u32) -> (i64, i64) {
    let began = now();
    while now() < began + 5_000_000 {}
    (began, now())
}

fn middle(fresh: bool) -> Vec<(i64, i64)> {
    psmith::map(0..3, leaf).isolation(isolation(fresh)).map(Result::unwrap).collect()
}

fn outer(fresh: bool) -> Vec<(i64, i64)> {
    psmith::map([fresh; 3], middle).isolation(isolation(fresh)).into_iter().flat_map(Result::unwrap).collect()
}

/// The most of these that ran at once.
fn most_at_once(ran: &[(i64, i64)]) -> usize {
    ran.iter().map(|(at, _)| ran.iter().filter(|(from, to)| from <= at && at < to).count()).max().unwrap_or(0)
}

/// Waits until this number of jobs wait there.
fn meet((n, all, dir): (usize, usize, PathBuf)) -> u32 {
    File::create(dir.join(n.to_string())).unwrap();
    while present(&dir) < all {
        std::thread::yield_now();
    }
    psmith::cx().unwrap().slot()
}

fn present(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

fn meeting(all: usize, dir: &Path) -> Vec<(usize, usize, PathBuf)> {
    (0..all).map(|n| (n, all, dir.to_owned())).collect()
}

/// A run of its own in which all must meet.
fn meet_below((all, dir, fresh): (usize, PathBuf, bool)) -> Result<usize, String> {
    let met: Result<Vec<u32>, Failure> =
        psmith::map(meeting(all, &dir), meet).isolation(isolation(fresh)).timeout(LIMIT).collect();
    met.map(|slots| slots.len()).map_err(|failure| failure.to_string())
}

// proves: own-executable-again
#[test]
fn a_pool_in_a_pool_in_a_pool_stays_within_the_budget_of_the_outermost() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for fresh in [false, true] {
        let all = psmith::map([fresh; 3], outer).workers(3).isolation(isolation(fresh));
        let ran: Vec<_> = all.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(ran.len(), 27);
        assert!(most_at_once(&ran) <= 3, "fresh {fresh}: {}", most_at_once(&ran));
    }
}

// proves: own-executable-again
#[test]
fn workers_that_the_outermost_run_does_not_need_are_those_of_the_runs_below() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for fresh in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let item = (3, dir.path().to_owned(), fresh);
        let run = psmith::try_map([item], meet_below).workers(3).isolation(isolation(fresh));
        assert_eq!(
            run.into_iter().next().unwrap().map_err(|failure| failure.to_string()),
            Ok(3),
            "fresh {fresh}"
        );
    }
}

// proves: own-executable-again
#[test]
fn the_budget_tokens_of_a_job_come_back_when_it_is_killed() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let pool = Pool::builder().workers(2).build().unwrap();
    // Its two jobs stand for ever: three were to meet, and the budget is two.
    let endless = |dir: PathBuf| psmith::map(meeting(3, &dir), meet).count();
    let holds = pool.submit(Job::new(endless, first.path().to_owned())).unwrap();
    while present(first.path()) < 2 {
        std::thread::yield_now();
    }
    holds.kill();
    holds.wait().unwrap_err();
    let item = (2, second.path().to_owned(), false);
    assert_eq!(pool.submit(Job::fallible(meet_below, item)).unwrap().wait().unwrap(), 2);
}

// proves: own-executable-again
#[test]
fn two_runs_of_one_job_share_its_slot() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let two = |_: u32| -> Vec<(i64, i64)> {
        let runs = [false, true].map(|fresh| std::thread::spawn(move || middle(fresh)));
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    };
    let ran = psmith::map([0], two).workers(1).into_iter().next().unwrap().unwrap();
    assert_eq!((ran.len(), most_at_once(&ran)), (6, 1));
}

// proves: own-executable-again
#[test]
fn a_run_with_a_number_of_workers_of_its_own_gets_them_in_a_job_too() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let four = |dir: PathBuf| {
        let met = psmith::map(meeting(4, &dir), meet).workers(4).timeout(LIMIT);
        met.map(|slot| slot.map_err(|failure| failure.to_string())).collect::<Result<Vec<u32>, String>>()
    };
    let slots =
        psmith::try_map([dir.path().to_owned()], four).workers(1).into_iter().next().unwrap().unwrap();
    assert_eq!(slots, [0, 1, 2, 3]);
}

fn deeper(level: u32) -> Result<u32, String> {
    let below = psmith::try_map([level + 1], deeper).workers(1).into_iter().next().unwrap();
    below.map_err(|failure| failure.to_string())
}

// proves: own-executable-again: a job that begins the run it belongs to ends.
#[test]
fn runs_are_nested_only_so_deep_and_the_refusal_is_an_error() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let failure = psmith::try_map([0], deeper).workers(1).into_iter().next().unwrap().unwrap_err();
    let text = failure.to_string();
    let refusal = "psmith: runs of jobs of runs are nested 16 deep, and no deeper: does a job begin the run that it belongs \
                to?";
    assert!(text.ends_with(refusal), "{text}");
    assert_eq!(text.matches("job #1").count(), 16, "{text}");
    let typed = EngineError::TooDeep(16).to_string();
    assert!(refusal.ends_with(&typed), "{typed}");
}
