//! Batches: many short jobs in a row, without a message to the host between them.
//!
//! A batch ends at the first job with more to report than a value: it failed, it printed, it sent something, its value
//! has no room in the region. So what belongs to one job is reported for that job alone, and the host gives the rest of
//! the batch to any worker.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::channel::messages::{CallEnd, FromWorker, JobRequest};
use crate::channel::shared_region::SharedRegion;
use crate::function::call::{Call, CallResult};
use crate::function::first_call::FirstInput;
use crate::function::registry::Function;
use crate::worker::context;
use crate::worker::context::HostChannel;
use crate::worker::process_state;
use crate::worker::serve::{end_copy_of, end_of_call, found, limited_to_frame};
use crate::worker::syscall_threshold::SyscallThreshold;
use crate::worker::usage_meter::UsageMeter;

/// Runs the jobs of a batch as far as the region allows, and reports how that ended. `first` is the first of the jobs.
/// Returns whether one of them took long enough to have changed something in the process.
pub(super) fn work(
    channel: &Arc<HostChannel>,
    region: &SharedRegion,
    first: &JobRequest,
    (bytes, body): (Vec<u8>, usize),
    first_calls: Vec<(Function, FirstInput)>,
    meter: &mut UsageMeter,
) -> io::Result<bool> {
    let own = std::process::id();
    let found = found(first_calls);
    let mut entries = found.and_then(|first_calls| Ok((first_calls, first.function.find()?)));
    let began = Instant::now();
    let mut call = Call::several(bytes, body);
    let mut values = 0;
    let mut then = None;
    let mut is_first = false;
    let mut threshold = SyscallThreshold::for_batch();
    context::begin(channel, first);
    context::take_sent();
    meter.begin(began, Some(region));
    while let Some(place) = region.begin_next() {
        let (first_calls, entry) = match &mut entries {
            Ok(entries) => entries,
            Err(reason) => {
                then = Some((CallEnd::Undecodable(reason.clone()), Vec::new()));
                break;
            }
        };
        if !call.advance() {
            return Err(io::Error::other("a batch holds fewer inputs than jobs"));
        }
        if place > 0 {
            context::next();
        }
        threshold.begin();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            if place == 0 {
                for (call, mut input) in std::mem::take(first_calls) {
                    call.call(&mut input);
                }
                process_state::remember();
            }
            entry.call(&mut call);
        }));
        // What it printed must be there before its end is reported.
        let _ = io::stdout().flush();
        context::stop_watching();
        let is_last = region.is_last(place);
        let alone =
            ended.is_err() || context::take_sent() || threshold.has_more_to_tell(own, region, is_last);
        if let (false, CallResult::Value(value)) = (alone, &mut call.answer)
            && region.put(value)
        {
            values += 1;
            call.spare = std::mem::take(value);
            continue;
        }
        let answer = std::mem::replace(&mut call.answer, CallResult::Pending);
        is_first = place == 0;
        then = Some(limited_to_frame(end_of_call(ended, answer), channel.bytes_max()));
        break;
    }
    // Forking takes longer than a short job: the first job after which this is checked is the one that forked.
    end_copy_of(own);
    context::end();
    let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let (then, value) = then.map_or((None, Vec::new()), |(how, value)| (Some(how), value));
    let failed = then.as_ref().is_some_and(|how| *how != CallEnd::Value);
    let usage = if failed && is_first { meter.used() } else { None };
    channel.send(&FromWorker::BatchDone { job: first.job, pid: own, values, then, nanos, usage }, &value)?;
    Ok(threshold.was_long())
}
