//! Limits of function jobs: the failure of a job that exceeds one names the limit, and its neighbours go on.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use psmith::LimitKind;
use psmith::{Cause, Isolation, Job, ResourceLimits};
use psmith_testkit::leak::LeakGuard;
use psmith_testkit::need;
use psmith_testkit::need::Need;

const MIB: u64 = 1024 * 1024;

/// Touches this number of bytes, a page each.
fn touch(bytes: u64) -> u64 {
    let mut memory = vec![0_u8; usize::try_from(bytes).unwrap()];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    memory.iter().step_by(4096).map(|byte| u64::from(*byte)).sum()
}

// proves: F-18, limits-by-job: memory, and a neighbour's is its own
#[test]
fn a_function_that_takes_too_much_memory_is_named_and_its_neighbours_are_not() {
    psmith::init();
    need!("F-18, limits-by-job", Need::MemoryGroup);
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let limits = ResourceLimits::new().memory(128 * MIB);
        let sizes = [MIB, 512 * MIB, 2 * MIB];
        let results: Vec<_> =
            psmith::map(sizes, touch).workers(3).limits(limits).isolation(isolation).collect();
        assert_eq!(results[0].as_ref().unwrap(), &(MIB / 4096));
        assert!(
            matches!(results[1].as_ref().unwrap_err().cause, Cause::OutOfMemory { .. }),
            "{isolation:?}: {results:?}"
        );
        assert_eq!(results[2].as_ref().unwrap(), &(2 * MIB / 4096));
    }
}

// proves: limits-by-job, F-21: file size
#[test]
fn a_function_that_writes_too_large_a_file_is_named() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let write = |(path, length): (PathBuf, usize)| -> Result<(), String> {
        let mut file = File::create(path).map_err(|error| error.to_string())?;
        file.write_all(&vec![b'x'; length]).map_err(|error| error.to_string())
    };
    let items = [(dir.path().join("a"), 1000), (dir.path().join("b"), 3_000_000)];
    let limits = ResourceLimits::new().file_size(MIB);
    let results: Vec<_> = psmith::try_map(items, write).workers(2).limits(limits).collect();
    assert!(results[0].is_ok());
    assert_eq!(results[1].as_ref().unwrap_err().cause, Cause::Limit(LimitKind::FileSize(MIB)));
}

// proves: limits-by-job: descriptors and processes are refused, and the job says so itself
#[test]
fn a_function_is_refused_descriptors_and_processes_beyond_its_limits() {
    psmith::init();
    need!("F-13, limits-by-job", Need::PidsGroup);
    let _guard = LeakGuard::alone();
    let open = |many: usize| -> Result<usize, String> {
        let files: Result<Vec<File>, _> = (0..many).map(|_| File::open("/dev/null")).collect();
        files.map(|files| files.len()).map_err(|error| error.to_string())
    };
    let limits = ResourceLimits::new().open_files(50);
    let results: Vec<_> = psmith::try_map([10, 100], open).workers(1).limits(limits).collect();
    assert_eq!(results[0].as_ref().unwrap(), &10);
    assert!(
        matches!(&results[1].as_ref().unwrap_err().cause, Cause::Error(text) if text.contains("os error 24"))
    );

    let start = |many: u32| -> Result<u32, String> {
        let sleeper = || std::process::Command::new("sleep").arg("1000").spawn();
        let mut children = Vec::new();
        let mut refused = None;
        for _ in 0..many {
            match sleeper() {
                Ok(child) => children.push(child),
                Err(error) => refused = Some(error.to_string()),
            }
        }
        for child in &mut children {
            child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
        }
        refused.map_or(Ok(many), Err)
    };
    let limits = ResourceLimits::new().processes(10);
    let results: Vec<_> = psmith::try_map([3, 30], start).workers(1).limits(limits).collect();
    assert_eq!(results[0].as_ref().unwrap(), &3);
    let cause = &results[1].as_ref().unwrap_err().cause;
    assert!(matches!(cause, Cause::Error(_) | Cause::Limit(LimitKind::Processes(10))), "{cause:?}");
}

/// The variable that makes a test of this file play a program where no group can hold memory.
const PART: &str = "PSMITH_TEST_LIMITS";

// proves: F-19: where memory is address space, and the allocation is refused
#[test]
fn a_function_whose_allocation_fails_ends_by_the_signal_with_the_size_in_its_last_words() {
    psmith::init();
    if std::env::var_os(PART).is_some() {
        for isolation in [Isolation::PerJob, Isolation::Reuse] {
            let limits = ResourceLimits::new().memory(512 * MIB);
            let run = psmith::map([MIB, 1024 * MIB, 2 * MIB], touch).workers(2).limits(limits);
            let results: Vec<_> = run.isolation(isolation).collect();
            assert_eq!(results[0].as_ref().unwrap(), &(MIB / 4096));
            let failure = results[1].as_ref().unwrap_err();
            assert!(matches!(failure.cause, Cause::Signal { signal: 6, .. }), "{isolation:?}: {failure}");
            let words = String::from_utf8_lossy(&failure.stderr_tail);
            assert!(words.contains("memory allocation of 1073741824 bytes failed"), "{isolation:?}: {words}");
            assert_eq!(results[2].as_ref().unwrap(), &(2 * MIB / 4096));
            // One that asks whether it can have so much is refused, and goes on.
            let ask = |bytes: usize| Vec::<u8>::new().try_reserve_exact(bytes).is_err();
            let asked = psmith::map([1 << 30], ask).limits(limits).isolation(isolation).into_iter().next();
            assert!(asked.unwrap().unwrap());
        }
        // return: this copy only plays the program
        return;
    }
    let _guard = LeakGuard::alone();
    let mut program = std::process::Command::new(std::env::current_exe().unwrap());
    let name = "a_function_whose_allocation_fails_ends_by_the_signal_with_the_size_in_its_last_words";
    // With it the last words are those of the backtrace.
    program.env_remove("RUST_BACKTRACE");
    let output =
        program.args(["--exact", name]).env(PART, "1").env("PSMITH_FORBID", "cgroup").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// How many descriptors a process may have here.
fn open_files_max(_: ()) -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The outcome of each of these in a pool, functions and commands alike.
fn outcomes_of<R: Send + 'static>(
    pool: psmith::PoolBuilder,
    jobs: impl IntoIterator<Item = Job<R>>,
) -> Vec<Result<R, psmith::Failure>> {
    let pool = pool.build().unwrap();
    let handles: Vec<_> = jobs.into_iter().map(|job| pool.submit(job).unwrap()).collect();
    handles.iter().map(psmith::JobHandle::wait).collect()
}

