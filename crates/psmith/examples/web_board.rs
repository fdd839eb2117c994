//! A program's own run in a browser: running jobs, failures with their causes, charts, and `/metrics`.
//!
//! `cargo run -p psmith --features web --example web_board`, then open the address that it prints.

use std::error::Error;
use std::time::Duration;

use psmith::web::Web;

/// Some jobs take longer than others, and every 17th fails.
fn work(number: u64) -> Result<u64, String> {
    std::thread::sleep(Duration::from_millis(50 + number * 37 % 400));
    if number.is_multiple_of(17) { Err(format!("{number} is a multiple of 17")) } else { Ok(number) }
}

fn main() -> Result<(), Box<dyn Error>> {
    psmith::init();
    let web = Web::open("127.0.0.1:0".parse()?)?;
    println!("the board is at {}", web.url());
    let failed =
        psmith::try_map(1..=300, work).workers(4).web(&web).into_iter().filter(Result::is_err).count();
    println!("{failed} of 300 failed");
    web.finish();
    Ok(())
}
