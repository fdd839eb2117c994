//! Bytes too many for one message, in a sealed file in memory, which cannot be changed any more.
//!
//! The reader does not trust the sender: it checks the seals, and reads instead of mapping, so a hostile sender can
//! neither shrink the file under it nor change a value after it was checked.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, SeekFrom};

/// Creates a sealed file in memory with these bytes.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`, `ENOSPC`.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::write(&file, rest))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => rest = &rest[written..],
        }
    }
    rustix::fs::fcntl_add_seals(&file, required_seals() | SealFlags::SEAL)?;
    Ok(file)
}

/// Creates a sealed file as [`sealed`] does, to be read from its beginning on, as a process does with its standard
/// input.
///
/// # Errors
/// As [`sealed`].
pub fn input(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = sealed(name, bytes)?;
    rustix::fs::seek(&file, SeekFrom::Start(0))?;
    Ok(file)
}

/// Returns the bytes of a sealed file in memory.
///
/// # Errors
/// `EPERM` if it lacks a seal (or is no such file), `EFBIG` beyond `bytes_max`.
pub fn read_sealed(fd: impl AsFd, bytes_max: usize) -> io::Result<Vec<u8>> {
    let seals = rustix::fs::fcntl_get_seals(&fd).unwrap_or(SealFlags::empty());
    if !seals.contains(required_seals()) {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    let size = usize::try_from(rustix::fs::fstat(&fd)?.st_size).unwrap_or(usize::MAX);
    if size > bytes_max {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match rustix::io::retry_on_intr(|| rustix::io::pread(&fd, &mut bytes[filled..], filled as u64))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(bytes)
}

fn required_seals() -> SealFlags {
    SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_are_read_back_and_cannot_be_changed() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let file = sealed("test", &bytes).unwrap();
        assert_eq!(read_sealed(&file, bytes.len()).unwrap(), bytes);
        assert!(rustix::io::pwrite(&file, b"x", 0).is_err());
        assert!(rustix::fs::ftruncate(&file, 0).is_err());
        let error = read_sealed(&file, bytes.len() - 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFBIG));
        assert!(read_sealed(sealed("test", b"").unwrap(), 0).unwrap().is_empty());
    }

    #[test]
    fn a_file_without_seals_is_refused() {
        let open = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        assert_eq!(read_sealed(open, 10).unwrap_err().raw_os_error(), Some(libc::EPERM));
        let pipe = crate::pipe::pipe().unwrap();
        assert_eq!(read_sealed(pipe.0, 10).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
}
