//! What a run of this program tells the board: heard on the engine's thread, folded into the board's own news.
//!
//! Takes nothing for itself: the run's caller is told all the same.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Feed;
use super::news::{Ended, Facts, News};
use crate::api::{Finished, JobRef, RunNews, Tap};
use crate::view::history::{Attempt, AttemptEnd};
use crate::view::{JobRecord, Status};

/// A run, as the board knows it.
struct Watch {
    feed: Arc<Feed>,
    slots: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    has_begun: bool,
    /// The board's numbers of the jobs that run, by index: two runs of a program count from 1, each for itself.
    numbers: HashMap<u64, u64>,
}

/// Hears a run with so many slots for this board. Called before the run counts the descriptors that its jobs may have.
pub(crate) fn watch(feed: Arc<Feed>, slots: u32) -> Tap {
    feed.set_aside();
    let watch = Watch { feed, slots, state: Mutex::default() };
    Tap(Box::new(move |news| {
        watch.hear(news);
        false
    }))
}

impl Watch {
    fn hear(&self, news: &RunNews) {
        match news {
            RunNews::Started(job) => {
                self.begin();
                let number = self.number(job.index);
                let began = self.feed.began.elapsed();
                let (slot, pid, text) = (job.slot + 1, job.pid, name(job));
                self.feed.tell(News::Started { job: number, attempt: 1, slot, pid, began, text });
            }
            RunNews::Done(finished) => {
                self.begin();
                self.end(finished);
            }
            // Of runs that nobody looks at.
            RunNews::Results(_) => {}
            RunNews::Progress(..) | RunNews::Message(..) => {}
        }
    }

    /// With the first news the run is there, and has its slots.
    fn begin(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut state.has_begun, true) {
            return;
        }
        drop(state);
        let words: Vec<String> =
            std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        let cwd = std::env::current_dir().unwrap_or_default();
        self.feed.tell(News::Run(Box::new(Facts {
            run: std::process::id().to_string(),
            command: crate::board::visible(words.join(" ").as_bytes(), 240),
            cwd: crate::view::display::visible_path(&cwd),
            slots: self.slots,
            began_epoch: epoch_now() - self.feed.began.elapsed().as_secs_f64(),
            ..Facts::default()
        })));
    }

    fn number(&self, index: u64) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let next = || self.feed.jobs.fetch_add(1, Ordering::Relaxed) + 1;
        *state.numbers.entry(index).or_insert_with(next)
    }

    fn end(&self, finished: &Finished) {
        let number = self.number(finished.job.index);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).numbers.remove(&finished.job.index);
        let mut outcome = finished.outcome.clone();
        if let Some(refused) = &finished.request.refused {
            outcome.verdict = Err(refused.clone());
        }
        let status = Status::of(&outcome);
        let (at, slot) = (self.feed.began.elapsed(), finished.job.slot + 1);
        let wall = outcome.last.as_ref().map_or(Duration::ZERO, |last| last.wall);
        let end = match status {
            Status::Ok => AttemptEnd::Ok,
            Status::Failed => AttemptEnd::Failed,
            Status::Cancelled | Status::Skipped => AttemptEnd::Cut,
        };
        if outcome.last.is_some() {
            let began = at.saturating_sub(wall);
            let attempt = Attempt { job: number, slot, began, starting: Duration::ZERO, wall, end };
            self.feed.tell(News::Attempt(attempt));
        }
        let name = name(&finished.job);
        let record = JobRecord {
            job: number,
            outcome: &outcome,
            status,
            command: name.as_bytes(),
            argv: &[],
            inputs: &[],
            started_epoch: epoch_now() - wall.as_secs_f64(),
            slot,
            stdout_bytes: finished.output.stdout_bytes,
            stderr_bytes: finished.output.stderr_bytes,
            stderr_tail: &finished.output.stderr_tail,
        };
        self.feed.tell(News::Ended(Box::new(Ended::of(&record, at))));
    }
}

/// What people call a job: its label, else its place.
fn name(job: &JobRef) -> String {
    job.label()
        .map_or_else(|| format!("item {}", job.index()), |label| crate::board::visible(label.as_bytes(), 240))
}

fn epoch_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
