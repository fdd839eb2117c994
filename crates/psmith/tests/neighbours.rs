//! Any misbehaviour of a job at any stage is the failure of that job, and its neighbours and its pool go on.

use std::path::PathBuf;
use std::time::Duration;

use psmith::{Cause, Failure, Isolation, Job, Output, Pool, Retry};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const BOTH: [Isolation; 2] = [Isolation::PerJob, Isolation::Reuse];

/// Where something happens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Stage {
    Never,
    EncodesInput,
    DecodesInput,
    Works,
    EncodesResult,
    DropsResult,
    DecodesResult,
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum How {
    Fails,
    Panics,
    Aborts,
    Exits,
    IsKilled,
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

impl How {
    fn happens(self) -> Result<(), String> {
        match self {
            How::Fails => Err("it fails".into()),
            How::Panics => panic!("it panics"),
            How::Aborts => std::process::abort(),
            How::Exits => std::process::exit(0),
            How::IsKilled => loop {
                kill(std::process::id());
            },
        }
    }
}

/// A value to which `how` happens at `stage`; one side of its way is the input's, the other the result's.
struct Trap<const RESULT: bool> {
    stage: Stage,
    how: How,
}

impl<const RESULT: bool> Trap<RESULT> {
    fn at(&self, stage: Stage) -> Result<(), String> {
        if self.stage == stage { self.how.happens() } else { Ok(()) }
    }
}

impl<const RESULT: bool> Serialize for Trap<RESULT> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stage = if RESULT { Stage::EncodesResult } else { Stage::EncodesInput };
        self.at(stage).map_err(serde::ser::Error::custom)?;
        (self.stage, self.how).serialize(serializer)
    }
}

impl<'de, const RESULT: bool> Deserialize<'de> for Trap<RESULT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (stage, how) = Deserialize::deserialize(deserializer)?;
        let trap = Trap { stage, how };
        let stage = if RESULT { Stage::DecodesResult } else { Stage::DecodesInput };
        trap.at(stage).map_err(serde::de::Error::custom)?;
        Ok(trap)
    }
}

impl<const RESULT: bool> Drop for Trap<RESULT> {
    fn drop(&mut self) {
        // In a job only: the host has a copy, too.
        if RESULT && psmith::cx().is_some() && !std::thread::panicking() {
            // A drop has no caller to return an error to.
            self.at(Stage::DropsResult).unwrap();
        }
    }
}

fn work(input: Trap<false>) -> Result<Trap<true>, String> {
    input.at(Stage::Works)?;
    Ok(Trap { stage: input.stage, how: input.how })
}

fn expected(stage: Stage, how: How, cause: &Cause) -> bool {
    match (stage, how, cause) {
        (Stage::EncodesInput | Stage::DecodesInput, How::Fails, Cause::Undecodable(text)) => {
            text == "its input: it fails"
        }
        (Stage::EncodesResult | Stage::DecodesResult, How::Fails, Cause::Undecodable(text)) => {
            text == "its result: it fails"
        }
        // Where the host panics, the panic is caught, and is the failure of that item.
        (Stage::EncodesInput | Stage::DecodesResult, How::Panics, Cause::Undecodable(text)) => {
            text.contains("it panics")
        }
        (Stage::Works, How::Fails, Cause::Error(text)) => text == "it fails",
        (_, How::Panics | How::Fails, Cause::Panic { message, .. }) => message.contains("it "),
        (_, How::Aborts, Cause::Signal { signal, .. }) => *signal == 6,
        (_, How::Exits, Cause::Exit(code)) => *code == 0,
        (_, How::IsKilled, Cause::Signal { signal, .. }) => *signal == 9,
        _ => false,
    }
}

// proves: killed-worker-names-item, F-1, F-3, F-4, F-22, F-23, F-24, F-25, F-27, one-typed-outcome, any-worker-may-die, P-2, reused-workers
#[test]
fn any_event_at_any_stage_is_the_failure_of_its_own_job() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let in_a_worker = [Stage::DecodesInput, Stage::Works, Stage::EncodesResult, Stage::DropsResult];
    let everywhere = [How::Fails, How::Panics, How::Aborts, How::Exits, How::IsKilled];
    let in_the_host = [Stage::EncodesInput, Stage::DecodesResult];
    let wicked = in_a_worker.into_iter().flat_map(|stage| everywhere.map(|how| (stage, how)));
    let hosts = in_the_host.into_iter().flat_map(|stage| [How::Fails, How::Panics].map(|how| (stage, how)));
    let all: Vec<_> = wicked.chain(hosts).flat_map(|wicked| [wicked, (Stage::Never, How::Fails)]).collect();
    for isolation in BOTH {
        let items = all.clone().into_iter().map(|(stage, how)| Trap { stage, how });
        let got: Vec<_> =
            psmith::try_map(items, work).workers(2).isolation(isolation).output(Output::Discard).collect();
        assert_eq!(got.len(), all.len());
        for ((stage, how), got) in all.iter().zip(got) {
            let cause = got.map(|trap| trap.stage).map_err(Failure::into_cause);
            let well = match &cause {
                Ok(_) => *stage == Stage::Never,
                Err(cause) => expected(*stage, *how, cause),
            };
            assert!(well, "{isolation:?}: {stage:?} {how:?}: {cause:?}");
        }
    }
}

