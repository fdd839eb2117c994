//! The context of a worker of `run_workers`, and the form in which its values and rows travel.
//!
//! Runs in the worker. Knows neither the board nor the iterator at the other end.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use psmith_core::board::RowStatus;
use serde::de::DeserializeOwned;
#[cfg(feature = "board")]
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
#[cfg(feature = "board")]
use serde::{Deserializer, Serializer};

use psmith_engine::function::codec::{Codec, CodecError};
use psmith_engine::function::described::Described;
use psmith_engine::worker::context::{Cx, cx};
use psmith_engine::worker::mailbox::RecvError;
use psmith_engine::worker::send_error::SendError;

/// The time between the signs of life of a worker that waits for an item.
const SIGN_OF_LIFE: Duration = Duration::from_millis(200);

/// The number of a worker, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkerId(pub u32);

impl fmt::Display for WorkerId {
    /// The number, as wide as asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A worker's view of itself; see [`run_workers`](crate::run_workers).
///
/// A worker can use the context of every job ([`cx`]) as well. Its own messages take the place of [`Cx::send`].
#[derive(Debug)]
pub struct WorkerCx<T> {
    cx: Cx,
    brief: Brief,
    sends: PhantomData<fn(T)>,
}

impl<T> WorkerCx<T> {
    pub(crate) fn new(brief: Brief) -> WorkerCx<T> {
        let cx = cx().expect("a worker's function is called as a job's");
        WorkerCx { cx, brief, sends: PhantomData }
    }

    /// The number of this worker, from 1.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    /// let send_id = |cx: WorkerCx<u32>| cx.send(cx.id().0);
    /// assert!(run_workers(3, send_id).all(|(id, sent)| sent.unwrap() == id.0));
    /// ```
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.brief.id
    }

    /// Decodes the value that [`Workers::input`](crate::Workers::input) gave to all workers, each a value of its own.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    /// let double = |cx: WorkerCx<u32>| cx.send(cx.input::<u32>().unwrap() * 2);
    /// assert_eq!(run_workers(1, double).input(21_u32).next().unwrap().1.unwrap(), 42);
    /// ```
    ///
    /// # Errors
    /// The value is no `A`. Without `Workers::input` it is a `()`.
    pub fn input<A: Serialize + DeserializeOwned + 'static>(&self) -> Result<A, CodecError> {
        <Described as Codec<A>>::decode(&self.brief.input)
    }

    /// Takes the next item of the common queue ([`Workers::feed`](crate::Workers::feed)); waits for it. `None` when there
    /// are no more, or there is no queue, or the worker was asked to stop. By asking for the next, a worker says that it
    /// has done the one before: until then that one is in its hands, and is given to it again, or is the input of its
    /// failure, if the worker dies. A worker that waits is not idle.
    ///
    /// ```
    /// # psmith::init();
    /// # // proves: streams-of-values
    /// use psmith::{WorkerCx, run_workers};
    /// let double = |mut cx: WorkerCx<u32>| {
    ///     while let Some(n) = cx.next::<u32>() {
    ///         cx.send(2 * n).unwrap();
    ///     }
    /// };
    /// let sum: u32 = run_workers(3, double).feed(1..=100).map(|(_, value)| value.unwrap()).sum();
    /// assert_eq!(sum, 10_100);
    /// ```
    ///
    /// # Panics
    /// The items of the queue are no `A`.
    #[expect(clippy::should_implement_trait, reason = "the type of the items is the caller's")]
    pub fn next<A: DeserializeOwned>(&mut self) -> Option<A> {
        if !self.brief.is_fed {
            return None;
        }
        self.cx.send(&StreamMessage::<()>::Next(self.cx.attempt())).ok()?;
        loop {
            match self.cx.recv_timeout(SIGN_OF_LIFE) {
                Ok(Some(item)) => return Some(item),
                // To wait for an item is no silence.
                Ok(None) => self.cx.heartbeat(),
                Err(RecvError::Undecodable(reason)) => {
                    panic!("an item of the feed is of another type: {reason}")
                }
                Err(_) => return None,
            }
        }
    }

    /// Returns whether the worker was asked to stop, as [`Cx::cancelled`] does.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    /// let work = |cx: WorkerCx<u32>| {
    ///     cx.send(1).unwrap();
    ///     while !cx.cancelled() {
    ///         std::thread::yield_now();
    ///     }
    /// };
    /// let mut values = run_workers(1, work);
    /// assert_eq!(values.next().unwrap().1.unwrap(), 1);
    /// // It is asked to stop, and does.
    /// drop(values);
    /// ```
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.cx.cancelled()
    }

    /// The worker's row on the board. Without a board it can be used all the same, and nothing is shown.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    /// let work = |cx: WorkerCx<u32>| cx.row().set_summary("at work");
    /// assert_eq!(run_workers(1, work).count(), 0);
    /// ```
    #[must_use]
    pub fn row(&self) -> WorkerRow {
        WorkerRow { cx: self.brief.is_shown.then(|| self.cx.clone()) }
    }
}

