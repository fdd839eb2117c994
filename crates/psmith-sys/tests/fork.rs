//! Tests that forking is refused with threads, and without them gives a child that can be waited for.
//!
//! Without the test harness, which has threads.
#![expect(unsafe_code, reason = "what the C library knows of its threads shows in its locks, by calls of C")]

use psmith_sys::cgroup::{RunGroup, run_name};
use psmith_sys::fork::{ForkResult, Forker, fork_single, threads_count};
use psmith_sys::wait::{ChildChange, ExitStatusRaw, Peeked, next_change, peek_any, reap};
use psmith_sys::{pidfd, trace};

fn main() {
    a_process_with_threads_is_not_forked();
    a_child_is_peeked_at_before_it_is_reaped();
    a_stop_is_reported_once_and_an_end_until_it_is_reaped();
    a_child_that_is_seized_can_be_looked_at_and_goes_on_as_it_was();
    a_copy_that_is_spawned_in_a_group_is_whole();
}

/// The work of the C library's `fork` is done here as well: its children know their own number, and have threads and
/// locks as usual.
fn a_copy_that_is_spawned_in_a_group_is_whole() {
    let run = match RunGroup::create(&run_name()) {
        Ok(run) => run,
        Err(refusal) => return eprintln!("SKIPPED a copy that is born in a group: {refusal}"),
    };
    let group = run.slot("copy").unwrap();
    let forker = Forker::new().unwrap();
    if !forker.spawns_in_groups() {
        return eprintln!(
            "SKIPPED a copy that is born in a group: another C library, or no PR_GET_TID_ADDRESS"
        );
    }
    let (pid, handle) = match forker.fork_into(group.dir()).unwrap() {
        ForkResult::Child(_) => std::process::exit(copy_in(group.path())),
        ForkResult::Parent(pid, handle) => (pid, handle),
    };
    let mut polled = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut polled, None).unwrap();
    assert_eq!(reap(pid).unwrap().status, ExitStatusRaw::Code(0), "see `copy_in`");
    assert!(!group.populated().unwrap());
    group.remove().unwrap();
    run.remove().unwrap();
}

/// Returns 0, or the number of the check that failed.
fn copy_in(group: &std::path::Path) -> i32 {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let name = group.file_name().unwrap().to_str().unwrap();
    if !groups.lines().any(|line| line.starts_with("0::") && line.ends_with(name)) {
        return 1;
    }
    // A lock that knows its holder by the number that the library has of it.
    let mut kind = std::mem::MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
    // SAFETY: pthread_mutexattr_init(3) makes the attributes, and the next call changes them.
    unsafe { libc::pthread_mutexattr_init(kind.as_mut_ptr()) };
    // SAFETY: pthread_mutexattr_settype(3) of what was just made.
    unsafe { libc::pthread_mutexattr_settype(kind.as_mut_ptr(), libc::PTHREAD_MUTEX_ERRORCHECK) };
    let mut lock = std::mem::MaybeUninit::<libc::pthread_mutex_t>::zeroed();
    // SAFETY: pthread_mutex_init(3) of memory that stays where it is.
    unsafe { libc::pthread_mutex_init(lock.as_mut_ptr(), kind.as_ptr()) };
    // SAFETY: pthread_mutex_lock(3) of a lock that was made; the second time it only says that it is held.
    let locked = [(); 2].map(|()| unsafe { libc::pthread_mutex_lock(lock.as_mut_ptr()) });
    if locked != [0, libc::EDEADLK] {
        return 2;
    }
    // glibc's locks hold the number of the thread in their third word.
    let place = lock.as_ptr().cast::<i32>().wrapping_add(2);
    // SAFETY: a lock is some ten words of plain data.
    let owner = unsafe { place.read() };
    if cfg!(target_env = "gnu") && owner != std::process::id() as i32 {
        return 3;
    }
    let sum = std::thread::spawn(|| (0..10).sum::<i32>()).join();
    if sum.ok() != Some(45) {
        return 4;
    }
    // The copy forks as its parent did.
    match fork_single() {
        Ok(ForkResult::Child(_)) => std::process::exit(0),
        Ok(ForkResult::Parent(pid, handle)) => {
            let mut polled = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut polled, None).unwrap();
            i32::from(reap(pid).unwrap().status != ExitStatusRaw::Code(0)) * 5
        }
        // A thread that was joined may still be on its way out of the kernel.
        Err(error) => i32::from(error.raw_os_error() != Some(libc::EDEADLK)) * 6,
    }
}

fn a_process_with_threads_is_not_forked() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receiver.recv());
    assert_eq!(threads_count().unwrap(), 2);
    assert_eq!(fork_single().unwrap_err().raw_os_error(), Some(libc::EDEADLK));
    drop(sender);
    let _ = thread.join().unwrap();
    // A thread that was joined may still be on its way out of the kernel.
    while threads_count().unwrap() > 1 {
        std::thread::yield_now();
    }
}

