//! Tests of the rows, with times given by hand.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::Time;

fn at(milliseconds: u64) -> Time {
    Time(Duration::from_millis(milliseconds))
}

fn rows() -> RowTable {
    RowTable::new(Timing::default())
}

fn named(rows: &mut RowTable, name: &str) -> RowId {
    rows.add(Row::new().summary(name), at(0))
}

fn texts(frame: &BoardFrame<'_>) -> Vec<String> {
    frame.rows.iter().map(|row| alloc::format!("{}{}", row.prefix, row.summary)).collect()
}

fn bold(rows: &RowTable, id: RowId, now: Time) -> bool {
    rows.get(id, now).unwrap().highlighted
}

// proves: board-pace-and-texts
#[test]
fn a_row_is_bold_at_its_change_and_dim_a_second_later() {
    let mut rows = rows();
    let row = named(&mut rows, "a");
    assert!(bold(&rows, row, at(0)) && bold(&rows, row, at(999)));
    assert!(!bold(&rows, row, at(1000)));
    assert!(rows.set_summary(row, "b", at(1500)));
    assert!(bold(&rows, row, at(2499)) && !bold(&rows, row, at(2500)));
    // The same text again is no change.
    assert!(!rows.set_summary(row, "b", at(3000)));
    assert!(!bold(&rows, row, at(3000)));
}

// proves: board-pace-and-texts, pace-of-the-board
#[test]
fn at_most_one_paint_in_a_tenth_of_a_second_and_none_while_idle() {
    let mut rows = rows();
    assert_eq!(rows.next_repaint(at(5)), None);
    let row = named(&mut rows, "a");
    assert_eq!(rows.next_repaint(at(7)), Some(at(7)), "the first paint waits for nothing");
    rows.painted(at(7));
    rows.set_summary(row, "b", at(20));
    assert_eq!(rows.next_repaint(at(20)), Some(at(107)));
    assert_eq!(rows.next_repaint(at(300)), Some(at(300)));
    rows.painted(at(107));
    // Bold since 20: one paint to dim it, then none.
    assert_eq!(rows.next_repaint(at(107)), Some(at(1020)));
    rows.painted(at(1020));
    assert_eq!(rows.next_repaint(at(1020)), None);
    assert_eq!(rows.next_repaint(at(100_000)), None);
}

#[test]
fn an_elapsed_row_is_painted_each_second_and_never_bold() {
    let mut rows = rows();
    let row = rows.add_elapsed(Row::new().prefix("elapsed time: "), at(250));
    assert_eq!(texts(&rows.frame(9, at(300))), ["elapsed time: less than a second"]);
    assert!(!bold(&rows, row, at(250)));
    rows.painted(at(300));
    assert_eq!(rows.next_repaint(at(300)), Some(at(1250)));
    rows.painted(at(1250));
    assert_eq!(rows.next_repaint(at(1250)), Some(at(2250)));
    assert_eq!(texts(&rows.frame(9, at(61_250))), ["elapsed time: 1 minute, 1 second"]);
    // Completed, its time is frozen.
    rows.complete(row, at(62_250));
    assert_eq!(texts(&rows.frame(9, at(63_000))), ["elapsed time: 1 minute, 2 seconds"]);
    assert_eq!(rows.take_left(9, at(64_000))[0].summary, "1 minute, 2 seconds");
    rows.painted(at(64_000));
    assert_eq!(rows.next_repaint(at(64_000)), None);
}

// proves: rows-of-mixed-speed, board-rows
#[test]
fn pinned_rows_stay_at_the_bottom_and_completed_ones_go_to_the_top() {
    let mut rows = rows();
    let first = named(&mut rows, "first");
    let low = rows.add(Row::new().summary("low").pinned(), at(0));
    let second = named(&mut rows, "second");
    let lower = rows.add(Row::new().summary("lower").pinned(), at(0));
    assert_eq!(texts(&rows.frame(9, at(0))), ["first", "second", "low", "lower"]);
    rows.set_summary(first, "first again", at(1));
    assert_eq!(texts(&rows.frame(9, at(1))), ["first again", "second", "low", "lower"]);
    // The pinned row that changed last is the lowest.
    rows.set_status(low, RowStatus::Warning, at(2));
    assert_eq!(texts(&rows.frame(9, at(2))), ["first again", "second", "lower", "low"]);
    rows.complete(second, at(3));
    rows.complete(lower, at(4));
    let frame = rows.frame(9, at(4));
    assert_eq!(texts(&frame), ["second", "lower", "first again", "low"]);
    assert_eq!(frame.rows.iter().map(|row| row.completed).collect::<Vec<_>>(), [true, true, false, false]);
}

