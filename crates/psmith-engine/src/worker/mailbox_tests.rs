//! A worker's channel, read by several threads.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::*;
use crate::channel::frame::send_blocking;
use crate::channel::messages::written;

fn channel() -> (OwnedFd, OwnedFd, Mailbox) {
    let (host, worker) = psmith_sys::socket::channel().unwrap();
    (host, worker, Mailbox::new())
}

fn send(host: &OwnedFd, control: &ToWorker, body: &[u8]) {
    send_blocking(host, &written(control), body).unwrap();
}

fn message(
    job: u64,
    mailbox: &Mailbox,
    socket: &OwnedFd,
    patience: WaitLimit,
) -> Result<Option<Vec<u8>>, RecvError> {
    let frame = mailbox.next_message(job, socket.as_fd(), None, patience)?;
    Ok(frame.map(|frame| frame.bytes[frame.body..].to_vec()))
}

#[test]
fn control_and_job_messages_are_sorted_by_any_reader() {
    let (host, worker, mailbox) = channel();
    assert!(mailbox.listen(5));
    assert!(!mailbox.listen(5), "the host is notified once");
    // A late message for a job that is over; then the job's; a control message for the loop in between.
    send(&host, &ToWorker::Message { job: 4 }, b"late");
    send(&host, &ToWorker::Message { job: 5 }, b"one");
    send(&host, &ToWorker::Leave, b"");
    send(&host, &ToWorker::Message { job: 5 }, b"two");
    send(&host, &ToWorker::UpToDate { job: 5, last: false }, b"");
    assert_eq!(message(5, &mailbox, &worker, WaitLimit::None).unwrap().unwrap(), b"one");
    assert_eq!(message(5, &mailbox, &worker, WaitLimit::For(None)).unwrap().unwrap(), b"two");
    assert!(message(5, &mailbox, &worker, WaitLimit::None).unwrap().is_none());
    let soon = Instant::now() + Duration::from_millis(5);
    assert!(message(5, &mailbox, &worker, WaitLimit::For(Some(soon))).unwrap().is_none());
    send(&host, &ToWorker::UpToDate { job: 5, last: true }, b"");
    assert!(matches!(message(5, &mailbox, &worker, WaitLimit::None), Err(RecvError::Closed)));
    mailbox.end();
    assert!(matches!(message(5, &mailbox, &worker, WaitLimit::None), Err(RecvError::Over)));
    let control = mailbox.next_control_message(worker.as_fd()).unwrap();
    assert!(matches!(control, Some((ToWorker::Leave, _))));
    drop(host);
    assert!(mailbox.next_control_message(worker.as_fd()).unwrap().is_none());
    mailbox.listen(6);
    assert!(matches!(message(6, &mailbox, &worker, WaitLimit::For(None)), Err(RecvError::Gone(_))));
}

/// A thread that a job left behind is blocked in a read when the loop wants its next control message: that thread
/// passes it on, and returns because its job is over.
#[test]
fn a_waiter_reads_for_the_others_too() {
    let (host, worker, mailbox) = channel();
    let (mailbox, worker) = (Arc::new(mailbox), Arc::new(worker));
    mailbox.listen(1);
    send(&host, &ToWorker::UpToDate { job: 1, last: false }, b"");
    send(&host, &ToWorker::Message { job: 1 }, b"first");
    let (sender, first_message) = std::sync::mpsc::channel();
    let left_behind = {
        let (mailbox, worker) = (Arc::clone(&mailbox), Arc::clone(&worker));
        std::thread::spawn(move || {
            let first = message(1, &mailbox, &worker, WaitLimit::For(None)).unwrap();
            sender.send(first).unwrap();
            message(1, &mailbox, &worker, WaitLimit::For(None))
        })
    };
    assert_eq!(first_message.recv().unwrap().unwrap(), b"first");
    mailbox.end();
    send(&host, &ToWorker::Leave, b"");
    assert!(matches!(mailbox.next_control_message(worker.as_fd()).unwrap(), Some((ToWorker::Leave, _))));
    assert!(matches!(left_behind.join().unwrap(), Err(RecvError::Over)));
}

#[test]
fn an_alarm_ends_the_wait() {
    let (_host, worker, mailbox) = channel();
    mailbox.listen(1);
    let (alarm, other_end) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(other_end);
    let ended = mailbox.next_message(1, worker.as_fd(), Some(alarm.as_fd()), WaitLimit::For(None));
    assert!(matches!(ended, Err(RecvError::Cancelled)));
}
