//! A board on which nothing changes costs nothing: its thread does not wake. Alone in its program, so that there is one
//! such thread.

use std::time::{Duration, Instant};

use psmith_board::{Board, Row};
use psmith_testkit::OUTER_LIMIT;

/// Returns how often the board's thread has gone to sleep so far.
fn sleeps() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let of_board = |task: &std::path::Path| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == "psmith-board")
    };
    let task =
        threads.map(|task| task.unwrap().path()).find(|task| of_board(task)).expect("the board's thread");
    let status = std::fs::read_to_string(task.join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

// proves: pace-of-the-board
#[test]
fn an_idle_board_does_not_wake() {
    let file = tempfile::tempfile().unwrap();
    let board = Board::builder().dim_after(Duration::from_millis(20)).console(&file);
    let row = board.add_row(Row::new().summary("x"));
    // Painted once bold and once not: from here on nothing is left to do.
    let deadline = Instant::now() + OUTER_LIMIT;
    let written = || file.metadata().unwrap().len();
    let frame = loop {
        let once = written();
        if once > 0 {
            break once;
        }
        assert!(Instant::now() < deadline, "never painted");
        std::thread::yield_now();
    };
    while written() == frame {
        assert!(Instant::now() < deadline, "never dimmed");
        std::thread::yield_now();
    }
    let mut before = sleeps();
    loop {
        // sleep: that nothing happens can only be waited for
        std::thread::sleep(Duration::from_millis(300));
        let now = sleeps();
        if now == before {
            break;
        }
        // The thread may have been on its way to sleep.
        assert!(Instant::now() < deadline, "it wakes for nothing");
        before = now;
    }
    drop(row);
    board.shutdown();
}
