//! Where a board writes: a descriptor of its own, so that it keeps its stream whatever becomes of the program's.
//!
//! A write may block; only the board's own thread writes. One that fails is the last.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::screen::Size;

/// The board's stream.
#[derive(Debug)]
pub(super) struct BoardStream {
    stream: File,
    /// Writes that have come back: who waits for the end sees by it whether anything moves.
    moves: Arc<AtomicU64>,
}

impl BoardStream {
    pub(super) fn new(stream: impl AsFd) -> io::Result<BoardStream> {
        Ok(BoardStream { stream: stream.as_fd().try_clone_to_owned()?.into(), moves: Arc::default() })
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.stream.is_terminal()
    }

    pub(super) fn size(&self) -> Size {
        Size::of(&self.stream)
    }

    pub(super) fn moves(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.moves)
    }

    /// Writes all of it, also where somebody made the stream non-blocking, which all its holders share.
    pub(super) fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match (&self.stream).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut fds = [rustix::event::PollFd::new(&self.stream, rustix::event::PollFlags::OUT)];
                    match rustix::event::poll(&mut fds, None) {
                        Ok(_) | Err(rustix::io::Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(error) => return Err(error),
            }
            self.moves.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
