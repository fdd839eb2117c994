//! Many workers under every limit of descriptors: each job begins once and ends well, or there is one clear error before
//! the first.
//!
//! With `PSMITH_TEST_LONG=1` the whole sweep: soft and hard limits of 16 to 4096, 1 to 2,000 workers, both isolations,
//! every level of containment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use psmith::{Containment, Isolation};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::{LeakGuard, NONCE};
use psmith_testkit::sweep::{self, LEVELS, Width};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Makes a test of this file run the jobs of one point of the sweep.
const POINT: &str = "PSMITH_TEST_POINT";

/// A point of the sweep.
#[derive(Clone, Copy, Debug)]
struct Point {
    width: Width,
    isolation: Isolation,
    level: &'static str,
    forbid: &'static str,
    /// The number of runs at the same time, each with so many workers.
    runs: u32,
}

impl Point {
    fn to_text(self) -> String {
        let Width { soft, hard, workers } = self.width;
        let reuses = self.isolation == Isolation::Reuse;
        format!("{soft} {hard} {workers} {reuses} {} {}", self.level, self.runs)
    }
}

/// Returns the number of jobs that this many workers get: more than one each.
fn jobs(workers: u32) -> u32 {
    workers + workers / 2 + 3
}

/// Notes that it has begun, and stands at the gate until the run is as wide as it gets.
fn job((n, dir): (u32, PathBuf)) -> u32 {
    let attempt = psmith::cx().unwrap().attempt();
    let mut begun = OpenOptions::new().append(true).create(true).open(dir.join("begun")).unwrap();
    begun.write_all(format!("{n} {attempt}\n").as_bytes()).unwrap();
    gate::pass(&dir.join("gate"));
    n
}

/// Runs the jobs of a point in this process, and prints what became of them.
fn run(point: &str, dir: &Path) {
    let words: Vec<&str> = point.split(' ').collect();
    let number = |word: usize| words[word].parse::<u64>().unwrap();
    let limit = Rlimit { current: Some(number(0)), maximum: Some(number(1)) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let workers = number(2) as u32;
    let isolation = if words[3] == "true" { Isolation::Reuse } else { Isolation::PerJob };
    let (starts, started) = channel();
    let mut gate = Gate::closed();
    std::os::unix::fs::symlink(gate.path(), dir.join("gate")).unwrap();
    let opener = std::thread::spawn(move || {
        let mut goes_on = started.recv().is_ok();
        while goes_on {
            // Nothing tells that no further job will start before one has ended.
            goes_on = started.recv_timeout(Duration::from_millis(100)).is_ok();
        }
        gate.open();
        // Its file stays until the run is over.
        while started.recv_timeout(Duration::from_secs(600)) != Err(RecvTimeoutError::Disconnected) {}
    });
    let run = |first: u32, starts: Sender<()>| -> Vec<_> {
        let inputs = (first..first + jobs(workers)).map(|n| (n, dir.to_owned()));
        let map = psmith::map(inputs, job).workers(workers).isolation(isolation);
        let map = map.contain(Containment::of_word(words[4]).unwrap());
        map.on_start(|_| starts.send(()).unwrap()).collect()
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let run = &run;
        let runs = (0..number(5) as u32).map(|n| (n * jobs(workers), starts.clone()));
        let runs: Vec<_> = runs.map(|(first, starts)| scope.spawn(move || run(first, starts))).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    drop(starts);
    opener.join().unwrap();
    let (mut ok, mut failed) = (0, BTreeMap::new());
    for result in results {
        match result {
            Ok(_) => ok += 1,
            Err(failure) => *failed.entry(failure.to_string()).or_insert(0) += 1,
        }
    }
    println!("\nok: {ok}");
    for (failure, count) in failed {
        println!("failed: {count}: {failure}");
    }
}

/// Runs a point in a copy of this program; the error is what is wrong there.
fn look(point: &Point, guard: &LeakGuard) -> Result<(), String> {
    let dir = tempfile::Builder::new().prefix("psmith-widths-").tempdir().unwrap();
    let mut copy = Command::new(std::env::current_exe().unwrap());
    copy.args(["--exact", "each_job_begins_once_or_there_is_one_clear_error", "--nocapture"]);
    copy.env(NONCE, guard.nonce()).env(POINT, point.to_text()).env("PSMITH_FORBID", point.forbid);
    let output = copy.current_dir(dir.path()).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let begun = std::fs::read_to_string(dir.path().join("begun")).unwrap_or_default();
    let lines: Vec<&str> = begun.lines().collect();
    let distinct: BTreeSet<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    let failed: Vec<&str> = stdout.lines().filter(|line| line.starts_with("failed: ")).collect();
    let jobs = (jobs(point.width.workers) * point.runs) as usize;
    let all = output.status.success() && stdout.contains(&format!("\nok: {jobs}\n")) && failed.is_empty();
    // For one job there is room below 64, with what this program itself has open.
    let refused = point.width.hard < 64
        && output.status.success()
        && begun.is_empty()
        && matches!(failed[..], [one] if one.contains("descriptors (ulimit -n) are too few"));
    let told = stderr.matches("more descriptors than ulimit -n allows").count();
    let is_told = told == 1 || (told == 0 && u64::from(point.width.workers) * 8 < point.width.hard);
    if refused || (all && (distinct.len(), lines.len()) == (jobs, jobs) && is_told) {
        return Ok(());
    }
    Err(format!("{} of {jobs} jobs begun, {} times: {stdout}{stderr}", distinct.len(), lines.len()))
}

// A service manager's usual limits are 1024 of 524,288. The host raised its own soft limit and its warden had the lower
// one, so the warden failed; and reused workers were started without a look at the limit.
// proves: F-39, F-62, F-63, cap-on-workers
#[test]
fn each_job_begins_once_or_there_is_one_clear_error() {
    psmith::init();
    if let Ok(point) = std::env::var(POINT) {
        // return: the copy has run the jobs, the rest is the other's
        return run(&point, &std::env::current_dir().unwrap());
    }
    let guard = LeakGuard::new();
    let sample = [(16, 4096, 64), (48, 48, 64), (64, 256, 100), (240, 240, 64), (20, 20, 2)];
    let mut points = Vec::new();
    for width in sweep::widths(&sample) {
        for isolation in [Isolation::PerJob, Isolation::Reuse] {
            points.extend(LEVELS.map(|(level, forbid)| Point { width, isolation, level, forbid, runs: 1 }));
        }
    }
    sweep::assert_all(points, |point| look(point, &guard));
}

// Each run reckons with the descriptors that are open when it begins.
// proves: F-39, F-62
#[test]
fn runs_at_the_same_time_share_what_the_program_may_open() {
    let guard = LeakGuard::new();
    let width = Width { soft: 240, hard: 240, workers: 60 };
    let mut points = Vec::new();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        points.extend(LEVELS.map(|(level, forbid)| Point { width, isolation, level, forbid, runs: 2 }));
    }
    sweep::assert_all(points, |point| look(point, &guard));
}
