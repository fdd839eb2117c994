//! Events of a run of this program for the web board: received on the engine's thread, translated into the board's own
//! events. Never waits for a browser.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::observe::observer::{FinishedJob, Observer, ObserverEvent};
use crate::observe::terminal::title;
use psmith_report::history::{AttemptEnd, EndedAttempt};
use psmith_report::web::{Feed, JobEnded, RunFacts, WebEvent};
use psmith_report::{JobRecord, Status};

/// A run, as the board knows it.
#[derive(Debug)]
struct WebObserver {
    feed: Arc<Feed>,
    slots: u32,
    total: Option<u64>,
    state: Mutex<WebRunState>,
}

#[derive(Debug, Default)]
struct WebRunState {
    has_begun: bool,
    /// The jobs that are not over, by index.
    jobs: HashMap<u64, WebJob>,
}

/// A job that is not over.
#[derive(Clone, Copy, Debug)]
struct WebJob {
    /// The number on the board: two runs of a program each count from 1.
    number: u64,
    /// The slot of its running attempt, and when that began.
    running: Option<(u32, Duration)>,
    /// The progress that it has reported, which may come before the event of its start.
    progress: Option<(u64, u64)>,
}

/// Makes the observer of a run with this many slots, for this board. Called before the run counts the descriptors that
/// its jobs may have.
pub(crate) fn observe_web(feed: Arc<Feed>, slots: u32, total: Option<u64>) -> Box<dyn Observer> {
    feed.set_aside();
    Box::new(WebObserver { feed, slots, total, state: Mutex::default() })
}

impl Observer for WebObserver {
    fn on_event(&self, event: ObserverEvent<'_>) {
        self.begin();
        match event {
            ObserverEvent::Began(job, attempt) => {
                let began = self.feed.elapsed();
                let slot = job.slot + 1;
                let WebJob { number, progress, .. } =
                    self.job(job.index, |job| job.running = Some((slot, began)));
                let (pid, text) = (job.pid, title(job));
                self.feed.send(WebEvent::Started { job: number, attempt, slot, pid, began, text });
                if let Some((done, target)) = progress {
                    self.feed.send(WebEvent::Progress { job: number, done, target });
                }
            }
            ObserverEvent::Wrote(index, bytes) => {
                if let Some(bytes) = self.feed.take_output(bytes) {
                    let job = self.job(index, |_| {}).number;
                    self.feed.send(WebEvent::Output { job, bytes });
                }
            }
            ObserverEvent::Retried(index) => {
                let job = self.job(index, |_| {});
                self.job(index, |job| (job.running, job.progress) = (None, None));
                self.over(job, AttemptEnd::Retried);
            }
            ObserverEvent::Ended(ended) => self.end(&ended),
            ObserverEvent::Progressed(index, done, target) => {
                let job = self.job(index, |job| job.progress = Some((done, target))).number;
                self.feed.send(WebEvent::Progress { job, done, target });
            }
        }
    }
}

impl WebObserver {
    /// Reports the run and its slots to the board, at the first event.
    fn begin(&self) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.has_begun, true) {
            return;
        }
        drop(state);
        let words: Vec<String> =
            std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        let cwd = std::env::current_dir().unwrap_or_default();
        self.feed.send(WebEvent::Run(Box::new(RunFacts {
            run: std::process::id().to_string(),
            command: psmith_board::visible(words.join(" ").as_bytes(), 240),
            cwd: psmith_report::display::visible_path(&cwd),
            slots: self.slots,
            total: self.feed.add_total(self.total),
            began_epoch: epoch_now() - self.feed.elapsed().as_secs_f64(),
            ..RunFacts::default()
        })));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, WebRunState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the job with this index; returns it.
    fn job(&self, index: u64, change: impl FnOnce(&mut WebJob)) -> WebJob {
        let mut state = self.lock();
        let next = || WebJob { number: self.feed.next_job(), running: None, progress: None };
        let job = state.jobs.entry(index).or_insert_with(next);
        change(job);
        *job
    }

    /// Reports the end of an attempt.
    fn over(&self, job: WebJob, end: AttemptEnd) {
        if let Some((slot, began)) = job.running {
            let wall = self.feed.elapsed().saturating_sub(began);
            let starting = Duration::ZERO;
            self.feed.send(WebEvent::Attempt(EndedAttempt {
                job: job.number,
                slot,
                began,
                starting,
                wall,
                end,
            }));
        }
    }

    fn end(&self, ended: &FinishedJob<'_>) {
        let job = self.job(ended.job.index, |_| {});
        self.lock().jobs.remove(&ended.job.index);
        let mut outcome = ended.outcome.clone();
        if let Some(refused) = ended.refused {
            outcome.verdict = Err(refused.clone());
        }
        let status = Status::of(&outcome);
        self.over(
            job,
            match status {
                Status::Ok => AttemptEnd::Ok,
                Status::Failed => AttemptEnd::Failed,
                Status::Cancelled | Status::Skipped => AttemptEnd::Cut,
            },
        );
        let wall = outcome.last.as_ref().map_or(Duration::ZERO, |last| last.wall);
        let name = title(ended.job);
        let record = JobRecord {
            job: job.number,
            outcome: &outcome,
            status,
            command: name.as_bytes(),
            argv: &[],
            inputs: &[],
            started_epoch: epoch_now() - wall.as_secs_f64(),
            slot: ended.job.slot + 1,
            stdout_bytes: ended.output.stdout_bytes,
            stderr_bytes: ended.output.stderr_bytes,
            stderr_tail: &ended.output.stderr_tail,
        };
        self.feed.send(WebEvent::Ended(Box::new(JobEnded::of(&record, self.feed.elapsed()))));
    }
}

fn epoch_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