/// An error whose text panics.
#[derive(Debug)]
struct Untold;

impl std::fmt::Display for Untold {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no words for it")
    }
}

impl std::error::Error for Untold {}

// proves: errors-reach-caller, F-24, errors-as-text
#[test]
fn an_error_that_cannot_be_formatted_is_the_panic_of_its_own_job() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let fail = |n: u32| if n == 1 { Err(Untold) } else { Ok(n) };
        let got: Vec<_> = psmith::try_map(0..3, fail).workers(1).isolation(isolation).collect();
        let cause = &got[1].as_ref().unwrap_err().cause;
        assert!(matches!(cause, Cause::Panic { message, .. } if message == "no words for it"), "{cause:?}");
        assert!(got[0].is_ok() && got[2].is_ok());
    }
}

// proves: F-27, F-3, failure-in-one-line
#[test]
fn a_panic_within_the_panic_hook_is_an_abort_with_the_text_in_the_tail() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let fail = |n: u32| {
            if n == 1 {
                std::panic::set_hook(Box::new(|_| panic!("the hook itself")));
                panic!("the job");
            }
            n
        };
        let got: Vec<_> =
            psmith::map(0..3, fail).workers(1).isolation(isolation).output(Output::Discard).collect();
        let failure = got[1].as_ref().unwrap_err();
        assert!(matches!(failure.cause, Cause::Signal { signal: 6, .. }), "{failure}");
        let tail = String::from_utf8_lossy(&failure.stderr_tail);
        assert!(tail.contains("neighbours.rs"), "{tail}");
        assert!(got[0].is_ok() && got[2].is_ok());
    }
}

/// Stands at the gate, and says before that it does.
fn wait_at_gate((n, path): (u32, PathBuf)) -> u32 {
    std::fs::write(path.with_extension(n.to_string()), b"began").unwrap();
    gate::pass(&path);
    n
}

// proves: F-1, any-worker-may-die, P-2, exit-fails-its-handle
#[test]
fn all_workers_killed_at_once_are_replaced_and_waiting_jobs_are_untouched() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let mut gate = Gate::closed();
        let pool = Pool::builder().workers(3).isolation(isolation).build().unwrap();
        let handles: Vec<_> =
            (0..9).map(|n| pool.submit(Job::new(wait_at_gate, (n, gate.path()))).unwrap()).collect();
        // Each of the three calls its function: one that had not begun would be run by another worker.
        while !(0..3).all(|n| gate.path().with_extension(n.to_string()).exists()) {
            std::thread::yield_now();
        }
        let warden = psmith_sys::proc_tree::children(std::process::id()).unwrap();
        psmith_sys::proc_tree::children(warden[0]).unwrap().into_iter().for_each(kill);
        for handle in &handles[..3] {
            let failure = handle.wait().unwrap_err();
            assert!(matches!(failure.cause, Cause::Signal { signal: 9, .. }), "{failure}");
        }
        gate.open();
        for (n, handle) in (0..).zip(&handles).skip(3) {
            assert_eq!(handle.wait().unwrap(), n, "{isolation:?}");
        }
    }
}

// proves: F-1, P-2, any-worker-may-die
#[test]
fn a_job_that_kills_its_neighbours_ends_them_and_no_other_job() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let killer = |(n, path): (u32, PathBuf)| {
        if n < 3 {
            std::fs::write(path.with_extension(n.to_string()), b"began").unwrap();
            gate::pass(&path);
        } else {
            let warden = psmith_sys::proc_tree::stat(std::process::id()).unwrap().ppid;
            let all = psmith_sys::proc_tree::children(warden).unwrap();
            all.into_iter().filter(|pid| *pid != std::process::id()).for_each(kill);
        }
        n
    };
    let gate = Gate::closed();
    let pool = Pool::builder().workers(4).build().unwrap();
    let handles: Vec<_> = (0..3).map(|n| pool.submit(Job::new(killer, (n, gate.path()))).unwrap()).collect();
    while !(0..3).all(|n| gate.path().with_extension(n.to_string()).exists()) {
        std::thread::yield_now();
    }
    let killer = pool.submit(Job::new(killer, (3, gate.path()))).unwrap();
    assert_eq!(killer.wait().unwrap(), 3);
    for handle in handles {
        let failure = handle.wait().unwrap_err();
        assert!(matches!(failure.cause, Cause::Signal { signal: 9, .. }), "{failure}");
    }
    assert_eq!(pool.submit(Job::new(|n: u32| n, 7)).unwrap().wait().unwrap(), 7);
}

