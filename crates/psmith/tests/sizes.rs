//! Many and large: jobs by the hundred thousand, runs by the hundred, values of hundreds of megabytes; what is flat
//! stays flat.
//!
//! With `PSMITH_TEST_LONG=1` the full sizes: a million jobs, 10,000 runs in each isolation, 2.2 GB.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use psmith::codec::Raw;
use psmith::{Isolation, Job, Server};
use psmith_testkit::leak::{LeakGuard, NONCE};
use psmith_testkit::proc;

const BOTH: [Isolation; 2] = [Isolation::PerJob, Isolation::Reuse];

/// One number here, another where there is the time.
fn size<T>(usual: T, long: T) -> T {
    if std::env::var_os("PSMITH_TEST_LONG").is_some_and(|value| value == "1") { long } else { usual }
}

/// What a line of a process's status says, in KiB.
fn kibibytes(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or(": 0 kB");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// Runs only the test `name` in a copy of this program, which has nothing of other tests in its memory.
fn in_a_copy(name: &str) -> bool {
    const COPY: &str = "PSMITH_TEST_COPY";
    if std::env::var_os(COPY).is_some() {
        return true;
    }
    let guard = LeakGuard::new();
    let mut copy = Command::new(std::env::current_exe().unwrap());
    let output = copy.args(["--exact", name]).env(COPY, "1").env(NONCE, guard.nonce()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    false
}

// proves: values-survive, serde-values
#[test]
fn ten_thousand_items_of_every_shape_equal_a_serial_map() {
    psmith::init();
    let _guard = LeakGuard::alone();
    type Item = (u64, Option<Vec<Option<u64>>>, BTreeMap<String, Vec<(i8, bool)>>, Option<()>);
    let item = |n: u64| -> Item {
        let list = (!n.is_multiple_of(3))
            .then(|| (0..n % 7).map(|k| k.is_multiple_of(2).then_some(k * n)).collect());
        let map =
            (0..n % 4).map(|k| (k.to_string(), vec![(k as i8 - 2, k % 2 == 0); (n % 5) as usize])).collect();
        (n, list, map, n.is_multiple_of(2).then_some(()))
    };
    let turn = |(n, list, mut map, unit): Item| -> Item {
        map.insert("x".repeat((n % 300) as usize), Vec::new());
        (n.wrapping_mul(n), list.map(|list| list.into_iter().rev().collect()), map, unit)
    };
    for (workers, window) in [(2, 20), (4, 500)] {
        let got = psmith::map((0..10_000).map(item), turn).workers(workers).window(window);
        let mut count = 0;
        for (got, expected) in got.into_iter().zip((0..10_000).map(item).map(turn)) {
            assert!(got.unwrap() == expected, "item {count}");
            count += 1;
        }
        assert_eq!(count, 10_000);
    }
    // A large nested one among them.
    let large: Vec<Vec<Option<u64>>> =
        (0..2_000).map(|n| (0..n % 400).map(|k| (k % 3 > 0).then_some(k)).collect()).collect();
    let got = psmith::map([large.clone(), Vec::new()], |lists: Vec<Vec<Option<u64>>>| lists).workers(2);
    assert!(got.map(Result::unwrap).eq([large, Vec::new()]));
}

// proves: short-runs-end, many-workers-few-left
#[test]
fn short_runs_in_each_isolation_all_come_to_their_end_and_leave_nothing() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        for round in 0..size(300, 10_000) {
            let items = round % 4;
            let map = psmith::map(0..items, |n: u32| n).workers(1 + round % 3).isolation(isolation);
            assert!(map.map(Result::unwrap).eq(0..items), "{isolation:?}, round {round}");
        }
    }
}

// proves: P-7, descriptors-come-back, many-workers-few-left, endless-in-order
#[test]
fn many_jobs_make_neither_host_nor_warden_nor_worker_grow() {
    psmith::init();
    if !in_a_copy("many_jobs_make_neither_host_nor_warden_nor_worker_grow") {
        // return: the copy has proved it
        return;
    }
    let jobs: u64 = size(100_000, 1_000_000);
    let own = std::process::id();
    let descriptors = || proc::own_descriptors().len();
    let mut first = None;
    let mut delivered = 0;
    for got in psmith::map(0.., |n: u64| (n, std::process::id())).workers(2).unordered() {
        let (n, worker) = got.unwrap();
        delivered += 1;
        // Once all that is made once has been made, and then again and again.
        if n % (jobs / 10) == jobs / 20 {
            let warden = psmith_sys::proc_tree::children(own).unwrap()[0];
            let rss = [own, warden, worker].map(|pid| kibibytes(pid, "VmRSS"));
            let now = (rss, descriptors());
            let (rss_first, descriptors_first) = *first.get_or_insert(now);
            assert_eq!(now.1, descriptors_first, "descriptors after {n} jobs");
            for (what, (now, first)) in ["host", "warden", "worker"].iter().zip(rss.iter().zip(rss_first)) {
                assert!(*now <= first + 2048, "the {what} grew from {first} KiB to {now} KiB in {n} jobs");
            }
        }
        if delivered == jobs {
            break;
        }
    }
    assert!(first.is_some());
}

