//! What the caller's side and the engine's share, behind one lock that is held for a few moves only.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use psmith_core::JobId;
use psmith_sys::barrier;
use psmith_sys::eventfd::Waker;

use super::{Finished, NEWS_MAX, News, Tap};
use crate::api::incoming::Incoming;
use crate::api::inputs::Inputs;
use crate::api::job::Request;
use crate::api::lead::Lead;
use crate::api::onlooker::{Ended as JobEnded, Onlooker, Sight};
use crate::api::standstill::{Standstill, Still};
use crate::condition::Condition;
use crate::engine::EngineError;
use crate::engine::handler::Order;

/// What both sides share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) state: Mutex<State>,
    pub(in crate::api) told: Condition,
    pub(super) taps: Vec<Tap>,
    pub(super) onlookers: Vec<Box<dyn Onlooker>>,
    /// No more jobs are begun: somebody has ended the run. Asked for with each job.
    pub(super) ended: AtomicBool,
    /// The engine has workers without jobs, and wants to hear of the next.
    pub(super) hungry: AtomicBool,
    /// So many short jobs should be on their way, for workers to have enough to do; 0: no matter.
    pub(in crate::api) wanted: AtomicU64,
    pub(in crate::api) waker: Waker,
    pub(super) lead: Lead,
}

#[derive(Debug, Default)]
pub(in crate::api) struct State {
    pub(in crate::api) incoming: Incoming,
    /// The engine got the last job that it asked for, and will ask again by itself.
    pub(in crate::api) fed: bool,
    /// No more jobs will come.
    pub(in crate::api) closed: bool,
    pub(in crate::api) orders: Vec<Order>,
    /// What to stand still for, when that is ordered.
    pub(in crate::api) standstill: Option<Arc<Standstill>>,
    pub(in crate::api) still: Still,
    /// Jobs that listen and were sent something.
    pub(in crate::api) mail: Vec<JobId>,
    pub(in crate::api) news: VecDeque<News>,
    /// So many of them are a job's words while it runs.
    said: usize,
    /// A caller drives the engine and hears the news himself.
    pub(super) is_led: bool,
    pub(in crate::api) first: First,
    /// The engine has ended, and how.
    pub(in crate::api) over: Option<Result<(), Arc<EngineError>>>,
}

/// What happened first that may end a run early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct First {
    /// The job whose value was judged to be enough.
    pub(crate) decided: Option<JobId>,
    /// The job that failed.
    pub(crate) failed: Option<JobId>,
    /// So many jobs crashed in a row and broke the circuit.
    pub(crate) broken: Option<u32>,
}

impl State {
    /// The outcomes of jobs that nobody will begin; gives whether there were any.
    pub(super) fn end_incoming(&mut self) -> bool {
        let before = self.news.len();
        loop {
            let index = self.incoming.index();
            let Some(next) = self.incoming.next() else { return self.news.len() > before };
            for (index, request) in (index..).zip(next.requests()) {
                let finished = Finished::unstarted(index, request, self.first);
                self.news.push_back(News::Done(Box::new(finished)));
            }
        }
    }
}

impl Shared {
    pub(in crate::api) fn new(taps: Vec<Tap>, onlookers: Vec<Box<dyn Onlooker>>) -> io::Result<Shared> {
        Ok(Shared {
            state: Mutex::default(),
            told: Condition::default(),
            taps,
            onlookers,
            ended: AtomicBool::new(false),
            hungry: AtomicBool::new(false),
            wanted: AtomicU64::new(0),
            waker: Waker::new()?,
            lead: Lead::default(),
        })
    }

    pub(in crate::api) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the engine take what is added to these.
    pub(super) fn take_from(&self, inputs: &Arc<Inputs>) {
        self.lock().incoming.push_all(Arc::clone(inputs));
    }

    /// Nobody begins what was handed in after the engine's end: that is told here.
    pub(super) fn end_if_over(&self) {
        let mut state = self.lock();
        let ended = matches!(state.over, Some(Ok(()))) && state.end_incoming();
        drop(state);
        if ended {
            self.told.tell();
        }
    }

