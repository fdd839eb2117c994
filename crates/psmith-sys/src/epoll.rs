//! Epoll: waiting for many descriptors at once. Reads and writes none of them.
//!
//! Level-triggered only: bytes that are left unread are reported again. A timeout is never cut short by rounding: with
//! `epoll_pwait2` (5.11) it is exact, and without it rounded up to the next millisecond, because a wait that ends just
//! before its deadline makes the loop spin through the last millisecond.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::raw;

/// The events to wait for on a descriptor. Errors and hang-ups are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// Bytes to read, a connection to accept, a process that ended.
    pub const READ: Interest = Interest(libc::EPOLLIN as u32);
    /// Room to write.
    pub const WRITE: Interest = Interest(libc::EPOLLOUT as u32);
    /// Bytes to read, and room to write.
    pub const BOTH: Interest = Interest(libc::EPOLLIN as u32 | libc::EPOLLOUT as u32);
    /// A change of a kernel file, such as `cgroup.events`.
    pub const PRIORITY: Interest = Interest(libc::EPOLLPRI as u32);
    /// Errors and hang-ups only.
    pub const NONE: Interest = Interest(0);
}

/// The events of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyEvent {
    /// The number given with [`Epoll::add`].
    pub token: u64,
    /// True if it is readable, or at its end: a read will not block.
    pub readable: bool,
    /// True if it is writable, or broken: a write will not block.
    pub writable: bool,
    /// True if the other side is gone, or an error is pending. Bytes may still be there to read.
    pub hung_up: bool,
    /// True if the change that [`Interest::PRIORITY`] waits for has come.
    pub priority: bool,
}

/// The buffer for the events of a wait, kept between waits; by default it has no room.
#[derive(Default)]
pub struct ReadyEvents {
    buffer: Vec<libc::epoll_event>,
    filled: usize,
}

impl ReadyEvents {
    /// Creates a buffer for `capacity` events (at least one). Events that do not fit are reported by the next wait.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, 65_536);
        ReadyEvents { buffer: vec![libc::epoll_event { events: 0, u64: 0 }; capacity], filled: 0 }
    }

    /// Returns the events of the last wait.
    pub fn iter(&self) -> impl Iterator<Item = ReadyEvent> + '_ {
        self.buffer[..self.filled].iter().map(|event| {
            let has = |bits: i32| event.events & bits as u32 != 0;
            let priority = has(libc::EPOLLPRI);
            // A changed kernel file is reported as priority *and* error; only the first means anything there.
            let hung_up = has(libc::EPOLLHUP | libc::EPOLLRDHUP) || has(libc::EPOLLERR) && !priority;
            ReadyEvent {
                token: event.u64,
                readable: has(libc::EPOLLIN) || hung_up,
                writable: has(libc::EPOLLOUT) || hung_up,
                hung_up,
                priority,
            }
        })
    }

    /// Returns whether the last wait ended without an event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }
}

