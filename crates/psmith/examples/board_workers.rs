//! Three workers on one queue of sleeps: a row for each, a row that counts what all have done, and the time.
//!
//! `cargo run -p psmith --features board --example board_workers`

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread::{scope, sleep};
use std::time::Duration;

use psmith::board::{Board, Row, RowStatus, report_progress};

const SLEEPS: u64 = 33;

fn main() {
    let board = Board::auto(std::io::stdout());
    let elapsed = board.elapsed_row(Row::new().prefix("elapsed time: ").pinned());
    let total = board.add_row(Row::new().pinned());
    let queue = Mutex::new((1..=SLEEPS).map(|number| 40 + number * 37 % 160));
    let (done, finished) = channel();
    scope(|scope| {
        for worker in 1..=3 {
            let row = board.add_row(Row::new().prefix(format!("worker {worker:2}: ")).summary("waiting"));
            let (queue, done) = (&queue, done.clone());
            scope.spawn(move || {
                let work = || {
                    loop {
                        let Some(milliseconds) = queue.lock().ok().and_then(|mut queue| queue.next()) else {
                            return;
                        };
                        row.set_summary(format!("sleeping {milliseconds} ms"));
                        sleep(Duration::from_millis(milliseconds));
                        let _ = done.send(());
                    }
                };
                // A worker that fails ends red, with the reason, and the others go on.
                match catch_unwind(AssertUnwindSafe(work)) {
                    Ok(()) => row.set_summary("done"),
                    Err(_) => {
                        row.set_status(RowStatus::Error);
                        row.set_summary("panicked");
                    }
                }
            });
        }
        drop(done);
        let counted =
            report_progress(finished, 5, &total, |count| format!("sleep progress {count} / {SLEEPS}"));
        counted.for_each(drop);
    });
    drop((total, elapsed));
    board.shutdown();
}
