//! The cost of a function job: `cargo run --release -p psmith --example function_speed -- MODE COUNT`, which
//! `cargo xtask compare` runs beside floors and peers.
//!
//! - `map COUNT`: this number of jobs in workers that stay, in order, two workers, everything else as it is by default
//! - `per-job COUNT [BYTES]`: each in a process of its own, with so much memory touched in this one
//! - `one-by-one COUNT`: through an idle pool of one worker, each waited for
//! - `large BYTES`: one argument and one result of this number of bytes
//! - `raw BYTES`, `bytes BYTES`, `floats BYTES`, `text BYTES`: the same of this type, by the default codec (`raw`: by
//!   `codec::Raw`), through a worker that has started
//! - `carried COUNT BYTES`, `shared COUNT BYTES`: this number of jobs that need a value of so many bytes, which each
//!   item carries, or all jobs share

use std::time::Instant;

use psmith::{Isolation, Job, Pool};

fn add(n: u64) -> u64 {
    n.wrapping_add(1)
}

/// The bytes themselves; asked with none, the most memory that this process ever had, in KiB.
fn echo(bytes: Vec<u8>) -> Vec<u8> {
    if bytes.is_empty() { peak_kib().to_string().into_bytes() } else { bytes }
}

/// Returns the seconds that a value takes there and back.
fn seconds<T: 'static>(job: fn(T) -> Job<T>, value: T, small: T) -> f64 {
    let pool = Pool::builder().workers(1).output(psmith::Output::Discard).build().unwrap();
    pool.submit(job(small)).unwrap().wait().unwrap();
    let began = Instant::now();
    let back = pool.submit(job(value)).unwrap().wait().unwrap();
    let seconds = began.elapsed().as_secs_f64();
    drop(back);
    seconds
}

fn needs(value: &[u8], n: usize) -> u64 {
    u64::from(value[n])
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Returns the seconds for a value of this kind and so many bytes there and back.
fn there_and_back(kind: &str, length: usize) -> f64 {
    let bytes = || (0..length).map(|n| (n * 7) as u8).collect::<Vec<u8>>();
    match kind {
        "raw" => seconds(|it| Job::by_codec::<psmith::codec::Raw, _>(|it| it, it), bytes(), vec![7]),
        "bytes" => seconds(|it| Job::new(|it| it, it), bytes(), vec![7]),
        "floats" => {
            let floats = (0..length / 4).map(|n| n as f32 * 0.7).collect::<Vec<f32>>();
            seconds(|it| Job::new(|it| it, it), floats, vec![7.0])
        }
        _ => seconds(|it| Job::new(|it: String| it, it), "some text ".repeat(length / 10), "some".into()),
    }
}

fn main() {
    psmith::init();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| words.get(place).and_then(|word| word.parse::<u64>().ok());
    let Some(count) = number(1) else { return eprintln!("usage: function_speed MODE COUNT") };
    // Neither to touch so much memory nor to give it back is any job's.
    let mut held = Vec::new();
    let mut began = Instant::now();
    match words[0].as_str() {
        "map" => {
            let sum: u64 = psmith::map(0..count, add).workers(2).map(Result::unwrap).sum();
            assert_eq!(sum, count * (count + 1) / 2);
        }
        "per-job" => {
            held = vec![1_u8; usize::try_from(number(2).unwrap_or(0)).unwrap_or(0)];
            began = Instant::now();
            let jobs = psmith::map(0..count, add).workers(2).isolation(Isolation::PerJob);
            assert_eq!(jobs.map(Result::unwrap).sum::<u64>(), count * (count + 1) / 2);
        }
        "one-by-one" => {
            let pool = Pool::builder().workers(1).build().unwrap();
            for n in 0..count {
                assert_eq!(pool.submit(Job::new(add, n)).unwrap().wait().unwrap(), n + 1);
            }
        }
        "large" => {
            let length = usize::try_from(count).unwrap();
            let items = [length, 0].into_iter().map(|length| vec![7_u8; length]);
            let mut got = psmith::map(items, echo)
                .codec::<psmith::codec::Raw>()
                .workers(1)
                .window(1)
                .map(Result::unwrap);
            assert_eq!(got.next().unwrap().len(), length);
            let host = peak_kib();
            let worker: u64 = String::from_utf8(got.next().unwrap()).unwrap().parse().unwrap();
            let of_payload = |kib: u64| (kib << 10) as f64 / count as f64;
            println!(
                "host peak {:.3} worker peak {:.3} of the payload",
                of_payload(host),
                of_payload(worker)
            );
        }
        "raw" | "bytes" | "floats" | "text" => {
            return println!("{:.6} s", there_and_back(&words[0], usize::try_from(count).unwrap()));
        }
        "carried" | "shared" => {
            let value = vec![7_u8; usize::try_from(number(2).unwrap_or(0)).unwrap()];
            began = Instant::now();
            let items = 0..usize::try_from(count).unwrap();
            let sum: u64 = if words[0] == "shared" {
                psmith::map_with(&value, items, |value: &Vec<u8>, n| needs(value, n))
                    .workers(2)
                    .map(Result::unwrap)
                    .sum()
            } else {
                let items = items.map(|n| (value.clone(), n));
                psmith::map(items, |(value, n): (Vec<u8>, usize)| needs(&value, n))
                    .workers(2)
                    .map(Result::unwrap)
                    .sum()
            };
            assert_eq!(sum, 7 * count);
        }
        other => return eprintln!("no mode {other}"),
    }
    let each = began.elapsed().as_secs_f64() * 1e6 / count as f64;
    println!("{each:.4} us each");
    drop(std::hint::black_box(held));
}
