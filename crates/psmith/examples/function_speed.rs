//! What a function job costs: `cargo run --release -p psmith --example function_speed -- MODE COUNT`, which
//! `cargo xtask compare` runs beside floors and peers.
//!
//! - `map COUNT`: so many jobs in workers that stay, in order, two workers, everything else as it is by default
//! - `per-job COUNT [BYTES]`: each in a process of its own, with so much memory touched in this one
//! - `one-by-one COUNT`: through an idle pool of one worker, each waited for
//! - `large BYTES`: one argument and one result of so many bytes

use std::time::Instant;

use psmith::{Isolation, Job, Pool};

fn add(n: u64) -> u64 {
    n.wrapping_add(1)
}

fn turn(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.reverse();
    bytes
}

fn main() {
    psmith::init();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| words.get(place).and_then(|word| word.parse::<u64>().ok());
    let Some(count) = number(1) else { return eprintln!("usage: function_speed MODE COUNT") };
    let began = Instant::now();
    match words[0].as_str() {
        "map" => {
            let sum: u64 = psmith::map(0..count, add).workers(2).map(Result::unwrap).sum();
            assert_eq!(sum, count * (count + 1) / 2);
        }
        "per-job" => {
            let held = vec![1_u8; usize::try_from(number(2).unwrap_or(0)).unwrap_or(0)];
            let jobs = psmith::map(0..count, add).workers(2).isolation(Isolation::PerJob);
            assert_eq!(jobs.map(Result::unwrap).sum::<u64>(), count * (count + 1) / 2);
            drop(std::hint::black_box(held));
        }
        "one-by-one" => {
            let pool = Pool::builder().workers(1).build().unwrap();
            for n in 0..count {
                assert_eq!(pool.submit(Job::new(add, n)).unwrap().wait().unwrap(), n + 1);
            }
        }
        "large" => {
            let bytes = vec![7_u8; usize::try_from(count).unwrap()];
            let got = psmith::map([bytes], turn).codec::<psmith::codec::Raw>().workers(1).next().unwrap();
            assert_eq!(got.unwrap().len() as u64, count);
        }
        other => return eprintln!("no mode {other}"),
    }
    let each = began.elapsed().as_secs_f64() * 1e6 / count as f64;
    println!("{each:.4} us each");
}
