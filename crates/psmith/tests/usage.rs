//! What a failed job has used: its own part alone, also in a worker that has done others before it, or nothing told.

use std::time::Duration;

use psmith::{Failure, Isolation, Job, Output};
use psmith_testkit::leak::LeakGuard;
use rustix::process::{Signal, getpid, kill_process};
use rustix::time::{ClockId, clock_gettime};

const MUCH: Duration = Duration::from_millis(150);
const LITTLE: Duration = Duration::from_millis(10);
const MEBIBYTE: usize = 1 << 20;

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

fn burn(time: Duration) {
    let began = cpu_time();
    while cpu_time() - began < time {
        std::hint::black_box(0);
    }
}

/// Uses much and succeeds, or uses little and ends badly.
fn work(way: u32) -> Result<(), &'static str> {
    match way {
        0 => {
            burn(MUCH);
            std::hint::black_box(vec![1_u8; 32 * MEBIBYTE]);
            return Ok(());
        }
        1 => burn(LITTLE),
        2 => {
            burn(LITTLE);
            kill_process(getpid(), Signal::KILL).unwrap();
        }
        _ => {
            let count = "n=0; while [ $n -lt 5000 ]; do n=$((n+1)); done";
            assert!(std::process::Command::new("sh").args(["-c", count]).status().unwrap().success());
        }
    }
    Err("failed")
}

// proves: usage-of-its-own
#[test]
fn a_failed_job_tells_what_it_used_itself_and_not_those_before_it_in_its_worker() {
    psmith::init();
    let _guard = LeakGuard::alone();
    // Where the kernel cannot begin a peak anew, it is that of any job before.
    let peaks = psmith_sys::usage::reset_peak().is_ok();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let run = psmith::try_map([0, 1, 2, 3], work).workers(1).isolation(isolation);
        let failed: Vec<Failure> = run.output(Output::Discard).into_iter().filter_map(Result::err).collect();
        assert_eq!(failed.len(), 3, "{failed:?}");
        for (failure, least) in failed.iter().zip([LITTLE, LITTLE, Duration::ZERO]) {
            let usage = failure.usage.expect("known");
            let cpu = usage.user + usage.system;
            assert!(cpu > least && cpu < MUCH, "{isolation:?}: {failure}: {usage:?}");
            assert!(usage.max_rss_bytes > 0 && !usage.whole_group);
            let is_own = usage.max_rss_bytes < 24 * MEBIBYTE as u64;
            assert!(is_own || !peaks, "{isolation:?}: {failure}: {usage:?}");
        }
    }
}

// proves: usage-of-its-own
#[test]
fn what_nothing_is_known_of_is_told_as_unknown() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let failure =
        psmith::run_jobs([Job::command("no-such-program").job()]).into_iter().next().unwrap().unwrap_err();
    assert_eq!(failure.usage, None);
    // Of short jobs that go together only the first is known.
    let fail = |n: u32| if n.is_multiple_of(2) { Ok(n) } else { Err("odd") };
    let failed = psmith::try_map(0..400, fail).workers(1).into_iter().filter_map(Result::err);
    let usages: Vec<_> = failed.map(|failure| failure.usage).collect();
    assert_eq!(usages.len(), 200);
    assert!(usages.iter().flatten().all(|usage| usage.max_rss_bytes > 0));
}
