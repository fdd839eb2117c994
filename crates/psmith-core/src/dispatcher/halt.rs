//! The test of a halt policy. Stops nothing itself.

use crate::dispatcher::Counts;
use crate::policy::{Halt, HaltCount, HaltMode, HaltOn};

/// The number of finished jobs from which on a share is taken of them, where no total is known.
const FINISHED_MIN: u64 = 3;

/// Returns how to halt, if the policy is met by these counts. Cancelled jobs are not counted.
pub(super) fn met(halt: &Halt, counts: &Counts) -> Option<HaltMode> {
    let Halt::When { what, count, mode } = halt else { return None };
    let finished = counts.ok + counts.failed;
    let reached = match what {
        HaltOn::Fail => counts.failed,
        HaltOn::Success => counts.ok,
        HaltOn::Done => finished,
    };
    let met = match *count {
        HaltCount::Number(number) => reached >= number.max(1),
        HaltCount::Percent(share) => {
            let base = match counts.total {
                Some(total) => total,
                None if finished >= FINISHED_MIN => finished,
                None => return None,
            };
            reached > 0 && reached as f64 * 100.0 >= share * base as f64
        }
    };
    met.then_some(*mode)
}
