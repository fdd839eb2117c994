//! The bound of the output that is on its way from a run to the web board. Never blocks a
//! run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The greatest number of bytes of output that wait to be folded, over all jobs; beyond it output is dropped.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The greatest number of bytes kept of one piece of output: its end.
pub(super) const TAIL_BYTES_MAX: usize = 8 * 1024;

/// The counter of the bytes of output on their way to the board.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputBacklog {
    waiting: Arc<AtomicUsize>,
}

impl OutputBacklog {
    /// Returns the part of `bytes` that is worth sending, if there is room for it.
    pub(super) fn take_in(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL_BYTES_MAX)..];
        if self.waiting.fetch_add(bytes.len(), Ordering::Relaxed) > WAITING_BYTES_MAX {
            self.let_go(bytes.len());
            return None;
        }
        Some(bytes.to_vec())
    }

    pub(super) fn let_go(&self, length: usize) {
        self.waiting.fetch_sub(length, Ordering::Relaxed);
    }
}
