//! A link whose other end does not read: it never blocks, keeps the order, and reports when it is full.

use std::os::fd::{AsFd, OwnedFd};

use psmith_sys::socket;

use super::*;
use crate::warden::messages::{Key, ToHost, ToWarden};

/// Returns both ends of a socket so small that a few messages fill it.
fn small_pair() -> (Link, Link) {
    let (ours, theirs) = socket::pair().expect("a pair of sockets");
    for end in [&ours, &theirs] {
        // The kernel rounds this up to the least that it allows.
        rustix::net::sockopt::set_socket_send_buffer_size(end, 1).expect("a smaller buffer");
    }
    (Link::new(ours), Link::new(theirs))
}

/// Takes one message, if there is one.
fn next(link: &mut Link) -> Option<(ToWardenOwned, Vec<OwnedFd>)> {
    match link.receive().expect("the other end is alive") {
        ReceivedPacket::Message(fds) => {
            let packet = link.lend();
            let message = match postcard::from_bytes::<ToWarden<'_>>(packet.messages()).expect("it decodes") {
                ToWarden::Ping { count } => ToWardenOwned::Ping(count),
                ToWarden::SignalGroup { key, signal } => ToWardenOwned::Kill(key, signal),
                ToWarden::ForgetCgroupSlot { number } => ToWardenOwned::ForgetCgroupSlot(number),
                other => panic!("not sent: {other:?}"),
            };
            link.give_back(packet);
            Some((message, fds))
        }
        ReceivedPacket::Nothing => None,
        ReceivedPacket::Closed => panic!("closed"),
    }
}

#[derive(Debug, PartialEq)]
enum ToWardenOwned {
    Ping(u64),
    Kill(Key, i32),
    ForgetCgroupSlot(u32),
}

// proves: F-34b: a peer that does not read blocks nobody, loses nothing, changes no order
#[test]
fn what_the_socket_does_not_take_waits_in_order() {
    let (mut host, mut warden) = small_pair();
    const COUNT: u64 = 5_000;
    for count in 0..COUNT {
        host.send(&ToWarden::Ping { count }, &[]).expect("a full socket is no error");
    }
    assert!(
        host.has_queued() && host.is_congested(),
        "the bound is reported, so that nothing more is started"
    );
    let mut expected = 0;
    while expected < COUNT {
        // One message at a time, as a slow peer reads.
        if let Some((message, _)) = next(&mut warden) {
            assert_eq!(message, ToWardenOwned::Ping(expected));
            expected += 1;
        }
        host.flush().expect("a full socket is no error");
    }
    assert!(!host.has_queued() && !host.is_congested());
}

// proves: F-34b: a kill that was asked for while the socket was full gets through, behind what was said before
#[test]
fn a_kill_passes_a_full_socket() {
    let (mut host, mut warden) = small_pair();
    let mut said = 0;
    while !host.has_queued() {
        host.send(&ToWarden::ForgetCgroupSlot { number: said }, &[]).expect("a full socket is no error");
        said += 1;
    }
    let key = Key { job: 7, number: 1 };
    host.send(&ToWarden::SignalGroup { key, signal: 9 }, &[]).expect("a full socket is no error");
    for number in 0..said {
        host.flush().expect("a full socket is no error");
        assert_eq!(next(&mut warden).expect("it was sent").0, ToWardenOwned::ForgetCgroupSlot(number));
    }
    host.flush().expect("a full socket is no error");
    assert_eq!(next(&mut warden).expect("it was sent").0, ToWardenOwned::Kill(key, 9));
    assert!(next(&mut warden).is_none(), "nothing else was said");
}

// proves: F-34b: both ends full at once: neither waits for the other
#[test]
fn both_ends_may_be_full_at_once() {
    let (mut host, mut warden) = small_pair();
    let key = Key { job: 1, number: 1 };
    for count in 0..2_000 {
        host.send(&ToWarden::Ping { count }, &[]).expect("a full socket is no error");
        warden.send(&ToHost::Swept { key, killed: 3 }, &[]).expect("a full socket is no error");
    }
    let (mut at_host, mut at_warden) = (0, 0);
    while at_host < 2_000 || at_warden < 2_000 {
        if next(&mut warden).is_some() {
            at_warden += 1;
        }
        if let ReceivedPacket::Message(_) = host.receive().expect("the other end is alive") {
            at_host += 1;
        }
        host.flush().expect("a full socket is no error");
        warden.flush().expect("a full socket is no error");
    }
}

// proves: F-34b, F-39: descriptors wait with their message, and are closed once it is sent
#[test]
fn descriptors_wait_with_their_message() {
    let (mut host, mut warden) = small_pair();
    let (marked, held) = socket::pair().expect("a pair of sockets");
    let mut sent = 0;
    while !host.has_queued() || sent < 100 {
        host.send(&ToWarden::Ping { count: sent }, &[marked.as_fd()]).expect("a full socket is no error");
        sent += 1;
    }
    drop(marked);
    let mut got = 0;
    while got < sent {
        host.flush().expect("a full socket is no error");
        if let Some((message, fds)) = next(&mut warden) {
            assert_eq!((message, fds.len()), (ToWardenOwned::Ping(got), 1));
            got += 1;
        }
    }
    // Every copy is closed by now, so the one that is held sees its end.
    let mut held = Link::new(held);
    assert!(matches!(held.receive(), Ok(ReceivedPacket::Closed)), "a copy of a descriptor is left open");
}

// proves: F-34b: a message too large for a packet waits as a memory file
#[test]
fn a_large_message_waits_too() {
    let (mut host, mut warden) = small_pair();
    let env = vec![b'x'; 3_000_000];
    let profile = ToWarden::Profile {
        env: &env,
        umask: None,
        rlimits: Vec::new(),
        nice: 0,
        no_new_privs: false,
        foreground: false,
    };
    while !host.has_queued() {
        host.send(&ToWarden::Ping { count: 0 }, &[]).expect("a full socket is no error");
    }
    host.send(&profile, &[]).expect("a full socket is no error");
    loop {
        host.flush().expect("a full socket is no error");
        match warden.receive().expect("the other end is alive") {
            ReceivedPacket::Message(_) => {
                let packet = warden.lend();
                if let ToWarden::Profile { env: got, .. } =
                    postcard::from_bytes(packet.messages()).expect("it decodes")
                {
                    assert!(got == env);
                    // return: the one message that was awaited has come, and is whole
                    return;
                }
                warden.give_back(packet);
            }
            ReceivedPacket::Nothing => {}
            ReceivedPacket::Closed => panic!("closed"),
        }
    }
}
