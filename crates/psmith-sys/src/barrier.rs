//! A memory barrier for all threads of this process, or of several, at once: in an agreement between two sides the
//! frequent side needs no barrier, and the rare side pays for both. Has no memory of its own to protect.
//!
//! The frequent side writes that it goes on, and then reads whether it may; only the compiler must be kept from
//! changing that order. The rare side writes that it may not, has the barrier pass, and then reads whether it went on.
//! At least one of them reads what the other wrote.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{MembarrierCommand, membarrier, membarrier_query};

/// The process that registered; a forked copy registers again.
static REGISTERED: AtomicU32 = AtomicU32::new(0);

/// Registers for such barriers; returns false if the kernel has none. In a process with several threads this may wait
/// for some milliseconds. Once is enough for a process, and registering again costs nothing.
///
/// What other threads wrote before they read that this process is registered ([`is_registered`]) needs no barrier of
/// theirs.
#[must_use]
pub fn register() -> bool {
    if is_registered() {
        return true;
    }
    // A registration lasts until the process executes another program.
    let done = membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok();
    if done {
        REGISTERED.store(std::process::id(), Ordering::SeqCst);
    }
    done
}

/// Returns whether [`register`] succeeded in this process.
#[must_use]
pub fn is_registered() -> bool {
    REGISTERED.load(Ordering::SeqCst) == std::process::id()
}

/// Passes a barrier in every thread of this process before it returns: the caller reads what each thread wrote
/// earlier, and each thread's later reads return what the caller wrote.
///
/// # Errors
/// The kernel's, if [`register`] was not called, or did not succeed.
pub fn pass_all() -> io::Result<()> {
    Ok(membarrier(MembarrierCommand::PrivateExpedited)?)
}

/// Returns whether the kernel has barriers for several processes.
#[must_use]
pub fn reaches_others() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let known = membarrier_query();
        known.contains_command(MembarrierCommand::GlobalExpedited)
            && known.contains_command(MembarrierCommand::RegisterGlobalExpedited)
    })
}

/// Registers for the barriers of other processes ([`pass_others`]), which then pass here, too; returns false if the
/// kernel has none. A registration lasts until this process executes another program. May take as long as
/// [`register`].
#[must_use]
pub fn register_with_others() -> bool {
    membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// Passes a barrier as [`pass_all`] does, in the threads of all processes that registered for it.
///
/// # Errors
/// The kernel's, if it has no such barriers ([`reaches_others`]).
pub fn pass_others() -> io::Result<()> {
    Ok(membarrier(MembarrierCommand::GlobalExpedited)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_registered_has_its_barriers() {
        if register() {
            assert!(is_registered());
            pass_all().expect("a barrier for which the process registered");
        }
    }

    #[test]
    fn a_process_has_the_barriers_of_all_where_the_kernel_has_them() {
        assert_eq!(register_with_others(), reaches_others());
        assert_eq!(pass_others().is_ok(), reaches_others());
    }
}
