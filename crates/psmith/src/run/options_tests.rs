//! The number of workers, as it is found and asked for.

use super::*;

// proves: O-6
#[test]
fn the_number_of_workers_is_detected_or_asked_for_and_nonsense_is_an_error() {
    assert!((1..=999).contains(&default_workers(None).unwrap()));
    assert_eq!(default_workers(Some("10".into())), Ok(10));
    for nonsense in ["", "0", "-1", "many", "1.5"] {
        let error = default_workers(Some(nonsense.into())).unwrap_err();
        assert!(error.contains(WORKERS_VARIABLE), "{error}");
    }
    let given = Options { workers: Some(5), ..Options::new(Order::Submission, OnError::Continue) };
    assert_eq!(given.workers(), Ok(5));
}
