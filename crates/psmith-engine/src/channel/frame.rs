//! Whole frames over a stream of bytes: the length first, a checksum over everything, nothing trusted before it is
//! checked.
//!
//! A frame has a *head* (a small message) and a *body* (a value's bytes, of any length). This module never reads the
//! meaning of either. It returns a frame complete and checked, or not at all.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

/// The longest frame, head and body together, where no other limit was set.
pub const FRAME_BYTES_MAX: u64 = 1 << 30;

/// The longest head: room for a panic's texts, each of which is cut to a quarter of it.
const HEAD_BYTES_MAX: u32 = 1 << 22;

/// The first two bytes of a frame.
const MAGIC: u16 = 0x7366;

/// Length of the header: magic (2), zero (2), length of the head (4), length of all after the header (8), checksum (4).
const HEADER: usize = 20;

/// The most bytes that one read takes, and the most by which the buffer for a frame grows ahead of its bytes.
const READ_BYTES: usize = 128 * 1024;

/// The number of frame parts that one call sends.
const PARTS_AT_ONCE: usize = 8;

/// A frame that was received.
#[derive(Debug)]
pub struct ChannelFrame {
    /// The head, then the body.
    pub bytes: Vec<u8>,
    /// The offset of the body.
    pub body: usize,
}

impl ChannelFrame {
    /// Returns the bytes of the head.
    pub fn head(&self) -> &[u8] {
        &self.bytes[..self.body]
    }
}

/// The reason why received bytes are not a frame. Nothing more is read from that stream afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// The bytes do not begin with the magic of a frame.
    Magic,
    /// The length is impossible.
    Length(u64),
    /// The frame is longer than allowed.
    TooLong {
        /// The frame's length.
        bytes: u64,
        /// The longest length allowed.
        bytes_max: u64,
    },
    /// The checksum is not that of the bytes.
    Checksum,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Magic => write!(f, "what came over its channel is no frame"),
            FrameError::Length(bytes) => write!(f, "a frame of {bytes} bytes has no room for its own head"),
            FrameError::TooLong { bytes, bytes_max } => {
                write!(f, "a frame of {bytes} bytes is longer than the limit of {bytes_max}")
            }
            FrameError::Checksum => write!(f, "a frame does not fit its checksum"),
        }
    }
}

/// The result of one attempt to read.
#[derive(Debug)]
pub enum ReadResult {
    /// A whole frame.
    Frame(ChannelFrame),
    /// An empty socket: no complete frame is available now.
    Empty,
    /// The other side has closed the stream. `torn`: within a frame.
    Closed {
        /// True if it was closed within a frame.
        torn: bool,
    },
    /// The received bytes are not a frame.
    Broken(FrameError),
}

/// The receiving end of a stream.
#[derive(Debug)]
pub struct Inbox {
    bytes_max: u64,
    /// The bytes that were received and not yet returned, from `start` on.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    closed: bool,
    /// True if the last read brought less than there was room for: the socket was empty then.
    is_drained: bool,
}

impl Inbox {
    /// Returns an inbox that takes frames up to this length.
    pub fn new(bytes_max: u64) -> Inbox {
        Inbox { bytes_max, buffer: Vec::new(), start: 0, end: 0, closed: false, is_drained: false }
    }

    /// Takes frames up to this length from now on.
    pub fn allow(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }

    /// Receives the next frame. Blocks where `from` does; otherwise returns [`ReadResult::Empty`] when nothing more is
    /// there.
    pub fn receive(&mut self, from: impl AsFd) -> ReadResult {
        self.receive_by(|room| rustix::io::read(&from, room))
    }

    /// Receives the next frame without blocking, for a socket. A socket that was just read until it was empty is not
    /// read again until [`Inbox::note_readable`].
    pub fn receive_known(&mut self, from: impl AsFd) -> ReadResult {
        let is_drained = self.is_drained;
        self.receive_by(|room| if is_drained { Err(Errno::AGAIN) } else { recv_now(&from, room) })
    }

    /// Notes that there may be more to read.
    pub fn note_readable(&mut self) {
        self.is_drained = false;
    }

