//! The trace of a run for Perfetto and `chrome://tracing`: a JSON array of events, a lane for each slot.
//!
//! Streamed by a thread of its own, so that a slow disk blocks nothing else: events that do not fit into
//! [`WAITING_BYTES_MAX`] meanwhile are dropped and counted. In a regular file the array is closed after each portion
//! and opened again by the next one, so that the file is whole JSON also when psmith is killed.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use super::RecordError;

/// The bytes of events that wait for the disk; beyond it they are dropped.
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The number of waiting bytes at which they are written, unless the time comes first.
const PORTION_BYTES: usize = 64 * 1024;
/// The longest time that bytes wait.
const EVERY: Duration = Duration::from_millis(250);
/// The end of the array.
const END: &[u8] = b"\n]\n";

/// An event of the format. Times are microseconds from the beginning of the run.
#[derive(Debug, Serialize)]
pub(crate) struct TraceEvent<'a, A: Serialize> {
    pub(crate) name: &'a str,
    /// The kind: `X` a slice, `i` an instant, `C` a counter, `M` a name.
    pub(crate) ph: &'static str,
    pub(crate) cat: &'static str,
    pub(crate) ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dur: Option<f64>,
    pub(crate) pid: u32,
    /// The slot; 0 is the run itself.
    pub(crate) tid: u32,
    /// The scope of an instant; all other events ignore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) s: Option<&'static str>,
    pub(crate) args: A,
}

/// A trace that is being written.
#[derive(Debug)]
pub(crate) struct TraceLog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    named_slots: Vec<bool>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    path: PathBuf,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    dropped: u64,
    over: bool,
    error: Option<io::Error>,
}

/// The file in which the array grows.
struct Sink {
    file: File,
    /// The position of the array's end in a regular file.
    end_at: Option<u64>,
    is_open: bool,
    is_empty: bool,
}

impl TraceLog {
    /// Makes a trace in this file, which is replaced.
    ///
    /// # Errors
    /// Fails if it cannot be made or written, or no thread can be had.
    pub(crate) fn create(path: &Path) -> Result<TraceLog, RecordError> {
        let not_writable = |source| RecordError::not_writable(path, source);
        let file = File::create(path).map_err(not_writable)?;
        let regular = file.metadata().map_err(not_writable)?.is_file();
        let mut sink = Sink { file, end_at: regular.then_some(0), is_open: false, is_empty: true };
        sink.append(b"").map_err(not_writable)?;
        let shared = Arc::new(Shared { state: Mutex::default(), path: path.to_owned() });
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("psmith-trace".into())
                .spawn(move || write_all(&shared, sink))
                .map_err(not_writable)?
        };
        Ok(TraceLog { shared, thread: Some(thread), named_slots: Vec::new() })
    }

    /// Adds an event. Never waits for the disk.
    pub(crate) fn append<A: Serialize>(&mut self, event: &TraceEvent<'_, A>) {
        let mut state = self.shared.lock();
        if state.waiting.len() >= WAITING_BYTES_MAX {
            state.dropped += 1;
            return;
        }
        if !state.waiting.is_empty() {
            state.waiting.extend_from_slice(b",\n");
        }
        serde_json::to_writer(&mut state.waiting, event)
            .expect("events are JSON, and a Vec takes every write");
        if state.waiting.len() >= PORTION_BYTES
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }

    /// Names the lane of a slot, once.
    pub(crate) fn name_slot(&mut self, slot: u32) {
        let index = slot as usize;
        if self.named_slots.len() <= index {
            self.named_slots.resize(index + 1, false);
        }
        if !std::mem::replace(&mut self.named_slots[index], true) {
            let name = if slot == 0 { "run".to_owned() } else { format!("slot {slot}") };
            self.append(&TraceEvent {
                name: "thread_name",
                ph: "M",
                cat: "",
                ts: 0.0,
                dur: None,
                pid: 1,
                tid: slot,
                s: None,
                args: serde_json::json!({ "name": name }),
            });
        }
    }

    /// Returns the failure of the meantime, once.
    pub(crate) fn error(&self) -> Option<RecordError> {
        let error = self.shared.lock().error.take();
        error.map(|source| RecordError::not_writable(&self.shared.path, source))
    }

    /// Writes all waiting events; returns the number of dropped ones.
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub(crate) fn finish(mut self) -> Result<u64, RecordError> {
        self.shared.lock().over = true;
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        match self.error() {
            Some(error) => Err(error),
            None => Ok(self.shared.lock().dropped),
        }
    }
}

impl Shared {
    /// Locks the queue. A push, a take or a flag is all that it guards: nothing is left half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the thread: writes until all is over. After an error it continues to take events, and writes no more.
fn write_all(shared: &Shared, mut sink: Sink) {
    let mut broken = false;
    loop {
        let (portion, over) = {
            let mut state = shared.lock();
            (std::mem::take(&mut state.waiting), state.over)
        };
        if !portion.is_empty() && !broken {
            let written = sink.append(&portion).and_then(|()| if over { sink.close() } else { Ok(()) });
            if let Err(error) = written {
                broken = true;
                shared.lock().error = Some(error);
            }
        } else if over
            && !broken
            && let Err(error) = sink.close()
        {
            shared.lock().error = Some(error);
        }
        if over {
            return;
        }
        // An unpark that comes between the check and this is kept: it returns at once.
        std::thread::park_timeout(EVERY);
    }
}

impl Sink {
    fn append(&mut self, events: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(events.len() + 8);
        if !std::mem::replace(&mut self.is_open, true) {
            bytes.extend_from_slice(b"[\n");
        }
        if !events.is_empty() {
            if !std::mem::replace(&mut self.is_empty, false) {
                bytes.extend_from_slice(b",\n");
            }
            bytes.extend_from_slice(events);
        }
        let Some(at) = self.end_at else {
            return self.file.write_all(&bytes);
        };
        let grown = bytes.len() as u64;
        bytes.extend_from_slice(END);
        self.file.write_all_at(&bytes, at)?;
        self.end_at = Some(at + grown);
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        if self.end_at.is_some() { Ok(()) } else { self.file.write_all(END) }
    }
}
