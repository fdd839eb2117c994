//! A program's own runs on a board: rows on a terminal, a snapshot, a list when a signal comes; and a board whose
//! output is not read costs a run nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use psmith::board::{Board, Format, JobBoard, JobSnapshot, Phase, Snapshot};
use psmith::{
    Isolation, Job, Output, Pool, ProcessManager, Retry, Scheduler, Server, WorkerCx, run_jobs, run_workers,
    signals,
};
use psmith_testkit::OUTER_LIMIT;
use psmith_testkit::emulator::Terminal;
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;

/// Tells a copy of this test program to play the program that is sent a signal.
const PART: &str = "BOARD_JOBS_PART";

fn screen(slave: OwnedFd) -> Board {
    Board::builder().update(Duration::from_millis(10)).console(slave)
}

/// Polls until the condition holds: the board receives events a moment after they happened.
#[track_caller]
fn wait_for(jobs: &JobBoard, what: &str, is_so: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let deadline = Instant::now() + OUTER_LIMIT;
    loop {
        let now = jobs.snapshot();
        if is_so(&now) {
            return now;
        }
        assert!(Instant::now() < deadline, "never {what}: {now:?}");
        std::thread::yield_now();
    }
}

fn held((number, path): (u32, PathBuf)) -> Result<u32, String> {
    let cx = psmith::cx().unwrap();
    cx.progress(number.into(), 8);
    println!("words of {number}");
    gate::pass(&path);
    if number == 2 { Err("not this one".into()) } else { Ok(number) }
}

// proves: live-board: rows on a terminal while jobs run, in both isolations, and the counts that stay
#[test]
fn rows_are_shown_on_a_terminal_while_jobs_run() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let (mut terminal, slave) = Terminal::new(80, 24);
        let board = screen(slave);
        let jobs = JobBoard::on(&board);
        let gate = Gate::closed();
        let items = [(1, gate.path()), (2, gate.path()), (3, gate.path())];
        std::thread::scope(|scope| {
            // Opens whatever becomes of the test.
            let mut gate = gate;
            let running = scope.spawn(|| {
                let map = psmith::try_map(items, held).workers(2).isolation(isolation).board(&jobs);
                map.output(Output::Discard).map(|result| result.is_ok()).collect::<Vec<_>>()
            });
            let shown = terminal.wait_until("both at work", |screen| {
                let text = screen.contents();
                text.contains("job #1: 1/8  words of 1") && text.contains("job #2: 2/8  words of 2")
            });
            let lines: Vec<&str> = shown.lines().collect();
            assert!(lines[0].starts_with("  slot  job   try   time    rss   cpu   last line"), "{shown}");
            assert!(lines[3].starts_with(" 0/3  ok 0  running 2"), "{shown}");
            assert_eq!(lines.len(), 4, "{shown}");
            gate.open();
            assert_eq!(running.join().unwrap(), [true, false, true]);
        });
        drop(jobs);
        drop(board);
        terminal.finish();
        let left = terminal.transcript();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(left[0].starts_with("jobs: 3/3  ok 2  failed 1"), "{left:?}");
        assert!(terminal.is_as_it_was());
    }
}

// proves: live-board: slot, pid, job, phase, elapsed, memory, CPU, last message, attempts; and the same after JSON
#[test]
fn a_snapshot_is_complete_and_survives_json() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let jobs = JobBoard::new();
        let gate = Gate::closed();
        let work = |path: PathBuf| {
            let cx = psmith::cx().unwrap();
            println!("attempt {}", cx.attempt());
            if cx.attempt() == 1 {
                return Err("not yet".to_owned());
            }
            cx.progress(3, 8);
            gate::pass(&path);
            Ok(std::process::id())
        };
        std::thread::scope(|scope| {
            // Opens whatever becomes of the test.
            let mut gate = gate;
            let items = [gate.path()];
            let running = scope.spawn(|| {
                let map = psmith::try_map(items, work).workers(1).isolation(isolation).board(&jobs);
                map.retry(Retry::tries(2)).output(Output::Discard).into_iter().next().unwrap().unwrap()
            });
            let now = wait_for(&jobs, "at work", |now| {
                let is_whole = |job: &JobSnapshot| job.progress.is_some() && job.message == "attempt 2";
                now.jobs.first().is_some_and(is_whole)
            });
            let job = &now.jobs[0];
            assert_eq!((job.job, job.label.as_str(), job.phase), (1, "job #1", Phase::Running));
            assert_eq!((job.slot, job.attempt, job.progress), (Some(1), 2, Some((3, 8))));
            assert!(job.memory_bytes.is_some_and(|bytes| bytes > 0), "{job:?}");
            assert!(job.cpu_ms.is_some() && job.elapsed_ms.is_some(), "{job:?}");
            assert_eq!(now.total, Some(1));
            assert_eq!(serde_json::from_str::<Snapshot>(&now.to_json()).unwrap(), now);
            gate.open();
            assert_eq!(running.join().unwrap(), job.pid.unwrap());
        });
        let after = jobs.snapshot();
        assert_eq!((after.ok, after.flaky, after.failed, after.jobs.len()), (0, 1, 0, 0));
    }
}

