//! The common queue of the workers of `run_workers`: items that go to whichever worker asks next. Starts no worker.
//!
//! An item is pulled from its source when a worker has asked, on a thread of its own, so that neither a source that
//! blocks nor a slow reader of values holds up the others. What was pulled is with a worker, or comes back: a worker that
//! is tried again gets the item that it had in hand, and the failure of one that is not has it as its input.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use psmith_core::{Cause, JobId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::job::failure::{Failure, KeptInput};
use crate::job::mailbox::JobMailbox;
use crate::run::run_event::{RunEvent, Tap};
use crate::run::submitter::Submitter;
use crate::streams::context::{StreamMessage, WorkerId};
use psmith_engine::EngineError;
use psmith_engine::function::codec::CodecError;
use psmith_engine::function::described::Described;

/// Gives the next item, encoded.
type Source = Box<dyn FnMut() -> Option<Result<Vec<u8>, CodecError>> + Send>;

/// The host's end of the queue.
pub(crate) struct WorkerFeed {
    shared: Arc<FeedShared>,
    source: Option<Source>,
    decode: fn(&[u8]) -> Option<Box<dyn Any>>,
}

struct FeedShared {
    state: Mutex<FeedState>,
    changed: Condvar,
    /// How the request for an item begins: its last byte is the number of the attempt.
    next: Vec<u8>,
}

#[derive(Default)]
struct FeedState {
    /// The workers that wait for an item, in the order in which they asked.
    asks: VecDeque<usize>,
    workers: Vec<FedWorker>,
    /// Items that came back, for the next that ask.
    returned: VecDeque<Item>,
    /// Items that cannot be sent to a worker.
    unencodable: Vec<(usize, CodecError)>,
    /// True once the source has ended, or is not asked any more.
    is_exhausted: bool,
    is_closed: bool,
    panicked: Option<Box<dyn Any + Send>>,
    submitter: Option<Submitter>,
}

#[derive(Default)]
struct FedWorker {
    mailbox: Arc<JobMailbox>,
    /// The attempt that asked last.
    attempt: u32,
    in_hand: Option<Item>,
}

/// An item that was pulled.
pub(crate) struct Item {
    bytes: Arc<Vec<u8>>,
    /// The attempt that has it.
    attempt: u32,
    /// The number of attempts that had it.
    pub(crate) tries: u32,
}

impl WorkerFeed {
    pub(crate) fn new<A, I>(items: I, workers: u32) -> WorkerFeed
    where
        A: Serialize + DeserializeOwned + 'static,
        I: Iterator<Item = A> + Send + 'static,
    {
        let mut items = items;
        let source = move || {
            let item = items.next()?;
            let mut bytes = Vec::new();
            Some(Described::write(&item, &mut bytes).map(|()| bytes))
        };
        let mut next = Vec::new();
        // What cannot be written is never asked for.
        let _ = Described::write(&StreamMessage::<()>::Next(0), &mut next);
        next.pop();
        let state = FeedState {
            workers: (0..workers).map(|_| FedWorker::default()).collect(),
            ..FeedState::default()
        };
        WorkerFeed {
            shared: Arc::new(FeedShared { state: Mutex::new(state), changed: Condvar::new(), next }),
            source: Some(Box::new(source)),
            decode: |bytes| Described::read::<A>(bytes).ok().map(|item| Box::new(item) as Box<dyn Any>),
        }
    }

    /// The tap that takes the workers' requests for items.
    pub(crate) fn tap(&self) -> Tap {
        let shared = Arc::clone(&self.shared);
        Tap(Box::new(move |event| shared.on_event(event)))
    }

    /// Begins to give items.
    pub(crate) fn begin(&mut self, submitter: &Submitter) -> Result<(), EngineError> {
        self.shared.lock().submitter = Some(submitter.clone());
        let Some(source) = self.source.take() else { return Ok(()) };
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("psmith-feed".into());
        // Not joined: a source that blocks holds nothing up.
        thread.spawn(move || shared.give(source)).map(drop).map_err(EngineError::Kernel)
    }

    /// Makes the mailbox of a worker that is about to be started as the job of this number.
    pub(crate) fn mailbox(&self, id: WorkerId, number: JobId) -> Arc<JobMailbox> {
        let mailbox = Arc::new(JobMailbox::default());
        mailbox.set_number(number);
        self.shared.lock().workers[place(id)].mailbox = Arc::clone(&mailbox);
        mailbox
    }

    /// Notes that a worker has ended; returns the item that it had in hand.
    pub(crate) fn end(&self, id: WorkerId) -> Option<Item> {
        let mut state = self.shared.lock();
        state.asks.retain(|asks| *asks != place(id));
        let worker = &mut state.workers[place(id)];
        worker.mailbox.over();
        worker.in_hand.take()
    }

    /// Puts an item back, for the next worker that asks.
    pub(crate) fn put_back(&self, item: Item) {
        self.shared.lock().returned.push_front(item);
        self.shared.changed.notify_all();
    }