    /// Receives the next frame of a socket if it is there; never blocks.
    pub fn receive_now(&mut self, from: impl AsFd) -> ReadResult {
        self.receive_by(|room| recv_now(&from, room))
    }

    fn receive_by(&mut self, mut read: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> ReadResult {
        loop {
            let wanted = match self.next_length() {
                Ok(Some(wanted)) if self.end - self.start >= wanted => return self.take(wanted),
                Ok(wanted) => wanted.unwrap_or(HEADER),
                Err(broken) => return ReadResult::Broken(broken),
            };
            if self.closed {
                return ReadResult::Closed { torn: self.end > self.start };
            }
            self.make_room(wanted);
            let room = self.buffer.len() - self.end;
            match read(&mut self.buffer[self.end..]) {
                Ok(0) | Err(Errno::CONNRESET) => self.closed = true,
                Ok(length) => {
                    self.end += length;
                    self.is_drained = length < room;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return ReadResult::Empty,
                // A descriptor that cannot be read any more has no more frames.
                Err(_) => self.closed = true,
            }
        }
    }

    /// Returns whether the next frame has been read already, so that no poll will announce it.
    pub fn holds_frame(&self) -> bool {
        match self.next_length() {
            Ok(wanted) => wanted.is_some_and(|wanted| self.end - self.start >= wanted),
            Err(_) => true,
        }
    }

    /// Returns the length of the next frame with its header, if that is known.
    fn next_length(&self) -> Result<Option<usize>, FrameError> {
        let Some(header) = self.buffer[self.start..self.end].first_chunk::<HEADER>() else { return Ok(None) };
        let (magic, head, length) = fields(header);
        if magic != MAGIC {
            return Err(FrameError::Magic);
        }
        if length > self.bytes_max {
            return Err(FrameError::TooLong { bytes: length, bytes_max: self.bytes_max });
        }
        if u64::from(head) > length || head > HEAD_BYTES_MAX {
            return Err(FrameError::Length(length));
        }
        let bytes = usize::try_from(length).ok().and_then(|length| length.checked_add(HEADER));
        bytes.map(Some).ok_or(FrameError::Length(length))
    }

    fn take(&mut self, wanted: usize) -> ReadResult {
        let frame = &self.buffer[self.start..self.start + wanted];
        let Some(header) = frame.first_chunk::<HEADER>() else {
            return ReadResult::Broken(FrameError::Magic);
        };
        let (_, head, _) = fields(header);
        let stored = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
        if checksum(&header[..16], &[&frame[HEADER..]]) != stored {
            return ReadResult::Broken(FrameError::Checksum);
        }
        let bytes = if self.end - self.start == wanted && wanted > READ_BYTES {
            // A large frame that is alone in the buffer is returned without a copy of it.
            let mut whole = std::mem::take(&mut self.buffer);
            whole.truncate(self.end);
            whole.drain(..self.start + HEADER);
            (self.start, self.end) = (0, 0);
            whole
        } else {
            let bytes = frame[HEADER..].to_vec();
            self.start += wanted;
            if self.start == self.end {
                (self.start, self.end) = (0, 0);
            }
            bytes
        };
        ReadResult::Frame(ChannelFrame { bytes, body: head as usize })
    }

    /// Makes room for the rest of a frame of `wanted` bytes, but for no more than is likely to come soon.
    fn make_room(&mut self, wanted: usize) {
        if self.start > 0 && self.start + wanted > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let missing = wanted.saturating_sub(self.end - self.start);
        // The buffer doubles, so that a large frame is not copied again and again, and grows only as far as bytes
        // really come.
        let step = missing.min(READ_BYTES.max(self.end)).max(4096);
        let needed = self.end + step;
        if self.buffer.len() < needed {
            let room = needed.max(READ_BYTES.min(wanted.next_power_of_two()));
            // Exact: a large value must not take twice its size.
            self.buffer.reserve_exact(room - self.buffer.len());
            self.buffer.resize(room, 0);
        }
    }
}

fn recv_now(from: impl AsFd, room: &mut [u8]) -> Result<usize, Errno> {
    rustix::net::recv(from, room, RecvFlags::DONTWAIT).map(|(length, _)| length)
}

fn fields(header: &[u8; HEADER]) -> (u16, u32, u64) {
    let magic = u16::from_le_bytes([header[0], header[1]]) ^ u16::from_le_bytes([header[2], header[3]]);
    let head = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let mut length = [0; 8];
    length.copy_from_slice(&header[8..16]);
    (magic, head, u64::from_le_bytes(length))
}

/// Detects how this processor computes checksums: called before a fork, so that all copies inherit the result.
pub fn prepare() {
    let _ = checksum(&[], &[]);
}

fn checksum(header: &[u8], parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// The body of a frame to be sent; a shared one is sent again when a job is retried.
#[derive(Debug, Clone, Default)]
pub enum Body {
    #[default]
    /// An empty body.
    None,
    /// Bytes that only this frame has.
    Owned(Vec<u8>),
    /// Bytes that are shared with others.
    Shared(Arc<Vec<u8>>),
}

impl Body {
    fn bytes(&self) -> &[u8] {
        match self {
            Body::None => &[],
            Body::Owned(bytes) => bytes,
            Body::Shared(bytes) => bytes,
        }
    }
}

/// Returns the header and head of a frame with this body.
pub fn beginning(head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + head.len());
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&0_u16.to_le_bytes());
    // A head is a few words: far less than its limit.
    bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&((head.len() + body.len()) as u64).to_le_bytes());
    let sum = checksum(&bytes, &[head, body]);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(head);
    bytes
}