fn a_child_is_peeked_at_before_it_is_reaped() {
    assert_eq!(peek_any().unwrap(), None);
    match fork_single().unwrap() {
        ForkResult::Child(_) => std::process::exit(9),
        ForkResult::Parent(pid, handle) => {
            let mut polled = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut polled, None).unwrap();
            for _ in 0..2 {
                let peeked = peek_any().unwrap().unwrap();
                assert_eq!((peeked.pid, peeked.status), (pid, ExitStatusRaw::Code(9)));
            }
            assert_eq!(reap(pid).unwrap().status, ExitStatusRaw::Code(9));
            assert_eq!(reap(pid).unwrap_err().raw_os_error(), Some(libc::ECHILD));
            assert_eq!(peek_any().unwrap(), None);
        }
    }
}

fn a_stop_is_reported_once_and_an_end_until_it_is_reaped() {
    assert_eq!(next_change().unwrap(), None);
    match fork_single().unwrap() {
        ForkResult::Child(_) => loop {
            std::thread::park();
        },
        ForkResult::Parent(pid, handle) => {
            assert_eq!(next_change().unwrap(), None, "it runs");
            pidfd::signal(&handle, libc::SIGSTOP).unwrap();
            assert_eq!(awaited_change(), ChildChange::Stopped { pid, signal: libc::SIGSTOP });
            assert_eq!(next_change().unwrap(), None, "told already");
            pidfd::signal(&handle, libc::SIGCONT).unwrap();
            assert_eq!(awaited_change(), ChildChange::Continued { pid });
            assert_eq!(next_change().unwrap(), None, "told already");
            pidfd::signal(&handle, libc::SIGSTOP).unwrap();
            assert_eq!(awaited_change(), ChildChange::Stopped { pid, signal: libc::SIGSTOP });
            // A stopped child needs no SIGCONT to be killed.
            pidfd::signal(&handle, libc::SIGKILL).unwrap();
            let status = ExitStatusRaw::Signal { signal: libc::SIGKILL, core: false };
            assert_eq!(awaited_change(), ChildChange::Ended(Peeked { pid, status }));
            assert_eq!(next_change().unwrap(), Some(ChildChange::Ended(Peeked { pid, status })));
            assert_eq!(reap(pid).unwrap().status, status);
            assert_eq!(next_change().unwrap(), None);
        }
    }
}

fn a_child_that_is_seized_can_be_looked_at_and_goes_on_as_it_was() {
    match fork_single().unwrap() {
        ForkResult::Child(_) => loop {
            std::thread::park();
        },
        ForkResult::Parent(pid, handle) => {
            let own = &raw const pid as u64;
            for _ in 0..100 {
                trace::seize(pid).unwrap();
                assert_eq!(
                    trace::seize(pid).unwrap_err().raw_os_error(),
                    Some(libc::EPERM),
                    "seized already"
                );
                assert_eq!(awaited_change(), ChildChange::Seized { pid, signal: 0 });
                let registers = trace::registers(pid).unwrap();
                assert!(
                    registers.instruction != 0 && registers.stack.abs_diff(own) < 1 << 23,
                    "{registers:?}"
                );
                let stack = trace::memory(pid, registers.stack, 64).unwrap();
                assert_eq!(stack.len(), 64);
                trace::release(pid, 0).unwrap();
                assert_eq!(next_change().unwrap(), None, "nobody else hears of it");
            }
            assert!(trace::registers(pid).is_err(), "it runs");
            // One that is stopped stays so.
            pidfd::signal(&handle, libc::SIGSTOP).unwrap();
            assert_eq!(awaited_change(), ChildChange::Stopped { pid, signal: libc::SIGSTOP });
            trace::seize(pid).unwrap();
            assert_eq!(awaited_change(), ChildChange::Seized { pid, signal: 0 });
            trace::release(pid, 0).unwrap();
            assert_eq!(state(pid), 'T');
            pidfd::signal(&handle, libc::SIGCONT).unwrap();
            // A signal that comes while it is seized is not lost.
            trace::seize(pid).unwrap();
            pidfd::signal(&handle, libc::SIGTERM).unwrap();
            let signal = seized_with();
            trace::release(pid, signal).unwrap();
            let status = ExitStatusRaw::Signal { signal: libc::SIGTERM, core: false };
            assert_eq!(last_change(), ChildChange::Ended(Peeked { pid, status }));
            assert_eq!(trace::seize(pid).unwrap_err().raw_os_error(), Some(libc::EPERM), "it is a zombie");
            assert_eq!(reap(pid).unwrap().status, status);
            assert_eq!(trace::seize(pid).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        }
    }
}

fn seized_with() -> i32 {
    loop {
        if let ChildChange::Seized { signal, .. } = awaited_change() {
            return signal;
        }
    }
}

fn last_change() -> ChildChange {
    loop {
        if let change @ ChildChange::Ended(_) = awaited_change() {
            return change;
        }
    }
}

/// Returns the state that the kernel shows once it has settled: a child that was released is stopped again a moment
/// later.
fn state(pid: u32) -> char {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        match stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()) {
            Some('R' | 't') => std::thread::yield_now(),
            Some(state) => return state,
            None => panic!("{stat}"),
        }
    }
}

/// Waits for a change: a signal works a moment after it was sent.
fn awaited_change() -> ChildChange {
    loop {
        if let Some(change) = next_change().unwrap() {
            return change;
        }
        std::thread::yield_now();
    }
}
