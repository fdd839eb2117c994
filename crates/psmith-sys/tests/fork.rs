//! Forking is refused with threads, and without them gives a child that can be waited for.
//!
//! Without the test harness, which has threads.

use psmith_sys::fork::{ForkResult, fork_single, threads_count};
use psmith_sys::pidfd;
use psmith_sys::wait::{Change, ExitStatusRaw, Peeked, next_change, peek_any, reap};

fn main() {
    a_process_with_threads_is_not_forked();
    a_child_is_peeked_at_before_it_is_reaped();
    a_stop_is_told_once_and_an_end_until_it_is_reaped();
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
        ForkResult::Child => std::process::exit(9),
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

fn a_stop_is_told_once_and_an_end_until_it_is_reaped() {
    assert_eq!(next_change().unwrap(), None);
    match fork_single().unwrap() {
        ForkResult::Child => loop {
            std::thread::park();
        },
        ForkResult::Parent(pid, handle) => {
            assert_eq!(next_change().unwrap(), None, "it runs");
            pidfd::signal(&handle, libc::SIGSTOP).unwrap();
            assert_eq!(awaited_change(), Change::Stopped { pid, signal: libc::SIGSTOP });
            assert_eq!(next_change().unwrap(), None, "told already");
            pidfd::signal(&handle, libc::SIGCONT).unwrap();
            assert_eq!(awaited_change(), Change::Continued { pid });
            assert_eq!(next_change().unwrap(), None, "told already");
            pidfd::signal(&handle, libc::SIGSTOP).unwrap();
            assert_eq!(awaited_change(), Change::Stopped { pid, signal: libc::SIGSTOP });
            // A stopped child needs no SIGCONT to be killed.
            pidfd::signal(&handle, libc::SIGKILL).unwrap();
            let status = ExitStatusRaw::Signal { signal: libc::SIGKILL, core: false };
            assert_eq!(awaited_change(), Change::Ended(Peeked { pid, status }));
            assert_eq!(next_change().unwrap(), Some(Change::Ended(Peeked { pid, status })));
            assert_eq!(reap(pid).unwrap().status, status);
            assert_eq!(next_change().unwrap(), None);
        }
    }
}

/// A signal works a moment after it was sent.
fn awaited_change() -> Change {
    loop {
        if let Some(change) = next_change().unwrap() {
            return change;
        }
        std::thread::yield_now();
    }
}
