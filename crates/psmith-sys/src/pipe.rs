//! Pipes between this process and its children.
//!
//! Never sets a mode on a descriptor that it did not make: `O_NONBLOCK` belongs to the open file, which others share.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::PipeFlags;

/// Creates a pipe: a reader that does not block, and a writer that does, as programs expect of their output.
///
/// # Errors
/// `EMFILE`, `ENFILE`.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((reader, writer))
}

/// Requests a pipe that holds `bytes`; returns what it holds now. The default is 64 KiB; users may have up to 1 MiB.
///
/// # Errors
/// `EPERM` beyond the user's limit, `EBUSY` if it holds more than that now.
pub fn set_size(fd: impl AsFd, bytes: usize) -> io::Result<usize> {
    Ok(rustix::pipe::fcntl_setpipe_size(fd, bytes)?)
}

/// Returns the number of bytes that can be read at once.
///
/// # Errors
/// `ENOTTY` for descriptors that do not support it.
pub fn bytes_waiting(fd: impl AsFd) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(fd)?)
}

/// Waits until no process holds the writer of an empty pipe: one that another test forks may hold it a little longer.
#[cfg(test)]
pub(crate) fn wait_for_end(reader: &OwnedFd) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
    let mut ends = [PollFd::new(reader, PollFlags::empty())];
    assert_eq!(
        rustix::io::retry_on_intr(|| poll(&mut ends, Some(&limit))).unwrap(),
        1,
        "the writer is still open"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_does_not_block_and_the_writer_does() {
        let (reader, writer) = pipe().unwrap();
        assert!(rustix::fs::fcntl_getfl(&reader).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
        assert!(!rustix::fs::fcntl_getfl(&writer).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
        assert_eq!(rustix::io::read(&reader, &mut [0; 1]).unwrap_err(), rustix::io::Errno::AGAIN);
        rustix::io::write(&writer, b"abc").unwrap();
        assert_eq!(bytes_waiting(&reader).unwrap(), 3);
        assert!(set_size(&reader, 128 << 10).unwrap() >= 128 << 10);
    }
}
