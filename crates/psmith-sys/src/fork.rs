//! Forking this process, where that is sound. Never waits for a child.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::raw;

/// The side of a fork that this process is.
#[derive(Debug)]
pub enum ForkResult {
    /// The parent, with the child's number and handle.
    Parent(u32, OwnedFd),
    /// The child.
    Child(OnlyThread),
}

/// The proof that the process has one thread: a fork leaves no other.
#[derive(Debug)]
pub struct OnlyThread(());

/// The ability to fork this process again and again, after a check that it may be forked.
#[derive(Debug)]
pub struct Forker {
    /// The addresses at which the C library wants the kernel to write a new process's thread number, and its list of
    /// robust locks, which its own `fork` handles. `None`: they are unknown, or this is another C library.
    library: Option<Library>,
}

#[derive(Clone, Copy, Debug)]
struct Library {
    thread_number: usize,
    robust_list: (usize, usize),
}

impl Forker {
    /// Checks that this process has one thread. **It must not start another one** as long as this is used, and only
    /// code of its own runs in it, which the caller has to ensure.
    ///
    /// # Errors
    /// `EDEADLK` if it has more: a child would have only one, and hang on the first lock that another one held.
    pub fn new() -> io::Result<Forker> {
        if threads_count()? != 1 {
            return Err(io::Error::from_raw_os_error(libc::EDEADLK));
        }
        Ok(Forker { library: if cfg!(target_env = "gnu") { Library::find() } else { None } })
    }

    /// Returns whether [`Forker::fork_into`] is available.
    #[must_use]
    pub fn spawns_in_groups(&self) -> bool {
        self.library.is_some()
    }

    /// Forks. Both sides go on from here with copies of everything; the caller reaps the child.
    ///
    /// # Errors
    /// `EAGAIN`, `ENOMEM`; `EMFILE` or `ENFILE` without a descriptor for the handle (the child, if it was spawned, is killed
    /// and reaped).
    pub fn fork(&self) -> io::Result<ForkResult> {
        // SAFETY: fork(2); this is the only thread, so no lock is held by one that the child lacks.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => Ok(ForkResult::Child(OnlyThread(()))),
            pid => {
                let pid = pid as u32;
                match crate::pidfd::open(pid) {
                    Ok(handle) => Ok(ForkResult::Parent(pid, handle)),
                    Err(error) => {
                        abandon(pid);
                        Err(error)
                    }
                }
            }
        }
    }

    /// Forks as [`Forker::fork`] does, with a child that is spawned in the group whose open directory this is (see
    /// [`SpawnRequest::group`](crate::spawn::SpawnRequest::group)). As POSIX's `_Fork`, it calls no functions of
    /// `pthread_atfork`.
    ///
    /// # Errors
    /// As [`Forker::fork`], and those of [`Spawner::start`](crate::spawn::Spawner::start) with a group; `ENOSYS` where
    /// [`Forker::spawns_in_groups`] returns false.
    pub fn fork_into(&self, group: BorrowedFd<'_>) -> io::Result<ForkResult> {
        let Some(library) = self.library else { return Err(io::Error::from_raw_os_error(libc::ENOSYS)) };
        let flags = libc::CLONE_PIDFD | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
        let mut handle = -1_i32;
        let args = libc::clone_args {
            child_tid: library.thread_number as u64,
            ..raw::into_group(group.as_raw_fd(), flags, &raw mut handle)
        };
        let words = [std::ptr::from_ref(&args) as usize, size_of_val(&args), 0, 0, 0, 0];
        // SAFETY: clone3(2) without shared memory and on a copy of this stack: a fork, as above. It writes the handle in
        // the parent and the child's number in the child, at the place that the C library had given to the kernel.
        let pid = raw::check(unsafe { raw::call(libc::SYS_clone3, words) })?;
        if pid == 0 {
            let (head, length) = library.robust_list;
            // SAFETY: set_robust_list(2): the head that the C library had registered, in this process's copy of it.
            unsafe { raw::call(libc::SYS_set_robust_list, [head, length, 0, 0, 0, 0]) };
            return Ok(ForkResult::Child(OnlyThread(())));
        }
        // SAFETY: CLONE_PIDFD has just made this descriptor, so no other value owns it.
        Ok(ForkResult::Parent(pid as u32, unsafe { OwnedFd::from_raw_fd(handle) }))
    }
}

impl Library {
    fn find() -> Option<Library> {
        let (mut thread_number, mut head, mut length) = (0_usize, 0_usize, 0_usize);
        let place = std::ptr::from_mut(&mut thread_number) as usize;
        // SAFETY: PR_GET_TID_ADDRESS writes one address.
        let asked =
            unsafe { raw::call(libc::SYS_prctl, [libc::PR_GET_TID_ADDRESS as usize, place, 0, 0, 0, 0]) };
        raw::check(asked).ok()?;
        let places = (std::ptr::from_mut(&mut head) as usize, std::ptr::from_mut(&mut length) as usize);
        // SAFETY: get_robust_list(2) of this thread writes one address and one length.
        let asked = unsafe { raw::call(libc::SYS_get_robust_list, [0, places.0, places.1, 0, 0, 0]) };
        raw::check(asked).ok()?;
        let found = Library { thread_number, robust_list: (head, length) };
        (thread_number != 0 && head != 0).then_some(found)
    }
}

/// Forks a process that has one thread, once.
///
/// # Errors
/// As [`Forker::new`] and [`Forker::fork`].
pub fn fork_single() -> io::Result<ForkResult> {
    Forker::new()?.fork()
}

/// Forks a process that may have other threads: the child has only this one, so it must take no lock that another of
/// them may hold.
///
/// # Errors
/// As [`Forker::fork`].
pub fn fork_threaded() -> io::Result<ForkResult> {
    Forker { library: None }.fork()
}

/// Returns the number of threads of this process.
///
/// # Errors
/// Without `/proc`.
pub fn threads_count() -> io::Result<usize> {
    // A directory has two links of its own and one for each thread.
    let links = rustix::fs::stat("/proc/self/task")?.st_nlink;
    Ok((links as usize).saturating_sub(2))
}

fn abandon(pid: u32) {
    // SAFETY: kill(2) takes no pointer; the number is that of an own child that is not reaped.
    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
    // SAFETY: waitpid(2) with a null status writes nothing.
    unsafe { libc::waitpid(pid as i32, std::ptr::null_mut(), 0) };
}
