//! A board without a terminal: one line for each change, byte by byte, and nothing lost at the end.

use std::io::{PipeReader, Read, pipe};
use std::time::Duration;

use psmith_board::{Board, Row, RowHandle, RowStatus, report_progress};

/// Returns all that the board writes to a pipe.
fn lines_of(use_board: impl FnOnce(&Board)) -> String {
    let (reader, writer) = pipe().unwrap();
    let board = Board::auto(&writer);
    drop(writer);
    let reading = std::thread::spawn(move || read_all(reader));
    use_board(&board);
    board.shutdown();
    drop(board);
    reading.join().unwrap()
}

fn read_all(mut reader: PipeReader) -> String {
    let mut all = String::new();
    reader.read_to_string(&mut all).unwrap();
    all
}

// proves: lines-without-terminal, board-without-terminal
#[test]
fn each_change_of_prefix_or_summary_is_a_line() {
    let text = lines_of(|board| {
        let row = board.add_row(Row::new().prefix("worker  1: ").summary("waiting"));
        let silent = board.add_row(Row::new());
        row.set_summary("waiting");
        row.set_summary("working");
        row.set_status(RowStatus::Error);
        row.start(3);
        row.tick(1);
        row.clear();
        row.set_prefix("");
        silent.set_summary("first word");
        board.println("one\ntwo");
        row.set_summary("done");
    });
    assert_eq!(text, "worker  1: waiting\nworker  1: working\nworking\nfirst word\none\ntwo\ndone\n");
}

// No escape code reaches a file, whatever text it was in.
#[test]
fn escape_codes_of_others_are_shown_and_not_passed_on() {
    let text = lines_of(|board| {
        let row = board.add_row(Row::new().prefix("\x1b[31m").summary("a\nb"));
        row.set_summary("\x1b]52;c;Zm9v\x07");
        board.println("\u{9b}2J");
    });
    assert_eq!(text, "\\x1b[31ma\\nb\n\\x1b[31m\\x1b]52;c;Zm9v\\x07\n\\u{9b}2J\n");
}

// proves: lines-without-terminal, words-of-time-and-count
#[test]
fn counts_are_reported_at_each_multiple_and_at_the_end() {
    for (items, counts) in [(0, "0\n"), (9, "5\n9\n"), (10, "5\n10\n")] {
        let text = lines_of(|board| {
            let row = board.add_row(Row::new());
            let passed: Vec<u64> = report_progress(0..items, 5, &row, |count| format!("{count}")).collect();
            assert_eq!(passed, (0..items).collect::<Vec<_>>(), "items pass as they are");
        });
        assert_eq!(text, counts, "{items} items");
    }
    // The same count twice is the same text twice: the reports themselves are those of the original.
    let mut reports = Vec::new();
    let board = Board::off();
    let row = board.add_row(Row::new());
    let record = |count: u64| {
        reports.push(count);
        String::new()
    };
    assert_eq!(report_progress(0..10, 5, &row, record).count(), 10);
    assert_eq!(reports, [5, 10, 10]);
}

// proves: lines-without-terminal, end-of-a-board, words-of-time-and-count
#[test]
fn the_end_of_a_board_is_written_whole() {
    let text = lines_of(|board| {
        let _elapsed = board.elapsed();
        let row = board.add_row(Row::new());
        for count in 0..10_000 {
            row.set_summary(format!("{count}"));
        }
        board.shutdown();
        // After the end nothing is shown, and nothing fails.
        row.set_summary("late");
        board.println("late");
        drop(board.add_row(Row::new().summary("late")));
    });
    assert_eq!(text.lines().count(), 10_001);
    assert!(text.ends_with("\n9999\nelapsed time: less than a second\n"), "{}", &text[text.len() - 100..]);
}

// proves: board-rows: any number of threads may change a row, and the last of them completes it.
#[test]
fn many_threads_feed_one_board() {
    let text = lines_of(|board| {
        let shared = board.add_row(Row::new().prefix("all: "));
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let shared: RowHandle = shared.clone();
                scope.spawn(move || {
                    let own = board.add_row(Row::new().prefix(format!("{worker}: ")));
                    for count in 0..100 {
                        own.set_summary(format!("{count}"));
                    }
                    shared.set_summary(format!("{worker} done"));
                });
            }
        });
    });
    // One line when the row was added, one for each change.
    assert_eq!(text.lines().count(), 1 + 8 * 102);
    for worker in 0..8 {
        let own: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix(&format!("{worker}: "))).collect();
        assert_eq!(own[1..], (0..100).map(|count| count.to_string()).collect::<Vec<_>>());
    }
}

// proves: end-of-a-board: the pipe has no reader any more.
#[test]
fn a_closed_pipe_changes_nothing() {
    for console in [false, true] {
        let (reader, writer) = pipe().unwrap();
        let builder = Board::builder().update(Duration::ZERO);
        let board = if console { builder.console(&writer) } else { builder.minimal(&writer) };
        drop((reader, writer));
        let row = board.add_row(Row::new().summary("a"));
        for count in 0..1000 {
            row.set_summary(format!("{count}"));
        }
        board.shutdown();
    }
}

// proves: F-49: a suspended reader blocks no caller, and costs a bounded amount of memory
#[test]
fn a_stalled_reader_holds_up_nobody() {
    let (reader, writer) = pipe().unwrap();
    let board = Board::minimal(&writer);
    drop(writer);
    let row = board.add_row(Row::new());
    let text = "x".repeat(1000);
    for count in 0..5_000 {
        row.set_summary(format!("{text}{count}"));
    }
    // Nothing was read so far; now the reader reads, and learns that there was more.
    let reading = std::thread::spawn(move || read_all(reader));
    row.set_summary("last");
    board.shutdown();
    drop(board);
    let text = reading.join().unwrap();
    assert!(text.len() < 2 * 1024 * 1024, "{}", text.len());
    assert!(text.contains("(lines were dropped here: nobody took them)\n"));
    assert!(text.ends_with("4999\nlast\n"));
}

#[test]
fn a_board_that_is_off_takes_everything() {
    let board = Board::off();
    let row = board.add_row(Row::new().summary("a"));
    row.start(1);
    row.tick(5);
    row.formatter(|_| panic!("never asked"));
    board.println("b");
    board.refresh();
    board.shutdown();
}
