//! What a job of a reused worker has used: the difference between its begin and its end.
//!
//! To ask the kernel costs more than a short job takes. So it is asked at the begin of a job or batch only if a while has
//! passed since it was asked last, and at the end only for a job that failed. What jobs did in that while counts for the
//! next one: a figure of CPU time is too large by at most the while. A job that came later in a batch has none.

use std::time::{Duration, Instant};

use psmith_sys::usage::{self, OwnUsage};

use crate::channel::messages::CallUsage;
use crate::channel::shared_region::SharedRegion;

/// The while: asking once in it costs nothing that can be noticed.
const MEASURE_EVERY: Duration = Duration::from_millis(1);

/// The growth of the peak from which on it is begun anew: a job that makes so much more pays for that many times over.
const PEAK_GROWTH_BYTES: u64 = 1024 * 1024;

/// Measures the jobs of a worker, one after the other.
#[derive(Debug, Default)]
pub(super) struct UsageMeter {
    /// When it was measured last, and what was found.
    last: Option<(Instant, OwnUsage)>,
    /// The peak after the last reset.
    peak_bytes: u64,
}

impl UsageMeter {
    /// Begins a job or a batch. What was used before goes to the region, for a job that ends with its process.
    pub(super) fn begin(&mut self, now: Instant, region: Option<&SharedRegion>) {
        if self.last.is_some_and(|(at, _)| now.saturating_duration_since(at) < MEASURE_EVERY) {
            return;
        }
        let Ok(mut used) = usage::own() else { return self.last = None };
        if used.peak_bytes > self.peak_bytes + PEAK_GROWTH_BYTES {
            // Where it cannot be begun anew, the peak of a job may be that of an earlier one.
            if self.peak_bytes > 0 && usage::reset_peak().is_ok() {
                used.peak_bytes = usage::own().map_or(used.peak_bytes, |anew| anew.peak_bytes);
            }
            self.peak_bytes = used.peak_bytes;
        }
        if let Some(region) = region {
            region.set_used_before(CallUsage::of(used.user, used.system, used.peak_bytes));
        }
        self.last = Some((now, used));
    }

    /// Returns what was used since the begin; `None` if that is not known.
    pub(super) fn used(&self) -> Option<CallUsage> {
        let (_, before) = self.last?;
        let now = usage::own().ok()?;
        let children_grew = now.children_peak_bytes > before.children_peak_bytes;
        let children = if children_grew { now.children_peak_bytes } else { 0 };
        Some(CallUsage::of(
            now.user.saturating_sub(before.user),
            now.system.saturating_sub(before.system),
            now.peak_bytes.max(children),
        ))
    }
}
