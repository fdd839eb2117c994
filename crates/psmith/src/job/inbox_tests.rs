//! Messages of a job to its handle, without an engine: what there is room for, and what is refused.

use super::*;

fn room(answer: Option<ToWorker>) -> (u32, u64) {
    match answer {
        Some(ToWorker::Room { messages, bytes, .. }) => (messages, bytes),
        other => panic!("{other:?}"),
    }
}

fn nobody(_: JobId) {
    panic!("the job does not wait");
}

fn now() -> Option<Instant> {
    Some(Instant::now())
}

#[test]
fn an_inbox_that_nobody_takes_from_is_bounded_and_says_so() {
    let inbox = JobInbox::default();
    assert_eq!(room(inbox.ask(JobId(1), 1)), (MESSAGES_MAX as u32, MESSAGE_BYTES_MAX as u64));
    for _ in 0..MESSAGES_MAX {
        assert!(inbox.receive(vec![0, 7], 1));
    }
    assert!(!inbox.receive(vec![0, 7], 1), "it had no room");
    // Nobody takes any: refused. Once somebody does, the answer waits for room.
    assert_eq!(room(inbox.ask(JobId(1), 1)), (0, 0));
    assert_eq!(inbox.take(now(), nobody), Ok(Some((vec![0, 7], 1))));
    assert_eq!(room(inbox.ask(JobId(1), 1)).0, 1);
    assert!(inbox.receive(vec![0, 7], 1));
    assert!(inbox.ask(JobId(1), 1).is_none());
    let notified = std::cell::Cell::new(false);
    assert!(inbox.take(now(), |_| notified.set(true)).unwrap().is_some() && notified.get());
    assert_eq!(room(inbox.answer()).0, 1);
    // Who waits for the outcome alone takes no more.
    assert!(inbox.receive(vec![0, 7], 1) && inbox.ask(JobId(1), 1).is_none());
    assert_eq!(inbox.pause(), Some(JobId(1)));
    assert_eq!(room(inbox.answer()), (0, 0));
    inbox.over();
    assert_eq!(std::iter::from_fn(|| inbox.take(now(), nobody).ok()).flatten().count(), MESSAGES_MAX);
    assert_eq!(inbox.take(None, nobody), Err(()));
}

#[test]
fn one_message_may_be_longer_than_all_room_and_a_handle_that_is_dropped_is_told() {
    let inbox = JobInbox::default();
    let long = 3 * MESSAGE_BYTES_MAX;
    assert_eq!(room(inbox.ask(JobId(1), long as u64)).1, long as u64);
    assert!(inbox.receive(vec![0; long], 0));
    assert_eq!(room(inbox.ask(JobId(1), 1)), (0, 0));
    assert_eq!(inbox.close(), Some(JobId(1)));
    assert_eq!(room(inbox.answer()), (0, 0));
    assert!(inbox.answer().is_none(), "it was told");
    assert_eq!(room(inbox.ask(JobId(1), 1)), (0, 0));
    assert_eq!(inbox.take(None, nobody), Err(()));
}
