//! The producer: the one thread that reads the input, which may block on a terminal, a pipe or a slow disk.
//!
//! It runs ahead of the engine by a bounded number of jobs and wakes it only when it is waiting.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use psmith_sys::eventfd::Waker;

use crate::error::CliError;
use crate::input::{JobArgs, JobStream};
use crate::plan::{JobNumbers, RunPlan};
use crate::record::resume::ResumeSet;

/// Jobs read ahead of the engine.
const AHEAD_MAX: usize = 512;

/// Once it has read that far ahead, it goes on when so few of them are left.
const AHEAD_MIN: usize = AHEAD_MAX / 2;

/// A row of a job that ran in a higher slot than this is not recognised, and the job is run again.
const SLOTS_TRIED: u32 = 4096;

/// What the producer makes.
#[derive(Debug)]
pub(super) enum Made {
    /// A job, with its position in the input, from 1.
    Job(u64, JobArgs),
    /// The input is at its end.
    End(InputEnd),
    /// The input cannot be read any further.
    Failed(CliError),
}

/// What is known when the input is at its end.
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
    shelf: Arc<Shelf>,
}

impl Producer {
    pub(super) fn start(
        plan: Arc<RunPlan>,
        jobs: JobStream,
        resume: Option<ResumeSet>,
        wake: Arc<Waker>,
    ) -> std::io::Result<Producer> {
        let shelf = Arc::new(Shelf { state: Mutex::default(), room: Condvar::new(), wake });
        let filled = Filler(Arc::clone(&shelf));
        std::thread::Builder::new()
            .name("psmith-producer".into())
            .spawn(move || produce(&plan, jobs, resume, &filled))?;
        Ok(Producer { shelf })
    }

    /// The next job, if there is one; otherwise a wake-up follows.
    pub(super) fn next(&self) -> Option<Made> {
        let mut state = self.shelf.lock();
        let Some(made) = state.made.pop_front() else {
            if state.is_over {
                return Some(Made::End(InputEnd::default()));
            }
            state.hungry = true;
            return None;
        };
        if state.made.len() == AHEAD_MIN {
            self.shelf.room.notify_one();
        }
        Some(made)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shelf.lock().is_over = true;
        self.shelf.room.notify_one();
    }
}

/// What has been made and not yet taken. A channel would wake its sender for each place that becomes free, which costs
/// a switch of threads a job; here it sleeps until half of the shelf is empty.
struct Shelf {
    state: Mutex<State>,
    room: Condvar,
    wake: Arc<Waker>,
}

#[derive(Default)]
struct State {
    made: VecDeque<Made>,
    /// The engine found the shelf empty, and sleeps.
    hungry: bool,
    /// One of the two ends has gone.
    is_over: bool,
}

impl Shelf {
    /// Nobody can leave half-done work behind this lock: what it guards is one push, pop or flag.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The producer's end.
struct Filler(Arc<Shelf>);

impl Filler {
    /// Puts it onto the shelf, once there is room; false if nobody wants it any more.
    fn put(&self, made: Made) -> bool {
        let mut state = self.0.lock();
        if state.made.len() >= AHEAD_MAX {
            let is_full = |state: &mut State| state.made.len() > AHEAD_MIN && !state.is_over;
            state = self.0.room.wait_while(state, is_full).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_over {
            return false;
        }
        state.made.push_back(made);
        let hungry = std::mem::take(&mut state.hungry);
        drop(state);
        if hungry {
            self.0.wake.wake();
        }
        true
    }
}

impl Drop for Filler {
    /// Also if the thread panics: the engine must not wait for it for ever.
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.wake.wake();
    }
}

fn produce(plan: &RunPlan, mut jobs: JobStream, mut resume: Option<ResumeSet>, filler: &Filler) {
    let mut end = InputEnd::default();
    for made in jobs.by_ref() {
        let made = match made {
            Ok(args) => {
                end.jobs += 1;
                if let Some(set) = &mut resume
                    && is_done(plan, &args, end.jobs, set)
                {
                    end.skipped += 1;
                    continue;
                }
                Made::Job(end.jobs, args)
            }
            Err(error) => Made::Failed(CliError::new(error.message)),
        };
        let failed = matches!(made, Made::Failed(_));
        // The other end is gone when the run was stopped: then nobody wants the rest.
        if !filler.put(made) || failed {
            return;
        }
    }
    end.unmatched = resume.as_ref().map_or(0, ResumeSet::unmatched);
    end.warnings = jobs.warnings();
    filler.put(Made::End(end));
}

/// Whether this job has its row already. Where the text depends on the slot, nobody knows the one that it had: each is
/// tried, for a job that has a row at its position.
fn is_done(plan: &RunPlan, args: &JobArgs, number: u64, set: &mut ResumeSet) -> bool {
    let slots = if plan.names_slot() { SLOTS_TRIED } else { 1 };
    set.may_skip(number)
        && (1..=slots).any(|slot| {
            let place = JobNumbers { job: number, slot, total: plan.total() };
            let rendered = plan.render(args, place);
            rendered.is_ok_and(|rendered| set.should_skip(number, rendered.text.as_bytes()))
        })
}
