//! A program's own run as rows on a terminal: slot, job, attempt, time, memory, CPU, each job's last line.
//!
//! `cargo run -p psmith --features board --example board_jobs`; `kill -USR1` prints what runs.

use std::error::Error;
use std::time::Duration;

use psmith::board::{Board, Format, JobBoard};
use psmith::{Retry, signals};

/// In four steps, some slower than others; every 9th fails at its first attempt.
fn work(number: u64) -> Result<u64, String> {
    let cx = psmith::cx().ok_or("not in a job")?;
    for step in 1..=4 {
        cx.progress(step, 4);
        println!("step {step} of item {number}");
        std::thread::sleep(Duration::from_millis(200 + number * 37 % 900));
    }
    if number.is_multiple_of(9) && cx.attempt() == 1 { Err("not yet".into()) } else { Ok(number) }
}

fn main() -> Result<(), Box<dyn Error>> {
    psmith::init();
    let screen = Board::auto(std::io::stderr());
    let jobs = JobBoard::on(&screen).print_on(signals::USR1, Format::Text)?;
    let run = psmith::try_map(1..=40, work).workers(4).retry(Retry::tries(2)).board(&jobs);
    let ok = run.output(psmith::Output::Discard).into_iter().filter(Result::is_ok).count();
    drop(jobs);
    screen.shutdown();
    println!("{ok} of 40 done");
    Ok(())
}