/// A set of descriptors to wait for.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    /// Creates an empty set.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new() -> io::Result<Self> {
        // SAFETY: epoll_create1(2) takes no pointer.
        let result =
            unsafe { raw::call(libc::SYS_epoll_create1, [libc::EPOLL_CLOEXEC as usize, 0, 0, 0, 0, 0]) };
        let number = raw::check(result)?;
        // SAFETY: the kernel has just returned this descriptor, so no other value owns it.
        Ok(Epoll { fd: unsafe { OwnedFd::from_raw_fd(number as i32) } })
    }

    /// Watches `fd`, reporting it as `token`. A descriptor that is closed everywhere leaves the set by itself; one
    /// that was sent to another process or inherited does not, so [`Epoll::remove`] it before closing.
    ///
    /// # Errors
    /// `EEXIST` if it is watched already, `EPERM` for regular files, `ENOSPC`, `ENOMEM`.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_fd(), token, interest)
    }

    /// Changes what a watched descriptor is watched for.
    ///
    /// # Errors
    /// `ENOENT` if it is not watched.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_fd(), token, interest)
    }

    /// Removes a descriptor from the set.
    ///
    /// # Errors
    /// `ENOENT` if it is not watched.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd.as_fd(), 0, Interest::NONE)
    }

    /// Waits until an event comes or `timeout` has passed (`None`: no limit); never returns early. An interrupting
    /// signal does not end the wait.
    ///
    /// # Errors
    /// Only those of a wrong use; none is expected.
    pub fn wait(&self, events: &mut ReadyEvents, timeout: Option<Duration>) -> io::Result<()> {
        events.filled = 0;
        // A deadline beyond the clock's range is the same as none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut rest = deadline.and(timeout);
        loop {
            match self.wait_once(&mut events.buffer, rest) {
                Ok(filled) => {
                    events.filled = filled;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn wait_once(&self, buffer: &mut [libc::epoll_event], timeout: Option<Duration>) -> io::Result<usize> {
        // Old kernels and old seccomp profiles lack the exact call; tried once, then remembered.
        static EXACT_IS_MISSING: AtomicBool = AtomicBool::new(false);
        let fd = self.fd.as_raw_fd() as usize;
        let (room, address) = (buffer.len(), buffer.as_mut_ptr() as usize);
        if !EXACT_IS_MISSING.load(Ordering::Relaxed) {
            let limit = timeout.map(|timeout| KernelTimespec {
                seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: i64::from(timeout.subsec_nanos()),
            });
            let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            // SAFETY: epoll_pwait2(2) writes at most `room` events into the buffer, reads the time if not null, and
            // leaves the signal mask alone when it is null.
            let result =
                unsafe { raw::call(libc::SYS_epoll_pwait2, [fd, address, room, limit as usize, 0, 0]) };
            match raw::check(result) {
                Err(error) if is_missing(&error) => EXACT_IS_MISSING.store(true, Ordering::Relaxed),
                other => return other,
            }
        }
        let timeout = timeout.map_or(-1, whole_milliseconds_rounded_up);
        // SAFETY: epoll_pwait(2) writes at most `room` events into the buffer; a null mask leaves the mask alone.
        let result = unsafe { raw::call(libc::SYS_epoll_pwait, [fd, address, room, timeout as usize, 0, 0]) };
        raw::check(result)
    }

    fn control(&self, operation: i32, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        let event = libc::epoll_event { events: interest.0, u64: token };
        let numbers = (self.fd.as_raw_fd() as usize, fd.as_raw_fd() as usize);
        let event = std::ptr::from_ref(&event) as usize;
        // SAFETY: epoll_ctl(2) reads one event from the pointer, which outlives the call.
        let result = unsafe {
            raw::call(libc::SYS_epoll_ctl, [numbers.0, operation as usize, numbers.1, event, 0, 0])
        };
        raw::check(result).map(drop)
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[repr(C)]
struct KernelTimespec {
    seconds: i64,
    nanoseconds: i64,
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

fn whole_milliseconds_rounded_up(timeout: Duration) -> isize {
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
    isize::try_from(milliseconds).unwrap_or(isize::MAX).min(i32::MAX as isize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_rounded_up() {
        assert_eq!(whole_milliseconds_rounded_up(Duration::ZERO), 0);
        assert_eq!(whole_milliseconds_rounded_up(Duration::from_nanos(1)), 1);
        assert_eq!(whole_milliseconds_rounded_up(Duration::from_micros(1001)), 2);
        assert_eq!(whole_milliseconds_rounded_up(Duration::MAX), i32::MAX as isize);
    }

    #[test]
    fn a_wait_reports_token_and_readiness_and_never_ends_early() {
        let epoll = Epoll::new().unwrap();
        let (reader, writer) = crate::pipe::pipe().unwrap();
        let mut events = ReadyEvents::with_capacity(4);
        epoll.add(&reader, 7, Interest::READ).unwrap();

        let (start, timeout) = (Instant::now(), Duration::from_micros(1500));
        epoll.wait(&mut events, Some(timeout)).unwrap();
        assert!(events.is_empty() && start.elapsed() >= timeout);

        rustix::io::write(&writer, b"x").unwrap();
        epoll.wait(&mut events, None).unwrap();
        let reported: Vec<ReadyEvent> = events.iter().collect();
        assert_eq!(reported.len(), 1);
        assert!(reported[0].token == 7 && reported[0].readable && !reported[0].hung_up);

        // Emptied, so that the next event is the end: a process that another test forks holds the writer a little
        // longer.
        rustix::io::read(&reader, &mut [0; 1]).unwrap();
        drop(writer);
        epoll.wait(&mut events, Some(Duration::MAX)).unwrap();
        assert_eq!(events.iter().map(|event| event.hung_up).collect::<Vec<_>>(), [true]);
        epoll.remove(&reader).unwrap();
        epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.is_empty());
    }
}
