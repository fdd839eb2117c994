//! A board on a terminal: what is on an emulated screen, what is above it, and what is left behind.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use psmith_board::{Board, Colors, Progress, Row, RowHandle, RowStatus};
use psmith_testkit::emulator::Terminal;

/// Names for a copy of this test program the part that it plays.
const PART: &str = "BOARD_SCREEN_PART";

/// The way in which it ends: a signal, or 0 for an exit.
const END: &str = "BOARD_SCREEN_END";

fn board(slave: OwnedFd) -> Board {
    Board::builder().update(Duration::from_millis(10)).dim_after(Duration::from_secs(3600)).console(slave)
}

fn workers(board: &Board) -> Vec<RowHandle> {
    let row = |worker| {
        let row = board.add_row(Row::new().prefix(format!("worker {worker:2}: ")).summary("waiting"));
        row.start(100);
        row
    };
    (1..=8).map(row).collect()
}

// proves: F-49, board-stays-whole, board-without-terminal, live-board
#[test]
fn eight_workers_survive_resizing() {
    let (mut terminal, slave) = Terminal::new(200, 50);
    let board = board(slave);
    board.println("begun");
    let rows = workers(&board);
    let total = board.add_row(Row::new().prefix("total: ").summary("0").pinned());
    terminal.wait_until("all rows", |screen| {
        screen.contents().ends_with("total: 0") && screen.contents().contains("worker  8: waiting")
    });
    terminal.resize(30, 5);
    rows[0].set_summary("a text that is longer than thirty columns");
    let small = terminal.wait_until("cut", |screen| screen.contents().contains("a text"));
    assert_eq!(
        small.lines().collect::<Vec<_>>()[1..],
        ["worker  1: a text that is l...", "worker  2: waiting ░░░░░░░░...", "... and 6 more", "total: 0"]
    );
    terminal.resize(200, 50);
    total.set_summary("all of them");
    let large = terminal.wait_until("large again", |screen| screen.contents().contains("all of them"));
    let lines: Vec<&str> = large.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 10, "the board is whole, once:\n{large}");
    assert_eq!(lines[0], "begun");
    assert!(lines[1].starts_with("worker  1: a text that is longer than thirty columns ░"), "{large}");
    assert!(lines[8].starts_with("worker  8: waiting"), "{large}");
    for row in &rows {
        row.finish();
        row.set_summary("done");
        row.clear();
    }
    drop((rows, total));
    drop(board);
    terminal.finish();
    let expected = (1..=8).map(|worker| format!("worker {worker:2}: done"));
    let lines = terminal.transcript();
    assert_eq!(lines[0], "begun");
    assert_eq!(lines[1..9], expected.collect::<Vec<_>>());
    assert_eq!(lines[9..], ["total: all of them"]);
    assert!(terminal.is_as_it_was());
}

// proves: rows-of-mixed-speed, board-rows: pinned at the bottom after each change, completed above the others.
#[test]
fn rows_stand_in_their_order() {
    let (terminal, slave) = Terminal::new(40, 10);
    let board = board(slave);
    let pinned = board.add_row(Row::new().summary("pinned").pinned());
    let slow = board.add_row(Row::new().summary("slow"));
    let fast = board.add_row(Row::new().summary("fast"));
    terminal.wait_until("in order", |screen| screen.contents() == "slow\nfast\npinned");
    fast.set_status(RowStatus::Success);
    fast.complete();
    terminal.wait_until("completed on top", |screen| screen.contents() == "fast\nslow\npinned");
    let is_green = |screen: &vt100::Screen| {
        let cell = screen.cell(0, 0).unwrap();
        cell.fgcolor() == vt100::Color::Idx(2) && cell.italic() && cell.bold()
    };
    terminal.wait_until("green, italic and bold", is_green);
    pinned.set_summary("pinned still");
    terminal.wait_until("pinned", |screen| screen.contents() == "fast\nslow\npinned still");
    drop((slow, pinned));
}

// proves: SEC-web-output: foreign text cannot control the terminal
#[test]
fn escape_codes_in_texts_are_shown_and_not_obeyed() {
    let (mut terminal, slave) = Terminal::new(100, 10);
    let board = board(slave);
    let evil = "\x1b]0;title\x07\x1b[2J\x1b[?25l\x1b[?1049h\r\nx";
    let row = board.add_row(Row::new().prefix(evil).summary(evil));
    board.println(evil);
    drop(row);
    drop(board);
    terminal.finish();
    let shown = "\\x1b]0;title\\x07\\x1b[2J\\x1b[?25l\\x1b[?1049h";
    let row = format!("{shown}\\r\\nx{shown}\\r\\nx");
    assert_eq!(terminal.transcript().concat(), format!("{shown}x{row}"));
    assert!(terminal.is_as_it_was());
}