impl<T: Serialize + DeserializeOwned> WorkerCx<T> {
    /// Sends a value to the iterator over the [`Workers`](crate::Workers). Waits while the reader does not keep up.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    /// let count = |cx: WorkerCx<u32>| (0..2).try_for_each(|n| cx.send(n));
    /// let values: Vec<u32> = run_workers(1, count).map(|(_, n)| n.unwrap()).collect();
    /// assert_eq!(values, [0, 1]);
    /// ```
    ///
    /// # Errors
    /// A value that cannot be encoded or is too long, or a host that is gone.
    pub fn send(&self, value: T) -> Result<(), SendError> {
        self.cx.send(&StreamMessage::Value(value))
    }
}

/// A worker's row on the board of its host. Its methods never fail, also where no board shows it.
///
/// It is completed when the worker's process has ended, with the text of
/// `board::WithStatus::complete` or the cause of the failure.
#[derive(Clone, Debug)]
pub struct WorkerRow {
    /// `None`: there is no board.
    cx: Option<Cx>,
}

impl WorkerRow {
    /// Replaces the text behind the prefix.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    /// let work = |cx: WorkerCx<u32>| {
    ///     let row = cx.row();
    ///     row.set_summary("at work");
    /// };
    /// assert_eq!(run_workers(1, work).count(), 0);
    /// ```
    pub fn set_summary(&self, summary: impl Into<String>) {
        self.send_change(|| RowChange::Summary(summary.into()));
    }

    /// Replaces the text before the summary; an empty one removes it.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    /// let work = |cx: WorkerCx<u32>| {
    ///     let row = cx.row();
    ///     row.set_prefix("painter: ");
    /// };
    /// assert_eq!(run_workers(1, work).count(), 0);
    /// ```
    pub fn set_prefix(&self, prefix: impl Into<String>) {
        self.send_change(|| RowChange::Prefix(prefix.into()));
    }

    /// Colours the row. Its texts stay.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    /// use psmith::RowStatus;
    /// let work = |cx: WorkerCx<u32>| cx.row().set_status(RowStatus::Warning);
    /// assert_eq!(run_workers(1, work).count(), 0);
    /// ```
    pub fn set_status(&self, status: RowStatus) {
        self.send_change(|| RowChange::Status(status_code(status)));
    }

    /// Begins to count to `target`, from 0: the row gets a bar.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    /// let work = |cx: WorkerCx<u32>| {
    ///     let row = cx.row();
    ///     row.start(3);
    ///     row.tick(1);
    /// };
    /// assert_eq!(run_workers(1, work).count(), 0);
    /// ```
    pub fn start(&self, target: u64) {
        self.send_change(|| RowChange::Start(target));
    }

    /// Counts `steps` more, at most to the target.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    /// let work = |cx: WorkerCx<u32>| {
    ///     let row = cx.row();
    ///     row.start(3);
    ///     (0..3).for_each(|_| row.tick(1));
    /// };
    /// assert_eq!(run_workers(1, work).count(), 0);
    /// ```
    pub fn tick(&self, steps: u64) {
        self.send_change(|| RowChange::Tick(steps));
    }

    /// Sets the count to its target.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    /// let work = |cx: WorkerCx<u32>| {
    ///     let row = cx.row();
    ///     row.start(3);
    ///     row.finish();
    /// };
    /// assert_eq!(run_workers(1, work).count(), 0);
    /// ```
    pub fn finish(&self) {
        self.send_change(|| RowChange::Finish);
    }

    /// Removes the bar.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{WorkerCx, run_workers};
    /// let work = |cx: WorkerCx<u32>| {
    ///     let row = cx.row();
    ///     row.start(3);
    ///     row.clear();
    /// };
    /// assert_eq!(run_workers(1, work).count(), 0);
    /// ```
    pub fn clear(&self) {
        self.send_change(|| RowChange::Clear);
    }

    fn send_change(&self, change: impl FnOnce() -> RowChange) {
        if let Some(cx) = &self.cx {
            // A row is only shown: a worker does not fail because its change cannot be.
            let _ = cx.send(&StreamMessage::<()>::Row(change()));
        }
    }
}

/// A message of a worker: a value, a change of its row or a request, in one order.
#[derive(Serialize, Deserialize)]
pub(crate) enum StreamMessage<T> {
    Value(T),
    Row(RowChange),
    /// A request for an item of the feed, by this attempt.
    Next(u32),
}

