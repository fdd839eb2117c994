//! A job that reports its progress, sends the values that it finds, and stops by itself when its time is over.
//!
//! `cargo run -p psmith --example progress_and_cancel`

use std::time::Duration;

fn hunt(limit: u64) -> Result<u64, String> {
    let cx = psmith::cx().expect("inside a job");
    let mut found = 0;
    for number in 2..limit {
        if number % 10_000 == 0 {
            cx.progress(number, limit);
            if cx.cancelled() {
                return Err(format!("stopped at {number}"));
            }
        }
        if (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| number % divisor != 0) {
            found += 1;
            if found % 10_000 == 0 {
                cx.send(&number).map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(found)
}

fn main() {
    psmith::init();
    let hunts = psmith::try_map([100_000, 10_000_000_000], hunt)
        .timeout(Duration::from_secs(1))
        .on_progress(|job, done, total| eprint!("\rjob {}: {done} of {total}", job.id()))
        .on_message(|_, prime: u64| eprintln!("\rfound {prime}            "));
    for result in hunts {
        println!("{result:?}");
    }
}