// proves: limits-by-job: of one job among others, where each has a process and where workers stay
#[test]
fn limits_of_a_job_take_the_place_of_those_of_its_run_for_this_job_alone() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let files = |files| ResourceLimits::new().open_files(files);
    let asked = |stdout: &[u8]| Ok(String::from_utf8_lossy(stdout).trim().parse().unwrap());
    let command = || Job::command("sh").args(["-c", "ulimit -n"]).read_by(asked);
    let function = || Job::new(open_files_max, ());
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let jobs = [
            function(),
            function().limits(files(50)),
            // More than the run's.
            function().limits(files(150)),
            // Nothing of descriptors: the run's.
            function().limits(ResourceLimits::new().file_size(MIB)),
            function(),
            command().limits(files(50)),
            command().limits(files(150)),
            command(),
        ];
        let pool = psmith::Pool::builder().workers(2).limits(files(100)).isolation(isolation);
        let got: Vec<u64> = outcomes_of(pool, jobs).into_iter().map(Result::unwrap).collect();
        assert_eq!(got, [100, 50, 150, 100, 100, 50, 150, 100], "{isolation:?}");
    }
}

// proves: F-18, limits-by-job: memory of a job's own, in a run with less, with more, and with no limits at all
#[test]
fn memory_of_a_jobs_own_is_held_and_named_in_any_run() {
    psmith::init();
    need!("F-18, limits-by-job", Need::MemoryGroup);
    let _guard = LeakGuard::alone();
    let memory = |mib| ResourceLimits::new().memory(mib * MIB);
    let small = || Job::new(touch, 200 * MIB).limits(memory(64));
    let large = || Job::new(touch, 200 * MIB).limits(memory(400));
    let few = || Job::new(touch, MIB);
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        for run in [None, Some(memory(100)), Some(memory(1000))] {
            let pool = psmith::Pool::builder().workers(2);
            let pool = run.map_or(psmith::Pool::builder().workers(2), |run| pool.limits(run));
            let got = outcomes_of(pool.isolation(isolation), [small(), large(), few(), small(), few()]);
            let cause = &got[0].as_ref().unwrap_err().cause;
            let named =
                matches!(cause, Cause::OutOfMemory { limit_bytes: Some(bytes), .. } if *bytes == 64 * MIB);
            assert!(named, "{isolation:?}, {run:?}: {cause:?}");
            assert_eq!(got[1].as_ref().unwrap(), &(200 * MIB / 4096), "{isolation:?}, {run:?}");
            assert_eq!(got[2].as_ref().unwrap(), &(MIB / 4096), "{isolation:?}, {run:?}");
            assert!(got[3].is_err() && got[4].is_ok(), "{isolation:?}, {run:?}");
        }
    }
}

// proves: limits-by-job: a job with limits of its own is a job like any other beside workers that stay
#[test]
fn a_function_with_limits_of_its_own_is_retried_timed_out_and_exchanges_messages() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let limits = ResourceLimits::new().open_files(60);
    let answer = |()| {
        println!("out");
        let cx = psmith::cx().unwrap();
        assert!(cx.attempt() > 1, "the first attempt fails");
        cx.recv::<u64>().unwrap() + open_files_max(())
    };
    let hang = |()| -> u64 {
        loop {
            std::thread::park();
        }
    };
    let limit = std::time::Duration::from_millis(200);
    let pool = psmith::Pool::builder().workers(1).output(psmith::Output::Discard).build().unwrap();
    let before = pool.submit(Job::new(|()| u64::from(std::process::id()), ())).unwrap();
    let answers = pool.submit(Job::new(answer, ()).limits(limits).retry(psmith::Retry::tries(2))).unwrap();
    answers.send(&7_u64).unwrap();
    let hangs = pool.submit(Job::new(hang, ()).limits(limits).timeout(limit)).unwrap();
    let after = pool.submit(Job::new(|()| u64::from(std::process::id()), ())).unwrap();
    assert_eq!(answers.wait().unwrap(), 67);
    assert_eq!(hangs.wait().unwrap_err().cause, Cause::Timeout(limit));
    assert_eq!(before.wait().unwrap(), after.wait().unwrap(), "the worker that stays has stayed");
}

// proves: limits-by-job: what cannot be held
#[test]
fn limits_of_a_jobs_own_that_cannot_be_held_are_its_failure_and_no_other_jobs() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let refused = Job::new(touch, MIB).limits(ResourceLimits::new().memory(MIB));
        let pool = psmith::Pool::builder().workers(1).isolation(isolation);
        let got = outcomes_of(pool, [refused, Job::new(touch, MIB)]);
        let cause = format!("{:?}", got[0].as_ref().unwrap_err().cause);
        assert!(cause.contains("limit of memory: too little"), "{cause}");
        assert!(got[1].is_ok());
    }
}