// proves: live-board: a job between two attempts is there, too
#[test]
fn a_job_between_two_attempts_waits() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let jobs = JobBoard::new();
    let pool = Pool::builder()
        .workers(1)
        .board(&jobs)
        .retry(Retry::tries(2).backoff(OUTER_LIMIT, None))
        .build()
        .unwrap();
    let handle = pool.submit(Job::fallible(|_: ()| Err::<(), _>("no"), ()).label("again")).unwrap();
    let now =
        wait_for(&jobs, "waiting", |now| now.jobs.first().is_some_and(|job| job.phase == Phase::Waiting));
    assert_eq!((now.jobs[0].label.as_str(), now.jobs[0].attempt, now.jobs[0].pid), ("again", 1, None));
    handle.cancel();
    assert!(handle.wait().is_err());
    wait_for(&jobs, "over", |now| now.jobs.is_empty() && now.failed + now.cancelled == 1);
}

// proves: live-board: each face can be observed, several runs on one board
#[test]
fn several_runs_share_a_board() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let jobs = JobBoard::new();
    assert_eq!(psmith::each(0..3, |_: u32| ()).board(&jobs).run().unwrap().jobs, 3);
    let mut list = (0..4).map(|n| Job::new(|n: u32| n, n));
    assert_eq!(Server::new(move || list.next()).board(&jobs).run().unwrap().jobs, 4);
    let send = |cx: WorkerCx<u32>| cx.send(cx.id().0);
    assert_eq!(run_workers(2, send).board(&jobs).map(|(_, value)| value.unwrap()).sum::<u32>(), 3);
    let list = (0..2).map(|n| Job::new(|n: u32| n, n));
    assert_eq!(run_jobs(list).board(&jobs).into_iter().filter(Result::is_ok).count(), 2);
    let pool = Pool::builder().workers(1).board(&jobs).build().unwrap();
    assert_eq!(pool.submit(Job::new(|n: u32| n, 7)).unwrap().wait().unwrap(), 7);
    pool.join();
    let scheduler = Scheduler::new().board(&jobs);
    assert_eq!(scheduler.schedule(Job::new(|n: u32| n, 8)).unwrap().wait().unwrap(), 8);
    scheduler.drain();
    let mut manager = ProcessManager::builder().board(&jobs).build().unwrap();
    manager.create_process(Job::new(|n: u32| n, 9), |_, _| ()).unwrap();
    while manager.process_count() > 0 {
        manager.step(OUTER_LIMIT);
    }
    drop(manager);
    wait_for(&jobs, "all of them", |now| now.ok == 14 && now.jobs.is_empty());
    // Events to a board that is gone are dropped.
    let map = psmith::map([1], |n: u32| n).board(&jobs);
    drop(jobs);
    assert_eq!(map.map(Result::unwrap).collect::<Vec<_>>(), [1]);
}

/// The outcomes of a run, with and without a board.
fn outcomes(jobs: Option<&JobBoard>, isolation: Isolation) -> Vec<Result<u32, String>> {
    let work = |n: u32| {
        println!("{}", "x".repeat(4096));
        if n.is_multiple_of(7) { Err(format!("{n} will not")) } else { Ok(n * n) }
    };
    let mut map = psmith::try_map(0..200, work).workers(2).isolation(isolation).output(Output::Discard);
    if let Some(jobs) = jobs {
        map = map.board(jobs);
    }
    map.map(|result| result.map_err(|failure| format!("{:?} {}", failure.cause, failure.index))).collect()
}

// proves: live-board: a screen that takes nothing, one that is gone, a board that is shut down: the same outcomes
#[test]
fn a_board_that_is_stopped_or_slow_changes_no_outcome() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let expected = outcomes(None, isolation);
        assert_eq!(expected.iter().filter(|result| result.is_err()).count(), 29);

        // As one held up by Ctrl-S: filled to the brim before the run begins, and never read.
        let (terminal, slave) = Terminal::unread(200, 50);
        let full = rustix::io::dup(&slave).unwrap();
        rustix::io::ioctl_fionbio(&full, true).unwrap();
        while rustix::io::write(&full, &[b'x'; 4096]).is_ok() {}
        rustix::io::ioctl_fionbio(&full, false).unwrap();
        let board = screen(slave);
        let jobs = JobBoard::on(&board);
        assert_eq!(outcomes(Some(&jobs), isolation), expected);
        assert_eq!((jobs.snapshot().ok, jobs.snapshot().failed), (171, 29));
        drop((terminal, full));
        drop((jobs, board));

        // One that is gone: the pipe is closed.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let board = screen(writer.into());
        let jobs = JobBoard::on(&board);
        assert_eq!(outcomes(Some(&jobs), isolation), expected);
        drop(board);
        assert_eq!(outcomes(Some(&jobs), isolation), expected);
    }
}

// proves: live-board: where there is no terminal, whole lines without codes
#[test]
fn lines_are_plain_where_there_is_no_terminal() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let board = Board::minimal(&writer);
    drop(writer);
    let jobs = JobBoard::on(&board);
    assert_eq!(psmith::map(0..3, |n: u32| n).board(&jobs).count(), 3);
    drop(jobs);
    drop(board);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("jobs: 3/3  ok 3") && text.lines().count() == 1, "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
}

