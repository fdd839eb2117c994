//! One end of the socket between host and warden (or keeper): whole messages in, whole messages out.
//!
//! Neither end ever blocks on the other: what the socket does not take is queued here, up to
//! [`OUTBOX_MESSAGES_MAX`], and the owner asks [`Link::is_congested`] before it produces more. A link knows
//! nothing of what the messages mean.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use psmith_sys::{memfd, socket};
use serde::Serialize;

use super::messages::{MESSAGE_BYTES_MAX, PACKET_BUFFER, PACKET_BYTES_MAX};

/// Messages queued behind a socket that takes no more; at the bound nothing new is started.
pub(crate) const OUTBOX_MESSAGES_MAX: usize = 1024;

/// The first byte of a packet: the message follows.
const INLINE: u8 = 0;
/// The first byte of a packet: the message lies in a sealed memory file, the packet's last descriptor.
const IN_MEMORY_FILE: u8 = 1;

/// One end of the connection.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    outbox: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    scratch: Vec<u8>,
    inbox: Vec<u8>,
}

/// What came in.
#[derive(Debug)]
pub(crate) enum Received {
    /// A message's bytes (see [`Link::lend`]) and descriptors.
    Message(Vec<OwnedFd>),
    /// Nothing just now.
    Nothing,
    /// The other end is gone.
    Closed,
}

impl Link {
    pub(crate) fn new(socket: OwnedFd) -> Link {
        Link { socket, outbox: VecDeque::new(), scratch: Vec::new(), inbox: vec![0; PACKET_BUFFER] }
    }

    /// Sends `message` with `fds`, or queues both behind what waits already.
    pub(crate) fn send<M: Serialize>(&mut self, message: &M, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut packet = std::mem::take(&mut self.scratch);
        packet.clear();
        packet.push(INLINE);
        packet = postcard::to_extend(message, packet).map_err(io::Error::other)?;
        let done = self.send_packet(&packet, fds);
        self.scratch = packet;
        done
    }

    fn send_packet(&mut self, packet: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
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

    /// Whether messages wait for the socket.
    pub(crate) fn has_queued(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether so many messages wait that nothing more should be asked of the other end.
    pub(crate) fn is_congested(&self) -> bool {
        self.outbox.len() >= OUTBOX_MESSAGES_MAX
    }

    /// Takes the next packet, if there is one; its bytes are then to be had by [`Link::lend`].
    pub(crate) fn receive(&mut self) -> io::Result<Received> {
        self.inbox.resize(PACKET_BUFFER, 0);
        let mut fds = Vec::new();
        let length = match socket::recv(self.socket.as_fd(), &mut self.inbox, &mut fds) {
            Ok(0) => return Ok(Received::Closed),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Nothing),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Received::Closed),
            Err(error) => return Err(error),
        };
        self.inbox.truncate(length);
        if self.inbox[0] == IN_MEMORY_FILE {
            let file = fds.pop().ok_or_else(|| io::Error::other("a message's memory file is missing"))?;
            let bytes = memfd::read_sealed(file.as_fd(), MESSAGE_BYTES_MAX)?;
            self.inbox.truncate(1);
            self.inbox.extend_from_slice(&bytes);
        }
        Ok(Received::Message(fds))
    }

    /// Lends the packet received last; its message begins at the second byte. Give it back before the next one.
    pub(crate) fn lend(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.inbox)
    }

    /// Takes the buffer back, so that it need not be made again.
    pub(crate) fn give_back(&mut self, packet: Vec<u8>) {
        self.inbox = packet;
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A full socket, or too many descriptors in flight: both pass once the other end reads.
fn must_wait(error: &io::Error) -> bool {
    const ETOOMANYREFS: i32 = 109;
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(ETOOMANYREFS)
}
