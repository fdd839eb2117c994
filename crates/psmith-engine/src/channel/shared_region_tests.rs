//! The region from both sides at once, and what a crashing job may make of it.

use super::*;

fn region() -> (SharedRegion, SharedRegion) {
    let (host, file) = SharedMapping::create("test", REGION_WORDS).unwrap();
    (SharedRegion::new(host), SharedRegion::new(SharedMapping::open(file).unwrap()))
}

fn split(values: &ResultValues) -> Vec<&[u8]> {
    let mut from = 0;
    values
        .ends
        .iter()
        .map(|end| &values.bytes[std::mem::replace(&mut from, *end as usize)..*end as usize])
        .collect()
}

#[test]
fn results_come_through_whole_in_order_and_once() {
    let (host, worker) = region();
    host.prepare(4);
    let sent: [&[u8]; 4] = [b"", b"1", b"12345678", &[7; 1000]];
    for (place, value) in (0..).zip(sent) {
        assert_eq!(worker.begin_next(), Some(place));
        assert!(worker.put(value));
    }
    assert_eq!(worker.begin_next(), None);
    let (first, mark) = host.results(ResultCursor::default(), 1);
    assert_eq!(split(&first), [b""]);
    let (rest, mark) = host.results(mark, 4);
    assert_eq!(split(&rest), sent[1..]);
    assert!(host.results(mark, 4).0.ends.is_empty());
}

#[test]
fn what_is_taken_back_is_not_begun() {
    let (host, worker) = region();
    host.prepare(10);
    assert_eq!((host.take_back(1), host.begun()), (1, 0));
    assert_eq!((worker.begin_next(), worker.begin_next()), (Some(0), None));
    assert_eq!(host.begun(), 1);

    host.prepare(10);
    assert_eq!((worker.begin_next(), worker.begin_next()), (Some(0), Some(1)));
    assert_eq!((host.begun(), host.take_back(1), host.begun()), (2, 2, 2));
    assert_eq!((worker.begin_next(), host.begun()), (None, 2));
    // Once more changes nothing.
    assert_eq!(host.take_back(1), 2);
}

// What the worker began is exactly what was left to it.
#[test]
fn each_job_is_begun_or_taken_back_and_never_both() {
    let (host, worker) = region();
    for round in 0..500 {
        host.prepare(100_000);
        std::thread::scope(|scope| {
            let began = scope.spawn(|| std::iter::from_fn(|| worker.begin_next()).count());
            while host.begun() < 1 + round % 10 {
                std::hint::spin_loop();
            }
            let left = host.take_back(0);
            assert_eq!(began.join().unwrap(), left as usize);
            assert_eq!(host.begun(), left);
        });
    }
}

// F-6: what a job destroys of its neighbours' results is not taken for a result.
#[test]
fn a_result_that_was_written_over_ends_what_is_believed() {
    let (host, worker) = region();
    let put = || {
        host.prepare(3);
        for value in [b"one", b"two", b"six"] {
            worker.begin_next();
            assert!(worker.put(value));
        }
    };
    for (place, bits, believed) in [
        (RESULTS + 3, 1, 1),
        (RESULTS + 2, 1, 1),
        (RESULTS + 2, 1 << 40, 1),
        (RESULTS, u64::from(u32::MAX), 0),
        (RESULTS + 5, 1 << 63, 2),
        // More or less than there is: never more than was written.
        (DONE, 0xffff_fffc, 3),
        (DONE, 1 << 63, 3),
        (DONE, 6 << 32, 0),
    ] {
        put();
        let word = host.at(place).unwrap();
        word.store(word.load(Ordering::Relaxed) ^ bits, Ordering::Relaxed);
        assert_eq!(host.results(ResultCursor::default(), 3).0.ends.len(), believed, "{place} {bits:x}");
    }
}

#[test]
fn a_result_without_room_is_refused_and_leaves_the_others() {
    let (host, worker) = region();
    host.prepare(3);
    let room = (REGION_WORDS - RESULTS) * 8;
    worker.begin_next();
    assert!(!worker.put(&vec![1; room - 7]));
    assert!(worker.put(&vec![1; room - 8]));
    worker.begin_next();
    assert!(!worker.put(b""));
    assert_eq!(host.results(ResultCursor::default(), 3).0.ends, [room as u32 - 8]);
}
