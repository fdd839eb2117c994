//! The progress of a run, on a row: with a bar where the number of items is known, with a count where it is not.

use std::io::{Read, pipe};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use psmith::board::{Board, Row, RowHandle, ShowProgress};
use psmith::{Flow, Isolation};
use psmith_testkit::emulator::Terminal;
use psmith_testkit::leak::LeakGuard;

/// The lines that a board without a terminal writes while a run shows its progress on the row.
fn lines_of(run: impl FnOnce(&RowHandle)) -> Vec<String> {
    let (mut reader, writer) = pipe().unwrap();
    let board = Board::auto(writer.as_fd());
    drop(writer);
    let row = board.add_row(Row::new().prefix("jobs: "));
    run(&row);
    drop(row);
    board.shutdown();
    let mut lines = String::new();
    reader.read_to_string(&mut lines).unwrap();
    lines.lines().map(str::to_owned).collect()
}

fn even(n: u32) -> Result<u32, String> {
    if n.is_multiple_of(2) { Ok(n) } else { Err("odd".into()) }
}

/// Whether the line is `begin`, and then a rate.
fn is_line(line: &str, begin: &str) -> bool {
    let rate = line.strip_prefix(begin).and_then(|rest| rest.strip_suffix("/s"));
    rate.is_some_and(|rate| rate.parse::<f64>().is_ok_and(|rate| rate > 0.0))
}

// proves: progress-variants
#[test]
fn a_known_number_is_shown_in_percent_and_an_unknown_one_is_counted_without() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let known = lines_of(|row| assert_eq!(psmith::try_map(0..5, even).progress(row).count(), 5));
    assert!(is_line(known.last().unwrap(), "jobs: 5/5 (100%), 2 failed, "), "{known:?}");
    let lines = lines_of(|row| {
        let run = psmith::try_map((0..9).filter(|n| *n != 8), even).isolation(Isolation::PerJob);
        let shown = ShowProgress::new().row(row).title("evens").total(8);
        assert_eq!(run.progress(shown).into_iter().take(4).count(), 4);
    });
    assert!(is_line(lines.last().unwrap(), "evens: 4/8 (50%), 2 failed, "), "{lines:?}");
    let unknown = lines_of(|row| {
        assert_eq!(psmith::try_map((0..9).filter(|n| n % 2 == 0), even).progress(row).count(), 5);
    });
    assert!(is_line(unknown.last().unwrap(), "jobs: 5 done, "), "{unknown:?}");
    assert!(!unknown.concat().contains('%'), "{unknown:?}");
    let inline = lines_of(|row| assert_eq!(psmith::try_map(0..2, even).workers(0).progress(row).count(), 2));
    assert!(is_line(inline.last().unwrap(), "jobs: 2/2 (100%), 1 failed, "), "{inline:?}");
}

// proves: progress-variants
#[test]
fn it_goes_with_a_hook_and_with_the_variants_of_map_and_changes_no_outcome() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut reported = Vec::new();
    let lines = lines_of(|row| {
        let run = psmith::map(0..200, |n: u32| n).on_done(|job, _| reported.push(job.index())).progress(row);
        assert!(run.map(Result::unwrap).eq(0..200));
    });
    assert!(reported.into_iter().eq(0..200));
    assert!(is_line(lines.last().unwrap(), "jobs: 200/200 (100%), "), "{lines:?}");

    let each =
        lines_of(|row| assert_eq!(psmith::each(0..3, |_: u32| ()).progress(row).run().unwrap().jobs, 3));
    assert!(is_line(each.last().unwrap(), "jobs: 3/3 (100%), "), "{each:?}");
    let all = lines_of(|row| assert!(psmith::all(0..3, |_: u32| true).progress(row).run().unwrap()));
    assert!(is_line(all.last().unwrap(), "jobs: 3/3 (100%), "), "{all:?}");
    let any = lines_of(|row| {
        let run = psmith::any(0.., |n: u32| n == 0).workers(1).window(1).progress(row);
        assert!(run.run().unwrap());
    });
    assert!(is_line(any.last().unwrap(), "jobs: 1 done, "), "{any:?}");
    let until = lines_of(|row| {
        let run = psmith::map_until(0..3, |n: u32| Flow::<u32, ()>::Next(n)).progress(row).run().unwrap();
        assert!(run.is_continue());
    });
    assert!(is_line(until.last().unwrap(), "jobs: 3/3 (100%), "), "{until:?}");
    let off = psmith::try_map(0..3, even).progress(false).count();
    assert_eq!(off, 3);
}

// proves: progress-variants, board-rows
#[test]
fn on_a_terminal_it_is_a_bar() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let (mut terminal, slave) = Terminal::new(100, 10);
    let board = Board::builder().update(Duration::from_millis(1)).console(slave);
    let row = board.add_row(Row::new());
    let mut run = psmith::try_map(0..4, even)
        .progress(ShowProgress::new().row(&row).title("evens"))
        .workers(1)
        .window(1)
        .into_iter();
    assert!(run.next().unwrap().is_ok());
    terminal.wait_until("it has begun", |screen| screen.contents().contains("evens: "));
    assert_eq!(run.by_ref().count(), 3);
    let shown = terminal.wait_until("all is done", |screen| screen.contents().contains("100% - 4/4"));
    let line = shown.lines().find(|line| line.contains("4/4")).unwrap();
    assert!(line.starts_with("evens: 2 failed, ") && line.contains("/s ▓▓▓"), "{line}");
    drop((run, row));
    drop(board);
    terminal.finish();
    assert!(terminal.is_as_it_was());
    assert_eq!(terminal.transcript().len(), 1, "it stays, once");
}

/// Makes a test of this file play a program with a run that shows its progress.
const PART: &str = "PSMITH_TEST_PROGRESS";

// proves: progress-variants
#[test]
fn with_true_or_a_title_it_is_on_standard_error() {
    psmith::init();
    if let Some(part) = std::env::var_os(PART) {
        let run = psmith::map(0..3, |n: u32| n);
        let run = if part == "true" { run.progress(true) } else { run.progress("three jobs") };
        assert_eq!(run.count(), 3);
        // return: this copy only plays the program
        return;
    }
    let _guard = LeakGuard::alone();
    for (part, begin) in [("true", "3/3 (100%), "), ("title", "three jobs: 3/3 (100%), ")] {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "with_true_or_a_title_it_is_on_standard_error", "--nocapture"]);
        let output = program.env(PART, part).stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.lines().any(|line| is_line(line, begin)), "{stderr}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("3/3"));
    }
}
