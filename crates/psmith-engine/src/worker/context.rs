//! The context of a running job: what its function can ask about itself, and send to its host. Never decides about the
//! job.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use psmith_sys::signals::{self, SignalFd, SignalSet};
use psmith_sys::{abort, last_words, stack_overflow};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channel::frame::{ChannelFrame, FRAME_BYTES_MAX, beginning, send_blocking};
use crate::channel::messages::{CallEnd, CallUsage, FromWorker, JobRequest, Receiver, ToWorker, written};
use crate::function::described::Described;
use crate::scratch;
use crate::worker::mailbox::{Mailbox, RecvError, WaitLimit};
use crate::worker::send_error::{SendError, encoded};
use crate::worker::serve::own_pid;

/// The worker's channel to its host. Any thread of the job may use it.
#[derive(Debug)]
pub struct HostChannel {
    socket: OwnedFd,
    sending: Mutex<()>,
    bytes_max: AtomicU64,
    mailbox: Mailbox,
}

impl HostChannel {
    pub(super) fn new(socket: OwnedFd) -> HostChannel {
        let bytes_max = AtomicU64::new(FRAME_BYTES_MAX);
        HostChannel { socket, sending: Mutex::new(()), bytes_max, mailbox: Mailbox::new() }
    }

    /// Makes an overflow of this thread's stack send a message to the host.
    pub(super) fn watch_stack(&self) -> io::Result<()> {
        let words = beginning(&written(&FromWorker::Overflowed), &[]);
        stack_overflow::watch(self.socket.as_fd(), words)
    }

    /// Makes a panic that aborts send a message to the host.
    pub(super) fn watch_aborts(&self) -> io::Result<()> {
        abort::watch(self.socket.as_fd())
    }

    /// Sets the longest frame from now on, both ways.
    pub(super) fn allow(&self, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
        self.mailbox.allow(bytes_max);
    }

    /// Receives the next control message for the worker's loop; `None` when the host has closed the channel.
    pub(super) fn next_control_message(&self) -> io::Result<Option<(ToWorker, ChannelFrame)>> {
        self.mailbox.next_control_message(self.as_fd())
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max.load(Ordering::Relaxed)
    }

    pub(super) fn send(&self, message: &FromWorker, body: &[u8]) -> io::Result<()> {
        SENT.store(true, Ordering::Relaxed);
        let _turn = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        last_words::speaks(|| send_blocking(&self.socket, &written(message), body))
    }

    pub(super) fn answer(
        &self,
        job: u64,
        how: CallEnd,
        value: &[u8],
        usage: Option<CallUsage>,
    ) -> io::Result<()> {
        self.send(&FromWorker::Done { job, pid: own_pid(), how, usage }, value)
    }
}

impl AsFd for HostChannel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The identity of the running job, and its channel.
#[derive(Debug)]
struct JobContext {
    job: u64,
    index: u64,
    attempt: u32,
    slot: u32,
    /// The path at which it may make a scratch directory.
    scratch: Option<PathBuf>,
    /// The receiver of the messages that it sends.
    receiver: Receiver,
    /// What an inline job has said: its messages and, between two of them, its last progress.
    said: Mutex<Vec<(FromWorker, Vec<u8>)>>,
    /// The channel to the host; `None` for a job that runs inline, in the host itself.
    channel: Option<Arc<HostChannel>>,
}

/// The job of this worker, for all its threads; of a batch, the first.
static CURRENT: Mutex<Option<Arc<JobContext>>> = Mutex::new(None);

/// The number of jobs of the batch between that one and the running one. Only the thread that runs the batch writes it:
/// a short job is over sooner than a lock is taken and released.
static LATER: AtomicU64 = AtomicU64::new(0);

/// The name that was last given to `set_process_name`.
static NAME: Mutex<Option<String>> = Mutex::new(None);

/// True once something was sent on the channel, until it is read.
static SENT: AtomicBool = AtomicBool::new(false);
/// The signal that asks a job to stop.
const TERMINATE: i32 = psmith_core::policy::SIGTERM;

/// True while the terminate signal is blocked, so that a job can ask for it.
static WATCHES: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The job that runs inline on this thread.
    static INLINE: RefCell<Option<Arc<JobContext>>> = const { RefCell::new(None) };
}

