//! A divisor of the argument below the limit: the first one found ends the run, and the jobs that still run are killed.
//!
//! `cargo run -p psmith --example first_answer -- 1000003`

use std::ops::ControlFlow;

use psmith::Flow;

fn try_range((number, from, to): (u64, u64, u64)) -> Flow<(), u64> {
    (from..to).find(|divisor| number % divisor == 0).map_or(Flow::Next(()), Flow::Kill)
}

fn main() -> Result<(), psmith::Failure> {
    psmith::init();
    let number: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(999_999_000_001);
    let ranges = (2..number.isqrt()).step_by(100_000).map(|from| (number, from, from + 100_000));
    match psmith::map_until(ranges, try_range).run()? {
        ControlFlow::Break(divisor) => println!("{number} = {divisor} * {}", number / divisor),
        ControlFlow::Continue(_) => println!("{number} is a prime number"),
    }
    Ok(())
}
