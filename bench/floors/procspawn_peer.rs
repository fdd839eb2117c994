//! A peer of function jobs: `u64 -> u64` in two processes by procspawn. `cargo xtask compare` builds it in a crate of
//! its own, below the target directory.
//!
//!     procspawn_peer spawn COUNT    a process for each job, 2 in flight
//!     procspawn_peer pool COUNT     a pool of 2, 64 in flight
//!     procspawn_peer one COUNT      a pool of 1, one at a time
//!     procspawn_peer large BYTES    one argument and one result of so many bytes

use std::collections::VecDeque;

fn add(n: u64) -> u64 {
    n + 1
}

fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

/// Runs jobs with at most that many in flight; the oldest is waited for first.
fn sum<H>(count: u64, in_flight: usize, begin: impl Fn(u64) -> H, join: impl Fn(H) -> u64) -> u64 {
    let (mut begun, mut total) = (VecDeque::new(), 0);
    for n in 0..count {
        if begun.len() == in_flight {
            total += begun.pop_front().map_or(0, &join);
        }
        begun.push_back(begin(n));
    }
    total + begun.into_iter().map(join).sum::<u64>()
}

fn main() {
    procspawn::init();
    let words: Vec<String> = std::env::args().collect();
    let count: u64 = words[2].parse().unwrap();
    let in_pool = |processes, in_flight| {
        let pool = procspawn::Pool::new(processes).unwrap();
        let total = sum(count, in_flight, |n| pool.spawn(n, add), |job| job.join().unwrap());
        pool.shutdown();
        total
    };
    let total = match words[1].as_str() {
        "spawn" => sum(count, 2, |n| procspawn::spawn(n, add), |job| job.join().unwrap()),
        "pool" => in_pool(2, 64),
        "one" => in_pool(1, 1),
        "large" => {
            let bytes = vec![7_u8; count as usize];
            assert_eq!(procspawn::spawn(bytes, echo).join().unwrap().len() as u64, count);
            return;
        }
        other => panic!("no mode {other}"),
    };
    assert_eq!(total, count * (count + 1) / 2);
}
