//! What a job's function may return: whatever serde carries, and a `Result` as a value or as the end of its job.

use std::num::NonZeroU32;
use std::ops::Range;

use psmith::{Cause, Failure, Isolation, Job, Pool, Retry};
use psmith_testkit::leak::LeakGuard;
use serde_json::json;

const BOTH: [Isolation; 2] = [Isolation::Reuse, Isolation::PerJob];

// Types of other crates could not be returned without a wrapper, because psmith had a list of those that could.
// proves: serde-values, values-survive
#[test]
fn values_of_types_that_psmith_does_not_know_come_back_as_they_are() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let value = |n: u32| json!({ "n": n, "list": [1, null, "two"], "deep": { "x": 1.5 } });
        let got = psmith::map([7], value).isolation(isolation).into_iter().next().unwrap().unwrap();
        assert_eq!(got, value(7));
        let got = psmith::map([0, 7], NonZeroU32::new).isolation(isolation).map(Result::unwrap);
        assert_eq!(got.collect::<Vec<_>>(), [None, NonZeroU32::new(7)]);
        let range = |n: u32| -> Range<u32> { n..2 * n };
        assert_eq!(psmith::map([7], range).isolation(isolation).into_iter().next().unwrap().unwrap(), 7..14);
    }
    let pool = Pool::builder().workers(1).build().unwrap();
    let double = |n: NonZeroU32| n.saturating_mul(n);
    let seven = NonZeroU32::new(7).unwrap();
    assert_eq!(pool.submit(Job::new(double, seven)).unwrap().wait().unwrap().get(), 49);
}

// proves: errors-as-text, policy-at-failure, retries-apart
#[test]
fn a_result_is_a_value_to_map_and_the_end_of_its_job_to_try_map() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let half = |n: u32| if n.is_multiple_of(2) { Ok(n / 2) } else { Err(format!("{n} is odd")) };
    for isolation in BOTH {
        let values = psmith::map([4, 5], half).isolation(isolation).retry(Retry::tries(3));
        let values: Vec<Result<u32, String>> = values.map(Result::unwrap).collect();
        assert_eq!(values, [Ok(2), Err("5 is odd".to_owned())]);
        let ends = psmith::try_map([4, 5], half).isolation(isolation).retry(Retry::tries(3));
        let ends: Vec<Result<u32, Failure>> = ends.collect();
        assert_eq!(*ends[0].as_ref().unwrap(), 2);
        let failure = ends[1].as_ref().unwrap_err();
        assert_eq!((&failure.cause, failure.attempts), (&Cause::Error("5 is odd".to_owned()), 3));
    }
    let jobs = [Job::new(half, 5)];
    assert_eq!(psmith::run_jobs(jobs).into_iter().next().unwrap().unwrap(), Err("5 is odd".to_owned()));
    let jobs = [Job::fallible(half, 5)];
    assert_eq!(
        psmith::run_jobs(jobs).into_iter().next().unwrap().unwrap_err().to_string(),
        "job #1 (5): 5 is odd"
    );
}