// proves: F-7, any-worker-may-die, P-6
#[test]
fn a_worker_that_dies_idle_takes_no_job_along() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let pool = Pool::builder().workers(1).build().unwrap();
    let place = |n: u32| (n, std::process::id(), psmith::cx().unwrap().attempt());
    for n in 0..40 {
        let (_, pid, _) = pool.submit(Job::new(place, 0)).unwrap().wait().unwrap();
        kill(pid);
        // Perhaps this one was given to the dead: then it is lost, uncharged, and given to the next.
        let (number, next, _) = pool.submit(Job::new(place, n)).unwrap().wait().unwrap();
        assert_eq!(number, n);
        assert_ne!(next, pid);
    }
    assert_eq!((pool.report().jobs, pool.report().failed), (80, 0));
}

// proves: F-1, F-5, F-26
#[test]
fn a_worker_killed_while_it_is_given_a_large_input_holds_up_no_other() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let length = |bytes: Vec<u8>| bytes.len() as u64;
    for isolation in BOTH {
        let pool = Pool::builder().workers(1).isolation(isolation).build().unwrap();
        for _ in 0..6 {
            let large = Job::by_codec::<psmith::codec::Raw, _>(
                |bytes: Vec<u8>| bytes.len().to_le_bytes().to_vec(),
                vec![1; 24 << 20],
            );
            let handle = pool.submit(large).unwrap();
            while handle.pid().is_none() && !handle.is_ready() {
                std::thread::yield_now();
            }
            handle.pid().into_iter().for_each(|pid| {
                // It may have gone by itself.
                let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                let _ = kill_process(pid, Signal::KILL);
            });
            if let Err(failure) = handle.wait() {
                // Or it had not executed its program yet, where workers are executed.
                let cause = &failure.cause;
                let killed = matches!(cause, Cause::Signal { signal: 9, .. } | Cause::SpawnFailed(_));
                assert!(killed, "{failure}");
            }
            assert_eq!(pool.submit(Job::new(length, vec![0; 10])).unwrap().wait().unwrap(), 10);
        }
    }
}

// proves: reused-workers, killed-worker-names-item, any-worker-may-die, P-1
#[test]
fn workers_that_are_replaced_all_the_time_lose_and_double_no_job() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let work = |(n, dir): (u32, PathBuf)| {
        let mark = dir.join(format!("{n}.{}", psmith::cx().unwrap().attempt()));
        std::fs::File::create_new(mark).map_err(|error| error.to_string())?;
        match n % 37 {
            5 => kill(std::process::id()),
            11 => std::process::exit(0),
            17 => panic!("seventeen"),
            23 => return Err("twenty-three".to_owned()),
            _ => {}
        }
        Ok(n)
    };
    let items = (0..1000).map(|n| (n, dir.path().to_owned()));
    let map =
        psmith::try_map(items, work).workers(4).max_jobs(3).retry(Retry::tries(2)).output(Output::Discard);
    let (mut count, mut failed) = (0, 0);
    for (n, got) in (0..).zip(map) {
        count += 1;
        match (n % 37, got.map_err(Failure::into_cause)) {
            (5, Err(Cause::Signal { signal: 9, .. }))
            | (11, Err(Cause::Exit(0)))
            | (17, Err(Cause::Panic { .. }))
            | (23, Err(Cause::Error(_))) => failed += 1,
            (_, got) => assert_eq!(got, Ok(n)),
        }
    }
    assert_eq!(count, 1000);
    // Each that failed ran twice, each other once.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1000 + failed);
}

// proves: F-20, F-35, reused-workers, handles-wait-and-end
#[test]
fn workers_of_one_two_and_three_jobs_do_them_all_though_handles_are_dropped() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for max_jobs in 1..=3 {
        let pool = Pool::builder().workers(4).max_jobs(max_jobs).build().unwrap();
        let mut kept = Vec::new();
        for n in 0..400_u32 {
            let handle = pool.submit(Job::new(|n: u32| n, n)).unwrap();
            if n.is_multiple_of(3) {
                kept.push((n, handle));
            }
        }
        pool.join();
        assert!(kept.iter().all(|(n, handle)| handle.is_ready() && handle.wait().unwrap() == *n));
        assert_eq!((pool.report().jobs, pool.report().failed), (400, 0));
    }
}

