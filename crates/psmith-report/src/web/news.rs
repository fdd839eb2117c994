//! What the run tells the web board: its types, which need no web board, and how much output may be on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use crate::web_events::{JobEnded, RunFacts, WebEvent};

/// Output that waits to be folded, over all jobs; beyond it the board misses some.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Of one piece of output only the end can be seen.
pub(super) const TAIL_BYTES_MAX: usize = 8 * 1024;

/// How much output is on its way to the board.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output {
    waiting: Arc<AtomicUsize>,
}

impl Output {
    /// The part of `bytes` that is worth sending, if there is room for it.
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
