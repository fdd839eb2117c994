//! Several bars at once, one with a text of its own, while the program's output goes to files.
//!
//! `cargo run -p psmith --features board --example board_progress -- /tmp/board_progress` leaves
//! `/tmp/board_progress.out` and `/tmp/board_progress.err`.

use std::thread::{scope, sleep};
use std::time::Duration;

use psmith::board::{Board, Progress, Row, redirect};

fn main() -> std::io::Result<()> {
    let base = std::env::args_os().nth(1).unwrap_or_else(|| "board_progress".into());
    let board = Board::auto(std::io::stdout());
    redirect(base, || {
        scope(|scope| {
            for (name, target, pace) in [("first", 40, 80), ("second", 25, 120), ("third", 60, 50)] {
                let row = board.add_row(Row::new().prefix(format!("{name:>6}")));
                if name == "third" {
                    row.formatter(|progress: Progress| format!(": {} files", progress.current()));
                }
                row.start(target);
                scope.spawn(move || {
                    for step in 1..=target {
                        sleep(Duration::from_millis(pace));
                        println!("{name}: step {step}");
                        row.tick(1);
                    }
                    eprintln!("{name}: all of it");
                    row.clear();
                    row.set_summary(": done");
                });
            }
        });
    })?;
    board.shutdown();
    Ok(())
}