pub(super) fn begin(channel: &Arc<HostChannel>, request: &JobRequest) {
    let place = JobContext {
        job: request.job,
        index: request.index,
        attempt: request.attempt,
        slot: request.slot,
        scratch: request.scratch.clone().map(|path| OsString::from_vec(path).into()),
        receiver: request.receiver,
        said: Mutex::default(),
        channel: Some(Arc::clone(channel)),
    };
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    LATER.store(0, Ordering::Relaxed);
    *current = Some(Arc::new(place));
}

pub(super) fn end() {
    let place = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(channel) = place.as_ref().and_then(|place| place.channel.as_ref()) {
        channel.mailbox.end();
    }
    stop_watching();
}

/// Moves on to the next job of a batch, which differs from the last only in its number.
pub(super) fn next() {
    LATER.store(LATER.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Unblocks the terminate signal, because the next job of this worker may never ask for it. If one is pending, the
/// worker ends here, with its reply sent.
pub(super) fn stop_watching() {
    if WATCHES.load(Ordering::Relaxed) && WATCHES.swap(false, Ordering::Relaxed) {
        signals::restore(SignalSet::EMPTY);
    }
}

/// Notifies the host, if there is one, that a run was begun here.
pub fn tell_nests() {
    let place = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(channel) = place.as_ref().and_then(|place| place.channel.as_ref()) {
        // A host that is gone does not need it.
        let _ = channel.send(&FromWorker::Nests, &[]);
    }
}

/// Returns the number of the job that runs now, unless that is about to change.
pub(super) fn job_now() -> Option<u64> {
    let current = CURRENT.try_lock().ok()?;
    Some(current.as_ref()?.job + LATER.load(Ordering::Relaxed))
}

/// Returns whether a message was sent since the last call.
pub(super) fn take_sent() -> bool {
    SENT.load(Ordering::Relaxed) && SENT.swap(false, Ordering::Relaxed)
}

/// Runs `call` on this thread as an inline job with this context. Returns with its value what the job said: progress and
/// messages, with their bodies, in order.
pub fn inline<T>(
    (job, index, attempt): (u64, u64, u32),
    receiver: Receiver,
    scratch: Option<PathBuf>,
    call: impl FnOnce() -> T,
) -> (T, Vec<(FromWorker, Vec<u8>)>) {
    /// Restores the previous context, also when `call` panics.
    struct ClearOnDrop(Option<Arc<JobContext>>);
    impl Drop for ClearOnDrop {
        fn drop(&mut self) {
            INLINE.set(self.0.take());
        }
    }
    let said = Mutex::default();
    let place = Arc::new(JobContext { job, index, attempt, slot: 0, scratch, receiver, said, channel: None });
    let _away = ClearOnDrop(INLINE.replace(Some(Arc::clone(&place))));
    let value = call();
    let said = std::mem::take(&mut *place.said.lock().unwrap_or_else(PoisonError::into_inner));
    (value, said)
}

/// Returns the job that the caller runs in; `None` outside of a job.
///
/// Every thread of a worker is in the worker's job. Inline (`workers(0)`) only the job's own thread is.
///
/// ```
/// # psmith::init();
/// # // proves: job-knows-itself
/// assert!(psmith::cx().is_none());
/// fn place(_: ()) -> (u32, u64) {
///     let cx = psmith::cx().expect("inside a job");
///     (cx.attempt(), cx.index())
/// }
/// let places: Vec<(u32, u64)> = psmith::map([(), ()], place).map(|place| place.unwrap()).collect();
/// assert_eq!(places, [(1, 0), (1, 1)]);
/// ```
#[must_use]
pub fn cx() -> Option<Cx> {
    if let Some(place) = INLINE.with_borrow(Clone::clone) {
        return Some(Cx { place, later: 0 });
    }
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    current.clone().map(|place| Cx { place, later: LATER.load(Ordering::Relaxed) })
}

/// A running job's view of itself. Cheap to clone; any thread of the job may use it.
///
/// ```
/// # psmith::init();
/// fn long(steps: u64) -> Result<u64, String> {
///     let cx = psmith::cx().expect("inside a job");
///     for step in 0..steps {
///         if cx.cancelled() {
///             return Err("asked to stop".into());
///         }
///         cx.progress(step, steps);
///     }
///     Ok(steps)
/// }
/// assert_eq!(psmith::try_map([3], long).into_iter().next().unwrap().unwrap(), 3);
/// ```
///
/// Its identity:
///
/// ```
/// # psmith::init();
/// let identity = |_: u32| psmith::cx().map(|cx| (cx.index(), cx.job_id(), cx.slot(), cx.worker_id()));
/// assert_eq!(psmith::map([7], identity).workers(1).into_iter().next().unwrap().unwrap(), Some((0, 1, 0, 1)));
/// ```
#[derive(Clone, Debug)]
pub struct Cx {
    place: Arc<JobContext>,
    /// The position in its batch: the number of jobs after the one in `place`.
    later: u64,
}

impl Cx {
    /// Returns the slot that the job runs in, from 0; lower than the number of workers. Inline: 0.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.place.slot
    }

    /// Returns the slot as people count, from 1.
    #[must_use]
    pub fn worker_id(&self) -> u32 {
        self.place.slot + 1
    }

    /// Returns the number of this attempt of the job, from 1.
    ///
    /// ```
    /// # psmith::init();
    /// let flaky = |_: ()| match psmith::cx().unwrap().attempt() { 1 => Err("not yet"), n => Ok(n) };
    /// assert_eq!(psmith::try_map([()], flaky).retry(psmith::Retry::tries(2)).into_iter().next().unwrap().unwrap(), 2);
    /// ```
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.place.attempt
    }

    /// Returns the job's number in its run, from 1: the `#1` of every message about it. It is [`Cx::index`] + 1.
    #[must_use]
    pub fn job_id(&self) -> u64 {
        self.index() + 1
    }

    /// The number by which the channel knows the job.
    fn number(&self) -> u64 {
        self.place.job + self.later
    }

    /// Returns the job's place in the order of submission, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.place.index + self.later
    }

    /// Returns the worker's name: its process id, until [`Cx::set_process_name`].
    ///
    /// ```
    /// # psmith::init();
    /// let ask = |_: ()| psmith::cx().unwrap().process_name() == std::process::id().to_string();
    /// assert!(psmith::map([()], ask).into_iter().next().unwrap().unwrap());
    /// ```
    #[must_use]
    pub fn process_name(&self) -> String {
        let name = NAME.lock().unwrap_or_else(PoisonError::into_inner).clone();
        name.unwrap_or_else(|| std::process::id().to_string())
    }

    /// Sets the worker's name.
    ///
    /// ```
    /// # psmith::init();
    /// let name = |n: u32| {
    ///     let cx = psmith::cx().unwrap();
    ///     cx.set_process_name(&format!("digger {n}"));
    ///     cx.process_name()
    /// };
    /// let mut reported = String::new();
    /// let map = psmith::map([7], name).on_done(|job, _| reported = job.process_name());
    /// assert_eq!(map.into_iter().last().unwrap().unwrap(), "digger 7");
    /// assert_eq!(reported, "digger 7");
    /// ```
    ///
    /// The name is shown by `ps` (its first 15 bytes) and in the host's view of the worker. Inline it is only stored:
    /// the process is not the job's.
    pub fn set_process_name(&self, name: &str) {
        *NAME.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
        if let Some(channel) = &self.place.channel {
            let plain: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(15).collect();
            if let Ok(short) = std::ffi::CString::new(plain) {
                let _ = rustix::thread::set_name(&short);
            }
            // If the host is gone, this process ends soon anyway.
            let _ = channel.send(&FromWorker::named(name), &[]);
        }
    }

    /// Returns whether the job was asked to stop: by a timeout, a cancel or a shutdown.
    ///
    /// In a job that never calls this, a request to stop ends the process (it is the terminate signal). From the first
    /// call on, that signal is blocked for this thread and those that it starts, and the job has the grace period to
    /// finish by itself; then it is killed. Inline jobs are never asked to stop: always false.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let tidy = |_: ()| {
    ///     let cx = psmith::cx().unwrap();
    ///     while !cx.cancelled() {
    ///         std::thread::yield_now();
    ///     }
    /// };
    /// let handle = pool.submit(Job::new(tidy, ())).unwrap();
    /// handle.cancel();
    /// assert!(handle.wait().is_err());
    /// ```
    #[must_use]
    pub fn cancelled(&self) -> bool {
        if self.place.channel.is_none() {
            return false;
        }
        if !WATCHES.swap(true, Ordering::Relaxed) {
            signals::block(SignalSet::of(&[TERMINATE]));
        }
        signals::pending().contains(TERMINATE)
    }

    /// Returns a directory for this attempt alone, where the run has them (`Map::scratch_dir`): made at the first call,
    /// mode 0700, in one whose name cannot be guessed. It is removed with all that is in it when the job's outcome is
    /// handed out, whatever the outcome is, and when the program is killed.
    ///
    /// ```
    /// # psmith::init();
    /// let write = |_: ()| std::fs::write(psmith::cx().unwrap().scratch_dir()?.join("notes"), "x");
    /// assert!(psmith::try_map([()], write).scratch_dir().into_iter().next().unwrap().is_ok());
    /// assert!(psmith::try_map([()], write).into_iter().next().unwrap().is_err());
    /// ```
    ///
    /// # Errors
    /// A run without scratch directories ([`Unsupported`](io::ErrorKind::Unsupported)), or an error of the file system.
    pub fn scratch_dir(&self) -> io::Result<PathBuf> {
        let Some(path) = &self.place.scratch else {
            let text = "this run gives its jobs no directories: say `.scratch_dir()` where it is begun";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        };
        match scratch::make(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(path.clone()),
        }
    }

    /// Reports the job's progress to the host. `total` 0: unknown. Never fails, even if the host is gone.
    ///
    /// ```
    /// # psmith::init();
    /// let mut last = 0;
    /// let count = |n: u64| (1..=n).for_each(|done| psmith::cx().unwrap().progress(done, n));
    /// psmith::map([3], count).on_progress(|_, done, _| last = done).for_each(drop);
    /// assert_eq!(last, 3);
    /// ```
    pub fn progress(&self, done: u64, total: u64) {
        self.report(&FromWorker::Progress { job: self.number(), done, total });
    }

    /// Sends a heartbeat to the host, which `idle_timeout` waits for. Everything else that the job sends or writes
    /// counts as one, too.
    ///
    /// ```
    /// # psmith::init();
    /// use std::time::Duration;
    /// let work = |_: ()| psmith::cx().unwrap().heartbeat();
    /// let limit = Duration::from_secs(60);
    /// assert!(psmith::map([()], work).idle_timeout(limit).into_iter().next().unwrap().is_ok());
    /// ```
    pub fn heartbeat(&self) {
        self.report(&FromWorker::Heartbeat { job: self.number() });
    }

    /// Sends a message to the host, which receives it in `on_message` of the run, or else from the job's handle
    /// (`JobHandle::recv`), in the order sent and before the job's result. Waits while the host does not keep up.
    /// A handle that takes no messages keeps as many as it may, in case it is asked for them later; beyond that, and
    /// where there is nobody to receive them, this is an error and no message is lost silently. Inline they are received
    /// when the job has ended.
    ///
    /// ```
    /// # psmith::init();
    /// let mut received = Vec::new();
    /// let tell = |n: u32| psmith::cx().unwrap().send(&(n + 1)).unwrap();
    /// psmith::map([1], tell).on_message(|_, n: u32| received.push(n)).for_each(drop);
    /// assert_eq!(received, [2]);
    /// ```
    ///
    /// A text may be sent as it is: `send("half way")` is received as a `String`.
    ///
    /// # Errors
    /// [`SendError::Unheard`] where nobody receives it; a value that cannot be encoded or is too long, or a host that is
    /// gone.
    pub fn send<M: Serialize + ?Sized>(&self, message: &M) -> Result<(), SendError> {
        let bytes_max = self.place.channel.as_ref().map_or(u64::MAX, |channel| channel.bytes_max());
        let bytes = encoded(message, bytes_max)?;
        let job = self.number();
        let Some(channel) = &self.place.channel else {
            if self.place.receiver == Receiver::Nobody {
                return Err(SendError::Unheard);
            }
            self.say(FromWorker::Message { job }, bytes);
            return Ok(());
        };
        match self.place.receiver {
            Receiver::Host => {}
            Receiver::Nobody => {
                // It is a sign of life all the same.
                self.heartbeat();
                return Err(SendError::Unheard);
            }
            Receiver::Handle => {
                let length = bytes.len() as u64;
                let ask = || channel.send(&FromWorker::AsksRoom { job, bytes: length }, &[]);
                channel.mailbox.take_room((job, length), channel.as_fd(), ask)?;
            }
        }
        channel.send(&FromWorker::Message { job }, &bytes).map_err(SendError::Gone)
    }

    /// Waits for the next message that the job is sent (`JobHandle::send`): one after the other, in the order sent,
    /// each to one of the threads that wait. Messages sent before the job asked for the first time, or before it had
    /// begun, are there when it asks. A message that an attempt has taken is gone; the next attempt gets the others.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    ///
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let sum = |first: u64| {
    ///     let cx = psmith::cx().expect("inside a job");
    ///     let mut sum = first;
    ///     while let Ok(n) = cx.recv::<u64>() {
    ///         sum += n;
    ///     }
    ///     sum
    /// };
    /// let handle = pool.submit(Job::new(sum, 1)).unwrap();
    /// for n in [10, 100, 1000] {
    ///     handle.send(&n).unwrap();
    /// }
    /// handle.end_messages();
    /// assert_eq!(handle.wait().unwrap(), 1111);
    /// ```
    ///
    /// # Errors
    /// [`RecvError::Closed`] when no one can send any more, once all messages have been taken; so at once inline and in
    /// jobs without a handle. [`RecvError::Cancelled`] if the job was asked to stop, and has called [`Cx::cancelled`]
    /// before. A message of another type, or a host that is gone.
    pub fn recv<M: DeserializeOwned>(&self) -> Result<M, RecvError> {
        // Without a limit there is always a message or an error.
        self.take(WaitLimit::For(None))?.ok_or(RecvError::Closed)
    }

    /// Waits for the next message like [`Cx::recv`], but at most for `limit`; `Ok(None)` if no message has arrived by
    /// then.
    ///
    /// ```
    /// # psmith::init();
    /// use std::time::Duration;
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let wait = |_: ()| psmith::cx().unwrap().recv_timeout::<u32>(Duration::from_millis(10)).unwrap();
    /// let handle = pool.submit(Job::new(wait, ())).unwrap();
    /// assert_eq!(handle.wait().unwrap(), None, "nobody has sent anything");
    /// ```
    ///
    /// # Errors
    /// Those of [`Cx::recv`].
    pub fn recv_timeout<M: DeserializeOwned>(&self, limit: Duration) -> Result<Option<M>, RecvError> {
        self.take(WaitLimit::For(Instant::now().checked_add(limit)))
    }

    /// Returns the next message, if it is there. (Only a job's first call waits: until the host has sent the messages
    /// that are there.)
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let poll = |_: ()| psmith::cx().unwrap().try_recv::<u32>().unwrap();
    /// let handle = pool.submit(Job::new(poll, ())).unwrap();
    /// assert_eq!(handle.wait().unwrap(), None, "nobody has sent anything");
    /// ```
    ///
    /// # Errors
    /// Those of [`Cx::recv`].
    pub fn try_recv<M: DeserializeOwned>(&self) -> Result<Option<M>, RecvError> {
        self.take(WaitLimit::None)
    }

    fn take<M: DeserializeOwned>(&self, patience: WaitLimit) -> Result<Option<M>, RecvError> {
        let Some(ChannelFrame { bytes, body }) = self.next_message(patience)? else { return Ok(None) };
        let message = Described::read(&bytes[body..]);
        message.map(Some).map_err(|error| RecvError::Undecodable(error.to_string()))
    }

    fn next_message(&self, patience: WaitLimit) -> Result<Option<ChannelFrame>, RecvError> {
        let job = self.number();
        let Some(channel) = &self.place.channel else { return Err(RecvError::Closed) };
        {
            let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
            // Another attempt of the same job has another context.
            let is_place = current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &self.place));
            if !is_place || LATER.load(Ordering::Relaxed) != self.later {
                return Err(RecvError::Over);
            }
        }
        if channel.mailbox.listen(job) {
            channel.send(&FromWorker::Listens { job }, &[]).map_err(RecvError::Gone)?;
        }
        // Only where the signal is blocked; everywhere else it ends the process.
        let alarm = WATCHES.load(Ordering::Relaxed).then(|| SignalFd::new(SignalSet::of(&[TERMINATE])));
        let alarm = alarm.transpose().map_err(RecvError::Gone)?;
        let alarm = alarm.as_ref().map(SignalFd::as_fd);
        let message = channel.mailbox.next_message(job, channel.as_fd(), alarm, patience)?;
        if message.is_some() {
            // Sent before the job has the message: the host does not send it again, whatever happens to the job.
            channel.send(&FromWorker::Took { job }, &[]).map_err(RecvError::Gone)?;
        }
        Ok(message)
    }

    fn report(&self, message: &FromWorker) {
        match &self.place.channel {
            Some(channel) => drop(channel.send(message, &[])),
            None => self.say(message.clone(), Vec::new()),
        }
    }

    /// Keeps what an inline job says until it has ended.
    fn say(&self, message: FromWorker, body: Vec<u8>) {
        let mut said = self.place.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_progress = |message: &FromWorker| matches!(message, FromWorker::Progress { .. });
        if is_progress(&message) && said.last().is_some_and(|(last, _)| is_progress(last)) {
            said.pop();
        }
        if matches!(message, FromWorker::Heartbeat { .. }) {
            return;
        }
        said.push((message, body));
    }
}
