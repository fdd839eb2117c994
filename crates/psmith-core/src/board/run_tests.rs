//! Updates in, rows and totals out.

use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::event::HoldReason;
use crate::{JobId, SlotId, Time};

fn at(milliseconds: u64) -> Time {
    Time(Duration::from_millis(milliseconds))
}

fn started(job: u64, slot: u32, title: &str) -> Update<'_> {
    Update::Started { job: JobId(job), number: job, slot: SlotId(slot), attempt: 1, pid: 100, title }
}

fn wrote(bytes: &[u8]) -> Update<'_> {
    Update::Wrote { job: JobId(1), bytes }
}

fn board() -> RunBoard {
    RunBoard::new(Timing::default())
}

#[test]
fn a_job_is_on_the_board_from_its_start_to_its_end() {
    let mut board = board();
    board.on(started(1, 0, "gzip a"), at(10));
    board.on(started(2, 1, "gzip b"), at(20));
    board.on(Update::Used { job: JobId(1), memory_bytes: 4096, cpu: None }, at(30));
    board.on(Update::Progressed { job: JobId(1), progress: Progress::at(1, 2) }, at(30));
    let row = board.get(JobId(1)).unwrap();
    assert_eq!((row.title.as_str(), row.since, row.slot), ("gzip a", at(10), SlotId(0)));
    assert_eq!((row.memory_bytes, row.progress), (Some(4096), Some(Progress::at(1, 2))));
    board.on(Update::Retried { job: JobId(1) }, at(40));
    assert_eq!(board.running_count(), 1);
    board.on(Update::Ended { job: JobId(2), ending: RowEnding::Ok }, at(50));
    assert_eq!(board.running_count(), 0);
    // A late update about a job that is gone.
    board.on(Update::Slow { job: JobId(2) }, at(60));
    assert_eq!(board.running_count(), 0);
}

#[test]
fn totals_count_each_ending() {
    let mut board = board();
    board.on(Update::Total(10), at(0));
    for (job, ending) in
        [(1, RowEnding::Ok), (2, RowEnding::Flaky), (3, RowEnding::Failed), (4, RowEnding::Cancelled)]
    {
        board.on(Update::Ended { job: JobId(job), ending }, at(1_000));
    }
    board.on(Update::Held(Some(HoldReason::Load)), at(1_000));
    let totals = board.totals();
    assert_eq!((totals.ok, totals.flaky, totals.failed, totals.cancelled), (1, 1, 1, 1));
    assert_eq!((totals.done(), totals.left(), totals.held), (3, Some(6), Some(HoldReason::Load)));
    assert_eq!(board.per_second(at(2_000)), 2.0);
    assert_eq!(board.eta(at(2_000)), Some(Duration::from_secs(3)));
    board.on(Update::Held(None), at(3_000));
    assert_eq!(board.totals().held, None);
}

#[test]
fn the_longest_running_come_first() {
    let mut board = board();
    for (job, since) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
        board.on(started(job, job as u32, "x"), at(since));
    }
    let jobs = |max| board.longest(max).iter().map(|(job, _)| job.0).collect::<Vec<u64>>();
    assert_eq!(jobs(9), [2, 4, 3, 1]);
    assert_eq!(jobs(2), [2, 4]);
    assert_eq!(jobs(0), []);
}

#[test]
fn the_last_line_is_the_last_that_says_something() {
    let mut board = board();
    board.on(started(1, 0, "x"), at(0));
    let line = |board: &RunBoard| board.get(JobId(1)).unwrap().last_line().to_vec();
    assert_eq!(line(&board), b"");
    board.on(wrote(b"one\ntwo\n\n  \n"), at(1));
    assert_eq!(line(&board), b"two");
    board.on(wrote(b"10%\r50%\r"), at(2));
    assert_eq!(line(&board), b"50%");
    board.on(wrote(b"thr"), at(3));
    board.on(wrote(b"ee"), at(3));
    assert_eq!(line(&board), b"three");
    // No more is kept than can be shown, however much comes without a newline.
    board.on(wrote(&[b'x'; 10 * TAIL_BYTES_MAX]), at(4));
    assert_eq!(line(&board).len(), TAIL_BYTES_MAX);
    board.on(wrote(b"\nend"), at(5));
    assert_eq!(line(&board), b"end");
}

#[test]
fn the_share_of_a_processor_is_measured_since_the_last_measurement() {
    let mut board = board();
    board.on(started(1, 0, "x"), at(1_000));
    let mut measure = |milliseconds: Option<u64>, now: u64| {
        let cpu = milliseconds.map(Duration::from_millis);
        board.on(Update::Used { job: JobId(1), memory_bytes: 1, cpu }, at(now));
        let row = board.get(JobId(1)).unwrap();
        (row.cpu_percent, row.cpu)
    };
    let expected = |percent, milliseconds| (Some(percent), Some(Duration::from_millis(milliseconds)));
    assert_eq!(measure(Some(500), 2_000), expected(50, 500), "since its start");
    assert_eq!(measure(Some(2_500), 3_000), expected(200, 2_500), "on two processors");
    assert_eq!(
        measure(Some(2_900), 3_000),
        expected(200, 2_500),
        "no time has passed: nothing can be said anew"
    );
    assert_eq!(measure(Some(2_500), 4_000), expected(0, 2_500), "idle");
    assert_eq!(measure(Some(1_000), 5_000), expected(0, 1_000), "a child has gone");
    assert_eq!(measure(Some(1_250), 5_500), expected(50, 1_250));
    assert_eq!(measure(None, 6_000), (None, None), "it cannot be seen any more");
}

#[test]
fn what_cannot_be_killed_stays_until_its_slot_is_used_again() {
    let mut board = board();
    board.on(started(1, 3, "stuck"), at(0));
    board.on(Update::Slow { job: JobId(1) }, at(1));
    assert_eq!(board.get(JobId(1)).unwrap().status, RowStatus::Warning);
    board.on(Update::Unkillable { job: JobId(1) }, at(2));
    board.on(Update::Ended { job: JobId(1), ending: RowEnding::Failed }, at(3));
    assert_eq!(board.get(JobId(1)).unwrap().status, RowStatus::Error);
    board.on(started(2, 3, "next"), at(4));
    assert!(board.get(JobId(1)).is_none() && board.get(JobId(2)).is_some());
}

#[test]
fn a_board_is_painted_at_changes_and_each_second_while_something_runs() {
    let mut board = board();
    assert_eq!(board.next_repaint(at(3)), Some(at(3)));
    board.painted(at(3));
    assert_eq!(board.next_repaint(at(4)), None, "nothing runs");
    board.on(started(1, 0, "x"), at(50));
    assert_eq!(board.next_repaint(at(50)), Some(at(103)));
    board.painted(at(103));
    assert_eq!(board.next_repaint(at(104)), Some(at(1_103)));
    board.touch();
    assert_eq!(board.next_repaint(at(104)), Some(at(203)));
    board.painted(at(203));
    board.on(Update::Ended { job: JobId(1), ending: RowEnding::Ok }, at(500));
    board.painted(at(500));
    assert_eq!(board.next_repaint(at(500)), None);
}
