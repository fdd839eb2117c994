//! Output of jobs that is passed on while they run, by whole lines that begin with the job's name: a thread of its own
//! writes it, because that may block. Never decides which output that is.

use std::collections::VecDeque;
use std::io::{IsTerminal, Read};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use psmith_core::JobId;

use crate::run::job_output::{beside_rows, tag_of};
use crate::run::run_event::Finished;
use crate::run::shared::RunShared;
use psmith_engine::condition::Condition;
use psmith_engine::handler::{AttemptOutput, LossReason};
use psmith_engine::lines::{JobLines, write_all};
use psmith_engine::spool::Spool;

/// The bytes of live output that wait to be written, over all jobs; at this bound jobs wait on their pipes.
const LIVE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The way from the engine's thread to the streams of this program. Dropping it waits until all is written.
pub(crate) struct LiveOutput {
    shared: Arc<RunShared>,
    queue: Arc<LiveQueue>,
    /// Started for the first output.
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct LiveQueue {
    state: Mutex<LiveState>,
    changed: Condition,
}

#[derive(Debug, Default)]
struct LiveState {
    work: VecDeque<LiveWork>,
    bytes: usize,
    closed: bool,
    /// True once the thread has ended, however that came.
    over: bool,
}

/// Name of a job, as its lines begin.
type Tag = Arc<[u8]>;

#[derive(Debug)]
enum LiveWork {
    Chunk(JobId, u8, Vec<u8>, Tag),
    Rest(JobId, u8, Spool, Tag),
    End(JobId, Tag, Arc<Mutex<Option<LiveLoss>>>),
}

/// Bytes of a job's streams that could not be passed on, and the reason for the first of them.
#[derive(Clone, Debug, Default)]
struct LiveLoss {
    bytes: [u64; 2],
    why: Option<LossReason>,
}

/// The end of a job's live output, which may not be written yet.
#[derive(Debug)]
pub(crate) struct LiveEnd {
    queue: Arc<LiveQueue>,
    loss: Arc<Mutex<Option<LiveLoss>>>,
}

impl LiveOutput {
    pub(crate) fn new(shared: Arc<RunShared>) -> LiveOutput {
        LiveOutput { shared, queue: Arc::default(), thread: None }
    }

    /// Returns whether more output is taken. When that changes, the engine is woken.
    pub(crate) fn takes(&self) -> bool {
        self.queue.lock().bytes < LIVE_BYTES_MAX
    }

    /// Passes on output of a job.
    pub(crate) fn pass_on(&mut self, job: JobId, stream: u8, bytes: &[u8], tag: Tag) {
        self.add(LiveWork::Chunk(job, stream, bytes.to_vec(), tag), bytes.len());
    }

    /// Passes on the rest of a job's output, and ends it; `None` if it wrote nothing. The standard output of a command
    /// that succeeded is its value, and stays.
    pub(crate) fn end(&mut self, job: JobId, finished: &mut Finished) -> Option<LiveEnd> {
        let is_value = finished.request.command.is_some() && finished.verdict().is_ok();
        let (output, tag) = (&mut finished.output, tag_of(&finished.job));
        if output.stdout_bytes + output.stderr_bytes == 0 {
            return None;
        }
        for (stream, spool) in [(1, &mut output.stdout), (2, &mut output.stderr)] {
            let stays = stream == 1 && is_value;
            if !spool.is_empty() && !stays {
                let spool = std::mem::take(spool);
                self.add(LiveWork::Rest(job, stream, spool, Arc::clone(&tag)), 0);
            }
        }
        let loss = Arc::new(Mutex::new(None));
        self.add(LiveWork::End(job, tag, Arc::clone(&loss)), 0);
        Some(LiveEnd { queue: Arc::clone(&self.queue), loss })
    }

    /// Ends the output of an attempt that is not the last one.
    pub(crate) fn break_off(&mut self, job: JobId, tag: Tag) {
        if self.thread.is_some() {
            self.add(LiveWork::End(job, tag, Arc::default()), 0);
        }
    }

    fn add(&mut self, work: LiveWork, bytes: usize) {
        if self.thread.is_none() {
            let (queue, shared) = (Arc::clone(&self.queue), Arc::clone(&self.shared));
            let thread = std::thread::Builder::new().name("psmith-output".into());
            self.thread = thread.spawn(move || LiveWriter::new(queue, shared).work()).ok();
        }
        let mut state = self.queue.lock();
        if self.thread.is_none() {
            // Nobody would ever write it: the next output tries again.
            drop(state);
            let (queue, shared) = (Arc::clone(&self.queue), Arc::clone(&self.shared));
            return LiveWriter::new(queue, shared).write(work);
        }
        state.bytes += bytes;
        state.work.push_back(work);
        drop(state);
        self.queue.changed.notify_all();
    }
}

impl Drop for LiveOutput {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It catches nothing that could panic; if it did, what is left is not written.
            let _ = thread.join();
        }
    }
}

