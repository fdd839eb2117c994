//! Descriptors for browsers, set aside before a run counts those that its jobs may have.
//!
//! Placeholders are open while the run counts, and closed when it has. So neither side can starve the other: the run
//! has as many slots as fit into the rest, and the server accepts as many connections as were set aside.

use std::os::fd::OwnedFd;

use psmith_sys::rlimit::{self, Resource};

/// The greatest number of connections at a time; more are closed at once.
pub(super) const CONNECTIONS_MAX: usize = 64;
/// The number of descriptors that the server opens for itself: its loop, its wake-up, its copy of the listener.
const OWN: usize = 6;
/// The part of the descriptors that browsers get if there are few: one in this many.
const SHARE: u64 = 4;

/// Descriptors that are held for later.
#[derive(Debug)]
pub(super) struct Reserve {
    held: Vec<OwnedFd>,
}

impl Reserve {
    /// Opens as many as browsers may have, or as there are.
    pub(super) fn take() -> Reserve {
        // A run raises the soft limit to the hard one; before that, fewer may be available, which does no harm.
        let limit = rlimit::get(Resource::OpenFiles).map_or(1024, |limit| limit.hard);
        let share = usize::try_from(limit / SHARE).unwrap_or(usize::MAX).min(CONNECTIONS_MAX);
        let held = std::fs::File::open("/dev/null").map_or_else(
            |_| Vec::new(),
            |null| (0..share + OWN).map_while(|_| null.try_clone().ok().map(OwnedFd::from)).collect(),
        );
        Reserve { held }
    }

    /// Returns the number of connections that there may be: one at least.
    pub(super) fn connections(&self) -> usize {
        self.held.len().saturating_sub(OWN).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_open_until_it_is_let_go() {
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let reserve = Reserve::take();
        assert!((1..=CONNECTIONS_MAX).contains(&reserve.connections()));
        // Other tests of this process open and close some meanwhile, but not as many.
        assert!(open() > reserve.connections());
        assert_eq!(reserve.held.len(), reserve.connections() + OWN);
    }
}
