//! Errors and panics with texts of megabytes: cut, with what was left out, and still what they are.

use psmith::codec::WithErrors;
use psmith::{Cause, Isolation, Job, Pool};
use psmith_testkit::leak::LeakGuard;
use serde::{Deserialize, Serialize};

const BOTH: [Isolation; 2] = [Isolation::PerJob, Isolation::Reuse];

/// The longest text that is carried.
const TEXT_BYTES_MAX: usize = 1 << 20;

fn fails(n: u32) -> Result<u32, String> {
    match n {
        0 => Err(format!("begin {} end", "x".repeat(2 << 20))),
        1 => panic!("begin {} end", "y".repeat(2 << 20)),
        // The text of it names both sides whole.
        2 => {
            assert_eq!(vec![1_u64; 200_000], vec![2_u64; 200_000], "sides differ");
            Ok(0)
        }
        3 => Err("z".repeat(TEXT_BYTES_MAX)),
        n => Ok(n),
    }
}

fn check(index: usize, cause: &Cause, most: usize) {
    let text = match (index, cause) {
        (0 | 3, Cause::Error(text)) => text,
        (1 | 2, Cause::Panic { message, location, .. }) => {
            assert!(location.contains("tests/long_texts.rs:"), "{location}");
            message
        }
        (_, other) => panic!("job {index}: {other:?}"),
    };
    assert!(text.len() <= most, "job {index}: {} bytes", text.len());
    match index {
        0 | 1 => {
            let bytes = (2 << 20) + "begin  end".len();
            assert!(text.contains(&format!(" of {bytes} bytes left out ..]")), "job {index}");
            assert!(text.starts_with("begin ") && text.ends_with(" end"), "job {index}");
        }
        2 => assert!(text.starts_with("assertion `left == right` failed: sides differ\n  left: [1, ")),
        _ if most == TEXT_BYTES_MAX => assert_eq!(text.len(), TEXT_BYTES_MAX, "whole"),
        _ => {}
    }
}

// A text of 1 MiB or more was a message that the host refused: "broke the protocol", and the worker was killed.
// proves: F-65, errors-as-text: single jobs and batches, with other limits of a message
#[test]
fn long_texts_of_errors_and_panics_are_cut_and_stay_errors_and_panics() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        for limit in [None, Some(4096)] {
            let map = psmith::try_map(0..8_u32, fails).workers(2).isolation(isolation);
            let map = if let Some(limit) = limit { map.max_message_bytes(limit) } else { map };
            let most = limit.map_or(TEXT_BYTES_MAX, |limit| limit as usize);
            let ends: Vec<_> = map.collect();
            assert_eq!(ends.len(), 8);
            for (index, end) in ends.into_iter().enumerate() {
                match end {
                    Ok(value) => assert!(index >= 4 && value == index as u32),
                    Err(failure) => check(index, &failure.cause, most),
                }
            }
        }
        let pool = Pool::builder().workers(1).isolation(isolation).build().unwrap();
        for index in 0..3 {
            let failure = pool.submit(Job::fallible(fails, index)).unwrap().wait().unwrap_err();
            check(index as usize, &failure.cause, TEXT_BYTES_MAX);
        }
    }
}

/// An error that is as long in its own words as its text.
#[derive(Debug, Serialize, Deserialize)]
struct Long(String);

impl std::fmt::Display for Long {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Long {}

// proves: F-65, errors-as-text: the error itself is carried whole, whatever its text is cut to
#[test]
fn an_error_that_is_carried_itself_is_whole_beside_its_cut_text() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let long = |bytes: usize| Err::<(), _>(Long("e".repeat(bytes)));
    for isolation in BOTH {
        let pool = Pool::builder().workers(1).isolation(isolation).build().unwrap();
        let job = Job::fallible_by_codec::<WithErrors<Long>, _, _>(long, 2 << 20);
        let failure = pool.submit(job).unwrap().wait().unwrap_err();
        assert_eq!(failure.error::<Long>().unwrap().0.len(), 2 << 20);
        assert!(matches!(&failure.cause, Cause::Error(text) if text.len() <= TEXT_BYTES_MAX));
    }
}