impl LiveQueue {
    fn lock(&self) -> MutexGuard<'_, LiveState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveEnd {
    /// Waits until all is written, and counts what could not be.
    pub(crate) fn wait(self, output: &mut AttemptOutput) {
        let mut state = self.queue.lock();
        let loss = loop {
            if let Some(loss) = lock(&self.loss).take() {
                break loss;
            }
            if state.over {
                return;
            }
            state = self.queue.changed.wait(state);
        };
        drop(state);
        for stream in [1, 2] {
            let bytes = loss.bytes[usize::from(stream) - 1];
            if let (1.., Some(why)) = (bytes, &loss.why) {
                output.lose(stream, bytes, || why.clone());
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's side.
struct LiveWriter {
    queue: Arc<LiveQueue>,
    shared: Arc<RunShared>,
    lines: JobLines,
    losses: Vec<(JobId, LiveLoss)>,
}

impl Drop for LiveWriter {
    fn drop(&mut self) {
        self.queue.lock().over = true;
        self.queue.changed.notify_all();
    }
}

impl LiveWriter {
    fn new(queue: Arc<LiveQueue>, shared: Arc<RunShared>) -> LiveWriter {
        LiveWriter { queue, shared, lines: JobLines::new(true), losses: Vec::new() }
    }

    fn work(mut self) {
        psmith_sys::signals::block_all();
        loop {
            let mut state = self.queue.lock();
            let work = loop {
                if let Some(work) = state.work.pop_front() {
                    break work;
                }
                if state.closed {
                    drop(state);
                    return self.write_held();
                }
                state = self.queue.changed.wait(state);
            };
            drop(state);
            let bytes = if let LiveWork::Chunk(_, _, bytes, _) = &work { bytes.len() } else { 0 };
            self.write(work);
            let mut state = self.queue.lock();
            let was_full = state.bytes >= LIVE_BYTES_MAX;
            state.bytes -= bytes;
            let is_full = state.bytes >= LIVE_BYTES_MAX;
            drop(state);
            if was_full && !is_full {
                self.shared.wake();
            }
        }
    }

    /// Writes what was written outside of any job, and has no end.
    fn write_held(&mut self) {
        for (job, stream) in self.lines.held() {
            let rest = self.lines.rest(job, stream);
            self.put(job, stream, &rest);
        }
    }

    fn write(&mut self, work: LiveWork) {
        match work {
            LiveWork::Chunk(job, stream, bytes, tag) => self.take(job, stream, &bytes, &tag),
            LiveWork::Rest(job, stream, spool, tag) => {
                let (mut reader, mut buffer) = (spool.into_reader(), vec![0; 64 * 1024]);
                // What the spool could not keep has been counted.
                while let Ok(length @ 1..) = reader.read(&mut buffer) {
                    self.take(job, stream, &buffer[..length], &tag);
                }
            }
            LiveWork::End(job, tag, loss) => {
                for stream in [1, 2] {
                    let rest = self.lines.rest(job, stream);
                    let rest = self.lines.tagged(job, stream, &rest, Some(&tag)).into_owned();
                    self.put(job, stream, &rest);
                    // The next line of another job begins at the margin.
                    if self.lines.end(job, stream) {
                        self.put(job, stream, b"\n");
                    }
                }
                let at = self.losses.iter().position(|(of, _)| *of == job);
                let found = at.map(|at| self.losses.swap_remove(at).1);
                *lock(&loss) = Some(found.unwrap_or_default());
                // Whoever waits has looked under this lock.
                drop(self.queue.lock());
                self.queue.changed.notify_all();
            }
        }
    }

    fn take(&mut self, job: JobId, stream: u8, bytes: &[u8], tag: &Tag) {
        let ready = self.lines.take(job, stream, bytes, Some(tag)).into_owned();
        self.put(job, stream, &ready);
    }

    /// Writes past the locks of the standard streams: a thread that holds one may be waiting for this very job.
    fn put(&mut self, job: JobId, stream: u8, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let done = if stream == 1 { put(std::io::stdout(), bytes) } else { put(std::io::stderr(), bytes) };
        let Err((written, error)) = done else { return };
        let at = self.losses.iter().position(|(of, _)| *of == job).unwrap_or_else(|| {
            self.losses.push((job, LiveLoss::default()));
            self.losses.len() - 1
        });
        let loss = &mut self.losses[at].1;
        loss.bytes[usize::from(stream) - 1] += (bytes.len() - written) as u64;
        loss.why.get_or_insert_with(|| LossReason::of_stream(&error));
    }
}

fn put(mut stream: impl IsTerminal + AsFd, bytes: &[u8]) -> Result<(), (usize, std::io::Error)> {
    let mut done = Ok(());
    beside_rows(&mut stream, |stream| done = write_all(stream, bytes));
    done
}
