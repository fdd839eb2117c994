//! A pair of sockets that keeps message boundaries and carries descriptors.
//!
//! Has no notion of a frame or a protocol: bytes and descriptors in, bytes and descriptors out. Never blocks, never
//! raises SIGPIPE.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sockopt,
};

/// The maximum number of descriptors that one message carries (the kernel's `SCM_MAX_FD`).
pub const DESCRIPTORS_MAX: usize = 253;

/// The requested size of the send buffer: the kernel limits one message to it (less some overhead).
const SEND_BUFFER_BYTES: usize = 1 << 20;

/// Creates two connected `SOCK_SEQPACKET` sockets, non-blocking, with as large a send buffer as this process may have.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    for socket in [&one, &other] {
        // Beyond the machine's `wmem_max` only with CAP_NET_ADMIN; without it the kernel gives what it allows.
        if sockopt::set_socket_send_buffer_size_force(socket, SEND_BUFFER_BYTES).is_err() {
            let _ = sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER_BYTES);
        }
    }
    Ok((one, other))
}

/// Creates two connected stream sockets, without message boundaries. Both block, unless a call asks otherwise.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// Sends one message. It is sent as a whole or not at all; the caller keeps the descriptors, too.
///
/// # Errors
/// `EAGAIN` while the other side's queue is full, `EMSGSIZE` if it never fits, `EPIPE` or `ECONNRESET` if the other
/// side is gone, `ETOOMANYREFS` with too many descriptors in flight, `EINVAL` beyond [`DESCRIPTORS_MAX`] or for an
/// empty message (which would read as the end).
pub fn send(fd: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.is_empty() || descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(descriptors));
        debug_assert!(fits, "the space is made for the most");
    }
    let parts = [IoSlice::new(bytes)];
    let sent = rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(&fd, &parts, &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    })?;
    debug_assert_eq!(sent, bytes.len(), "a packet is sent whole");
    Ok(())
}

/// Receives one message into `buffer` and appends its descriptors, opened close-on-exec. Returns 0 if the other side
/// is gone.
///
/// # Errors
/// `EAGAIN` if there is none, `ECONNRESET`; `EMSGSIZE` if the message was larger than `buffer`, and `EMFILE` if not
/// all descriptors could be received: then all of them are closed and the message is lost.
pub fn recv(fd: impl AsFd, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_MAX), ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(buffer)];
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(&fd, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT)
    })?;
    let mut arrived: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            arrived.extend(rights);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    descriptors.append(&mut arrived);
    Ok(received.bytes)
}

/// Returns the process that made the other end of the pair (it may have handed it on since).
///
/// # Errors
/// `ENOTSOCK` and the like for something else than such a socket.
pub fn peer_pid(fd: impl AsFd) -> io::Result<u32> {
    // The kernel writes 0 for a process that this PID namespace cannot see, which rustix's type cannot hold, so the
    // numbers are read as numbers.
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let number = std::os::fd::AsRawFd::as_raw_fd(&fd.as_fd()) as usize;
    let places = (std::ptr::from_mut(&mut credentials) as usize, std::ptr::from_mut(&mut length) as usize);
    let (level, option) = (libc::SOL_SOCKET as usize, libc::SO_PEERCRED as usize);
    // SAFETY: getsockopt(2) writes at most `length` bytes, the size of the structure, and the length.
    let result =
        unsafe { crate::raw::call(libc::SYS_getsockopt, [number, level, option, places.0, places.1, 0]) };
    crate::raw::check(result)?;
    match u32::try_from(credentials.pid) {
        Ok(pid) if pid > 0 => Ok(pid),
        _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_borders_and_carry_descriptors() {
        let (one, other) = pair().unwrap();
        let (reader, writer) = crate::pipe::pipe().unwrap();
        send(&one, b"first", &[reader.as_fd(), writer.as_fd()]).unwrap();
        send(&one, b"second", &[]).unwrap();

        let (mut buffer, mut descriptors) = ([0; 64], Vec::new());
        assert_eq!(recv(&other, &mut buffer, &mut descriptors).unwrap(), 5);
        assert_eq!(descriptors.len(), 2);
        for fd in &descriptors {
            assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        }
        assert_eq!(recv(&other, &mut buffer, &mut descriptors).unwrap(), 6);
        assert_eq!(&buffer[..6], b"second");
        let nothing = recv(&other, &mut buffer, &mut descriptors).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(peer_pid(&other).unwrap(), std::process::id());

        drop(one);
        assert_eq!(recv(&other, &mut buffer, &mut descriptors).unwrap(), 0);
        assert_eq!(send(&other, b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn the_most_descriptors_arrive_and_one_more_is_refused() {
        let (one, other) = pair().unwrap();
        let many = [one.as_fd(); DESCRIPTORS_MAX];
        send(&one, b"x", &many).unwrap();
        let mut descriptors = Vec::new();
        recv(&other, &mut [0; 8], &mut descriptors).unwrap();
        assert_eq!(descriptors.len(), DESCRIPTORS_MAX);
        assert!(send(&one, b"x", &[one.as_fd(); DESCRIPTORS_MAX + 1]).is_err());
    }

    #[test]
    fn a_message_that_does_not_fit_is_an_error_and_leaks_nothing() {
        let (one, other) = pair().unwrap();
        let (reader, writer) = crate::pipe::pipe().unwrap();
        send(&one, b"too long", &[writer.as_fd()]).unwrap();
        drop(writer);
        let mut descriptors = Vec::new();
        let error = recv(&other, &mut [0; 3], &mut descriptors).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        // The writer that travelled is closed, so the reader is at its end.
        crate::pipe::wait_for_end(&reader);
        assert_eq!(rustix::io::read(&reader, &mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn a_full_queue_says_so() {
        let (one, _other) = pair().unwrap();
        let error = (0..1_000_000).find_map(|_| send(&one, &[0; 4096], &[]).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
