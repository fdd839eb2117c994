//! Short jobs go in batches, which only the clock shows: the fate of one of them is that one's alone.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use psmith::{Cause, Failure, Job, Output, Pool, Retry};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;
use rustix::process::{Pid, Signal, getpid, kill_process};

/// Appends the number to a file, in one write, as often as it is called.
fn mark(path: &Path, n: u64) {
    static FILE: OnceLock<File> = OnceLock::new();
    let mut file = FILE.get_or_init(|| OpenOptions::new().append(true).open(path).unwrap());
    file.write_all(&n.to_le_bytes()).unwrap();
}

/// How often each number was marked.
fn marks(path: &Path) -> BTreeMap<u64, u64> {
    let bytes = std::fs::read(path).unwrap();
    let mut counts = BTreeMap::new();
    for number in bytes.chunks(8) {
        *counts.entry(u64::from_le_bytes(number.try_into().unwrap())).or_default() += 1;
    }
    counts
}

fn kill_myself() {
    kill_process(getpid(), Signal::KILL).unwrap();
}

const JOBS: u64 = 20_000;

// proves: any-worker-may-die, reused-workers, F-6
#[test]
fn each_job_of_many_short_ones_runs_once_and_fails_alone() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let file = tempfile::NamedTempFile::new().unwrap();
    let wicked = |(n, path): (u64, PathBuf)| {
        mark(&path, n);
        match n {
            5_000 | 5_001 => kill_myself(),
            9_000 => std::process::exit(0),
            9_999 => std::process::abort(),
            12_000 => panic!("twelve thousand"),
            15_000 | 15_002 => return Err("an error".to_owned()),
            _ => {}
        }
        Ok(n)
    };
    let items = (0..JOBS).map(|n| (n, file.path().to_owned()));
    let mut done = 0;
    let map = psmith::try_map(items, wicked).workers(2).on_done(|job, _| {
        assert_eq!(job.index(), done);
        assert_ne!(job.pid(), 0);
        done += 1;
    });
    let got: Vec<Result<u64, Failure>> = map.output(Output::Discard).collect();
    assert_eq!(got.len() as u64, JOBS);
    for (n, got) in (0..).zip(got) {
        let failure = match got {
            Ok(value) => {
                assert_eq!(value, n);
                continue;
            }
            Err(failure) => failure,
        };
        assert_eq!((failure.index, failure.attempts), (n, 1));
        assert_eq!(failure.input::<(u64, PathBuf)>().unwrap().0, n);
        match (n, failure.into_cause()) {
            (5_000 | 5_001, Cause::Signal { signal: 9, .. })
            | (9_000, Cause::Exit(0))
            | (9_999, Cause::Signal { signal: 6, .. })
            | (12_000, Cause::Panic { .. }) => {}
            (15_000 | 15_002, Cause::Error(text)) => assert_eq!(text, "an error"),
            (n, cause) => panic!("{n}: {cause:?}"),
        }
    }
    let marks = marks(file.path());
    assert!((0..JOBS).all(|n| marks[&n] == 1), "{:?}", marks.iter().find(|(_, count)| **count != 1));
}

// proves: retries-apart: tries are counted job by job.
#[test]
fn a_job_that_fails_in_a_batch_is_tried_again_and_no_neighbour_is() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let file = tempfile::NamedTempFile::new().unwrap();
    let flaky = |(n, path): (u64, PathBuf)| {
        mark(&path, n);
        match (n % 4_000, psmith::cx().unwrap().attempt()) {
            (3_000, 1) => std::process::abort(),
            (3_000, 2) | (3_500, 1) => Err("not yet"),
            (3_000, 3) | (3_500, 2) | (_, 1) => Ok(n),
            (_, attempt) => panic!("attempt {attempt} of {n}"),
        }
    };
    let items = (0..JOBS).map(|n| (n, file.path().to_owned()));
    let map = psmith::try_map(items, flaky).workers(2).retry(Retry::tries(3)).output(Output::Discard);
    assert!(map.map(Result::unwrap).eq(0..JOBS));
    for (n, count) in marks(file.path()) {
        let expected = match n % 4_000 {
            3_000 => 3,
            3_500 => 2,
            _ => 1,
        };
        assert_eq!(count, expected, "{n}");
    }
}

// proves: reused-workers: what a job prints is its own, also where it was one of a batch.
#[test]
fn the_output_of_a_job_in_a_batch_is_its_own() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let speak = |n: u64| match n % 2_000 {
        1_500 => {
            eprintln!("words of {n}");
            Ok(n)
        }
        // The one after it has nothing to say.
        1_501 => Err("silent"),
        1_600 => {
            eprintln!("words of {n}");
            Err("loud")
        }
        _ => Ok(n),
    };
    let got = psmith::try_map(0..JOBS, speak).workers(2).output(Output::Discard);
    let failures: Vec<Failure> = got.into_iter().filter_map(Result::err).collect();
    assert_eq!(failures.len() as u64, JOBS / 2_000 * 2);
    for failure in failures {
        let text = String::from_utf8_lossy(&failure.stderr_tail);
        match failure.index % 2_000 {
            1_501 => assert_eq!(text, "", "{failure}"),
            _ => assert_eq!(text, format!("words of {}\n", failure.index)),
        }
    }
}

