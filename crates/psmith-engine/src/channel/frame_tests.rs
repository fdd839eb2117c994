//! Frames arrive whole or not at all, however they come.

use std::io::Write;
use std::os::unix::net::UnixStream;

use super::*;

fn pair() -> (UnixStream, UnixStream) {
    let (host, worker) = UnixStream::pair().unwrap();
    host.set_nonblocking(true).unwrap();
    (host, worker)
}

fn bytes_of(head: &[u8], body: &[u8]) -> Vec<u8> {
    [beginning(head, body), body.to_vec()].concat()
}

#[track_caller]
fn frame(got: ReadResult) -> (Vec<u8>, Vec<u8>) {
    match got {
        ReadResult::Frame(frame) => (frame.head().to_vec(), frame.bytes[frame.body..].to_vec()),
        other => panic!("no frame: {other:?}"),
    }
}

// proves: F-5
#[test]
fn a_frame_cut_at_any_byte_is_torn_and_never_a_frame() {
    let whole = bytes_of(b"head", b"the body");
    for length in 0..whole.len() {
        let (host, mut worker) = pair();
        worker.write_all(&whole[..length]).unwrap();
        drop(worker);
        let mut inbox = Inbox::new(1000);
        match inbox.receive(&host) {
            ReadResult::Closed { torn } => assert_eq!(torn, length > 0, "cut at {length}"),
            other => panic!("cut at {length}: {other:?}"),
        }
    }
}

#[test]
fn frames_come_whole_in_whatever_pieces_they_are_sent() {
    let large: Vec<u8> = (0..700_000_u32).map(|number| number as u8).collect();
    let frames = [(&b"a"[..], &b""[..]), (b"", b"body"), (b"large", &large), (b"z", b"end")];
    let stream: Vec<u8> = frames.iter().flat_map(|(head, body)| bytes_of(head, body)).collect();
    for piece in [1, 7, 19, 4096, 100_000, stream.len()] {
        let small = piece < 4096;
        let (stream, expected) = if small { (&stream[..70], 2) } else { (&stream[..], 4) };
        let (host, worker) = pair();
        let bytes = stream.to_vec();
        let writer = std::thread::spawn(move || {
            for chunk in bytes.chunks(piece) {
                send_all(&worker, chunk).unwrap();
            }
        });
        host.set_nonblocking(false).unwrap();
        let mut inbox = Inbox::new(1 << 20);
        for (head, body) in &frames[..expected] {
            assert!(frame(inbox.receive(&host)) == (head.to_vec(), body.to_vec()), "pieces of {piece}");
        }
        writer.join().unwrap();
    }
}

// proves: F-14
#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let whole = bytes_of(b"head", b"body");
    for bit in 0..whole.len() * 8 {
        let mut bent = whole.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let (host, mut worker) = pair();
        worker.write_all(&bent).unwrap();
        drop(worker);
        let got = Inbox::new(1000).receive(&host);
        assert!(!matches!(got, ReadResult::Frame(_)), "bit {bit}: {got:?}");
    }
}

#[test]
fn a_frame_beyond_the_limit_is_refused_before_its_bytes_come() {
    let (host, mut worker) = pair();
    worker.write_all(&bytes_of(b"", &[0; 100])[..HEADER]).unwrap();
    match Inbox::new(99).receive(&host) {
        ReadResult::Broken(broken) => assert_eq!(broken, FrameError::TooLong { bytes: 100, bytes_max: 99 }),
        other => panic!("{other:?}"),
    }
    worker.write_all(&[0xff; 64]).unwrap();
    assert!(matches!(Inbox::new(99).receive(&host), ReadResult::Broken(FrameError::Magic)));
}

#[test]
fn an_outbox_sends_what_the_socket_takes_and_goes_on_later() {
    let (host, worker) = pair();
    let mut outbox = Outbox::default();
    let large = Arc::new(vec![7_u8; 3 << 20]);
    outbox.push(b"one", Body::Shared(Arc::clone(&large)));
    outbox.push(b"two", Body::None);
    outbox.flush(&host).unwrap();
    assert!(!outbox.is_empty(), "a socket does not take 3 MiB at once");
    let reader = std::thread::spawn(move || {
        let mut inbox = Inbox::new(FRAME_BYTES_MAX);
        [frame(inbox.receive(&worker)), frame(inbox.receive(&worker))]
    });
    while !outbox.is_empty() {
        let mut wait = [rustix::event::PollFd::new(&host, rustix::event::PollFlags::OUT)];
        rustix::event::poll(&mut wait, None).unwrap();
        outbox.flush(&host).unwrap();
    }
    let [one, two] = reader.join().unwrap();
    assert!(one == (b"one".to_vec(), large.to_vec()));
    assert_eq!(two, (b"two".to_vec(), Vec::new()));
}
