//! Tokens that several processes share: the bytes of a file in memory, each taken by the holder of a lock on it. Never
//! waits for a token.
//!
//! A lock belongs to the open file and not to the process, so several holders in one process exclude each other too; and
//! the kernel frees it with the last descriptor of that open file: when the holder's process ends, however it ends.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{FileType, MemfdFlags, Mode, OFlags, fstat, stat};

/// The tokens, as one holder sees them.
#[derive(Debug)]
pub struct ByteLocks {
    file: OwnedFd,
    count: u32,
}

impl ByteLocks {
    /// Creates `count` tokens, none of which is taken.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn create(count: u32) -> io::Result<ByteLocks> {
        let file = rustix::fs::memfd_create("psmith-tokens", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, u64::from(count))?;
        Ok(ByteLocks { file, count })
    }

    /// Opens the tokens that another process made, as a holder of their own: by the number of that process and its
    /// [`ByteLocks::address`].
    ///
    /// # Errors
    /// That process is gone, or another user's; or the file is not the one that was meant (`ESTALE`).
    pub fn open(process: u32, (descriptor, inode): (i32, u64)) -> io::Result<ByteLocks> {
        let path = format!("/proc/{process}/fd/{descriptor}");
        let is_meant = |file: &rustix::fs::Stat| {
            file.st_ino == inode && FileType::from_raw_mode(file.st_mode) == FileType::RegularFile
        };
        // The number may be another process's by now: no file is opened on which that would have an effect.
        if !is_meant(&stat(&path)?) {
            return Err(io::Error::from_raw_os_error(libc::ESTALE));
        }
        let file = rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
        let found = fstat(&file)?;
        match u32::try_from(found.st_size) {
            Ok(count) if is_meant(&found) && count > 0 => Ok(ByteLocks { file, count }),
            _ => Err(io::Error::from_raw_os_error(libc::ESTALE)),
        }
    }

    /// Returns the number of tokens.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns where other processes find the tokens: descriptor and inode.
    ///
    /// # Errors
    /// None that the kernel documents for a file that is open.
    pub fn address(&self) -> io::Result<(i32, u64)> {
        Ok((self.file.as_raw_fd(), fstat(&self.file)?.st_ino))
    }

    /// Takes all tokens, or none; returns false if another holder has one.
    ///
    /// # Errors
    /// `ENOLCK`.
    pub fn take_all(&self) -> io::Result<bool> {
        self.lock(libc::F_WRLCK, 0, self.count)
    }

    /// Takes the token with this number, from 0; returns false if another holder has it.
    ///
    /// # Errors
    /// `ENOLCK`.
    pub fn take(&self, token: u32) -> io::Result<bool> {
        self.lock(libc::F_WRLCK, token, 1)
    }

    /// Gives the token with this number back.
    ///
    /// # Errors
    /// `ENOLCK`, where a lock of many has to be split.
    pub fn give_back(&self, token: u32) -> io::Result<()> {
        self.lock(libc::F_UNLCK, token, 1).map(drop)
    }

    fn lock(&self, kind: i32, from: u32, count: u32) -> io::Result<bool> {
        let range = libc::flock {
            l_type: kind as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: i64::from(from),
            l_len: i64::from(count),
            l_pid: 0,
        };
        // SAFETY: fcntl(2) with F_OFD_SETLK reads one `struct flock`, which outlives the call.
        let result = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLK, &raw const range) };
        if result == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EACCES) => Ok(false),
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_holder_and_comes_back_with_its_last_descriptor() {
        let ours = ByteLocks::create(3).unwrap();
        let address = ours.address().unwrap();
        let [one, other] = [(); 2].map(|()| ByteLocks::open(std::process::id(), address).unwrap());
        assert_eq!(one.count(), 3);
        assert!(one.take(1).unwrap() && !other.take(1).unwrap() && !ours.take_all().unwrap());
        assert!(other.take(2).unwrap() && !ours.take(2).unwrap() && ours.take(0).unwrap());
        other.give_back(2).unwrap();
        drop(one);
        assert!(ours.take_all().unwrap() && !other.take(1).unwrap());
    }

    #[test]
    fn another_file_is_not_taken_for_them() {
        let ours = ByteLocks::create(1).unwrap();
        let (descriptor, inode) = ours.address().unwrap();
        let own = std::process::id();
        for address in [(descriptor, inode + 1), (0, inode), (i32::MAX, inode)] {
            assert!(ByteLocks::open(own, address).is_err(), "{address:?}");
        }
        assert!(ByteLocks::open(u32::MAX, (descriptor, inode)).is_err());
    }
}
