//! Rows of mixed speed: texts and statuses that change, rows that complete, one that is pinned to the bottom.
//!
//! `cargo run -p psmith --features board --example board_status`; with `| cat` behind it the board is lines.

use std::thread::{scope, sleep};
use std::time::Duration;

use psmith::board::{Board, Row, RowStatus};

fn main() {
    let board = Board::auto(std::io::stdout());
    let elapsed = board.elapsed_row(Row::new().prefix("elapsed time: ").pinned());
    scope(|scope| {
        for (name, steps, pace) in
            [("download", 12, 150), ("unpack", 6, 400), ("build", 9, 250), ("test", 4, 600)]
        {
            let row = board.add_row(Row::new().prefix(format!("{name:>9}: ")).summary("waiting"));
            let board = &board;
            scope.spawn(move || {
                for step in 1..=steps {
                    sleep(Duration::from_millis(pace));
                    row.set_summary(format!("step {step} of {steps}"));
                    if name == "build" && step == 5 {
                        row.set_status(RowStatus::Warning);
                        board.println("build: 1 warning, see build.log");
                    }
                }
                let fails = name == "test";
                row.set_status(if fails { RowStatus::Error } else { RowStatus::Success });
                row.set_summary(if fails { "2 of 40 failed" } else { "done" });
            });
        }
    });
    drop(elapsed);
    board.shutdown();
}
