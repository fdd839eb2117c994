//! The producer: the one thread that reads the input, which may block on a terminal, a pipe or a slow disk.
//!
//! It runs ahead of the engine by a bounded number of jobs and wakes it only when it is waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use psmith::sys::eventfd::Waker;

use crate::error::CliError;
use crate::input::{JobArgs, Jobs};
use crate::plan::{Place, Plan};
use crate::record::resume::ResumeSet;

/// Jobs read ahead of the engine.
const AHEAD_MAX: usize = 512;

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
    made: Receiver<Made>,
    hungry: Arc<AtomicBool>,
}

impl Producer {
    pub(super) fn start(
        plan: Arc<Plan>,
        jobs: Jobs,
        resume: Option<ResumeSet>,
        wake: Arc<Waker>,
    ) -> std::io::Result<Producer> {
        let (sender, made) = sync_channel(AHEAD_MAX);
        let hungry = Arc::new(AtomicBool::new(false));
        let bell = Bell { hungry: Arc::clone(&hungry), wake };
        std::thread::Builder::new()
            .name("psmith-producer".into())
            .spawn(move || produce(&plan, jobs, resume, &sender, &bell))?;
        Ok(Producer { made, hungry })
    }

    /// The next job, if there is one; otherwise a wake-up follows.
    pub(super) fn next(&self) -> Option<Made> {
        match self.made.try_recv() {
            Ok(made) => Some(made),
            Err(TryRecvError::Disconnected) => Some(Made::End(InputEnd::default())),
            Err(TryRecvError::Empty) => {
                self.hungry.store(true, Ordering::SeqCst);
                // It may have made something between the look and the flag; then nobody would ring.
                self.made.try_recv().ok()
            }
        }
    }
}

/// Rings only for somebody who waits.
struct Bell {
    hungry: Arc<AtomicBool>,
    wake: Arc<Waker>,
}

impl Bell {
    fn ring(&self) {
        if self.hungry.swap(false, Ordering::SeqCst) {
            self.wake.wake();
        }
    }
}

fn produce(
    plan: &Plan,
    mut jobs: Jobs,
    mut resume: Option<ResumeSet>,
    sender: &SyncSender<Made>,
    bell: &Bell,
) {
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
        if sender.send(made).is_err() || failed {
            return bell.ring();
        }
        bell.ring();
    }
    end.unmatched = resume.as_ref().map_or(0, ResumeSet::unmatched);
    end.warnings = jobs.warnings();
    let _ = sender.send(Made::End(end));
    bell.ring();
}

/// Whether a job of this text has its row already. The slot of a job that has not run is not known; its text is
/// that of the first.
fn is_done(plan: &Plan, args: &JobArgs, number: u64, set: &mut ResumeSet) -> bool {
    let place = Place { job: number, slot: 1, total: plan.total() };
    plan.render(args, place).is_ok_and(|rendered| set.should_skip(rendered.text.as_bytes()))
}
