//! Functions and commands, side by side in every face that takes jobs: their reports are the same, however they end.

use std::io::Write;
use std::time::Duration;

use psmith::{
    Cause, Failure, Isolation, Job, JobHandle, Output, Pool, PoolBuilder, ProcessManager, ResourceLimits,
    Retry, Scheduler, SendError, Server,
};
use psmith_testkit::leak::LeakGuard;
use psmith_testkit::need;
use psmith_testkit::need::Need;

type JobOutcome = Result<Vec<u8>, Failure>;
type Bytes = Vec<u8>;

/// A scenario: its name, and a job of each kind.
type Scenario = (&'static str, [Job<Bytes>; 2]);

fn shell(script: &str) -> Job<Bytes> {
    Job::command("sh").args(["-c", script]).job()
}

fn hang(_: ()) -> Bytes {
    loop {
        std::thread::park();
    }
}

fn killed(_: ()) -> Bytes {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    hang(())
}

fn exit(code: i32) -> Bytes {
    eprintln!("gone with {code}");
    std::process::exit(code)
}

/// Succeeds in its third attempt.
fn third(_: ()) -> Bytes {
    match psmith::cx().unwrap().attempt() {
        3 => b"3".to_vec(),
        _ => std::process::exit(9),
    }
}

fn talk(_: ()) -> Bytes {
    for _ in 0..24 {
        std::thread::sleep(Duration::from_millis(50)); // sleep: longer than may be silent, in pieces that are shorter
        eprint!(".");
        std::io::stderr().flush().unwrap();
    }
    b"said".to_vec()
}

fn leave_behind(_: ()) -> Bytes {
    // A grandchild, left to itself.
    std::process::Command::new("sh").args(["-c", "sleep 600 &"]).status().unwrap();
    b"done".to_vec()
}

/// Kills its warden once, which is no fault of the job's.
fn lose(_: ()) -> Bytes {
    match psmith::cx().unwrap().attempt() {
        2 => b"2".to_vec(),
        _ => {
            let warden = rustix::process::getppid().unwrap();
            rustix::process::kill_process(warden, rustix::process::Signal::KILL).unwrap();
            hang(())
        }
    }
}

fn slot(_: ()) -> Bytes {
    let slot = psmith::cx().unwrap().slot() + 1;
    slot.to_string().into_bytes()
}

fn scenarios() -> Vec<Scenario> {
    let (short, twice) = (Duration::from_millis(300), || Retry::tries(2));
    let silence = Duration::from_secs(1);
    let both = |jobs: [Job<Bytes>; 2], set: &dyn Fn(Job<Bytes>) -> Job<Bytes>| jobs.map(set);
    vec![
        ("value", [Job::new(|n: Bytes| n, b"out".to_vec()), Job::command("cat").stdin("out").job()]),
        (
            "much",
            [
                Job::new(|n: Bytes| n, vec![b'x'; 3_000_000]),
                Job::command("cat").stdin(vec![b'x'; 3_000_000]).job(),
            ],
        ),
        ("nothing", [Job::new(|_: ()| Bytes::new(), ()), Job::command("cat").job()]),
        (
            "exit",
            both([Job::new(exit, 3), shell("echo gone with 3 >&2; exit 3")], &|job| job.label("leaver")),
        ),
        ("signal", both([Job::new(killed, ()), shell("kill -KILL $$")], &|job| job.label("victim"))),
        (
            "timeout",
            both([Job::new(hang, ()), shell("exec sleep 600")], &|job| {
                job.label("slow").timeout(short).retry(twice())
            }),
        ),
        (
            "idle",
            both([Job::new(hang, ()), shell("exec sleep 600")], &|job| {
                job.label("still").idle_timeout(short)
            }),
        ),
        ("signs of life", both([Job::new(talk, ()), shell(TALK)], &|job| job.idle_timeout(silence))),
        (
            "third time",
            both([Job::new(third, ()), shell("[ $PSMITH_ATTEMPT = 3 ] || exit 9; printf 3")], &|job| {
                job.retry(Retry::tries(3))
            }),
        ),
        (
            "no third time",
            both([Job::new(third, ()), shell("exit 9")], &|job| {
                job.label("unlucky").retry(twice().backoff(Duration::from_millis(1), None))
            }),
        ),
        (
            "crashes",
            both([Job::new(killed, ()), shell("kill -KILL $$")], &|job| {
                job.label("crasher").retry(Retry::tries(5).crash_tries(2))
            }),
        ),
        ("child", [Job::new(leave_behind, ()), shell("sleep 600 & printf done")]),
        (
            "lost",
            [
                Job::new(lose, ()),
                shell("[ $PSMITH_ATTEMPT = 2 ] || { kill -KILL $PPID; exec sleep 600; }; printf 2"),
            ],
        ),
        ("slot", [Job::new(slot, ()), shell("printf $PSMITH_SLOT")]),
    ]
}

const TALK: &str = "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24
    do sleep 0.05; printf . >&2; done; printf said";

/// The report that a caller gets, without what is bound to differ: pids, times, places.
fn report(outcome: JobOutcome) -> String {
    match outcome {
        Ok(value) => format!("{:?}", Ok::<_, ()>(value)),
        Err(failure) => {
            let earlier: Vec<_> =
                failure.earlier.iter().map(|earlier| (&earlier.cause, earlier.charged)).collect();
            let tail = String::from_utf8_lossy(&failure.stderr_tail);
            let (cause, exit, label) = (&failure.cause, failure.exit, failure.label.as_deref());
            format!("{cause:?} {exit:?} {} {earlier:?} {tail:?} {label:?}", failure.attempts)
        }
    }
}

fn pool(isolation: Isolation) -> Pool {
    quiet(Pool::builder()).workers(1).isolation(isolation).build().unwrap()
}

fn quiet(pool: PoolBuilder) -> PoolBuilder {
    pool.output(Output::Discard)
}

fn by_pool(isolation: Isolation, jobs: Vec<Job<Bytes>>) -> Vec<JobOutcome> {
    let pool = pool(isolation);
    let handles: Vec<_> = jobs.into_iter().map(|job| pool.submit(job).unwrap()).collect();
    handles.into_iter().map(JobHandle::into_outcome).collect()
}

fn by_server(isolation: Isolation, jobs: Vec<Job<Bytes>>) -> Vec<JobOutcome> {
    let (mut jobs, mut all) = (jobs.into_iter(), Vec::new());
    let server = Server::new(move || jobs.next()).in_order().workers(1).isolation(isolation);
    server.output(Output::Discard).consumer(|_, outcome| all.push(outcome)).run().unwrap();
    all
}

fn by_run_jobs(isolation: Isolation, jobs: Vec<Job<Bytes>>) -> Vec<JobOutcome> {
    psmith::run_jobs(jobs).workers(1).isolation(isolation).output(Output::Discard).collect()
}

/// One after the other, as they have one slot elsewhere.
fn by_scheduler(jobs: Vec<Job<Bytes>>) -> Vec<JobOutcome> {
    let scheduler = Scheduler::new();
    jobs.into_iter().map(|job| scheduler.schedule(job).unwrap().into_outcome()).collect()
}

fn by_manager(jobs: Vec<Job<Bytes>>) -> Vec<JobOutcome> {
    let all = std::sync::Mutex::new(Vec::new());
    let mut manager = ProcessManager::new().unwrap();
    for job in jobs {
        manager.create_process(job, |_, outcome| all.lock().unwrap().push(outcome)).unwrap();
        while manager.process_count() > 0 {
            manager.step(Duration::MAX);
        }
    }
    drop(manager.drain());
    drop(manager);
    all.into_inner().unwrap()
}

fn by_race(isolation: Isolation, jobs: Vec<Job<Bytes>>) -> Vec<JobOutcome> {
    let pool = pool(isolation);
    jobs.into_iter().map(|job| pool.race([job])).collect()
}

// proves: one-kind-of-job, functions-and-commands, any-worker-may-die, budgets-of-failure: of functions and commands alike
#[test]
fn any_end_of_a_function_or_a_command_is_reported_alike_by_every_face() {
    psmith::init();
    let _guard = LeakGuard::alone();
    type Face = (&'static str, fn(Vec<Job<Bytes>>) -> Vec<JobOutcome>);
    let faces: [Face; 10] = [
        ("run_jobs", |jobs| by_run_jobs(Isolation::PerJob, jobs)),
        ("run_jobs, reused", |jobs| by_run_jobs(Isolation::Reuse, jobs)),
        ("server", |jobs| by_server(Isolation::PerJob, jobs)),
        ("server, reused", |jobs| by_server(Isolation::Reuse, jobs)),
        ("pool", |jobs| by_pool(Isolation::PerJob, jobs)),
        ("pool, reused", |jobs| by_pool(Isolation::Reuse, jobs)),
        ("race", |jobs| by_race(Isolation::PerJob, jobs)),
        ("race, reused", |jobs| by_race(Isolation::Reuse, jobs)),
        ("scheduler", by_scheduler),
        ("manager", by_manager),
    ];
    let names: Vec<&str> = scenarios().into_iter().map(|(name, _)| name).collect();
    let reports = |run: fn(Vec<Job<Bytes>>) -> Vec<JobOutcome>| -> Vec<String> {
        let jobs = scenarios().into_iter().flat_map(|(_, jobs)| jobs).collect();
        run(jobs).into_iter().map(report).collect()
    };
    // All at once: most of their time is waiting.
    let all: Vec<(&str, Vec<String>)> = std::thread::scope(|scope| {
        let running = faces.map(|(face, run)| (face, scope.spawn(move || reports(run))));
        running.into_iter().map(|(face, thread)| (face, thread.join().unwrap())).collect()
    });
    let mut known: Option<Vec<(&str, String)>> = None;
    for (face, reports) in all {
        assert_eq!(reports.len(), names.len() * 2, "{face}");
        let mut by_name = Vec::new();
        for (name, pair) in names.iter().zip(reports.chunks(2)) {
            assert_eq!(pair[0], pair[1], "{face}, {name}: a function, and a command");
            by_name.push((*name, pair[0].clone()));
        }
        // Not only equal to each other: all faces report the same.
        assert_eq!(*known.get_or_insert(by_name.clone()), by_name, "{face}");
    }
    let known: std::collections::BTreeMap<_, _> = known.unwrap().into_iter().collect();
    assert!(known["crashes"].starts_with("Signal { signal: 9, core_dumped: false } Some("), "{known:?}");
    assert!(known["crashes"].contains(") 2 ["), "{known:?}");
    assert!(known["timeout"].starts_with("Timeout(300ms)") && known["idle"].starts_with("Idle(300ms)"));
    assert!(known["exit"].contains("gone with 3") && known["exit"].contains("leaver"), "{known:?}");
}

// proves: one-kind-of-job, limits-by-job: memory
#[test]
fn a_limit_of_memory_holds_for_functions_and_commands_in_one_pool() {
    psmith::init();
    need!("one-kind-of-job, limits-by-job", Need::MemoryGroup);
    let _guard = LeakGuard::alone();
    let eat = |mib: usize| -> Bytes { std::hint::black_box(vec![1; mib << 20])[..1].to_vec() };
    let wicked = psmith_testkit::wicked();
    let eater = |mib: u64| Job::command(&wicked).args(["eat-memory", &(mib << 20).to_string()]).job();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let limits = ResourceLimits::new().memory(64 << 20);
        let pool = quiet(Pool::builder()).workers(2).limits(limits).isolation(isolation).build().unwrap();
        let jobs = [Job::new(eat, 256), eater(256), Job::new(eat, 1), eater(1)];
        let outcome = jobs.map(|job| pool.submit(job).unwrap()).map(JobHandle::into_outcome);
        let limit = Some(64 << 20);
        for outcome in &outcome[..2] {
            let cause = &outcome.as_ref().unwrap_err().cause;
            assert!(
                matches!(cause, Cause::OutOfMemory { limit_bytes, .. } if *limit_bytes == limit),
                "{cause:?}"
            );
        }
        assert!(outcome[2..].iter().all(Result::is_ok), "{outcome:?}");
    }
}

// proves: one-kind-of-job, functions-and-commands: handles
#[test]
fn handles_of_both_kinds_cancel_kill_and_return_pids() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let pool = pool(isolation);
        for end in [JobHandle::cancel, JobHandle::kill] {
            for job in [Job::new(hang, ()), shell("exec sleep 600")] {
                let handle = pool.submit(job).unwrap();
                // One that waits is ended, too, and starts nothing.
                let queued = pool.submit(shell("exec sleep 600")).unwrap();
                while handle.pid().is_none() {
                    std::thread::yield_now();
                }
                end(&queued);
                assert_eq!(queued.wait().unwrap_err().cause, Cause::Cancelled);
                assert_eq!(queued.pid(), None);
                end(&handle);
                let failure = handle.wait().unwrap_err();
                assert_eq!((&failure.cause, failure.attempts), (&Cause::Cancelled, 1));
                assert_eq!(Some(failure.pid), handle.pid());
            }
        }
        let command = pool.submit(shell("exec sleep 600")).unwrap();
        assert!(matches!(command.send(&1_u32), Err(SendError::Over)), "it would never be taken");
        assert_eq!(pool.stop().jobs.len(), 1);
        assert_eq!(command.wait().unwrap_err().cause, Cause::Cancelled);
    }
}

