//! Writer of a run: the one thread that writes jobs' output, psmith's own messages, and the records.
//!
//! It may block on a slow reader, so it runs beside the engine, which keeps deadlines meanwhile. The engine learns what
//! has been written by [`WriterReply`]s. Everything that is written to a terminal passes through here, so the bytes of
//! a line are never separated, and the board is erased before either is written.

mod output_writer;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use psmith_board::{Line, Size};
use psmith_core::JobId;
use psmith_core::outcome::Outcome;
use psmith_engine::handler::AttemptOutput;
use psmith_engine::spool::Spool;
use psmith_sys::eventfd::Waker;

use self::output_writer::OutputWriter;
use crate::record::joblog::JobLog;
use crate::record::results::ResultsWriter;
use crate::record::{RecordError, Status};
use crate::report::display::os_text;

/// The bytes of live output that wait to be written, over all jobs; at this bound jobs wait on their pipes.
const LIVE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The bytes of messages that wait for a reader of stderr; beyond it they are counted and dropped, which changes no
/// outcome.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// The longest time that a stop waits for the board to be erased.
const CLEAR_MAX: Duration = Duration::from_millis(200);

/// Work that the engine's side passes on.
enum Work {
    Output(LiveOutput),
    Deliver(Box<JobToWrite>),
    Stderr(OwnLines),
}

/// Output of a job while it runs.
enum LiveOutput {
    Chunk { job: JobId, stream: u8, buffer: Vec<u8>, length: usize, tag: Option<Arc<[u8]>> },
    Backlog { job: JobId, stream: u8, backlog: Spool, tag: Option<Arc<[u8]>> },
    BreakOff(JobId),
}

/// Lines of psmith's own for stderr.
enum OwnLines {
    Message(String),
    LastMessage(String),
    /// A request to paint the board in the backlog.
    Board,
    ClearBoard(Sender<()>),
    LeaveBoard(String),
}

/// A finished job, ready to be written.
#[derive(Debug)]
pub(super) struct JobToWrite {
    pub(super) id: JobId,
    pub(super) number: u64,
    pub(super) outcome: Box<Outcome>,
    pub(super) status: Status,
    pub(super) command: String,
    pub(super) argv: Vec<Vec<u8>>,
    pub(super) inputs: Vec<Vec<u8>>,
    pub(super) started_epoch: f64,
    pub(super) slot: u32,
    pub(super) output: AttemptOutput,
    /// True if its output is passed on.
    pub(super) show: bool,
    pub(super) tag: Option<Arc<[u8]>>,
    pub(super) results_path: Vec<u8>,
    /// True if it is recorded; a job that never began is not.
    pub(super) recorded: bool,
}

/// A message of the writer to the engine's side.
#[derive(Debug)]
pub(super) enum WriterReply {
    /// A job has been written, or it cannot be, which an earlier reply reports.
    Delivered(JobId),
    /// The reader has closed stdout.
    BrokenPipe,
    /// A failed write; the run cannot go on.
    Failed(WriteFailure),
}

/// The output that cannot be written, so that the run cannot go on.
#[derive(Debug)]
pub(super) enum WriteFailure {
    /// Standard output.
    Stdout(io::Error),
    /// A record.
    Record(RecordError),
}

/// The treatment of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// Bytes as they are.
    Raw,
    /// Live output is passed on in whole lines.
    Whole,
}

/// The engine's handle on the writer.
pub(super) struct WriterHandle {
    work: Option<Sender<Work>>,
    live_bytes: Arc<AtomicUsize>,
    backlog: Arc<Backlog>,
    replies: Arc<Replies>,
    /// Buffers that have been written, to be filled again.
    spares: Arc<Mutex<Vec<Vec<u8>>>>,
    thread: Option<JoinHandle<OutputWriter>>,
}

/// The way back to the engine's side.
struct Replies {
    given: Mutex<Vec<WriterReply>>,
    /// True if the engine has nothing else to wait for.
    wanted: AtomicBool,
    wake: Arc<Waker>,
}

impl Replies {
    fn give(&self, reply: WriterReply, is_urgent: bool) {
        lock(&self.given).push(reply);
        if self.wanted.swap(false, Ordering::SeqCst) || is_urgent {
            self.wake.wake();
        }
    }
}

/// Messages, and the board, on their way to stderr.
#[derive(Debug, Default)]
struct Backlog {
    message_bytes: AtomicUsize,
    messages_dropped: AtomicUsize,
    /// The board that is to be painted next.
    board: Mutex<Option<(Vec<Line>, Size)>>,
}

