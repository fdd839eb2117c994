//! A forked copy of the test's process, in which a part of the test runs.

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use psmith_sys::fork::{ForkResult, fork_threaded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::scene::OUTER_LIMIT;

/// Calls `f` in a forked copy of this process.
///
/// # Panics
/// If `f` panics there, or does not return.
pub fn in_copy(name: &str, f: impl FnOnce()) {
    let copy = match fork_threaded().expect("a process may fork") {
        ForkResult::Child(_) => {
            let returned = catch_unwind(AssertUnwindSafe(f)).is_ok();
            // Nothing of the first process is dropped here.
            psmith_sys::exit::now(if returned { 0 } else { 1 });
        }
        ForkResult::Parent(_, copy) => copy,
    };
    let limit = Timespec::try_from(OUTER_LIMIT / 2).ok();
    let ended =
        poll(&mut [PollFd::new(&copy, PollFlags::IN)], limit.as_ref()).expect("a descriptor is polled");
    if ended == 0 {
        let _ = psmith_sys::pidfd::signal(&copy, 9);
    }
    let status = waitid(WaitId::PidFd(copy.as_fd()), WaitIdOptions::EXITED);
    assert_ne!(ended, 0, "{name}: the copy hangs");
    let code = status.ok().flatten().and_then(|status| status.exit_status());
    assert_eq!(code, Some(0), "{name}: it failed in the copy");
}