// proves: functions-and-commands, reused-workers: workers that stay
#[test]
fn a_worker_stays_with_its_state_while_a_command_runs_beside_it() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let pool = Pool::builder().workers(1).init(|| 0_u32).build().unwrap();
    let count = |_: ()| psmith::with_state(|count: &mut u32| std::mem::replace(count, *count + 1)).unwrap();
    let number = |stdout: &[u8]| Ok(stdout.len() as u32);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(pool.submit(Job::new(count, ())).unwrap().wait().unwrap());
        seen.push(pool.submit(Job::command("printf").arg("xxxxx").read_by(number)).unwrap().wait().unwrap());
    }
    assert_eq!(seen, [0, 5, 1, 5, 2, 5]);
}

// proves: functions-and-commands: the number of workers is of both kinds together
#[test]
fn never_more_jobs_run_than_there_are_workers_of_whichever_kind() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    // Each notes how many stand in the directory while it does.
    let path = dir.path().to_str().unwrap().to_owned();
    let script = format!("f=$(mktemp -p {path}); ls {path} | wc -l; rm $f");
    let note = |path: String| {
        let file = tempfile::NamedTempFile::new_in(&path).unwrap();
        let standing = std::fs::read_dir(&path).unwrap().count();
        drop(file);
        standing.to_string().into_bytes()
    };
    let pool = quiet(Pool::builder()).workers(2).window(100).build().unwrap();
    let job = |n: u32| if n.is_multiple_of(2) { Job::new(note, path.clone()) } else { shell(&script) };
    let handles: Vec<_> = (0..40).map(|n| pool.submit(job(n)).unwrap()).collect();
    for handle in handles {
        let standing = String::from_utf8(handle.wait().unwrap()).unwrap();
        assert!((1..=2).contains(&standing.trim().parse::<u32>().unwrap()), "{standing}");
    }
}