impl WriterHandle {
    pub(super) fn start(
        lines: Lines,
        colors: bool,
        joblog: Option<JobLog>,
        results: Option<ResultsWriter>,
        run: String,
        wake: Arc<Waker>,
    ) -> io::Result<WriterHandle> {
        let spares = Arc::new(Mutex::new(Vec::new()));
        let output = OutputWriter::new(lines, colors, joblog, results, run, Arc::clone(&spares))?;
        let (work, inbox) = channel();
        let live_bytes = Arc::new(AtomicUsize::new(0));
        let backlog = Arc::new(Backlog::default());
        let replies = Arc::new(Replies { given: Mutex::default(), wanted: AtomicBool::new(false), wake });
        let thread = {
            let (live_bytes, backlog) = (Arc::clone(&live_bytes), Arc::clone(&backlog));
            let replies = Arc::clone(&replies);
            std::thread::Builder::new()
                .name("psmith-writer".into())
                .spawn(move || output.work(&inbox, &live_bytes, &backlog, &replies))?
        };
        Ok(WriterHandle { work: Some(work), live_bytes, backlog, replies, spares, thread: Some(thread) })
    }

    /// Returns whether live output is accepted.
    pub(super) fn takes_output(&self) -> bool {
        self.live_bytes.load(Ordering::Relaxed) < LIVE_BYTES_MAX
    }

    /// Adds live output: the first `length` bytes of `buffer`. A buffer that is well filled is passed on, and replaced
    /// by another of its size; a few bytes are copied.
    pub(super) fn chunk(
        &self,
        job: JobId,
        stream: u8,
        buffer: &mut Vec<u8>,
        length: usize,
        tag: Option<Arc<[u8]>>,
    ) {
        let full = if length * 4 < buffer.len() {
            buffer[..length].to_vec()
        } else {
            let size = buffer.len();
            let spare = lock(&self.spares).pop().filter(|spare| spare.len() == size);
            std::mem::replace(buffer, spare.unwrap_or_else(|| vec![0; size]))
        };
        self.live_bytes.fetch_add(full.len(), Ordering::Relaxed);
        self.send(Work::Output(LiveOutput::Chunk { job, stream, buffer: full, length, tag }));
    }

    pub(super) fn backlog(&self, job: JobId, stream: u8, backlog: Spool, tag: Option<Arc<[u8]>>) {
        self.send(Work::Output(LiveOutput::Backlog { job, stream, backlog, tag }));
    }

    /// Ends the live output of an attempt that is lost; that of the next attempt is passed on from its beginning.
    pub(super) fn break_off(&self, job: JobId) {
        self.send(Work::Output(LiveOutput::BreakOff(job)));
    }

    pub(super) fn deliver(&self, job: JobToWrite) {
        self.send(Work::Deliver(Box::new(job)));
    }

    /// Adds whole lines for stderr. They are dropped and counted while it has no reader.
    pub(super) fn message(&self, lines: String) {
        let waiting = self.backlog.message_bytes.load(Ordering::Relaxed);
        if waiting + lines.len() > MESSAGE_BYTES_MAX {
            self.backlog.messages_dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.backlog.message_bytes.fetch_add(lines.len(), Ordering::Relaxed);
        self.send(Work::Stderr(OwnLines::Message(lines)));
    }

    /// Adds whole lines for stderr at the end of the run, never dropped.
    pub(super) fn last_message(&self, lines: String) {
        self.send(Work::Stderr(OwnLines::LastMessage(lines)));
    }

    /// Sets the board, until the next call.
    pub(super) fn board(&self, lines: Vec<Line>, size: Size) {
        // A board that waits to be painted is replaced: on a suspended terminal they do not pile up.
        if lock(&self.backlog.board).replace((lines, size)).is_none() {
            self.send(Work::Stderr(OwnLines::Board));
        }
    }

    /// Erases the board from the screen, and waits until that is done, or takes too long.
    pub(super) fn clear_board(&self) {
        let (done, cleared) = channel();
        self.send(Work::Stderr(OwnLines::ClearBoard(done)));
        let _ = cleared.recv_timeout(CLEAR_MAX);
    }

    /// Erases the board; this line of it stays, if it was ever shown.
    pub(super) fn leave_board(&self, line: String) {
        self.send(Work::Stderr(OwnLines::LeaveBoard(line)));
    }

    /// Returns the replies since the last call. With `wanted`, the next reply wakes the engine; else only one that
    /// cannot wait does, because the engine wakes up often enough by itself, and a wake-up for each job is expensive.
    pub(super) fn replies(&self, wanted: bool) -> Vec<WriterReply> {
        // In this order: a reply that comes between the two is either taken here or wakes the engine.
        self.replies.wanted.store(wanted, Ordering::SeqCst);
        std::mem::take(&mut *lock(&self.replies.given))
    }

    /// Waits until all is written, and returns the output writer.
    pub(super) fn finish(mut self) -> Option<OutputWriter> {
        drop(self.work.take());
        self.thread.take().and_then(|thread| thread.join().ok())
    }

    fn send(&self, work: Work) {
        if let Some(sender) = &self.work {
            // The writer lives longer than all its work: it ends when this end is dropped.
            let _ = sender.send(work);
        }
    }
}

impl std::fmt::Display for WriteFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WriteFailure::Stdout(error) => write!(f, "cannot write stdout: {}", os_text(error)),
            WriteFailure::Record(error) => write!(f, "{error}"),
        }
    }
}

/// Locks; the holder cannot leave half-done work behind: the lock guards one push, pop or take.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