/// A change of a row.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RowChange {
    Summary(String),
    Prefix(String),
    Status(u8),
    Start(u64),
    Tick(u64),
    Finish,
    Clear,
}

const STATUSES: [RowStatus; 4] =
    [RowStatus::Normal, RowStatus::Success, RowStatus::Warning, RowStatus::Error];

fn status_code(status: RowStatus) -> u8 {
    STATUSES.iter().position(|one| *one == status).unwrap_or_default() as u8
}

/// The status of this code; of any unknown code the usual one.
#[cfg(feature = "board")]
pub(crate) fn status_of(code: u8) -> RowStatus {
    STATUSES.get(usize::from(code)).copied().unwrap_or_default()
}

/// A value that is skipped: distinguishes a row's change from a value without running the value's own decoding.
#[cfg(feature = "board")]
#[derive(Debug)]
pub(crate) struct SkippedValue;

#[cfg(feature = "board")]
impl<'de> Deserialize<'de> for SkippedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SkippedValue, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| SkippedValue)
    }
}

#[cfg(feature = "board")]
impl Serialize for SkippedValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

/// The start message of a worker.
#[derive(Debug)]
pub(crate) struct Brief {
    pub(crate) id: WorkerId,
    /// True if a board shows its row.
    pub(crate) is_shown: bool,
    /// True if there is a common queue of items.
    pub(crate) is_fed: bool,
    /// The input, encoded with the default codec.
    pub(crate) input: Vec<u8>,
}

/// The codec of a brief: the input's bytes as they are, behind five others.
pub(crate) enum ByBrief {}

impl Codec<Brief> for ByBrief {
    fn encode(brief: &Brief, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.extend_from_slice(&brief.id.0.to_le_bytes());
        into.push(u8::from(brief.is_shown) | u8::from(brief.is_fed) << 1);
        into.extend_from_slice(&brief.input);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Brief, CodecError> {
        match bytes {
            [a, b, c, d, flags, input @ ..] => Ok(Brief {
                id: WorkerId(u32::from_le_bytes([*a, *b, *c, *d])),
                is_shown: flags & 1 != 0,
                is_fed: flags & 2 != 0,
                input: input.to_vec(),
            }),
            _ => Err(CodecError::new("a brief has five bytes at least".into())),
        }
    }
}

impl Codec<()> for ByBrief {
    fn encode((): &(), _into: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<(), CodecError> {
        match bytes {
            [] => Ok(()),
            _ => Err(CodecError::new(format!("{} bytes where none belong", bytes.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "board")]
    fn encoded<T: Serialize + DeserializeOwned + 'static>(message: &StreamMessage<T>) -> Vec<u8> {
        let mut bytes = Vec::new();
        Described::encode(message, &mut bytes).unwrap();
        bytes
    }

    #[cfg(feature = "board")]
    // A value may look like anything, also like a row's change; only the row's own form is one.
    #[test]
    fn a_change_of_a_row_is_distinguished_from_any_value_without_decoding_it() {
        let row = encoded(&StreamMessage::<()>::Row(RowChange::Summary("words".into())));
        match Described::decode(&row) {
            Ok(StreamMessage::<SkippedValue>::Row(change)) => {
                assert_eq!(change, RowChange::Summary("words".into()));
            }
            Ok(StreamMessage::Value(_) | StreamMessage::Next(_)) | Err(_) => panic!("no change of a row"),
        }
        for value in [
            encoded(&StreamMessage::Value(vec![Some("Row".to_owned()), None])),
            encoded(&StreamMessage::Value((1_u8, RowChange::Clear))),
        ] {
            assert!(matches!(Described::decode(&value), Ok(StreamMessage::<SkippedValue>::Value(_))));
        }
    }

    #[test]
    fn a_brief_comes_back_whole_and_a_short_one_is_an_error() {
        let brief = Brief { id: WorkerId(70_000), is_shown: true, is_fed: false, input: vec![0, 255] };
        let mut bytes = Vec::new();
        ByBrief::encode(&brief, &mut bytes).unwrap();
        let back: Brief = ByBrief::decode(&bytes).unwrap();
        assert_eq!((back.id, back.is_shown, back.input), (WorkerId(70_000), true, vec![0, 255]));
        for length in 0..5 {
            assert!(<ByBrief as Codec<Brief>>::decode(&bytes[..length]).is_err());
        }
    }

    #[cfg(feature = "board")]
    #[test]
    fn statuses_keep_their_codes_and_an_unknown_one_is_the_usual() {
        for status in STATUSES {
            assert_eq!(status_of(status_code(status)), status);
        }
        assert_eq!(status_of(200), RowStatus::Normal);
    }
}
