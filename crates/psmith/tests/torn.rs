//! A worker that is killed after any byte of its answer.

use std::os::fd::OwnedFd;

use psmith_core::Cause;
use psmith_testkit::leak::LeakGuard;

use psmith_engine::channel::frame::beginning;
use psmith_engine::channel::messages::{CallEnd, FromWorker, written};
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::Described;

/// The frame that would answer the job which runs here with 42.
fn answer() -> Vec<u8> {
    answer_by(std::process::id(), &42_u32)
}

/// The frame with which that process would answer the job which runs here.
fn answer_by<T>(pid: u32, value: &T) -> Vec<u8>
where
    Described: Codec<T>,
{
    let job = psmith::cx().expect("inside a job").job_id();
    let mut bytes = Vec::new();
    Described::encode(value, &mut bytes).unwrap();
    let message = written(&FromWorker::Done { job, pid, how: CallEnd::Value, usage: None });
    [beginning(&message, &bytes), bytes].concat()
}

/// Another descriptor of this worker's channel.
fn channel() -> OwnedFd {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut sockets = entries.filter(|entry| {
        std::fs::read_link(entry.path()).is_ok_and(|to| to.to_str().unwrap().starts_with("socket:"))
    });
    let number = sockets.next().unwrap().file_name().to_str().unwrap().parse().unwrap();
    let own = rustix::process::getpid();
    let process = rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()).unwrap();
    rustix::process::pidfd_getfd(process, number, rustix::process::PidfdGetfdFlags::empty()).unwrap()
}

/// Writes this number of bytes of the answer, then ends by `SIGKILL` or `exit(0)`.
fn write_and_leave((length, killed): (usize, bool)) -> u32 {
    let answer = answer();
    let part = &answer[..length.min(answer.len())];
    let sent = rustix::io::write(channel(), part).unwrap();
    assert_eq!(sent, part.len());
    if killed {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    }
    std::process::exit(0);
}

// proves: F-4, F-5, F-6, one-answer-a-job, any-worker-may-die
#[test]
fn an_answer_cut_at_any_byte_is_none_and_a_whole_one_counts_however_its_worker_ends() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let lengths = 1..60;
    let items = lengths.clone().flat_map(|length| [(length, true), (length, false)]);
    let mut whole = 0;
    // A worker that stays would take the next job, which then falls with it before it began.
    let map = psmith::map(items.clone(), write_and_leave).workers(4).isolation(psmith::Isolation::PerJob);
    for ((length, killed), got) in items.zip(map) {
        match got {
            Ok(value) => {
                assert_eq!(value, 42);
                whole += 1;
            }
            Err(failure) => {
                assert_eq!(whole, 0, "{length} bytes are more than the whole, and failed: {failure}");
                let expected = match killed {
                    true => Cause::Signal { signal: 9, core_dumped: false },
                    false => Cause::Protocol("its channel was closed within a frame".into()),
                };
                assert_eq!(failure.cause, expected, "after {length} bytes");
            }
        }
    }
    assert!(whole > 0 && whole < 80, "{whole} answers were whole");
}

/// With a timeout each job is sent, and answered for, by itself: in a batch the answers forged here would be no job's.
const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

const BOTH: [psmith::Isolation; 2] = [psmith::Isolation::PerJob, psmith::Isolation::Reuse];

fn killed() -> Cause {
    Cause::Signal { signal: 9, core_dumped: false }
}

/// Kills this worker once this number of bytes of a large answer are written; 0: answers in order.
fn large_answer(length: usize) -> Vec<u8> {
    let value: Vec<u8> = (0..1 << 20).map(|n: u32| n as u8).collect();
    if length > 0 {
        let answer = answer_by(std::process::id(), &value);
        let mut channel = std::fs::File::from(channel());
        std::io::Write::write_all(&mut channel, &answer[..length.min(answer.len())]).unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    }
    value
}

// proves: F-5, F-6, any-worker-may-die, P-2
#[test]
fn cut_within_a_large_answer_or_right_after_it_no_later_job_is_touched() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let whole = large_answer(0);
    let cuts =
        [1, 7, 19, 20, 21, 40, 4096, 16 << 10, 64 << 10, 128 << 10, 500_000, (1 << 20) - 1, usize::MAX];
    for isolation in BOTH {
        for cut in cuts {
            let got: Vec<_> =
                psmith::map([0, cut, 0], large_answer).workers(1).isolation(isolation).collect();
            match &got[1] {
                Ok(value) => assert!(cut == usize::MAX && *value == whole),
                Err(failure) => {
                    assert_eq!((cut < usize::MAX, &failure.cause), (true, &killed()), "cut at {cut}");
                }
            }
            for got in [&got[0], &got[2]] {
                assert!(*got.as_ref().unwrap() == whole, "{isolation:?}, cut at {cut}");
            }
        }
    }
}

/// Answers, dies once the small answer is cut after this number of bytes; 0: answers in order.
fn small_answer(length: usize) -> u32 {
    if length > 0 { write_and_leave((length, true)) } else { 42 }
}

// proves: F-5, F-6, any-worker-may-die
#[test]
fn cut_at_any_byte_in_a_worker_that_stays_no_neighbour_is_touched() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut whole = 0;
    for cut in 1..60 {
        let got: Vec<_> = psmith::map([0, cut, 0], small_answer).workers(1).timeout(HOUR).collect();
        match &got[1] {
            Ok(value) => {
                assert_eq!(*value, 42);
                whole += 1;
            }
            Err(failure) => assert_eq!((whole, &failure.cause), (0, &killed()), "cut at {cut}"),
        }
        assert_eq!((got[0].as_ref().unwrap(), got[2].as_ref().unwrap()), (&42, &42), "cut at {cut}");
    }
    assert!(whole > 0 && whole < 40, "{whole} answers were whole");
}

// proves: one-answer-a-job
#[test]
fn the_first_answer_counts_and_a_second_one_ends_its_worker_alone() {
    psmith::init();
    let _guard = LeakGuard::alone();
    // Its own answer, 7, is the second.
    let twice = |n: u32| {
        if n == 1 {
            rustix::io::write(channel(), &answer()).unwrap();
        }
        7
    };
    for isolation in BOTH {
        for _ in 0..20 {
            let map = psmith::map(0..3, twice).workers(1).isolation(isolation).timeout(HOUR);
            let got: Vec<_> = map.collect();
            let got: Vec<_> = got.into_iter().map(Result::unwrap).collect();
            assert_eq!(got, [7, 42, 7], "{isolation:?}");
        }
    }
}

// proves: one-answer-a-job, SEC-worker
#[test]
fn an_answer_of_another_process_is_none() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let forged = |n: u32| {
        if n == 1 {
            rustix::io::write(channel(), &answer_by(std::process::id() + 1, &42_u32)).unwrap();
            loop {
                std::thread::park();
            }
        }
        7
    };
    for isolation in BOTH {
        let got: Vec<_> = psmith::map(0..3, forged).workers(1).isolation(isolation).collect();
        let cause = &got[1].as_ref().unwrap_err().cause;
        assert!(matches!(cause, Cause::Protocol(text) if text.contains("forked")), "{cause:?}");
        assert_eq!((got[0].as_ref().unwrap(), got[2].as_ref().unwrap()), (&7, &7));
    }
}
