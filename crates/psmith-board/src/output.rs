//! The board's stream: a descriptor of its own, which stays open whatever the program does with its own.
//!
//! A write may block, so only the board's own thread writes. After a failed write there are no more.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use psmith_sys::farewell::TerminalRows;

use crate::screen::Size;

/// The board's stream.
#[derive(Debug)]
pub(super) struct BoardStream {
    stream: File,
    /// The count of writes that have returned: a caller that waits for the board's end observes progress by it.
    moves: Arc<AtomicU64>,
}

impl BoardStream {
    pub(super) fn new(stream: impl AsFd) -> io::Result<BoardStream> {
        Ok(BoardStream { stream: stream.as_fd().try_clone_to_owned()?.into(), moves: Arc::default() })
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.stream.is_terminal()
    }

    /// Takes care that the terminal is left well when the program ends while rows are drawn.
    pub(super) fn leave_well(&self) -> Option<TerminalRows> {
        let terminal = self.stream.try_clone().ok().filter(|stream| stream.is_terminal())?;
        TerminalRows::begin(terminal.into()).ok().flatten()
    }

    pub(super) fn size(&self) -> Size {
        Size::of(&self.stream)
    }

    pub(super) fn moves(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.moves)
    }

    /// Writes all bytes, also if the stream is non-blocking: any process that shares it can make it so.
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