/// Aborts when its thread ends.
struct AtTheEnd;

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        std::process::abort();
    }
}

thread_local! {
    static AT_THE_END: AtTheEnd = const { AtTheEnd };
}

// proves: F-6, one-answer-a-job
#[test]
fn a_destructor_that_crashes_after_the_answer_changes_neither_it_nor_the_next() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let set = |n: u32| AT_THE_END.with(|_| n);
        let got: Vec<u32> =
            psmith::map(0..9, set).workers(2).max_jobs(2).isolation(isolation).map(Result::unwrap).collect();
        assert!(got.into_iter().eq(0..9), "{isolation:?}");
    }
}

// proves: messages-both-ways, deadline-bounds-tree
#[test]
fn messages_sent_before_a_crash_arrive_first_and_in_order() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let send = |n: u32| {
            let cx = psmith::cx().unwrap();
            (0..500).for_each(|part: u32| cx.send(&(n, part)).unwrap());
            if n == 1 {
                std::process::abort();
            }
            n
        };
        let received = std::sync::Mutex::new([const { Vec::new() }; 3]);
        let got: Vec<_> = psmith::map(0..3, send)
            .workers(1)
            .isolation(isolation)
            .output(Output::Discard)
            .on_message(|_, (n, part): (u32, u32)| received.lock().unwrap()[n as usize].push(part))
            .on_done(|job, _| {
                assert_eq!(
                    received.lock().unwrap()[job.index() as usize].len(),
                    500,
                    "all before the outcome"
                );
            })
            .collect();
        assert!(got[0].is_ok() && got[1].is_err() && got[2].is_ok());
        assert!(
            received.into_inner().unwrap().iter().all(|parts| parts.iter().copied().eq(0..500)),
            "{isolation:?}"
        );
    }
}

// proves: deadline-bounds-tree, timeouts-and-grace, failure-in-one-line, P-3, P-4
#[test]
fn a_deadline_ends_a_deaf_job_with_all_that_it_started_and_its_output_is_kept() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let deaf = |()| -> u32 {
            eprintln!("so far");
            psmith_sys::signals::block(psmith_sys::signals::SignalSet::of(&[15]));
            // It holds the streams for as long as it runs.
            drop(std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap());
            loop {
                std::thread::park();
            }
        };
        let limit = Duration::from_millis(500);
        let failure = psmith::map([()], deaf)
            .isolation(isolation)
            .timeout(limit)
            .grace(Duration::from_millis(100))
            .output(Output::Discard)
            .into_iter()
            .next()
            .unwrap()
            .unwrap_err();
        assert_eq!(failure.cause, Cause::Timeout(limit));
        assert_eq!(failure.stderr_tail, b"so far\n");
        assert!(failure.to_string().contains("timed out after 500ms"), "{failure}");
    }
}

// proves: F-28
#[test]
fn threads_that_outlive_their_job_in_a_worker_that_stays_harm_no_later_job() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let leave = |(n, path): (u32, PathBuf)| {
        let (begun, begins) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            begun.send(()).unwrap();
            gate::pass(&path);
            // A panic of a thread that is no job's own is no job's failure.
            panic!("too late for anybody");
        });
        begins.recv().unwrap();
        (n, std::process::id())
    };
    let mut gate = Gate::closed();
    let pool = Pool::builder().workers(1).output(Output::Discard).build().unwrap();
    let first = pool.submit(Job::new(leave, (0, gate.path()))).unwrap().wait().unwrap();
    let second = pool.submit(Job::new(leave, (1, gate.path()))).unwrap().wait().unwrap();
    assert_eq!((first.0, second), (0, (1, first.1)));
    gate.open();
    for n in 2..10 {
        let limit = Duration::from_secs(60);
        let handle = pool.submit(Job::new(|n: u32| (n, std::process::id()), n)).unwrap();
        assert_eq!(handle.wait_timeout(limit).unwrap().unwrap(), (n, first.1));
    }
}

// proves: F-28
#[test]
fn a_fork_that_returns_from_its_job_in_a_worker_that_stays_takes_no_later_job() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let fork = |n: u32| {
        if n == 1 {
            // Both return; only one of them may answer, and read on.
            drop(psmith_sys::fork::fork_single().unwrap());
        }
        n
    };
    for _ in 0..50 {
        let got: Vec<_> = psmith::map(0..4, fork).workers(1).output(Output::Discard).collect();
        // The worker's own answer stands, its copy has none.
        for (n, got) in (0..).zip(got) {
            assert_eq!(got.unwrap(), n);
        }
    }
}
