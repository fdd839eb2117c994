//! Memory that two processes share: made by one, opened by the other, never resized.
//!
//! Both may read and write the words at any time, so all access is atomic. Gives no meaning to them. A forked copy of
//! a process that has opened the memory does not have it: a copy cannot affect the other side.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// A mapping of memory that another process maps, too.
#[derive(Debug)]
pub struct SharedMapping {
    at: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the memory belongs to the mapping, which lasts as long as this value, and is only reached by atomics.
unsafe impl Send for SharedMapping {}
// SAFETY: as above.
unsafe impl Sync for SharedMapping {}

impl SharedMapping {
    /// Creates `words` words, all zero, and the descriptor by which another process opens them.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn create(name: &str, words: usize) -> io::Result<(SharedMapping, OwnedFd)> {
        let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&file, (words * size_of::<AtomicU64>()) as u64)?;
        rustix::fs::fcntl_add_seals(&file, required_seals())?;
        Ok((SharedMapping::map(&file, words)?, file))
    }

    /// Opens the memory that another process made. The descriptor is not needed afterwards.
    ///
    /// # Errors
    /// `EPERM` if it could be resized under us (or is no such file), `EINVAL` if it is empty or not made of words,
    /// `ENOMEM`.
    pub fn open(file: impl AsFd) -> io::Result<SharedMapping> {
        let seals = rustix::fs::fcntl_get_seals(&file).unwrap_or(SealFlags::empty());
        if !seals.contains(required_seals()) {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        let bytes = usize::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
        if bytes == 0 || !bytes.is_multiple_of(size_of::<AtomicU64>()) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        SharedMapping::map(file, bytes / size_of::<AtomicU64>())
    }

    fn map(file: impl AsFd, words: usize) -> io::Result<SharedMapping> {
        let (bytes, access) = (words * size_of::<AtomicU64>(), ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: mmap(2) without MAP_FIXED chooses a free place, so no memory of ours is replaced.
        let at = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), bytes, access, MapFlags::SHARED, file.as_fd(), 0)?
        };
        let Some(place) = NonNull::new(at.cast()) else { return Err(io::ErrorKind::OutOfMemory.into()) };
        let shared = SharedMapping { at: place, words };
        // SAFETY: madvise(2) with MADV_DONTFORK leaves this process's memory as it is; a fork's copy has none there.
        unsafe { rustix::mm::madvise(at, bytes, Advice::LinuxDontFork)? };
        Ok(shared)
    }

    /// Returns the words.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has so many words, is aligned to a page, lasts as long as `self`, and cannot shrink
        // under us (sealed): mmap(2) says that such pages stay accessible.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.words) }
    }
}

impl Drop for SharedMapping {
    fn drop(&mut self) {
        // SAFETY: munmap(2) of exactly what was mapped; no reference into it outlives this value.
        let _ = unsafe { rustix::mm::munmap(self.at.as_ptr().cast(), self.words * size_of::<AtomicU64>()) };
    }
}

fn required_seals() -> SealFlags {
    SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn what_one_side_writes_the_other_reads_and_neither_can_resize() {
        let (ours, file) = SharedMapping::create("test", 1000).unwrap();
        let theirs = SharedMapping::open(&file).unwrap();
        assert_eq!((ours.words().len(), theirs.words().len()), (1000, 1000));
        assert!(theirs.words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
        ours.words()[999].store(7, Ordering::Release);
        assert_eq!(theirs.words()[999].load(Ordering::Acquire), 7);
        for bytes in [0, 8, 1 << 20] {
            assert!(rustix::fs::ftruncate(&file, bytes).is_err());
        }
        drop(file);
        assert_eq!(theirs.words()[999].load(Ordering::Acquire), 7);
    }

    #[test]
    fn a_file_that_could_be_resized_is_refused() {
        let open = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&open, 4096).unwrap();
        assert_eq!(SharedMapping::open(&open).unwrap_err().raw_os_error(), Some(libc::EPERM));
        let pipe = crate::pipe::pipe().unwrap();
        assert_eq!(SharedMapping::open(pipe.0).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
}
