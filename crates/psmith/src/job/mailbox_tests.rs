//! Messages of a job, without an engine: which are sent to whom, and which count against the limit.

use super::*;

fn texts(messages: &[(ToWorker, Body)]) -> Vec<String> {
    messages
        .iter()
        .map(|(message, body)| match (message, body) {
            (ToWorker::Message { .. }, Body::Shared(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
            (ToWorker::UpToDate { last, .. }, Body::None) => if *last { "end" } else { "up to date" }.into(),
            (ToWorker::Room { .. }, Body::None) => "room".into(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn now() -> Option<Instant> {
    Some(Instant::now())
}

#[test]
fn messages_that_an_attempt_took_are_gone_and_the_next_gets_the_rest() {
    let mailbox = JobMailbox::default();
    mailbox.set_number(JobId(7));
    for text in ["a", "b"] {
        // No attempt listens, so there is none to notify.
        assert_eq!(mailbox.push(text.into(), None).unwrap(), None);
    }
    assert_eq!(texts(&mailbox.begin(7)), ["a", "b", "up to date"]);
    assert_eq!(mailbox.push("c".into(), None).unwrap(), Some(JobId(7)));
    assert_eq!(texts(&mailbox.unsent(7)), ["c"]);
    assert!(mailbox.took());
    assert_eq!(mailbox.end(), Some(JobId(7)));
    assert_eq!(texts(&mailbox.unsent(7)), ["end"]);
    assert!(mailbox.unsent(7).is_empty());
    assert_eq!(texts(&mailbox.begin(7)), ["b", "c", "end"]);
    assert!(mailbox.took() && mailbox.took());
    assert!(!mailbox.took(), "it was sent two");
    assert!(matches!(mailbox.push("d".into(), None), Err(SendError::Over)));
}

#[test]
fn messages_that_wait_are_bounded_by_number_and_by_bytes_but_one_may_be_long() {
    let by_number = JobMailbox::default();
    for _ in 0..MESSAGES_MAX {
        by_number.push(vec![1], now()).unwrap();
    }
    assert!(matches!(by_number.push(vec![1], now()), Err(SendError::Full)));
    let by_bytes = JobMailbox::default();
    by_bytes.push(vec![0; MESSAGE_BYTES_MAX - 1], now()).unwrap();
    by_bytes.push(vec![0; 1], now()).unwrap();
    assert!(matches!(by_bytes.push(vec![0; 1], now()), Err(SendError::Full)));
    let long = JobMailbox::default();
    long.push(vec![0; 5 * MESSAGE_BYTES_MAX], now()).unwrap();
    assert!(matches!(long.push(vec![0; 1], now()), Err(SendError::Full)));
    // Room comes by what is taken, not by what is sent.
    long.set_number(JobId(1));
    long.begin(1);
    assert!(matches!(long.push(vec![0; 1], now()), Err(SendError::Full)));
    assert!(long.took());
    long.push(vec![0; 1], now()).unwrap();
}

#[test]
fn a_job_without_a_sender_gets_the_end_at_once_and_an_unknown_job_nothing() {
    let mut listeners = Listeners::default();
    assert_eq!(texts(&listeners.add(JobId(1), JobId(1), None)), ["end"]);
    assert!(!listeners.took(JobId(1)));
    let mailbox = Arc::new(JobMailbox::default());
    mailbox.set_number(JobId(2));
    assert_eq!(texts(&listeners.add(JobId(2), JobId(9), Some(&mailbox))), ["up to date"]);
    mailbox.push("a".into(), None).unwrap();
    let mut commands = Vec::new();
    listeners.send(&[JobId(1), JobId(2), JobId(3), JobId(2)], &mut commands);
    match &commands[..] {
        [EngineCommand::Send(JobId(9), MessagesToWorker(messages))] => assert_eq!(texts(messages), ["a"]),
        other => panic!("{other:?}"),
    }
    mailbox.over();
    listeners.remove(JobId(2));
    assert!(!listeners.took(JobId(2)));
}

#[test]
fn between_two_attempts_nothing_is_sent_and_the_second_gets_each_message_once() {
    let mut listeners = Listeners::default();
    let mailbox = Arc::new(JobMailbox::default());
    mailbox.set_number(JobId(2));
    listeners.add(JobId(2), JobId(2), Some(&mailbox));
    let mut commands = Vec::new();
    mailbox.push("a".into(), None).unwrap();
    listeners.send(&[JobId(2)], &mut commands);
    commands.clear();
    // The second attempt has begun, and has not asked for messages yet.
    listeners.next_attempt(JobId(2));
    assert_eq!(mailbox.push("b".into(), None).unwrap(), None);
    listeners.ask_room(JobId(2), JobId(2), Some(&mailbox), 1);
    listeners.send(&[JobId(2)], &mut commands);
    let sent = |command: &EngineCommand| match command {
        EngineCommand::Send(_, MessagesToWorker(messages)) => texts(messages),
        other => panic!("{other:?}"),
    };
    assert!(!commands.iter().flat_map(sent).any(|text| text == "a" || text == "b"));
    assert_eq!(texts(&listeners.add(JobId(2), JobId(2), Some(&mailbox))), ["a", "b", "up to date"]);
    assert!(listeners.took(JobId(2)) && listeners.took(JobId(2)) && !listeners.took(JobId(2)));
}
