//! An end of the socket between host and warden (or keeper): it sends and receives whole messages.
//!
//! Neither end ever blocks on the other: what the socket does not take is queued here, up to [`OUTBOX_MESSAGES_MAX`],
//! and the owner checks [`Link::is_congested`] before it produces more. A link knows nothing of the meaning of
//! messages.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use psmith_sys::{memfd, socket};
use rustix::io::Errno;
use serde::Serialize;

use crate::warden::messages::{MESSAGE_BYTES_MAX, PACKET_BUFFER, PACKET_BYTES_MAX};

/// The most messages queued behind a socket that takes no more; at the bound nothing new is started.
pub(crate) const OUTBOX_MESSAGES_MAX: usize = 1024;

/// The time that the report of a start waits for others to share its packet.
const HOLD_MAX: Duration = Duration::from_millis(2);

/// The most starts in one packet; the kernel takes no more than 253 descriptors with it.
const HELD_MAX: usize = 64;

/// The first byte of a packet in which the messages follow, one after the other.
const INLINE: u8 = 0;
/// The first byte of a packet whose messages are in a sealed memory file, the packet's last descriptor.
const IN_MEMORY_FILE: u8 = 1;

/// An end of the connection.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    outbox: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    scratch: Vec<u8>,
    inbox: Packet,
    held: Vec<u8>,
    held_fds: Vec<OwnedFd>,
    held_since: Option<Instant>,
}

/// A packet that was received, in a buffer that is used again.
#[derive(Debug, Default)]
pub(crate) struct Packet {
    bytes: Vec<u8>,
    length: usize,
}

/// The result of an attempt to receive.
#[derive(Debug)]
pub(crate) enum ReceivedPacket {
    /// A message's bytes (see [`Link::lend`]) and descriptors.
    Message(Vec<OwnedFd>),
    /// An empty socket: no packet is there now.
    Nothing,
    /// The other end is gone.
    Closed,
}

impl Link {
    pub(crate) fn new(socket: OwnedFd) -> Link {
        Link {
            socket,
            outbox: VecDeque::new(),
            scratch: Vec::new(),
            inbox: Packet { bytes: vec![0; PACKET_BUFFER], length: 0 },
            held: Vec::new(),
            held_fds: Vec::new(),
            held_since: None,
        }
    }

    /// Sends `message` with `fds`, or queues both behind what waits already.
    pub(crate) fn send<M: Serialize>(&mut self, message: &M, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        if self.held_since.is_some() {
            self.encode_held(message)?;
            return self.send_held(fds);
        }
        let mut packet = std::mem::take(&mut self.scratch);
        packet.clear();
        packet.push(INLINE);
        packet = postcard::to_extend(message, packet).map_err(io::Error::other)?;
        let done = self.send_packet(&packet, fds);
        self.scratch = packet;
        done
    }

    /// Keeps `message` until the next one is sent, but at most for [`HOLD_MAX`] (see [`Link::patience`]): most jobs end
    /// so soon that the reports of their start and of their end share a packet, and wake the other side once.
    pub(crate) fn hold<M: Serialize>(&mut self, message: &M, fd: OwnedFd) -> io::Result<()> {
        if self.held_since.is_none() {
            self.held.clear();
            self.held.push(INLINE);
            self.held_since = Some(Instant::now());
        }
        self.encode_held(message)?;
        self.held_fds.push(fd);
        if self.held_fds.len() >= HELD_MAX { self.send_held(&[]) } else { Ok(()) }
    }