// proves: one-kind-of-job: laziness, order and early ends, of jobs of both kinds
#[test]
fn a_run_of_jobs_is_lazy_ordered_and_ends_early_where_that_was_asked_for() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let job = |n: u32| match n % 3 {
        0 => Job::new(|n: u32| n.to_string().into_bytes(), n),
        1 => Job::command("printf").arg(n.to_string()).job(),
        _ => shell(&format!("sleep 0.02; printf {n}")),
    };
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let taken = std::cell::Cell::new(0);
        let endless = (0..).inspect(|_| taken.set(taken.get() + 1)).map(job);
        let run = psmith::run_jobs(endless).workers(2).window(5).isolation(isolation);
        let first: Vec<_> =
            run.into_iter().take(20).map(|outcome| String::from_utf8(outcome.unwrap()).unwrap()).collect();
        assert_eq!(first, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
        assert!((20..=25).contains(&taken.get()), "{}", taken.get());

        let stops = (0..).map(|n| if n == 3 { shell("exit 4") } else { job(n) });
        let run = psmith::run_jobs(stops).workers(1).isolation(isolation).output(Output::Discard);
        let outcome: Vec<_> = run.on_error(psmith::OnError::Stop).collect();
        assert_eq!(outcome.len(), 4, "{outcome:?}");
        assert_eq!(outcome[3].as_ref().unwrap_err().cause, Cause::Exit(4));

        let mut seen = std::collections::BTreeSet::new();
        let run = psmith::run_jobs((0..9).map(job)).workers(3).isolation(isolation).unordered();
        run.on_done(|job, _| assert!(seen.insert(job.index()))).for_each(|outcome| drop(outcome.unwrap()));
        assert_eq!(seen, (0..9).collect());
        assert!(psmith::run_jobs(Vec::<Job<()>>::new()).isolation(isolation).into_iter().next().is_none());
    }
}

// proves: large-values: of a command, what it writes
#[test]
fn the_output_of_a_command_is_bounded_by_the_longest_frame_of_its_run() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let writes = |bytes: u32| shell(&format!("head -c {bytes} /dev/zero"));
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let jobs = [writes(5000), writes(5001)];
        let ends: Vec<JobOutcome> =
            psmith::run_jobs(jobs).max_message_bytes(5000).isolation(isolation).collect();
        assert_eq!(ends[0].as_ref().unwrap().len(), 5000);
        let text = ends[1].as_ref().unwrap_err().to_string();
        assert!(text.contains("5001 bytes") && text.contains("max_message_bytes"), "{text}");
    }
}
