//! Forking is refused with threads, and without them gives a child that can be waited for.
//!
//! Without the test harness, which has threads.

use psmith_sys::fork::{ForkResult, fork_single, threads_count};
use psmith_sys::wait::{ExitStatusRaw, peek_any, reap};

fn main() {
    a_process_with_threads_is_not_forked();
    a_child_is_peeked_at_before_it_is_reaped();
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