// proves: output-above-rows: each line once, in order, above the board, however fast they are printed.
#[test]
fn the_scrollback_holds_every_line_and_nothing_of_the_board() {
    let (mut terminal, slave) = Terminal::new(60, 8);
    let board = board(slave);
    let rows = workers(&board);
    std::thread::scope(|scope| {
        for row in &rows {
            scope.spawn(|| (0..1000).for_each(|count| row.set_summary(format!("{count}"))));
        }
        for line in 0..1000 {
            board.println(format!("line {line}"));
        }
    });
    for row in &rows {
        row.clear();
    }
    drop(rows);
    drop(board);
    terminal.finish();
    let expected = (0..1000).map(|line| format!("line {line}"));
    let ends = (1..=8).map(|worker| format!("worker {worker:2}: 999"));
    assert_eq!(terminal.transcript(), expected.chain(ends).collect::<Vec<_>>());
}

// proves: board-stays-whole, end-of-a-board: the last of many changes is shown.
#[test]
fn ten_thousand_changes_end_with_the_last() {
    let (mut terminal, slave) = Terminal::new(60, 8);
    let board = board(slave);
    let row = board.add_row(Row::new());
    for count in 0..10_000 {
        row.set_summary(format!("change {count}"));
    }
    board.shutdown();
    drop(board);
    terminal.finish();
    assert_eq!(terminal.transcript(), ["change 9999"]);
}

// proves: progress-of-a-row: a formatter that panics is replaced, and harms no other row.
#[test]
fn a_formatter_that_panics_falls_back() {
    let (terminal, slave) = Terminal::new(80, 8);
    let board = Board::builder()
        .update(Duration::from_millis(10))
        .formatter(|progress| format!(" {} of {}", progress.current(), progress.target()))
        .console(slave);
    let usual = board.add_row(Row::new().prefix("usual"));
    let own = board.add_row(Row::new().prefix("own"));
    let bad = board.add_row(Row::new().prefix("bad"));
    own.formatter(|progress| format!(": {}%", progress.percent()));
    bad.formatter(|_: Progress| panic!("this message is part of a test"));
    for row in [&usual, &own, &bad] {
        row.start(4);
        row.tick(1);
    }
    terminal.wait_until("formatted", |screen| {
        let (contents, bar) = (screen.contents(), Progress::at(1, 4).text());
        contents == format!("usual 1 of 4\nown: 25%\nbad{bar}")
            || contents == "usual 1 of 4\nown: 25%\nbad 1 of 4"
    });
    own.default_formatter();
    terminal.wait_until("the board's own", |screen| screen.contents().contains("own 1 of 4"));
    drop((usual, own, bad));
}

#[test]
fn without_colours_rows_are_bold_all_the_same() {
    let (terminal, slave) = Terminal::new(80, 8);
    let board = Board::builder().colors(Colors::Never).console(slave);
    let row = board.add_row(Row::new().summary("x").status(RowStatus::Error));
    terminal.wait_until("bold", |screen| screen.cell(0, 0).is_some_and(vt100::Cell::bold));
    terminal.wait_until("no colour", |screen| {
        screen.cell(0, 0).is_some_and(|cell| cell.fgcolor() == vt100::Color::Default)
    });
    drop(row);
}

// proves: pace-of-the-board: bold when it changes, and later no more, without any call to the board.
#[test]
fn a_row_is_dimmed_by_itself() {
    let (terminal, slave) = Terminal::new(80, 8);
    let board = Board::builder().dim_after(Duration::from_millis(50)).console(slave);
    let row = board.add_row(Row::new().summary("x"));
    terminal.wait_until("dim", |screen| {
        screen.cell(0, 0).is_some_and(|cell| cell.has_contents() && !cell.bold())
    });
    row.complete();
    // It has left the board: no longer bold, and it stays.
    terminal.wait_until("left", |screen| screen.contents() == "x" && screen.cursor_position() == (1, 0));
}

// proves: F-49
#[test]
fn a_suspended_terminal_blocks_no_caller() {
    let (terminal, slave) = Terminal::unread(200, 50);
    let board = board(slave);
    let rows = workers(&board);
    for count in 0..20_000 {
        rows[count % 8].set_summary(format!("{count}"));
        board.println("x".repeat(150));
    }
    board.shutdown();
    drop(terminal);
}

/// Runs a part of this program on a terminal, as a process of its own.
fn play(part: &str, slave: OwnedFd) -> Child {
    play_with(part, slave, &[])
}

fn play_with(part: &str, slave: OwnedFd, variables: &[(&str, &str)]) -> Child {
    let clone = || slave.try_clone().unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", part, "--nocapture"])
        .env(PART, part)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(clone())
        .stderr(clone())
        .spawn()
        .unwrap()
}

fn plays(part: &str) -> bool {
    std::env::var(PART).is_ok_and(|playing| playing == part)
}