    /// Asks the source for no more items.
    pub(crate) fn stop(&self) {
        self.shared.lock().is_exhausted = true;
        self.shared.changed.notify_all();
    }

    /// True if there may be an item for another worker.
    pub(crate) fn may_have_more(&self) -> bool {
        let state = self.shared.lock();
        !state.is_exhausted || !state.returned.is_empty()
    }

    /// The input of a failure: the item that its worker had in hand.
    pub(crate) fn input(&self, item: &Item) -> KeptInput {
        KeptInput { bytes: Arc::clone(&item.bytes), decode: self.decode, described: true }
    }

    /// Returns the failures of items that no worker got: those that cannot be encoded and, at the end, those that came
    /// back too late.
    pub(crate) fn failures(&self, is_over: bool) -> Vec<(WorkerId, Failure)> {
        let mut state = self.shared.lock();
        let unencodable = std::mem::take(&mut state.unencodable);
        let mut failures: Vec<_> = unencodable
            .into_iter()
            .map(|(worker, error)| (worker, Failure::new(error.cause("its item"), worker as u64)))
            .collect();
        if is_over {
            for item in std::mem::take(&mut state.returned) {
                let mut failure = Failure::new(Cause::Cancelled, 0);
                failure.input = Some(self.input(&item));
                failures.push((0, failure));
            }
        }
        failures.into_iter().map(|(worker, failure)| (WorkerId(worker as u32 + 1), failure)).collect()
    }

    /// Takes the panic of the source, for the caller's own thread.
    pub(crate) fn panicked(&self) -> Option<Box<dyn Any + Send>> {
        self.shared.lock().panicked.take()
    }
}

impl Drop for WorkerFeed {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_closed = true;
        // It knows the run, which knows the tap, which knows this.
        state.submitter = None;
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl fmt::Debug for WorkerFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkerFeed")
    }
}

fn place(id: WorkerId) -> usize {
    id.0 as usize - 1
}

impl FeedShared {
    fn lock(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event that is a worker's request for an item; on the engine's thread.
    fn on_event(&self, event: &RunEvent) -> bool {
        let RunEvent::Message(job, bytes, body) = event else { return false };
        if !bytes[*body..].starts_with(&self.next) {
            return false;
        }
        let Ok(StreamMessage::<()>::Next(attempt)) = Described::read(&bytes[*body..]) else { return false };
        let mut state = self.lock();
        let worker = job.index as usize;
        let Some(fed) = state.workers.get_mut(worker) else { return true };
        fed.attempt = attempt;
        match &mut fed.in_hand {
            // The attempt that had it has died: this one is given the same, unless it still waits for it.
            Some(item) if item.attempt != attempt => {
                item.attempt = attempt;
                item.tries += 1;
                if !fed.mailbox.has_waiting() {
                    let sent = fed.mailbox.push(item.bytes.to_vec(), Some(Instant::now()));
                    state.notify(sent.ok().flatten());
                }
                return true;
            }
            // It asks for the next, and so has done this one.
            in_hand => *in_hand = None,
        }
        if !state.asks.contains(&worker) {
            state.asks.push_back(worker);
        }
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Gives items to workers that ask, until the feed is closed; on a thread of its own.
    fn give(&self, mut source: Source) {
        let mut state = self.lock();
        while !state.is_closed {
            if state.asks.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // From the moment at which the run is ended its source is not asked again.
            state.is_exhausted |= state.submitter.as_ref().is_none_or(Submitter::is_ended);
            if state.returned.is_empty() && !state.is_exhausted {
                drop(state);
                let pulled = catch_unwind(AssertUnwindSafe(&mut source));
                state = self.lock();
                match pulled {
                    Ok(Some(Ok(bytes))) => {
                        state.returned.push_back(Item { bytes: Arc::new(bytes), attempt: 0, tries: 0 });
                    }
                    Ok(Some(Err(error))) => {
                        let worker = state.asks.front().copied().unwrap_or_default();
                        state.unencodable.push((worker, error));
                    }
                    Ok(None) => state.is_exhausted = true,
                    Err(payload) => {
                        state.is_exhausted = true;
                        state.panicked = Some(payload);
                    }
                }
                continue;
            }
            state.give_one();
        }
    }
}

impl FeedState {
    /// Gives the worker that asked first an item that is there, or the end of all.
    fn give_one(&mut self) {
        let Some(worker) = self.asks.pop_front() else { return };
        let fed = &mut self.workers[worker];
        let listener = match self.returned.pop_front() {
            None => fed.mailbox.end(),
            Some(mut item) => match fed.mailbox.push(item.bytes.to_vec(), Some(Instant::now())) {
                Ok(listener) => {
                    item.attempt = fed.attempt;
                    item.tries += 1;
                    fed.in_hand = Some(item);
                    listener
                }
                // It has ended meanwhile.
                Err(_) => return self.returned.push_front(item),
            },
        };
        self.notify(listener);
    }

    fn notify(&self, listener: Option<JobId>) {
        if let (Some(job), Some(submitter)) = (listener, &self.submitter) {
            submitter.has_messages(job);
        }
    }
}
