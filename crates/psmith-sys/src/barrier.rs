//! A barrier for the memory of all threads of this process, or of several, at once: so one side of an agreement between
//! two needs none. The rare side pays for both.
//!
//! The one side writes that it goes on, and then reads whether it may; nothing but the compiler must be kept from
//! changing that order. The other writes that it may not, has the barrier pass, and then reads whether it went on. One
//! of them sees what the other wrote.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{MembarrierCommand, membarrier, membarrier_query};

/// The process that asked for it; a forked copy asks again.
static REGISTERED: AtomicU32 = AtomicU32::new(0);

/// Asks the kernel for such barriers; false if it has none. In a process with several threads this may wait for some
/// milliseconds. Once is enough for a process, and asking again costs nothing.
///
/// What other threads wrote before they read that it is so ([`is_registered`]) needs no barrier of theirs.
#[must_use]
pub fn register() -> bool {
    if is_registered() {
        return true;
    }
    // What was registered stays so until the process executes another program.
    let done = membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok();
    if done {
        REGISTERED.store(std::process::id(), Ordering::SeqCst);
    }
    done
}

/// Whether [`register`] succeeded in this process.
#[must_use]
pub fn is_registered() -> bool {
    REGISTERED.load(Ordering::SeqCst) == std::process::id()
}

/// Every thread of this process passes a barrier before this returns: what each wrote earlier is seen by the caller,
/// and what each reads later is what the caller wrote.
///
/// # Errors
/// The kernel's, if [`register`] was not called, or did not succeed.
pub fn pass_all() -> io::Result<()> {
    Ok(membarrier(MembarrierCommand::PrivateExpedited)?)
}

/// Whether the kernel has barriers for several processes.
#[must_use]
pub fn reaches_others() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let known = membarrier_query();
        known.contains_command(MembarrierCommand::GlobalExpedited)
            && known.contains_command(MembarrierCommand::RegisterGlobalExpedited)
    })
}

/// Asks that the barriers of other processes ([`pass_others`]) pass here, too; false if the kernel has none. It lasts
/// until this process executes another program. May take as long as [`register`].
#[must_use]
pub fn register_with_others() -> bool {
    membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// As [`pass_all`], for the threads of all processes that asked for it.
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
