//! A number of workers that each run one function and send values: one stream of all of them.
//!
//! Each worker is a job with a process of its own. This module adds the merging, and the way to a board; it paints
//! nothing.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use psmith_core::JobId;
use psmith_core::outcome::Cause;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::job::callee::Callee;
use crate::job::failure::Failure;
use crate::job::job::Request;
use crate::job::retry::Retry;
use crate::map::hooks::HookAnswer;
use crate::run::decode::decode_outcome;
use crate::run::face;
use crate::run::options::{OnError, Options};
use crate::run::run::Run;
use crate::run::run_event::{RunEvent, Tap, Wants};
use crate::run::settings::settings;
use crate::run::submitter::Submitter;
use crate::streams::context::{Brief, ByBrief, StreamMessage, WorkerCx, WorkerId};
use crate::streams::feed::WorkerFeed;
use psmith_engine::EngineError;
use psmith_engine::function::codec::{Codec, CodecError};
use psmith_engine::function::described::Described;
use psmith_engine::function::job_function::JobFunction;
use psmith_engine::worker::panics;

/// Runs `f` in `n` worker processes at once and gives the values that they send, each with its worker's number.
///
/// Nothing runs before the iterator is asked for the first time. The values of one worker come in the order in which it
/// sent them; those of several as they come. A worker that fails gives its [`Failure`] as its last item, and the others
/// go on; one that returns just ends. The iterator ends when the last worker's process is gone. Dropping it ends all.
///
/// `f` is a plain function, or a closure that captures nothing and names the type of its argument; it returns nothing, or
/// a `Result` whose error is the worker's failure. `Workers::with_status` (feature `board`) gives each worker a row on a
/// board. A worker that takes part in no order with the
/// others may read its share of the work from what [`Workers::input`] names, under a [`Lock`](crate::Lock).
///
/// Defaults: `n` workers, a process for each job, output passed on line by line, and the others go on after a failure.
/// Of [`Options`] it does not serve `workers`, `window`, `isolation`, `logger`.
///
/// A worker that was lost with its warden, through no fault of its own, is started again from the beginning
/// ([`Cx::attempt`](crate::Cx::attempt)); what it had sent has been handed out.
///
/// ```
/// # psmith::init();
/// # // proves: streams-of-values
/// use psmith::{WorkerCx, WorkerId, run_workers};
///
/// let count = |cx: WorkerCx<u32>| (1..=3).try_for_each(|n| cx.send(10 * cx.id().0 + n));
/// let mut sent = Vec::new();
/// for (id, value) in run_workers(2, count) {
///     if id == WorkerId(2) {
///         sent.push(value.unwrap());
///     }
/// }
/// assert_eq!(sent, [21, 22, 23]);
/// ```
pub fn run_workers<T, O>(n: u32, f: fn(WorkerCx<T>) -> O) -> Workers<T>
where
    T: Serialize + DeserializeOwned + 'static,
    O: HookAnswer + 'static,
{
    let mut input = Vec::new();
    // `()` is the input of workers that are given none.
    let refused = Described::encode(&(), &mut input).err();
    Workers {
        n,
        options: Options::of(face::run_workers(n)),
        callee: Arc::new(Callee::new::<_, ByBrief>(WorkerBody(f), None)),
        tap: None,
        feed: None,
        submitter: None,
        begun: 0,
        on_engine_error: None,
        input,
        refused,
        stage: WorkersStage::Before,
        left: (1..=n).map(WorkerId).collect(),
        ready: VecDeque::new(),
        is_shown: false,
        frame_bytes_max: 0,
        gives: PhantomData,
    }
}

/// A function that is called with psmith's own error, if it fails before the workers have ended.
pub(crate) struct OnEngineError(pub(crate) Box<dyn Fn(&EngineError) + Send + Sync>);

impl std::fmt::Debug for OnEngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnEngineError")
    }
}

/// The body of a worker.
struct WorkerBody<T, O>(fn(WorkerCx<T>) -> O);