#[test]
fn a_completed_row_leaves_once_it_is_dim() {
    let mut rows = rows();
    let row = named(&mut rows, "a");
    rows.painted(at(2000));
    assert!(rows.complete(row, at(2000)).unwrap().highlighted);
    assert!(rows.complete(row, at(2001)).is_none());
    rows.painted(at(2100));
    assert_eq!(rows.take_left(9, at(2999)), []);
    assert_eq!(rows.next_repaint(at(2100)), Some(at(3000)));
    let left = rows.take_left(9, at(3000));
    assert_eq!((left.len(), left[0].completed, left[0].highlighted), (1, true, false));
    assert_eq!(rows.frame(9, at(3000)).rows, []);
    rows.painted(at(3000));
    assert_eq!(rows.next_repaint(at(3000)), None);
}

#[test]
fn completed_rows_without_room_leave_at_once() {
    let mut rows = rows();
    let ids: Vec<RowId> = ["a", "b", "c", "d"].into_iter().map(|name| named(&mut rows, name)).collect();
    rows.complete(ids[0], at(1));
    rows.complete(ids[1], at(2));
    let left = rows.take_left(3, at(3));
    assert_eq!(left.iter().map(|row| row.summary.as_ref()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(texts(&rows.frame(3, at(3))), ["b", "c", "d"]);
    for _ in 0..2 * DONE_MAX {
        let id = named(&mut rows, "x");
        rows.complete(id, at(4));
    }
    rows.take_left(usize::MAX, at(4));
    assert_eq!(rows.frame(usize::MAX, at(4)).rows.len(), DONE_MAX + 2);
}

// proves: board-stays-whole, board-without-terminal
#[test]
fn rows_beyond_the_height_are_counted_and_pinned_ones_stay_in_sight() {
    let mut rows = rows();
    for name in ["a", "b", "c", "d"] {
        named(&mut rows, name);
    }
    rows.add(Row::new().summary("pinned").pinned(), at(0));
    let frame = rows.frame(5, at(0));
    assert_eq!((texts(&frame).len(), frame.more), (5, 0));
    let frame = rows.frame(4, at(0));
    assert_eq!(texts(&frame), ["a", "b", "pinned"]);
    assert_eq!((frame.more, frame.more_at), (2, 2));
    let frame = rows.frame(2, at(0));
    assert_eq!(texts(&frame), ["pinned"]);
    assert_eq!((frame.more, frame.more_at), (4, 0));
    let frame = rows.frame(1, at(0));
    assert_eq!((frame.rows.len(), frame.more), (0, 5));
}

// proves: board-stays-whole, progress-of-a-row
#[test]
fn a_bad_change_harms_no_row() {
    let mut rows = rows();
    let row = named(&mut rows, "a");
    let other = named(&mut rows, "b");
    assert!(!rows.tick(row, 1, at(1)), "no count was started");
    assert!(!rows.finish(row, at(1)));
    assert!(rows.start(row, 3, at(1)));
    assert!(rows.tick(row, 7, at(1)));
    assert_eq!(rows.get(row, at(1)).unwrap().progress, Some(Progress::at(3, 3)));
    assert!(!rows.tick(row, 1, at(2)), "full is full");
    assert!(rows.clear(row, at(3)));
    assert_eq!(rows.get(row, at(3)).unwrap().progress, None);
    rows.complete(row, at(4));
    assert!(!rows.set_summary(row, "late", at(5)) && !rows.set_prefix(row, "late", at(5)));
    assert!(!rows.start(row, 3, at(5)) && !rows.set_status(row, RowStatus::Error, at(5)));
    assert_eq!(texts(&rows.frame(9, at(5))), ["a", "b"]);
    assert!(rows.is_open(other));
}

// proves: end-of-a-board
#[test]
fn at_the_end_all_rows_leave_with_their_last_text() {
    let mut rows = rows();
    let row = named(&mut rows, "a");
    rows.add_elapsed(Row::new().prefix("elapsed time: "), at(0));
    for count in 0..10_000 {
        rows.set_summary(row, alloc::format!("{count}"), at(count));
    }
    rows.complete_all(at(10_000));
    assert_eq!(rows.open_count(), 0);
    let left = rows.take_all_left(at(10_000));
    assert_eq!(left.iter().map(|row| row.summary.as_ref()).collect::<Vec<_>>(), ["9999", "10 seconds"]);
}
