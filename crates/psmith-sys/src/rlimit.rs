//! Resource limits of this process, and the types for those of others. Sets no limit of another process.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::raw;

/// A limited resource; the value is the kernel's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Resource {
    /// Processor time in seconds; SIGXCPU at the soft limit, SIGKILL at the hard one.
    Cpu = libc::RLIMIT_CPU as u8,
    /// The size of files that it writes; SIGXFSZ.
    FileSize = libc::RLIMIT_FSIZE as u8,
    /// The data segment.
    Data = libc::RLIMIT_DATA as u8,
    /// The main thread's stack.
    Stack = libc::RLIMIT_STACK as u8,
    /// The size of a core dump; 0 = none.
    Core = libc::RLIMIT_CORE as u8,
    /// Processes of the same user; does not bind root.
    Processes = libc::RLIMIT_NPROC as u8,
    /// The highest descriptor plus one.
    OpenFiles = libc::RLIMIT_NOFILE as u8,
    /// Locked memory.
    LockedMemory = libc::RLIMIT_MEMLOCK as u8,
    /// Address space; counts mappings, not resident memory.
    AddressSpace = libc::RLIMIT_AS as u8,
}

/// A soft and a hard limit; [`UNLIMITED`] is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// The resource that is limited.
    pub resource: Resource,
    /// The limit in force; may be raised up to the hard limit.
    pub soft: u64,
    /// The bound of the soft limit; only root raises it.
    pub hard: u64,
}

impl Rlimit {
    /// Returns the three numbers of a limit, for the wire.
    #[must_use]
    pub fn to_raw(self) -> (u8, u64, u64) {
        (self.resource as u8, self.soft, self.hard)
    }

    /// Returns the limit of these three numbers, if the first names a resource.
    #[must_use]
    pub fn from_raw(resource: u8, soft: u64, hard: u64) -> Option<Rlimit> {
        let resource = Resource::ALL.into_iter().find(|known| *known as u8 == resource)?;
        Some(Rlimit { resource, soft, hard })
    }
}

impl Resource {
    /// The resources that have a name here.
    pub const ALL: [Resource; 9] = [
        Resource::Cpu,
        Resource::FileSize,
        Resource::Data,
        Resource::Stack,
        Resource::Core,
        Resource::Processes,
        Resource::OpenFiles,
        Resource::LockedMemory,
        Resource::AddressSpace,
    ];
}

/// The value that means no limit.
pub const UNLIMITED: u64 = u64::MAX;

/// The kernel's `struct rlimit64`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelRlimit {
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

/// Returns a limit of this process.
///
/// # Errors
/// None is expected.
pub fn get(resource: Resource) -> io::Result<Rlimit> {
    let mut limit = KernelRlimit { soft: 0, hard: 0 };
    let place = std::ptr::from_mut(&mut limit) as usize;
    // SAFETY: prlimit64(2) on the caller (0) with a null new limit writes the old one.
    let result = unsafe { raw::call(libc::SYS_prlimit64, [0, resource as usize, 0, place, 0, 0]) };
    raw::check(result)?;
    Ok(Rlimit { resource, soft: limit.soft, hard: limit.hard })
}

/// Sets a limit of this process.
///
/// # Errors
/// `EINVAL` if soft is above hard, `EPERM` to raise the hard one without privilege.
pub fn set(limit: Rlimit) -> io::Result<()> {
    let new = KernelRlimit { soft: limit.soft, hard: limit.hard };
    let place = std::ptr::from_ref(&new) as usize;
    // SAFETY: prlimit64(2) on the caller (0) reads one limit.
    let result = unsafe { raw::call(libc::SYS_prlimit64, [0, limit.resource as usize, place, 0, 0, 0]) };
    raw::check(result).map(drop)
}

/// Raises the soft limit of open files to the hard one; returns the soft limit before the first call that raised it, and
/// now. Children that should have the original get it with [`crate::spawn::SpawnRequest::rlimits`]: programs that use
/// `select` break beyond 1024.
///
/// # Errors
/// None is expected.
pub fn raise_nofile() -> io::Result<(u64, u64)> {
    /// The soft limit before it was raised here, and the hard one to which it was. No lock: a fork could leave it locked.
    static ORIGINAL: (AtomicU64, AtomicU64) = (AtomicU64::new(0), AtomicU64::new(0));
    let (original, raised_to) = (&ORIGINAL.0, &ORIGINAL.1);
    let limit = get(Resource::OpenFiles)?;
    if limit.soft < limit.hard {
        original.store(limit.soft, Ordering::Release);
        raised_to.store(limit.hard, Ordering::Release);
        set(Rlimit { soft: limit.hard, ..limit })?;
    }
    let was_raised = raised_to.load(Ordering::Acquire) == limit.hard;
    let soft = if was_raised { original.load(Ordering::Acquire) } else { limit.soft };
    Ok((soft, limit.hard))
}

/// Returns the number of descriptors that this process has open, where the kernel tells (Linux 6.2 and later).
#[must_use]
pub fn open_files() -> Option<u64> {
    let size = rustix::fs::stat("/proc/self/fd").ok()?.st_size;
    u64::try_from(size).ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_counted_as_they_are_listed() {
        let Some(_) = open_files() else { return };
        // Other tests of this process open files, too.
        let counted = (0..1000).any(|_| {
            // The listing's own is one of them.
            let listed = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
            open_files() == Some(listed)
        });
        assert!(counted);
    }

    #[test]
    fn limits_are_read_and_set() {
        let core = get(Resource::Core).unwrap();
        set(Rlimit { soft: 0, ..core }).unwrap();
        assert_eq!(get(Resource::Core).unwrap().soft, 0);
        let wrong = Rlimit { resource: Resource::Core, soft: 2, hard: 1 };
        assert_eq!(set(wrong).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        let before = get(Resource::OpenFiles).unwrap();
        assert_eq!(raise_nofile().unwrap(), (before.soft, before.hard));
        assert_eq!(get(Resource::OpenFiles).unwrap().soft, before.hard);
        assert_eq!(raise_nofile().unwrap(), (before.soft, before.hard), "the second time, too");
    }
}
