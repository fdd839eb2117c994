//! A lock that is never found held by a thread which is not there: a forked copy of the program has a value of its own.
//!
//! A copy has its parent's memory and only one of its threads. A lock that another thread held at that moment stays
//! held in the copy for ever, and what it guards may be half-changed. So the copy gets neither.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use psmith_sys::generation::generation;

/// A value behind a lock, and the value that forked copies of the process that used it first see in its place.
#[derive(Debug)]
pub(crate) struct ProcessMutex<T> {
    /// The generation of the process whose value it is; 0 before the first use.
    owner: AtomicU64,
    value: Mutex<T>,
    copys: Mutex<T>,
}

impl<T> ProcessMutex<T> {
    /// Makes a lock of this value; `copys` is the one that forked copies see.
    pub(crate) const fn new(value: T, copys: T) -> ProcessMutex<T> {
        ProcessMutex { owner: AtomicU64::new(0), value: Mutex::new(value), copys: Mutex::new(copys) }
    }

    /// Makes a lock as [`ProcessMutex::new`] does, of a value that is this process's from now on.
    pub(crate) fn ours(value: T, copys: T) -> ProcessMutex<T> {
        let lock = ProcessMutex::new(value, copys);
        lock.owner.store(generation(), Ordering::Relaxed);
        lock
    }

    /// Returns whether the value is this process's: false in a forked copy of the one that made or used it first.
    pub(crate) fn is_ours(&self) -> bool {
        let now = generation();
        match self.owner.load(Ordering::Relaxed) {
            0 => self
                .owner
                .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed)
                .map_or_else(|owner| owner == now, |_| true),
            owner => owner == now,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let lock = if self.is_ours() { &self.value } else { &self.copys };
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
