//! Asks services whether they answer, eight at a time, none for longer than two seconds.
//!
//! `cargo run -p psmith --example probe_services -- HOST:PORT...`

use std::net::TcpStream;
use std::time::{Duration, Instant};

use psmith::{Cause, Retry};

fn probe(address: String) -> std::io::Result<Duration> {
    let begun = Instant::now();
    TcpStream::connect(address)?;
    Ok(begun.elapsed())
}

fn main() {
    psmith::init();
    let addresses: Vec<String> = std::env::args().skip(1).collect();
    let probes = psmith::try_map(addresses.clone(), probe)
        .workers(8)
        .timeout(Duration::from_secs(2))
        .retry(Retry::tries(2).backoff(Duration::from_millis(100), None));
    for (address, result) in addresses.iter().zip(probes) {
        match result {
            Ok(time) => println!("{address}: answers in {time:?}"),
            Err(failure) if matches!(failure.cause, Cause::Timeout(_)) => println!("{address}: hangs"),
            Err(failure) => println!("{failure}"),
        }
    }
}
