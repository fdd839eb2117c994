//! An eventfd that wakes a loop sleeping in epoll, from any thread.
//!
//! Carries no data: the waking thread has put its message elsewhere first.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::EventfdFlags;

/// A counter that epoll can watch. Share it by `Arc`.
#[derive(Debug)]
pub struct Waker {
    fd: OwnedFd,
}

impl Waker {
    /// Creates a waker that has not been woken.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new() -> io::Result<Self> {
        Ok(Waker { fd: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Makes the descriptor readable, until drained. Never blocks; many wakes are one.
    pub fn wake(&self) {
        // The only expected failure is a full counter, which is readable anyway.
        let _ = rustix::io::retry_on_intr(|| rustix::io::write(&self.fd, &1_u64.to_ne_bytes()));
    }

    /// Resets the waker; returns whether it had been woken. Drain first, then read the messages: the other order loses
    /// a wake that comes in between.
    pub fn drain(&self) -> bool {
        let mut count = [0; 8];
        rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut count)).is_ok()
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn wakes_from_another_thread_are_seen_once() {
        let waker = Arc::new(Waker::new().unwrap());
        assert!(!waker.drain());
        let other = Arc::clone(&waker);
        std::thread::spawn(move || {
            other.wake();
            other.wake();
        })
        .join()
        .unwrap();
        assert!(waker.drain());
        assert!(!waker.drain());
    }
}
