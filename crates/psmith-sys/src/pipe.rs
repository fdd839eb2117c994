//! Pipes between this process and its children.
//!
//! Never sets a mode on a descriptor that it did not make: `O_NONBLOCK` belongs to the open file, which others share.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags};

/// A pipe: a reader that does not block, and a writer that does, as programs expect of their output.
///
/// # Errors
/// `EMFILE`, `ENFILE`.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((reader, writer))
}

/// A pipe towards a child: a reader that blocks, and a writer that does not.
///
/// # Errors
/// `EMFILE`, `ENFILE`.
pub fn input_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&writer, true)?;
    Ok((reader, writer))
}

/// Asks for a pipe that holds `bytes`; answers what it holds now. The default is 64 KiB; users may have up to 1 MiB.
///
/// # Errors
/// `EPERM` beyond the user's limit, `EBUSY` if it holds more than that now.
pub fn set_size(fd: impl AsFd, bytes: usize) -> io::Result<usize> {
    Ok(rustix::pipe::fcntl_setpipe_size(fd, bytes)?)
}

/// How many bytes can be read at once.
///
/// # Errors
/// `ENOTTY` for descriptors that cannot tell.
pub fn bytes_waiting(fd: impl AsFd) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(fd)?)
}

/// Moves at most `bytes_max` bytes from the pipe `from` to the file, pipe or socket `to` (or the other way round)
/// without copying them through this process. 0 = `from` is at its end.
///
/// # Errors
/// `EAGAIN` if nothing waits or `to` is full, `EINVAL` where `to` cannot be spliced to (a file opened for append, a
/// terminal): then read and write.
pub fn splice(from: impl AsFd, to: impl AsFd, bytes_max: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(rustix::io::retry_on_intr(|| rustix::pipe::splice(&from, None, &to, None, bytes_max, flags))?)
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

    #[test]
    fn bytes_move_from_a_pipe_to_a_file() {
        let (reader, writer) = pipe().unwrap();
        let file = tempfile::tempfile().unwrap();
        rustix::io::write(&writer, b"moved").unwrap();
        assert_eq!(splice(&reader, &file, 100).unwrap(), 5);
        assert_eq!(splice(&reader, &file, 100).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(writer);
        wait_for_end(&reader);
        assert_eq!(splice(&reader, &file, 100).unwrap(), 0);
        let mut read = [0; 5];
        rustix::io::pread(&file, &mut read, 0).unwrap();
        assert_eq!(&read, b"moved");
    }
}