impl<T, O> Clone for WorkerBody<T, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, O> Copy for WorkerBody<T, O> {}

impl<T, O> JobFunction for WorkerBody<T, O>
where
    T: Serialize + DeserializeOwned + 'static,
    O: HookAnswer + 'static,
{
    type Input = Brief;
    type Value = ();
    type Error = String;
    type Pointer = fn(WorkerCx<T>) -> O;

    fn pointer(self) -> fn(WorkerCx<T>) -> O {
        self.0
    }

    fn of(pointer: fn(WorkerCx<T>) -> O) -> Self {
        WorkerBody(pointer)
    }

    fn call(self, brief: Brief) -> Result<(), String> {
        self.0(WorkerCx::new(brief)).into_answer()
    }
}

/// The values of all workers and, before the first is asked for, their settings; see [`run_workers`].
#[must_use = "nothing runs before it is iterated over"]
#[derive(Debug)]
pub struct Workers<T> {
    n: u32,
    options: Options,
    callee: Arc<Callee>,
    /// Sees all events first.
    tap: Option<Tap>,
    feed: Option<WorkerFeed>,
    /// Hands in workers in place of those that died with an item in hand; `None` once no more are.
    submitter: Option<Submitter>,
    /// The number of workers that were handed in.
    begun: u64,
    on_engine_error: Option<OnEngineError>,
    input: Vec<u8>,
    /// The error of an input that cannot be encoded.
    refused: Option<CodecError>,
    stage: WorkersStage,
    /// The workers that have not ended.
    left: Vec<WorkerId>,
    /// Failures that wait to be handed out.
    ready: VecDeque<(WorkerId, Failure)>,
    is_shown: bool,
    frame_bytes_max: u64,
    gives: PhantomData<fn() -> T>,
}

#[derive(Debug)]
enum WorkersStage {
    Before,
    Running(Run),
    Over,
}

