//! Batches: many short jobs in a row, without a message to the host between them.
//!
//! A batch ends at the first job with more to report than a value: it failed, it printed, it sent something, its value
//! has no room in the region. So what belongs to one job is reported for that job alone, and the host gives the rest of
//! the batch to any worker.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use psmith_sys::clock::ticks;
use psmith_sys::{barrier, pipe};

use crate::channel::messages::{CallEnd, FromWorker, JobRequest};
use crate::channel::shared_region::SharedRegion;
use crate::function::call::{Call, CallResult};
use crate::function::registry::Function;
use crate::worker::context;
use crate::worker::context::HostChannel;
use crate::worker::process_state;
use crate::worker::serve::{end_copy_of, end_of_call, limited_to_frame};

/// Runs the jobs of a batch as far as the region allows, and reports how that ended. `first` is the first of the jobs.
/// Returns whether one of them took long enough to have changed something in the process.
pub(super) fn work(
    channel: &Arc<HostChannel>,
    region: &SharedRegion,
    first: &JobRequest,
    (bytes, body): (Vec<u8>, usize),
    set_up: &[Function],
) -> io::Result<bool> {
    let own = std::process::id();
    let found: Result<Vec<_>, _> = set_up.iter().map(Function::find).collect();
    let entries = found.and_then(|set_up| Ok((set_up, first.function.find()?)));
    let began = Instant::now();
    let mut call = Call::several(bytes, body);
    let mut values = 0;
    let mut then = None;
    let mut threshold = SyscallThreshold::measured();
    static REACHED: OnceLock<bool> = OnceLock::new();
    let reached = *REACHED.get_or_init(barrier::register_with_others);
    context::begin(channel, first);
    context::take_sent();
    while let Some(place) = region.begin_next(reached) {
        let (set_up, entry) = match &entries {
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
                for set_up in set_up {
                    set_up(&mut ());
                }
                process_state::remember();
            }
            entry(&mut call);
        }));
        // What it printed must be there before its end is reported.
        let _ = io::stdout().flush();
        context::stop_watching();
        let alone = ended.is_err() || context::take_sent() || threshold.is_broken(own, region);
        if let (false, CallResult::Value(value)) = (alone, &mut call.answer)
            && region.put(value)
        {
            values += 1;
            call.spare = std::mem::take(value);
            continue;
        }
        let answer = std::mem::replace(&mut call.answer, CallResult::Pending);
        then = Some(limited_to_frame(end_of_call(ended, answer), channel.bytes_max()));
        break;
    }
    // Forking takes longer than a short job: the first job after which this is checked is the one that forked.
    end_copy_of(own);
    context::end();
    let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let (then, value) = then.map_or((None, Vec::new()), |(how, value)| (Some(how), value));
    channel.send(&FromWorker::BatchDone { job: first.job, pid: own, values, then, nanos }, &value)?;
    Ok(threshold.was_long)
}

/// The time that separates jobs which may have called the kernel from those that were too short for it.
///
/// To ask the kernel whether something was written takes a call, too, which is more than a short job takes. So it is
/// asked only after jobs that took as long as the shortest write, which forking takes as well; and other changes in the
/// process are looked for only if a job took as long as the shortest call of all.
pub(super) struct SyscallThreshold {
    least: ShortestTime,
    /// The time at which the next job begins, at the latest.
    from: u64,
    /// True if the clock is read before each job, too, because the work between two jobs takes too long by itself.
    exact: bool,
    /// True if one of the jobs took as long as a call of the kernel.
    was_long: bool,
}

/// The times of the shortest calls: a job below them has made none.
#[derive(Clone, Copy)]
struct ShortestTime {
    call: u64,
    write: u64,
}

impl ShortestTime {
    fn measured() -> ShortestTime {
        // A processor may run at several speeds, so half of it.
        let least = |call: &dyn Fn()| {
            let ask = || {
                let from = ticks();
                call();
                ticks().wrapping_sub(from)
            };
            std::iter::repeat_with(ask).take(16).min().unwrap_or(0) / 2
        };
        let call = least(&|| {
            let _ = pipe::bytes_waiting(io::stdout());
        });
        // Nothing reads this pipe: with a reader to wake the write takes longer.
        let write = pipe::pipe().map_or(0, |(_reader, writer)| {
            least(&|| {
                let _ = rustix::io::write(&writer, b"x");
            })
        });
        ShortestTime { call, write: write.max(call) }
    }
}

impl SyscallThreshold {
    /// Returns the threshold as measured once in this process.
    pub(super) fn measured() -> SyscallThreshold {
        static LEAST: OnceLock<ShortestTime> = OnceLock::new();
        SyscallThreshold {
            least: *LEAST.get_or_init(ShortestTime::measured),
            from: 0,
            exact: false,
            was_long: false,
        }
    }

    pub(super) fn begin(&mut self) {
        if self.exact || self.from == 0 {
            self.from = ticks();
        }
    }

    /// Returns whether the one job that began took so long that it may have called the kernel.
    pub(super) fn is_long(&self) -> bool {
        ticks().wrapping_sub(self.from) >= self.least.call
    }

    /// Returns whether there is something to report to the host for this job alone.
    fn is_broken(&mut self, own: u32, region: &SharedRegion) -> bool {
        let now = ticks();
        let spent = now.wrapping_sub(self.from);
        self.from = now;
        self.was_long |= spent >= self.least.call;
        if spent < self.least.write {
            return false;
        }
        // The time of a short job includes the work around it, and may be below the threshold without that.
        self.exact |= spent < 2 * self.least.write;
        let wrote = pipe::bytes_waiting(io::stdout()).unwrap_or(0) > 0
            || pipe::bytes_waiting(io::stderr()).unwrap_or(0) > 0;
        // In this order: if the pipe is empty because it was read, the host's note about the read came before.
        let broken = wrote || region.output_was_read() || std::process::id() != own;
        // The time of these calls does not count for the next job.
        self.from = ticks();
        broken
    }
}
