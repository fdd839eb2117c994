//! Telling a process from its forked copies. A copy has all of its memory, but none of its threads: what it inherits
//! of them must be neither waited for nor locked.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags};

/// A word of a page that is zero again in every forked copy; null before it was needed.
static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(null_mut());

/// The number of the generations so far.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

/// Returns a number, never 0, that is the same for the life of this process, and differs in every forked copy of it.
/// It costs no system call.
///
/// A process number would not do: the first process of a namespace has the number 1, and so has a copy of it that is
/// the first one of another namespace.
///
/// ```
/// use psmith_sys::generation::generation;
/// assert_eq!(generation(), generation());
/// ```
#[must_use]
pub fn generation() -> u64 {
    // Without such a page (an old or an emulated kernel) the process number has to do.
    let Some(word) = word() else { return u64::from(std::process::id()) };
    match word.load(Ordering::Relaxed) {
        0 => {
            let next = GENERATIONS.fetch_add(1, Ordering::Relaxed) + 1;
            word.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed)
                .map_or_else(|other| other, |_| next)
        }
        known => known,
    }
}

fn word() -> Option<&'static AtomicU64> {
    let mut word = WORD.load(Ordering::Acquire);
    if word.is_null() {
        let made = page()?;
        word = match WORD.compare_exchange(null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(other) => {
                // SAFETY: munmap(2) of a page that this call made and nothing else knows.
                let _ = unsafe { rustix::mm::munmap(made.cast(), size_of::<AtomicU64>()) };
                other
            }
        };
    }
    // SAFETY: a page that is never unmapped, aligned, and only reached as this atomic word.
    Some(unsafe { &*word })
}

fn page() -> Option<*mut AtomicU64> {
    let (bytes, access) = (size_of::<AtomicU64>(), ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: mmap(2) without MAP_FIXED chooses a free place, so no memory of ours is replaced.
    let page = unsafe { rustix::mm::mmap_anonymous(null_mut(), bytes, access, MapFlags::PRIVATE) }.ok()?;
    // SAFETY: madvise(2) with MADV_WIPEONFORK leaves this process's memory as it is; a copy's is zero there.
    match unsafe { rustix::mm::madvise(page, bytes, Advice::LinuxWipeOnFork) } {
        Ok(()) => Some(page.cast()),
        Err(_) => {
            // SAFETY: munmap(2) of a page that this call made and nothing else knows.
            let _ = unsafe { rustix::mm::munmap(page, bytes) };
            None
        }
    }
}