// proves: P-7, descriptors-come-back
#[test]
fn many_processes_make_neither_host_nor_warden_grow() {
    psmith::init();
    if !in_a_copy("many_processes_make_neither_host_nor_warden_grow") {
        // return: the copy has proved it
        return;
    }
    let jobs: u64 = size(3_000, 100_000);
    let own = std::process::id();
    let mut first = None;
    let map = psmith::map(0..jobs, |n: u64| n).workers(2).isolation(Isolation::PerJob);
    for got in map {
        let n = got.unwrap();
        if n % (jobs / 10) == jobs / 20 {
            let warden = psmith_sys::proc_tree::children(own).unwrap()[0];
            let now = ([own, warden].map(|pid| kibibytes(pid, "VmRSS")), proc::own_descriptors().len());
            let (rss_first, descriptors_first) = *first.get_or_insert(now);
            // Two jobs run at a time: each has its handful.
            assert!(now.1 <= descriptors_first + 16, "{} descriptors after {n} jobs", now.1);
            for (what, (now, first)) in ["host", "warden"].iter().zip(now.0.iter().zip(rss_first)) {
                assert!(*now <= first + 2048, "the {what} grew from {first} KiB to {now} KiB in {n} jobs");
            }
        }
    }
    assert!(first.is_some());
}

// proves: endless-in-order, F-34a, P-7, lazy-producer, submission-order
#[test]
fn an_endless_producer_and_a_slow_consumer_need_the_memory_of_their_window() {
    psmith::init();
    if !in_a_copy("an_endless_producer_and_a_slow_consumer_need_the_memory_of_their_window") {
        // return: the copy has proved it
        return;
    }
    const WINDOW: u64 = 16;
    const ITEM: usize = 256 << 10;
    let rounds = size(600, 10_000);
    let produced = Arc::new(AtomicU64::new(0));
    let echo = |bytes: Vec<u8>| bytes;
    let producer = {
        let produced = Arc::clone(&produced);
        move || {
            let number = produced.fetch_add(1, Ordering::SeqCst);
            Some(Job::by_codec::<Raw, _>(echo, vec![number as u8; ITEM]))
        }
    };
    let server = Server::new(producer).workers(2).window(WINDOW as u32);
    let handle = server.handle();
    let mut consumed = 0;
    let mut most = 0;
    let mut consume = |index: u64, bytes: Vec<u8>| {
        assert!(bytes.len() == ITEM && bytes.iter().all(|byte| *byte == index as u8));
        // It takes no more before all wait for it: the producer has filled the window, and is blocked.
        while consumed < rounds && produced.load(Ordering::SeqCst) < consumed + WINDOW {
            std::thread::yield_now();
        }
        let ahead = produced.load(Ordering::SeqCst) - consumed;
        assert!(ahead <= WINDOW + 1, "{ahead} ahead of the consumer");
        consumed += 1;
        if consumed == 50 {
            most = kibibytes(std::process::id(), "VmRSS");
        } else if consumed > 50 {
            let now = kibibytes(std::process::id(), "VmRSS");
            // Room for what the allocator keeps; without a bound it would be one item a round.
            assert!(now < most + 16 * 1024, "{most} KiB after 50 rounds, {now} KiB after {consumed}");
        }
        if consumed == rounds {
            handle.stop();
        }
    };
    server
        .in_order()
        .consumer(|job, result| {
            if let Ok(bytes) = result {
                consume(job.index(), bytes);
            }
        })
        .run()
        .unwrap();
    assert!(consumed >= rounds);
}

// proves: F-26, large-values
#[test]
fn huge_values_go_both_ways_whole() {
    psmith::init();
    if !in_a_copy("huge_values_go_both_ways_whole") {
        // return: the copy has proved it
        return;
    }
    let bytes = size(256 << 20, 2_200_000_000_usize);
    // What host and worker need of it at a time, each: the value, and its encoded form.
    let needed = bytes as u64 / 1024 * 6;
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    let available: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(available > needed, "{bytes} bytes both ways want {needed} KiB of memory, here are {available}");
    // Blocks that know their number, so that none can be lost, doubled or exchanged.
    let block = |number: usize| {
        let mut block = [number as u8; 4096];
        block[..8].copy_from_slice(&number.to_le_bytes());
        block
    };
    let turn = |mut bytes: Vec<u8>| {
        bytes.push(bytes[bytes.len() / 2]);
        bytes
    };
    for isolation in BOTH {
        let mut large = vec![0; bytes];
        for (number, chunk) in large.chunks_mut(4096).enumerate() {
            chunk.copy_from_slice(&block(number)[..chunk.len()]);
        }
        let middle = large[bytes / 2];
        let map = psmith::map([large], turn)
            .codec::<Raw>()
            .workers(1)
            .max_message_bytes(4 << 30)
            .isolation(isolation);
        let back = map.into_iter().next().unwrap().unwrap();
        assert_eq!(back.len(), bytes + 1);
        for (number, chunk) in back[..bytes].chunks(4096).enumerate() {
            assert!(*chunk == block(number)[..chunk.len()], "block {number}");
        }
        assert_eq!(back[bytes], middle);
    }
}