// proves: board-stays-whole, end-of-a-board: the board stays, the message can be read, the terminal is as it was.
#[test]
fn a_program_that_panics_leaves_its_terminal_well() {
    const NAME: &str = "a_program_that_panics_leaves_its_terminal_well";
    if plays(NAME) {
        let board = Board::console(std::io::stderr());
        let row = board.add_row(Row::new().summary("in the midst of it"));
        row.start(10);
        panic!("the reason why");
    }
    let (mut terminal, slave) = Terminal::new(100, 30);
    let mut child = play(NAME, slave);
    assert_eq!(child.wait().unwrap().code(), Some(101));
    terminal.finish();
    let all = terminal.transcript().join("\n");
    assert!(all.contains("the reason why") && all.contains("in the midst of it"), "{all}");
    assert!(terminal.is_as_it_was());
}

// proves: board-stays-whole, end-of-a-board
#[test]
fn a_program_that_is_killed_leaves_its_terminal_well() {
    const NAME: &str = "a_program_that_is_killed_leaves_its_terminal_well";
    if plays(NAME) {
        let board = Board::console(std::io::stderr());
        let row = board.add_row(Row::new().summary("up"));
        for count in 0.. {
            row.set_summary(format!("up {count}"));
            // sleep: until the signal comes, changing the board all the while
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    for signal in [15, 9] {
        let (mut terminal, slave) = Terminal::new(100, 30);
        let mut child = play(NAME, slave);
        terminal.wait_until("up", |screen| screen.contents().contains("up "));
        let pid = rustix::process::Pid::from_child(&child);
        let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(signal.as_raw()));
        terminal.finish();
        assert!(terminal.is_as_it_was());
    }
}

// proves: end-of-a-board, F-70: a shell's prompt was written into the rows of a program that Ctrl-C had ended
#[test]
fn a_program_that_ends_beside_its_board_leaves_the_cursor_below_the_rows() {
    const NAME: &str = "a_program_that_ends_beside_its_board_leaves_the_cursor_below_the_rows";
    const ENDS: [i32; 6] = [2, 15, 1, 3, 6, 0];
    if let Some(end) = std::env::var(END).ok().filter(|_| plays(NAME)) {
        let board = Board::console(std::io::stderr());
        let _rows = ["one", "two", "three"].map(|text| board.add_row(Row::new().summary(text)));
        match end.parse().unwrap() {
            0 => {
                std::io::stdin().read_line(&mut String::new()).unwrap();
                std::process::exit(7)
            }
            6 => {
                std::io::stdin().read_line(&mut String::new()).unwrap();
                std::process::abort()
            }
            _ => loop {
                std::thread::park();
            },
        }
    }
    for end in ENDS {
        let (mut terminal, slave) = Terminal::new(60, 30);
        let mut child = play_with(NAME, slave, &[(END, &end.to_string())]);
        terminal.wait_until("up", |screen| screen.contents().contains("three"));
        match rustix::process::Signal::from_named_raw(end).filter(|_| end != 6) {
            Some(signal) => {
                rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
            }
            None => drop(child.stdin.take()),
        }
        let status = child.wait().unwrap();
        assert_eq!(status.signal().unwrap_or(0), end, "it ends as it would without a board: {status}");
        assert_eq!(status.code(), (end == 0).then_some(7));
        terminal.finish();
        let lines = terminal.transcript();
        let last = lines.iter().position(|line| line == "three").unwrap();
        let place = std::cell::Cell::new((0, 0));
        terminal.wait_until("there", |screen| {
            place.set(screen.cursor_position());
            true
        });
        assert_eq!(place.get(), (u16::try_from(last + 1).unwrap(), 0), "{end}: {lines:#?}");
        assert!(terminal.is_as_it_was());
    }
}

// proves: board-stays-whole: the first lines of the message were written over rows, and the ends of these stood behind it
#[test]
fn a_panic_s_message_of_several_lines_stands_above_the_rows() {
    const NAME: &str = "a_panic_s_message_of_several_lines_stands_above_the_rows";
    if plays(NAME) {
        let board = Board::console(std::io::stderr());
        let _row =
            board.add_row(Row::new().summary("a row that is longer than the lines of the message are"));
        let screen_is_up = std::io::stdin().read_line(&mut String::new());
        screen_is_up.unwrap();
        std::thread::spawn(|| panic!("one\ntwo\nthree")).join().unwrap_err();
        std::io::stdin().read_line(&mut String::new()).unwrap();
        board.shutdown();
        // return: this process is the program that the test starts, and has played its part.
        return;
    }
    let (mut terminal, slave) = Terminal::new(100, 30);
    let mut child = play(NAME, slave);
    terminal.wait_until("up", |screen| screen.contents().contains("a row that"));
    child.stdin.as_ref().unwrap().write_all(b"\n").unwrap();
    terminal.wait_until("above", |screen| {
        let contents = screen.contents();
        let (message, row) = (contents.find("\nthree\n"), contents.find("a row that"));
        message.is_some() && row > message
    });
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    terminal.finish();
    let lines = terminal.transcript();
    for line in ["one", "two", "three"] {
        assert_eq!(lines.iter().filter(|have| *have == line).count(), 1, "{line}: {lines:#?}");
    }
    assert_eq!(lines.iter().filter(|line| line.contains("a row that")).count(), 1, "{lines:#?}");
}
