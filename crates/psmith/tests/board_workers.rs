//! Workers with a row each on a board: what the rows say while they run, and how they end.

mod queue;

use std::fs;
use std::io::{Read as _, pipe};
use std::path::PathBuf;
use std::time::Duration;

use psmith::board::{Board, Row, RowStatus, WithStatus, report_progress};
use psmith::{Cause, WorkerCx, WorkerId, run_workers};
use psmith_testkit::emulator::Terminal;
use psmith_testkit::leak::LeakGuard;
use queue::take;
use rustix::process::{Pid, Signal, kill_process};

const SLEEPS: u64 = 33;

fn drain(cx: WorkerCx<u64>) -> Result<(), Box<dyn std::error::Error>> {
    let dir: PathBuf = cx.input()?;
    while let Some(number) = take(&dir, SLEEPS) {
        cx.row().set_summary(format!("sleep {number}"));
        cx.send(number)?;
        if number == 7 && dir.join("kill").exists() {
            kill_process(Pid::from_raw(std::process::id() as i32).unwrap(), Signal::KILL)?;
        }
    }
    Ok(())
}

// proves: workers-drain-a-queue, row-per-worker
#[test]
fn rows_show_each_sleep_and_end_with_done() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let (mut reader, writer) = pipe().unwrap();
    let board = Board::auto(&writer);
    drop(writer);
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    let (elapsed, total) = (board.elapsed(), board.add_row(Row::new()));
    let workers = run_workers(3, drain).with_status(WithStatus::on(&board)).input(dir.path().to_owned());
    let slept = report_progress(workers, 5, &total, |count| format!("sleep progress {count} / {SLEEPS}"));
    assert_eq!(slept.map(|(_, number)| number.unwrap()).sum::<u64>(), (1..=SLEEPS).sum::<u64>());
    drop((elapsed, total));
    board.shutdown();
    let text = reading.join().unwrap();
    let lines = |prefix: &str| text.lines().filter_map(|line| line.strip_prefix(prefix)).collect::<Vec<_>>();
    let counts: Vec<String> = [5, 10, 15, 20, 25, 30, 33].map(|n| format!("{n} / 33")).to_vec();
    assert_eq!(lines("sleep progress "), counts);
    let mut sleeps = 0;
    for id in 1..=3 {
        let lines = lines(&format!("worker  {id}: "));
        let [first, own @ .., last] = &lines[..] else { panic!("{text}") };
        assert_eq!((*first, *last), ("waiting", "done"));
        assert!(own.iter().all(|line| line.starts_with("sleep ")), "{text}");
        sleeps += own.len() as u64;
    }
    assert_eq!(sleeps, SLEEPS);
    assert_eq!(lines("elapsed time: ").len(), 1, "{text}");
    assert_eq!(text.lines().count() as u64, 3 * 2 + SLEEPS + 7 + 1, "and nothing else:\n{text}");
}

fn screen_board(slave: std::os::fd::OwnedFd) -> Board {
    Board::builder().update(Duration::from_millis(10)).dim_after(Duration::from_secs(3600)).console(slave)
}

// proves: workers-drain-a-queue, row-per-worker
#[test]
fn the_row_of_a_killed_worker_is_red_with_the_cause() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("kill"), "").unwrap();
    let (mut terminal, slave) = Terminal::new(60, 12);
    let board = screen_board(slave);
    let mut killed = None;
    let mut sum = 0;
    for (id, number) in run_workers(3, drain).with_status(WithStatus::on(&board)).input(dir.path().to_owned())
    {
        match number {
            Ok(number) => sum += number,
            Err(failure) => {
                assert!(matches!(failure.cause, Cause::Signal { signal: 9, .. }), "{failure}");
                assert!(killed.replace(id).is_none());
            }
        }
    }
    assert_eq!(sum, (1..=SLEEPS).sum::<u64>(), "the others went on");
    let WorkerId(killed) = killed.unwrap();
    let red = format!("worker  {killed}: killed by SIGKILL");
    let is_red = |screen: &vt100::Screen| {
        let row = screen.rows(0, 60).position(|row| row == red);
        row.is_some_and(|row| screen.cell(row as u16, 0).unwrap().fgcolor() == vt100::Color::Idx(1))
    };
    terminal.wait_until("red", is_red);
    drop(board);
    terminal.finish();
    let mut lines = terminal.transcript();
    lines.sort();
    let end = |id: u32| if id == killed { red.clone() } else { format!("worker  {id}: done") };
    assert_eq!(lines, (1..=3).map(end).collect::<Vec<_>>());
    assert!(terminal.is_as_it_was());
}

// Rows show the present state, not what has been taken: no second value is taken here.
#[test]
fn rows_change_while_no_values_are_taken_and_a_dropped_stream_is_shown() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let (mut terminal, slave) = Terminal::new(70, 10);
    let board = screen_board(slave);
    let work = |cx: WorkerCx<u32>| -> () {
        let row = cx.row();
        row.start(4);
        row.tick(1);
        cx.send(1).unwrap();
        row.set_prefix(format!("digger {}: ", cx.id()));
        row.set_status(RowStatus::Warning);
        row.set_summary("slow");
        row.tick(7);
        loop {
            std::thread::park();
        }
    };
    let rows = WithStatus::on(&board).prefix(|id| format!("{id}. ")).initial("not yet");
    let mut workers = run_workers(2, work).with_status(rows).grace(Duration::from_millis(200));
    terminal.wait_until("there before they run", |screen| screen.contents() == "1. not yet\n2. not yet");
    workers.next().unwrap().1.unwrap();
    let line = |id| format!("digger {id}: slow {} 100% - 4/4", "▓".repeat(30));
    terminal.wait_until("changed", |screen| screen.contents() == format!("{}\n{}", line(1), line(2)));
    drop(workers);
    terminal.wait_until("told", |screen| {
        (1..=2).all(|id| screen.contents().contains(&format!("digger {id}: cancelled")))
    });
    drop(board);
    terminal.finish();
}

// Without a board a worker's row can be used all the same.
#[test]
fn a_row_without_a_board_is_no_value() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let work = |cx: WorkerCx<u32>| {
        cx.row().set_summary("nobody sees this");
        cx.send(3)
    };
    let values: Vec<u32> = run_workers(2, work).map(|(_, value)| value.unwrap()).collect();
    assert_eq!(values, [3, 3]);
}
