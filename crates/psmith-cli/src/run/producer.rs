//! Producer of jobs: the one thread that reads the input, which may block on a terminal, a pipe or a slow disk.
//!
//! It reads ahead of the engine by a bounded number of jobs and wakes it only when it is waiting.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use psmith_sys::eventfd::Waker;

use crate::error::CliError;
use crate::input::JobArgs;
use crate::pipe::JobStdin;
use crate::plan::JobStream;
use crate::plan::{JobNumbers, RunPlan};
use crate::record::resume::ResumeSet;

/// The number of jobs read ahead of the engine.
const AHEAD_MAX: usize = 512;

/// The number of jobs read ahead that hold a block each: one for the next free slot, while another one is read.
const BLOCKS_AHEAD_MAX: usize = 2;

/// The number of slots that are tried to recognise a row: a row of a job that ran in a higher slot is not recognised,
/// and the job is run again.
const SLOTS_TRIED: u32 = 4096;

/// An item from the producer.
#[derive(Debug)]
pub(super) enum ProducedItem {
    /// A job, with its position in the input, from 1, and its stdin, if it has its own.
    Job(u64, JobArgs, Option<JobStdin>),
    /// The end of the input.
    End(InputEnd),
    /// The error because of which the input cannot be read any further.
    Failed(CliError),
}

/// The facts about the input that are known at its end.
#[derive(Debug, Default)]
pub(super) struct InputEnd {
    /// Jobs that there are, skipped ones included.
    pub(super) jobs: u64,
    /// Jobs that were skipped, because they are done already.
    pub(super) skipped: u64,
    /// Rows of the joblog that belong to no job of this input.
    pub(super) unmatched: u64,
    pub(super) warnings: Vec<String>,
}

/// The engine's end of the producer.
pub(super) struct Producer {
    buffer: Arc<JobBuffer>,
}

impl Producer {
    pub(super) fn start(
        plan: Arc<RunPlan>,
        jobs: JobStream,
        resume: Option<ResumeSet>,
        wake: Arc<Waker>,
    ) -> std::io::Result<Producer> {
        let ahead_max = if plan.holds_blocks() { BLOCKS_AHEAD_MAX } else { AHEAD_MAX };
        let buffer = Arc::new(JobBuffer { state: Mutex::default(), room: Condvar::new(), wake, ahead_max });
        let filled = BufferInput(Arc::clone(&buffer));
        std::thread::Builder::new()
            .name("psmith-producer".into())
            .spawn(move || produce(&plan, jobs, resume, &filled))?;
        Ok(Producer { buffer })
    }

    /// Returns the next job, if there is one; otherwise a wake-up follows.
    pub(super) fn next(&self) -> Option<ProducedItem> {
        let mut state = self.buffer.lock();
        let Some(item) = state.items.pop_front() else {
            if state.is_over {
                return Some(ProducedItem::End(InputEnd::default()));
            }
            state.engine_waits = true;
            return None;
        };
        if state.items.len() == self.buffer.ahead_max / 2 {
            self.buffer.room.notify_one();
        }
        Some(item)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.buffer.lock().is_over = true;
        self.buffer.room.notify_one();
    }
}

/// Items that have been made and not yet taken. A channel would wake its sender for each place that becomes free, which
/// costs a switch of threads for each job; here it sleeps until half of the buffer is empty.
struct JobBuffer {
    state: Mutex<State>,
    room: Condvar,
    wake: Arc<Waker>,
    ahead_max: usize,
}

#[derive(Default)]
struct State {
    items: VecDeque<ProducedItem>,
    /// True when the engine found the buffer empty, and sleeps.
    engine_waits: bool,
    /// True when one end of the buffer has been dropped.
    is_over: bool,
}

impl JobBuffer {
    /// Locks the state. It guards one push, one pop or a flag: no change can be left half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The producer's end.
struct BufferInput(Arc<JobBuffer>);

impl BufferInput {
    /// Adds an item, once there is room; returns false if the engine needs no more.
    fn put(&self, item: ProducedItem) -> bool {
        let mut state = self.0.lock();
        let (most, resume) = (self.0.ahead_max, self.0.ahead_max / 2);
        if state.items.len() >= most {
            let is_full = |state: &mut State| state.items.len() > resume && !state.is_over;
            state = self.0.room.wait_while(state, is_full).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_over {
            return false;
        }
        state.items.push_back(item);
        let engine_waits = std::mem::take(&mut state.engine_waits);
        drop(state);
        if engine_waits {
            self.0.wake.wake();
        }
        true
    }
}

impl Drop for BufferInput {
    /// Runs also if the thread panics: the engine must not wait for it for ever.
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.wake.wake();
    }
}

fn produce(plan: &RunPlan, mut jobs: JobStream, mut resume: Option<ResumeSet>, input: &BufferInput) {
    let mut end = InputEnd::default();
    while let Some(item) = jobs.next() {
        let stdin = jobs.take_stdin();
        let item = match item {
            Ok(args) => {
                end.jobs += 1;
                if let Some(set) = &mut resume
                    && is_done(plan, &args, end.jobs, set)
                {
                    end.skipped += 1;
                    continue;
                }
                ProducedItem::Job(end.jobs, args, stdin)
            }
            Err(error) => ProducedItem::Failed(CliError::new(error.message)),
        };
        let failed = matches!(item, ProducedItem::Failed(_));
        // The other end was dropped when the run was stopped: then the rest is not needed.
        if !input.put(item) || failed {
            return;
        }
    }
    end.unmatched = resume.as_ref().map_or(0, ResumeSet::unmatched);
    end.warnings = jobs.warnings();
    input.put(ProducedItem::End(end));
}

/// Returns whether this job has its row already. If the text depends on the slot, the slot of the earlier run is not
/// known: each is tried, for a job that has a row at its position.
fn is_done(plan: &RunPlan, args: &JobArgs, number: u64, set: &mut ResumeSet) -> bool {
    let slots = if plan.names_slot() { SLOTS_TRIED } else { 1 };
    set.may_skip(number)
        && (1..=slots).any(|slot| {
            let place = JobNumbers { job: number, slot, total: plan.total() };
            let rendered = plan.render(args, place);
            rendered.is_ok_and(|rendered| set.should_skip(number, rendered.text.as_bytes()))
        })
}