    /// The engine has workers without jobs: whoever hands in the next one wakes it. What was handed in before is seen by
    /// the caller from now on.
    pub(in crate::api) fn on_hunger(&self) {
        // One that was hungry before has waited, and who has handed in something since is about to wake it.
        if !self.hungry.swap(true, Ordering::SeqCst) && barrier::is_registered() {
            // Without it a job could be handed in unseen by somebody who does not see the hunger yet.
            let _ = barrier::pass_all();
        }
    }

    /// There was something to do after all.
    pub(in crate::api) fn on_food(&self) {
        self.hungry.store(false, Ordering::SeqCst);
    }

    pub(super) fn order(&self, order: Order) {
        self.lock().orders.push(order);
        self.wake();
    }

    /// Asks the engine where this process stands. Nobody hears it once that has ended.
    #[cfg(feature = "stacks")]
    pub(crate) fn look(&self, pid: u32, looker: crate::engine::handler::Looker) {
        let mut state = self.lock();
        if state.over.is_none() {
            state.orders.push(Order::Look(pid, looker));
            drop(state);
            self.waker.wake();
        }
    }

    /// Ends the run, from outside: by a drain, a stop or a kill.
    pub(crate) fn end(&self, how: Order) {
        self.ended.store(true, Ordering::Relaxed);
        self.order(how);
    }

    /// The next job that is handed in. Once the engine has ended there is nobody to begin it, and it has its outcome.
    pub(super) fn count_in(&self) -> Result<MutexGuard<'_, State>, u64> {
        let mut state = self.lock();
        match state.over {
            Some(Ok(())) => Err(state.incoming.skip()),
            Some(Err(_)) | None => Ok(state),
        }
    }

    pub(super) fn tell_unstarted(&self, index: u64, request: Request) {
        let first = self.lock().first;
        let finished = Box::new(Finished::unstarted(index, request, first));
        let Finished { job, outcome, output, .. } = &*finished;
        self.show(|| Sight::Ended(JobEnded { job, outcome, refused: None, output }));
        self.tell(News::Done(finished));
    }

    /// The circuit is broken: nobody needs more jobs.
    pub(in crate::api) fn on_broken(&self, jobs: u32) {
        self.lock().first.broken = Some(jobs);
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Shows something to those who look on.
    pub(in crate::api) fn show<'a>(&self, sight: impl Fn() -> Sight<'a>) {
        self.onlookers.iter().for_each(|onlooker| onlooker.see(sight()));
    }

    /// Tells the caller.
    pub(in crate::api) fn tell(&self, news: News) {
        // Each hears all of them.
        let takers = self.taps.iter().filter(|tap| tap.0(&news)).count();
        if takers > 0 {
            return;
        }
        if matches!(news, News::Done(_)) {
            self.lead.on_end();
        }
        let mut state = self.lock();
        state.said += usize::from(news.is_said());
        state.news.push_back(news);
        let is_led = state.is_led;
        drop(state);
        if !is_led {
            self.told.tell();
        }
    }

    /// Wakes whoever drives.
    pub(super) fn wake(&self) {
        self.waker.wake();
        self.see_to_driver();
    }

    /// The same for a job: an engine that is fed looks for the next by itself.
    pub(super) fn wake_for_job(&self) {
        if !self.lock().fed {
            self.waker.wake();
        }
        self.see_to_driver();
    }

    pub(super) fn see_to_driver(&self) {
        if self.lead.is_free() {
            self.lead.call_back();
        }
    }

    /// Whether jobs may go on talking. Outcomes do not count: a caller who takes none until later jobs are done, as far
    /// as the window allows, gets these.
    pub(in crate::api) fn has_room_for_words(&self) -> bool {
        self.lock().said < NEWS_MAX
    }

    /// The next news, if there are any now, and they are to be taken.
    pub(super) fn take_news_if(&self, takes: impl Fn(&News) -> bool) -> Option<News> {
        let mut state = self.lock();
        if !state.news.front().is_some_and(takes) {
            return None;
        }
        let news = state.news.pop_front();
        let is_said = news.as_ref().is_some_and(News::is_said);
        let was_full = is_said && state.said == NEWS_MAX;
        state.said -= usize::from(is_said);
        drop(state);
        if was_full {
            // Workers may wait for this.
            self.wake();
        }
        news
    }
}