impl<T> Workers<T> {
    /// Gives each worker this value: [`WorkerCx::input`]. One that cannot be encoded is the failure of all.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    ///
    /// let greet = |cx: WorkerCx<String>| -> Result<(), String> {
    ///     let name: String = cx.input().map_err(|error| error.to_string())?;
    ///     cx.send(format!("{name} {}", cx.id())).map_err(|error| error.to_string())
    /// };
    /// let (_, greeting) = run_workers(1, greet).input("worker".to_owned()).next().unwrap();
    /// assert_eq!(greeting.unwrap(), "worker 1");
    /// ```
    pub fn input<A: Serialize + DeserializeOwned + 'static>(mut self, input: A) -> Self {
        self.input.clear();
        let encoded = catch_unwind(AssertUnwindSafe(|| Described::encode(&input, &mut self.input)));
        self.refused =
            encoded.unwrap_or_else(|payload| Err(CodecError::new(panics::message(payload.as_ref())))).err();
        self
    }

    /// Gives each worker a row on a board, from this call on.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::board::{Board, WithStatus};
    /// use psmith::{WorkerCx, run_workers};
    ///
    /// let board = Board::auto(std::io::stderr());
    /// let work = |cx: WorkerCx<u64>| {
    ///     cx.row().set_summary("counting");
    ///     (0..5).try_for_each(|n| cx.send(n))
    /// };
    /// let rows = WithStatus::on(&board).prefix(|id| format!("counter {id}: "));
    /// let sum: u64 = run_workers(3, work).with_status(rows).map(|(_, value)| value.unwrap()).sum();
    /// assert_eq!(sum, 30);
    /// board.shutdown();
    /// ```
    #[cfg(feature = "board")]
    pub fn with_status(mut self, rows: crate::streams::rows::WithStatus<'_>) -> Self {
        let (tap, on_engine_error) = rows.observers(self.n);
        (self.tap, self.on_engine_error) = (Some(tap), Some(on_engine_error));
        self
    }

    /// Gives the workers a common queue of items: each goes to the worker that asks next ([`WorkerCx::next`]), in the order
    /// of the items and of the requests. An item is taken from its iterator when a worker has asked, on a thread of
    /// psmith's; the iterator may block. The run ends when the queue has ended and all workers have returned.
    ///
    /// A worker that dies with an item in hand is tried again with the same item, as
    /// [`retry`](Workers::retry) says. Without a try left it is a failure that has the item as its
    /// [`input`](crate::Failure::input), and another process takes the worker's place for the items that follow.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    /// let parse = |mut cx: WorkerCx<u32>| {
    ///     while let Some(text) = cx.next::<String>() {
    ///         cx.send(text.parse().unwrap()).unwrap();
    ///     }
    /// };
    /// let texts = ["1", "two", "3"].map(str::to_owned);
    /// let (good, bad): (Vec<_>, Vec<_>) = run_workers(1, parse).feed(texts).partition(|(_, end)| end.is_ok());
    /// assert_eq!(good.into_iter().map(|(_, n)| n.unwrap()).collect::<Vec<_>>(), [1, 3]);
    /// assert_eq!(bad[0].1.as_ref().unwrap_err().input::<String>().as_deref(), Some("two"));
    /// ```
    ///
    /// # Panics
    /// When the stream ends, if the iterator has panicked: with its panic.
    pub fn feed<A, I>(mut self, items: I) -> Self
    where
        A: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
        I::IntoIter: Send + 'static,
    {
        self.feed = Some(WorkerFeed::new(items.into_iter(), self.n));
        self
    }

    settings!(options);

    fn begin(&mut self) -> Result<Run, EngineError> {
        let is_shown = self.tap.is_some();
        let wants = Wants { messages: true, total: Some(self.n.into()), ..Wants::default() };
        let taps = self.tap.take().into_iter().chain(self.feed.as_ref().map(WorkerFeed::tap)).collect();
        let (run, submitter) = Run::begin_tapped(&self.options, self.n, wants, taps)?;
        (self.is_shown, self.frame_bytes_max) = (is_shown, run.frame_bytes_max());
        if let Some(feed) = &mut self.feed {
            feed.begin(&submitter)?;
        }
        self.submitter = Some(submitter);
        (1..=self.n).map(WorkerId).for_each(|id| self.hand_in(id));
        self.close_if_done();
        Ok(run)
    }

    /// Hands a worker in, the first of its number or one in place of another.
    fn hand_in(&mut self, id: WorkerId) {
        let Some(submitter) = &self.submitter else { return };
        let brief =
            Brief { id, is_shown: self.is_shown, is_fed: self.feed.is_some(), input: self.input.clone() };
        let mut request = Request::new::<Brief, ByBrief>(&self.callee, &brief, self.frame_bytes_max);
        if let Some(error) = &self.refused {
            request.refused = Some(Cause::Undecodable(format!("its input: {error}")));
        }
        request.label = Some(format!("worker {id}"));
        request.index = Some(u64::from(id.0) - 1);
        self.begun += 1;
        request.mailbox = self.feed.as_ref().map(|feed| feed.mailbox(id, JobId(self.begun)));
        submitter.submit(request);
    }

    /// Closes the run when no worker will be handed in any more.
    fn close_if_done(&mut self) {
        if (self.feed.is_none() || self.left.is_empty())
            && let Some(submitter) = self.submitter.take()
        {
            submitter.close();
        }
    }

    /// Handles the end of a worker; returns its failure, if that is to be told.
    fn end(&mut self, id: WorkerId, ended: Result<(), Failure>) -> Option<Failure> {
        self.left.retain(|left| *left != id);
        let Some(feed) = &self.feed else { return ended.err() };
        let in_hand = feed.end(id);
        self.ready.extend(feed.failures(false));
        let mut told = ended.err();
        let is_ended = matches!(&self.stage, WorkersStage::Running(run) if run.is_ended());
        let goes_on = !is_ended && self.options.after_error() == OnError::Continue;
        if told.is_some() && !goes_on {
            feed.stop();
        }
        if let (Some(failure), Some(item)) = (&mut told, in_hand) {
            let tries = self.options.retry.as_ref().map_or(1, Retry::number);
            if goes_on && failure.attempts >= tries && item.tries < tries && !failure.quarantined {
                // The tries were spent on items before this one, which has some left.
                feed.put_back(item);
                told = None;
            } else {
                failure.input = Some(feed.input(&item));
            }
            if goes_on && feed.may_have_more() {
                self.left.push(id);
                self.hand_in(id);
            }
        }
        self.close_if_done();
        told
    }

    /// Ends all workers that have not ended as failures, for an error of psmith's own.
    fn give_up(&mut self, error: &Arc<EngineError>) {
        if let Some(OnEngineError(report)) = &self.on_engine_error {
            report(error);
        }
        for id in std::mem::take(&mut self.left) {
            self.ready.push_back((id, Failure::ours(Arc::clone(error), u64::from(id.0) - 1)));
        }
        self.stage = WorkersStage::Over;
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Iterator for Workers<T> {
    type Item = (WorkerId, Result<T, Failure>);

    fn next(&mut self) -> Option<(WorkerId, Result<T, Failure>)> {
        loop {
            if let Some((id, failure)) = self.ready.pop_front() {
                return Some((id, Err(failure)));
            }
            let run = match &mut self.stage {
                WorkersStage::Over => return None,
                WorkersStage::Running(run) => run,
                WorkersStage::Before if self.n == 0 => {
                    self.stage = WorkersStage::Over;
                    continue;
                }
                WorkersStage::Before => {
                    match self.begin() {
                        Ok(run) => self.stage = WorkersStage::Running(run),
                        Err(error) => self.give_up(&Arc::new(error)),
                    }
                    continue;
                }
            };
            match run.next() {
                Err(error) => self.give_up(&error),
                // Dropped here, it has ended: nothing is waited for.
                Ok(None) => {
                    self.stage = WorkersStage::Over;
                    let Some(feed) = &self.feed else { continue };
                    self.ready.extend(feed.failures(true));
                    if let Some(payload) = feed.panicked() {
                        resume_unwind(payload);
                    }
                }
                Ok(Some(RunEvent::Message(job, bytes, body))) => {
                    let id = id_of(job.index);
                    match decode_message::<T>(&bytes[body..]) {
                        Ok(StreamMessage::Value(value)) => return Some((id, Ok(value))),
                        Ok(StreamMessage::Row(_) | StreamMessage::Next(_)) => {}
                        Err(error) => {
                            let cause = Cause::Undecodable(format!("its message: {error}"));
                            let mut failure = Failure::new(cause, job.index);
                            failure.label = job.label;
                            return Some((id, Err(failure)));
                        }
                    }
                }
                Ok(Some(RunEvent::Done(finished))) => {
                    let id = id_of(finished.job.index);
                    let decode = <ByBrief as Codec<()>>::decode;
                    let ended = decode_outcome(*finished, self.options.output, decode);
                    if let Some(failure) = self.end(id, ended) {
                        return Some((id, Err(failure)));
                    }
                }
                Ok(Some(
                    RunEvent::Started(_)
                    | RunEvent::SlotFreed
                    | RunEvent::Progress(..)
                    | RunEvent::Results(_),
                )) => {}
            }
        }
    }
}

/// The worker whose job has this index.
pub(crate) fn id_of(index: u64) -> WorkerId {
    // There were never more of them than fit.
    WorkerId(u32::try_from(index + 1).unwrap_or(u32::MAX))
}

/// Decodes a message. A type whose decoding panics costs its own value, and no other.
fn decode_message<T: Serialize + DeserializeOwned + 'static>(
    bytes: &[u8],
) -> Result<StreamMessage<T>, CodecError> {
    catch_unwind(AssertUnwindSafe(|| Described::decode(bytes))).unwrap_or_else(|payload| {
        Err(CodecError::new(format!("its decoding panicked: {}", panics::message(payload.as_ref()))))
    })
}
