//! A lock between processes, by name: a file in a directory, held by the kernel and freed by it on death.
//!
//! Record locks belong to the process, so neither a forked copy nor a program that it executes has one. They are
//! given up when *any* descriptor of the file is closed by its process, so within a process all locks of one file share
//! one descriptor.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::ThreadId;

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

/// A lock by name, among all processes that use the same directory.
///
/// A thread that holds it may acquire it again; it is free when the last of its guards is dropped. Other threads of the
/// process wait like other processes. The file stays; do not delete it while anybody may hold or await the lock.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # // proves: process-locks
/// let lock = psmith::Lock::new(dir.path(), "deploy").unwrap();
/// let guard = lock.acquire().unwrap();
/// let again = lock.acquire().unwrap();
/// drop((guard, again));
/// assert_eq!(lock.synchronize(|| 42).unwrap(), 42);
/// assert!(psmith::Lock::new(dir.path(), "no/slash").is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Lock {
    held: Arc<HeldLock>,
    path: PathBuf,
}

/// Holds a [`Lock`] until it is dropped. It stays on its thread.
#[derive(Debug)]
#[must_use = "dropped at once it holds nothing"]
pub struct LockGuard {
    held: Arc<HeldLock>,
    stays: PhantomData<*const ()>,
}

/// The lock of one file in this process.
#[derive(Debug)]
struct HeldLock {
    file: File,
    owner: Mutex<Option<Owner>>,
    freed: Condvar,
}

#[derive(Debug)]
struct Owner {
    thread: ThreadId,
    /// A forked copy of the process does not hold what its parent held.
    process: u32,
    depth: u32,
}

/// The locks of this process, by device and inode.
static LOCKS: LazyLock<Mutex<Locks>> = LazyLock::new(Mutex::default);

type Locks = HashMap<(u64, u64), Weak<HeldLock>>;

impl Lock {
    /// The lock of this name in `dir`, which must exist; its file is made if need be.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use std::io::ErrorKind;
    /// use psmith::Lock;
    /// let lock = Lock::new(dir.path(), "deploy").unwrap();
    /// assert_eq!(Lock::new(dir.path(), "..").unwrap_err().kind(), ErrorKind::InvalidInput);
    /// ```
    ///
    /// # Errors
    /// A name that is empty, `.`, `..` or holds `/` or NUL ([`io::ErrorKind::InvalidInput`]), or a file that cannot be
    /// made.
    pub fn new(dir: impl AsRef<Path>, name: &str) -> io::Result<Lock> {
        if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("'{name}' is no name for a lock"),
            ));
        }
        let path = dir.as_ref().join(name);
        let mut locks = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, held| held.strong_count() > 0);
        // Examined by name: opening and closing it here would free a lock that this process holds.
        if let Ok(found) = std::fs::metadata(&path)
            && let Some(held) = locks.get(&(found.dev(), found.ino())).and_then(Weak::upgrade)
        {
            return Ok(Lock { held, path });
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let made = file.metadata()?;
        let held = Arc::new(HeldLock { file, owner: Mutex::new(None), freed: Condvar::new() });
        locks.insert((made.dev(), made.ino()), Arc::downgrade(&held));
        Ok(Lock { held, path })
    }

    /// The path of its file.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let lock = psmith::Lock::new(dir.path(), "deploy").unwrap();
    /// assert_eq!(lock.path(), dir.path().join("deploy"));
    /// ```
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no other thread or process holds it.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let lock = psmith::Lock::new(dir.path(), "deploy").unwrap();
    /// let guard = lock.acquire().unwrap();
    /// // It is held here.
    /// drop(guard);
    /// ```
    ///
    /// # Errors
    /// `EDEADLK` where the kernel sees that the wait could never end; `ENOLCK`; a file system without locks.
    pub fn acquire(&self) -> io::Result<LockGuard> {
        self.take(true).and_then(|guard| guard.ok_or_else(|| Errno::AGAIN.into()))
    }

    /// Takes it if no other thread or process holds it.
    ///
    /// # Errors
    /// `ENOLCK`; a file system without locks.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let lock = psmith::Lock::new(dir.path(), "one").unwrap();
    /// let guard = lock.try_acquire().unwrap().expect("it is free");
    /// let other = lock.clone();
    /// let refused = std::thread::spawn(move || other.try_acquire().unwrap().is_none()).join();
    /// assert!(refused.unwrap());
    /// drop(guard);
    /// ```
    pub fn try_acquire(&self) -> io::Result<Option<LockGuard>> {
        self.take(false)
    }

    /// Calls `f` while holding it; it is freed also if `f` panics.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let lock = psmith::Lock::new(dir.path(), "deploy").unwrap();
    /// let file = dir.path().join("count");
    /// lock.synchronize(|| std::fs::write(&file, "1")).unwrap().unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Lock::acquire`]; then `f` is not called.
    pub fn synchronize<T>(&self, f: impl FnOnce() -> T) -> io::Result<T> {
        let _guard = self.acquire()?;
        Ok(f())
    }

    fn take(&self, waits: bool) -> io::Result<Option<LockGuard>> {
        let (thread, process) = (std::thread::current().id(), std::process::id());
        let mut owner = self.held.lock();
        loop {
            match &mut *owner {
                Some(mine) if mine.thread == thread && mine.process == process => {
                    mine.depth += 1;
                    return Ok(Some(self.guard()));
                }
                Some(other) if other.process == process => {
                    if !waits {
                        return Ok(None);
                    }
                    owner = self.held.freed.wait(owner).unwrap_or_else(PoisonError::into_inner);
                }
                // No thread, or one of the process that this one is a copy of.
                Some(_) | None => break,
            }
        }
        // Among the threads of this process it is ours; what is left is to be the only process.
        *owner = Some(Owner { thread, process, depth: 1 });
        drop(owner);
        let operation =
            if waits { FlockOperation::LockExclusive } else { FlockOperation::NonBlockingLockExclusive };
        match rustix::io::retry_on_intr(|| fcntl_lock(&self.held.file, operation)) {
            Ok(()) => Ok(Some(self.guard())),
            Err(errno) => {
                self.held.free();
                let is_taken = !waits && matches!(errno, Errno::AGAIN | Errno::ACCESS);
                if is_taken { Ok(None) } else { Err(errno.into()) }
            }
        }
    }

    fn guard(&self) -> LockGuard {
        LockGuard { held: Arc::clone(&self.held), stays: PhantomData }
    }
}

impl HeldLock {
    fn lock(&self) -> MutexGuard<'_, Option<Owner>> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free(&self) {
        *self.lock() = None;
        self.freed.notify_one();
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let mut owner = self.held.lock();
        let Some(mine) = &mut *owner else { return };
        if mine.process != std::process::id() {
            // A copy of the guard in a forked process: the lock is not there.
            return;
        }
        mine.depth -= 1;
        if mine.depth == 0 {
            // Given up before the next thread may ask for it.
            let _ = fcntl_lock(&self.held.file, FlockOperation::Unlock);
            *owner = None;
            self.held.freed.notify_one();
        }
    }
}