// proves: endless-in-order, batches-item-by-item
#[test]
fn no_more_is_taken_than_the_window_allows() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for (asked, most) in [(Some(1), 1), (Some(10), 10), (Some(3_000), 3_000), (None, 32 * 1024)] {
        let taken = Cell::new(0_u64);
        let items = (0..).inspect(|_| taken.set(taken.get() + 1));
        let map = psmith::map(items, |n: u64| n).workers(2);
        let mut map = match asked {
            Some(window) => map.window(window),
            None => map,
        }
        .into_iter();
        let jobs = if asked == Some(1) { 500 } else { JOBS };
        for n in 0..jobs {
            assert_eq!(map.next().unwrap().unwrap(), n);
            assert!(taken.get() - n <= most, "{} taken, {n} handed out, {asked:?}", taken.get());
        }
    }
}

// proves: endless-in-order: a batch is made of the jobs that wait, none is waited for; nor are outcomes that were not taken yet.
#[test]
fn a_single_job_is_done_while_its_source_keeps_the_next_one_back() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("done");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let mut done = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let work = |(n, path): (u64, PathBuf)| {
        if n >= 3_000 {
            OpenOptions::new().write(true).open(path).unwrap().write_all(&[1]).unwrap();
        }
        n
    };
    let items = (0..5_000).map(|n| {
        if n > 3_000 {
            // Hangs if the last one waits for company.
            done.read_exact(&mut [0]).unwrap();
        }
        (n, path.clone())
    });
    assert!(psmith::map(items, work).workers(2).map(Result::unwrap).eq(0..5_000));
}

// proves: uneven-jobs-overlap: a long job among short ones keeps none of them.
#[test]
fn a_long_job_in_a_batch_holds_up_none_of_its_neighbours() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut gate = Gate::closed();
    let stand = |(n, path): (u64, PathBuf)| {
        if n == 10_000 {
            gate::pass(&path);
        }
        n
    };
    let path = gate.path();
    let items = (0..JOBS).map(move |n| (n, path.clone()));
    let mut map = psmith::map(items, stand).workers(2).window(JOBS as u32).unordered().into_iter();
    let others: u64 = (1..JOBS).map(|_| map.next().unwrap().unwrap()).sum();
    assert_eq!(others + 10_000, JOBS * (JOBS - 1) / 2);
    gate.open();
    assert_eq!(map.next().unwrap().unwrap(), 10_000);
    assert!(map.next().is_none());
}

// proves: ways-to-end: one outcome for each job that was taken, also where the run is cut short.
#[test]
fn a_run_that_is_cut_short_loses_no_job_and_tells_of_those_left() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let stand = |(n, path): (u64, PathBuf)| {
        if n == 10_000 {
            gate::pass(&path);
        }
        n
    };
    let items = (0..JOBS).map(|n| (n, gate.path()));
    let limit = Duration::from_secs(3);
    let map = psmith::map(items, stand).workers(1).window(JOBS as u32).total_timeout(limit);
    let (mut done, mut cut) = (0, 0);
    for (n, got) in (0..).zip(map) {
        match got {
            Ok(value) => {
                assert_eq!(value, n);
                done += 1;
            }
            Err(failure) => {
                assert_eq!((failure.index, &failure.cause), (n, &Cause::Cancelled));
                assert_eq!(failure.attempts, u32::from(n == 10_000));
                cut += failure.left.unwrap_or(1);
            }
        }
    }
    // Those that were not begun are one failure, which counts them.
    assert_eq!((done, cut), (10_000, 10_000));
}

// proves: F-7: a job that was given to a worker which died before it called the function is no lost one.
#[test]
fn a_job_whose_worker_ends_before_it_begins_is_begun_by_another() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let pool = Pool::builder().workers(1).build().unwrap();
    let place = |_: ()| (std::process::id(), psmith::cx().unwrap().attempt());
    let (first, _) = pool.submit(Job::new(place, ())).unwrap().wait().unwrap();
    let worker = Pid::from_raw(first.cast_signed()).unwrap();
    // It cannot begin what it is given.
    kill_process(worker, Signal::STOP).unwrap();
    let handle = pool.submit(Job::new(place, ())).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while handle.pid().is_none() {
        assert!(Instant::now() < until, "it was not given");
        std::thread::yield_now();
    }
    kill_process(worker, Signal::KILL).unwrap();
    let (second, attempt) = handle.wait().unwrap();
    assert_ne!(second, first);
    assert_eq!(attempt, 1);
}