    fn encode_held<M: Serialize>(&mut self, message: &M) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        self.held = postcard::to_extend(message, held).map_err(io::Error::other)?;
        Ok(())
    }

    fn send_held(&mut self, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.held_since = None;
        let (held, held_fds) = (std::mem::take(&mut self.held), std::mem::take(&mut self.held_fds));
        let all: Vec<BorrowedFd<'_>> = held_fds.iter().map(AsFd::as_fd).chain(fds.iter().copied()).collect();
        let done = self.send_packet(&held, &all);
        self.held = held;
        done
    }

    /// Returns the time that what is held may still wait.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.held_since.map(|since| HOLD_MAX.saturating_sub(since.elapsed()))
    }

    /// Sends what has been held for long enough.
    pub(crate) fn release_held(&mut self) -> io::Result<()> {
        if self.patience().is_some_and(|left| left.is_zero()) { self.send_held(&[]) } else { Ok(()) }
    }

    fn send_packet(&mut self, packet: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        if packet.len() > MESSAGE_BYTES_MAX {
            // The other end would have to break the connection.
            return Err(io::Error::from_raw_os_error(Errno::TOOBIG.raw_os_error()));
        }
        if packet.len() > PACKET_BYTES_MAX {
            let file = memfd::sealed("psmith-message", &packet[1..])?;
            let mut with_file = fds.to_vec();
            with_file.push(file.as_fd());
            return self.send_or_queue(&[IN_MEMORY_FILE], &with_file);
        }
        self.send_or_queue(packet, fds)
    }

    fn send_or_queue(&mut self, packet: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        if self.outbox.is_empty() {
            match socket::send(self.socket.as_fd(), packet, fds) {
                Err(error) if must_wait(&error) => {}
                done => return done,
            }
        }
        let kept = fds.iter().map(|fd| fd.try_clone_to_owned()).collect::<io::Result<Vec<_>>>()?;
        self.outbox.push_back((packet.to_vec(), kept));
        Ok(())
    }

    /// Sends what is queued, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while let Some((packet, fds)) = self.outbox.front() {
            let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
            match socket::send(self.socket.as_fd(), packet, &borrowed) {
                Err(error) if must_wait(&error) => return Ok(()),
                Err(error) => return Err(error),
                Ok(()) => drop(self.outbox.pop_front()),
            }
        }
        Ok(())
    }

    /// Returns whether messages wait for the socket.
    pub(crate) fn has_queued(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Returns whether so many messages wait that nothing more should be asked of the other end.
    pub(crate) fn is_congested(&self) -> bool {
        self.outbox.len() >= OUTBOX_MESSAGES_MAX
    }

    /// Receives the next packet, if there is one; [`Link::lend`] returns its bytes afterwards.
    pub(crate) fn receive(&mut self) -> io::Result<ReceivedPacket> {
        let mut fds = Vec::new();
        // The length is kept apart, so that the buffer need not be cleared for each packet.
        self.inbox.bytes.resize(PACKET_BUFFER, 0);
        self.inbox.length = match socket::recv(self.socket.as_fd(), &mut self.inbox.bytes, &mut fds) {
            Ok(0) => return Ok(ReceivedPacket::Closed),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(ReceivedPacket::Nothing),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Ok(ReceivedPacket::Closed);
            }
            Err(error) => return Err(error),
        };
        if self.inbox.bytes[0] == IN_MEMORY_FILE {
            let file = fds.pop().ok_or_else(|| io::Error::other("a message's memory file is missing"))?;
            let bytes = memfd::read_sealed(file.as_fd(), MESSAGE_BYTES_MAX)?;
            self.inbox.bytes.truncate(1);
            self.inbox.bytes.extend_from_slice(&bytes);
            self.inbox.length = self.inbox.bytes.len();
        }
        Ok(ReceivedPacket::Message(fds))
    }

    /// Lends the packet received last, which must be given back before the next one.
    pub(crate) fn lend(&mut self) -> Packet {
        std::mem::take(&mut self.inbox)
    }

    /// Takes the buffer back, so that it need not be made again.
    pub(crate) fn give_back(&mut self, packet: Packet) {
        self.inbox = packet;
    }
}

impl Packet {
    /// Returns the messages in it, one after the other.
    pub(crate) fn messages(&self) -> &[u8] {
        self.bytes.get(1..self.length).unwrap_or_default()
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Returns whether the socket is full, or too many descriptors are in flight: both pass once the other end reads.
fn must_wait(error: &io::Error) -> bool {
    const ETOOMANYREFS: i32 = 109;
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(ETOOMANYREFS)
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