/// Frames that wait to be sent, for an end that must not block.
#[derive(Debug, Default)]
pub struct Outbox {
    parts: std::collections::VecDeque<(Body, usize)>,
}

impl Outbox {
    /// Adds a frame of this head and this body.
    pub fn push(&mut self, head: &[u8], body: Body) {
        let mut beginning = beginning(head, body.bytes());
        if is_small(&beginning, body.bytes()) {
            beginning.extend_from_slice(body.bytes());
            self.parts.push_back((Body::Owned(beginning), 0));
        } else {
            self.parts.push_back((Body::Owned(beginning), 0));
            self.parts.push_back((body, 0));
        }
    }

    /// Returns whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Sends as much as the socket takes, several parts per call, so that the other side wakes once.
    pub fn flush(&mut self, to: impl AsFd) -> io::Result<()> {
        while !self.parts.is_empty() {
            let mut slices = [IoSlice::new(&[]); PARTS_AT_ONCE];
            for (slice, (body, sent)) in slices.iter_mut().zip(&self.parts) {
                *slice = IoSlice::new(&body.bytes()[*sent..]);
            }
            let slices = &slices[..self.parts.len().min(PARTS_AT_ONCE)];
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::sendmsg(&to, slices, &mut SendAncillaryBuffer::default(), flags) {
                Ok(length) => self.sent(length),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Removes this many bytes, which were sent, from the queue.
    fn sent(&mut self, mut length: usize) {
        while let Some((body, sent)) = self.parts.front_mut() {
            let step = length.min(body.bytes().len() - *sent);
            *sent += step;
            length -= step;
            if *sent < body.bytes().len() {
                return;
            }
            self.parts.pop_front();
        }
    }
}

/// Sends a frame on a socket that blocks.
pub fn send_blocking(to: impl AsFd, head: &[u8], body: &[u8]) -> io::Result<()> {
    let beginning = beginning(head, body);
    let small = is_small(&beginning, body);
    let whole = if small { [&beginning[..], body].concat() } else { beginning };
    send_all(&to, &whole)?;
    if small { Ok(()) } else { send_all(&to, body) }
}

/// Returns whether a frame is sent in one piece, so that the other side wakes once.
fn is_small(beginning: &[u8], body: &[u8]) -> bool {
    beginning.len() + body.len() <= 16 * 1024
}

fn send_all(to: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(&to, bytes, SendFlags::NOSIGNAL))?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
