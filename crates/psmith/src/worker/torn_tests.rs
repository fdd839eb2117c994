//! A worker that is killed after any byte of its answer.

use std::os::fd::OwnedFd;

use psmith_core::Cause;
use psmith_testkit::leak::Guard;

use super::frame::beginning;
use super::letters::{FromWorker, How, written};
use crate::function::codec::Codec;
use crate::function::described::Described;

/// The frame that would answer the job which runs here with 42.
fn answer() -> Vec<u8> {
    let job = crate::cx().expect("inside a job").job_id();
    let mut value = Vec::new();
    Described::encode(&42_u32, &mut value).unwrap();
    let letter = written(&FromWorker::Done { job, pid: std::process::id(), how: How::Value });
    [beginning(&letter, &value), value].concat()
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

/// Writes so many bytes of the answer, then leaves by `SIGKILL` or `exit(0)`.
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

// proves: F-4, F-5, F-6, O-35, N-2
#[test]
fn cut_at_any_byte_an_answer_is_none_and_whole_it_stands_whatever_becomes_of_its_worker() {
    crate::init();
    let _guard = Guard::alone();
    let lengths = 1..60;
    let items = lengths.clone().flat_map(|length| [(length, true), (length, false)]);
    let mut whole = 0;
    // A worker that stays would take the next job, which then falls with it before it began.
    let map = crate::map(items.clone(), write_and_leave).workers(4).isolation(crate::Isolation::PerJob);
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