/// The program that is sent signals. Prints a line when it is ready, and ends when its standard input does.
fn play(format: Format) {
    let jobs = JobBoard::new().print_on(signals::USR1, format).unwrap();
    let gate = Gate::closed();
    let items = [(1, gate.path()), (3, gate.path())];
    std::thread::scope(|scope| {
        // Opens whatever becomes of the test.
        let mut gate = gate;
        let running = scope.spawn(|| {
            psmith::try_map(items, held)
                .workers(2)
                .board(&jobs)
                .output(Output::Discard)
                .into_iter()
                .filter(Result::is_ok)
                .count()
        });
        wait_for(&jobs, "at work", |now| {
            now.jobs.len() == 2 && now.jobs.iter().all(|job| job.message.starts_with("words of"))
        });
        println!("ready");
        std::io::stdout().flush().unwrap();
        let _ = std::io::stdin().read(&mut [0]);
        gate.open();
        assert_eq!(running.join().unwrap(), 2);
    });
    println!("over");
}

// proves: live-board: printed on a signal, if asked, as a table or as JSON; the run goes on
#[test]
fn a_signal_prints_the_running_jobs() {
    psmith::init();
    if let Ok(part) = std::env::var(PART) {
        return play(if part == "json" { Format::Json } else { Format::Text });
    }
    let _guard = LeakGuard::alone();
    for part in ["text", "json"] {
        let mut program = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_signal_prints_the_running_jobs", "--nocapture", "--test-threads", "1"])
            .env(PART, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(program.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(stdout.any(|line| line.ends_with("ready")), "it never was ready");
        let pid = rustix::process::Pid::from_child(&program);
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
        let mut stderr = BufReader::new(program.stderr.take().unwrap()).lines().map(Result::unwrap);
        if part == "json" {
            let now: Snapshot = serde_json::from_str(&stderr.next().unwrap()).unwrap();
            assert_eq!((now.jobs.len(), now.total), (2, Some(2)));
        } else {
            let text: Vec<String> = stderr.by_ref().take(6).collect();
            assert!(text[0].starts_with("jobs: 0/2  ok 0  running 2"), "{text:?}");
            assert!(text[1].starts_with("  slot  job   try   time    rss   cpu   last line"), "{text:?}");
            // The order of the two is not known.
            let (one, other) = if text[2].ends_with("job #1") { (2, 4) } else { (4, 2) };
            assert!(text[one].contains("  #") && text[one].ends_with("job #1"), "{text:?}");
            assert_eq!(text[one + 1], "        | 1/8  words of 1");
            assert!(text[other].contains("  #") && text[other].ends_with("job #2"), "{text:?}");
            assert_eq!(text[other + 1], "        | 3/8  words of 3");
        }
        drop(program.stdin.take());
        assert!(stdout.any(|line| line.ends_with("over")), "it did not go on");
        assert!(program.wait().unwrap().success());
    }
}

// proves: live-board, lines-without-terminal: what jobs wrote comes out above the rows, where both go to one terminal
#[test]
fn the_output_of_jobs_is_above_the_rows() {
    const NAME: &str = "the_output_of_jobs_is_above_the_rows";
    psmith::init();
    if let Some(path) = std::env::var_os(PART) {
        let board = screen(std::io::stderr().as_fd().try_clone_to_owned().unwrap());
        let jobs = JobBoard::on(&board);
        let gate = PathBuf::from(path);
        let work = |(number, path): (u32, PathBuf)| {
            println!("{number} a");
            println!("{number} b");
            gate::pass(&path);
        };
        // A pool writes past the locks of the streams, a map through them.
        let items = (0..3).map(|number| (number, gate.clone()));
        assert!(psmith::map(items, work).workers(2).board(&jobs).into_iter().all(|done| done.is_ok()));
        let pool = Pool::builder().workers(2).board(&jobs).build().unwrap();
        let handles: Vec<_> =
            (3..6).map(|n| pool.submit(Job::new(work, (n, gate.clone()))).unwrap()).collect();
        assert!(handles.iter().all(|handle| handle.wait().is_ok()));
        // return: this is the program that the test observes
        return;
    }
    let _guard = LeakGuard::alone();
    let (mut terminal, slave) = Terminal::new(80, 24);
    let mut gate = Gate::closed();
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture", "--quiet", "--test-threads", "1"])
        .env(PART, gate.path())
        .stdin(Stdio::null())
        .stdout(slave.try_clone().unwrap())
        .stderr(slave)
        .spawn()
        .unwrap();
    terminal.wait_until("two at work", |screen| screen.contents().contains("running 2"));
    gate.open();
    assert!(program.wait().unwrap().success());
    terminal.finish();
    let all = terminal.transcript();
    for line in (0..6).flat_map(|number| [format!("{number} a"), format!("{number} b")]) {
        assert!(all.contains(&line), "{line} does not stand alone: {all:#?}");
    }
    assert!(terminal.is_as_it_was());
}
