//! Three workers, each a process with a row on the board, on one queue of sleeps; a count of all, and the time.
//!
//! `cargo run -p psmith --features board --example board_workers`

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fs, io, thread, time};

use psmith::board::{Board, Row, WithStatus, report_progress};
use psmith::{Lock, WorkerCx, run_workers};

/// Which sleep is the next: the queue is a file of how many were taken.
fn take(dir: &Path) -> io::Result<u64> {
    Lock::new(dir, "queue")?.synchronize(|| {
        let taken = fs::read_to_string(dir.join("taken"))?.parse().unwrap_or(0) + 1;
        fs::write(dir.join("taken"), taken.to_string()).map(|()| taken)
    })?
}

fn work(cx: WorkerCx<u64>) -> Result<(), Box<dyn Error>> {
    let dir: PathBuf = cx.input()?;
    while let number @ 1..=33 = take(&dir)? {
        let milliseconds = 40 + number * 37 % 160;
        cx.row().set_summary(format!("sleeping {milliseconds} ms"));
        thread::sleep(time::Duration::from_millis(milliseconds));
        cx.send(number)?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    psmith::init();
    let dir = std::env::temp_dir().join(format!("board_workers_{}", std::process::id()));
    fs::create_dir(&dir).and_then(|()| fs::write(dir.join("taken"), "0"))?;
    let board = Board::auto(io::stdout());
    let (_elapsed, total) = (board.elapsed(), board.add_row(Row::new()));
    let workers = run_workers(3, work).with_status(WithStatus::on(&board)).input(dir.clone());
    report_progress(workers, 5, &total, |count| format!("sleep progress {count} / 33")).for_each(drop);
    fs::remove_dir_all(dir)
}
