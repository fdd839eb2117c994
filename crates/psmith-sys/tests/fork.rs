//! Forking is refused with threads, and without them gives a child that can be waited for.
//!
//! Without the test harness, which has threads.

use psmith_sys::fork::{ForkResult, fork_single, threads_count};
use psmith_sys::wait::{Change, ExitStatusRaw, Peeked, next_change, peek_any, reap};
use psmith_sys::{pidfd, trace};

fn main() {
    a_process_with_threads_is_not_forked();
    a_child_is_peeked_at_before_it_is_reaped();
    a_stop_is_told_once_and_an_end_until_it_is_reaped();
    a_child_that_is_seized_can_be_looked_at_and_goes_on_as_it_was();
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

fn a_child_that_is_seized_can_be_looked_at_and_goes_on_as_it_was() {
    match fork_single().unwrap() {
        ForkResult::Child => loop {
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
                assert_eq!(awaited_change(), Change::Seized { pid, signal: 0 });
                let registers = trace::registers(pid).unwrap();
                assert!(
                    registers.instruction != 0 && registers.stack.abs_diff(own) < 1 << 23,
                    "{registers:?}"
                );
                let stack = trace::memory(pid, registers.stack, 64).unwrap();
                assert_eq!(stack.len(), 64);
                trace::let_go(pid, 0).unwrap();
                assert_eq!(next_change().unwrap(), None, "nobody else hears of it");
            }
            assert!(trace::registers(pid).is_err(), "it runs");
            // One that is stopped stays so.
            pidfd::signal(&handle, libc::SIGSTOP).unwrap();
            assert_eq!(awaited_change(), Change::Stopped { pid, signal: libc::SIGSTOP });
            trace::seize(pid).unwrap();
            assert_eq!(awaited_change(), Change::Seized { pid, signal: 0 });
            trace::let_go(pid, 0).unwrap();
            assert_eq!(state(pid), 'T');
            pidfd::signal(&handle, libc::SIGCONT).unwrap();
            // A signal that comes while it is seized is not lost.
            trace::seize(pid).unwrap();
            pidfd::signal(&handle, libc::SIGTERM).unwrap();
            let signal = seized_with();
            trace::let_go(pid, signal).unwrap();
            let status = ExitStatusRaw::Signal { signal: libc::SIGTERM, core: false };
            assert_eq!(last_change(), Change::Ended(Peeked { pid, status }));
            assert_eq!(trace::seize(pid).unwrap_err().raw_os_error(), Some(libc::EPERM), "it is a zombie");
            assert_eq!(reap(pid).unwrap().status, status);
            assert_eq!(trace::seize(pid).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        }
    }
}

fn seized_with() -> i32 {
    loop {
        if let Change::Seized { signal, .. } = awaited_change() {
            return signal;
        }
    }
}

fn last_change() -> Change {
    loop {
        if let change @ Change::Ended(_) = awaited_change() {
            return change;
        }
    }
}

/// As the kernel shows it, once it has settled: a child that was let go is stopped again a moment later.
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

/// A signal works a moment after it was sent.
fn awaited_change() -> Change {
    loop {
        if let Some(change) = next_change().unwrap() {
            return change;
        }
        std::thread::yield_now();
    }
}
