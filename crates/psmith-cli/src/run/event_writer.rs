//! Thread that writes `--events`: their reader may be slow or suspended, and the run's loop never waits for it.
//!
//! Lines are gathered for a turn of the loop and passed on together. The waiting lines are bounded: beyond
//! [`EVENT_BYTES_MAX`] the run starts no more jobs (`held: events`) and reads no more of their output, until the reader
//! has caught up. No line is ever dropped, except when the user ends psmith without waiting for the end.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use psmith_sys::eventfd::Waker;

use super::signal_requests::{SignalRequest, Signals};
use crate::record::RecordError;
use crate::record::event_log::{EventLog, LoggedEvent};

/// The bytes of lines that wait for their reader; beyond it the run waits too.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The number of bytes at which the lines of a turn are passed on at the latest.
const TURN_BYTES_MAX: usize = 64 * 1024;

/// The engine's end of the thread.
pub(super) struct EventWriter {
    run: String,
    lines: Vec<u8>,
    work: Option<Sender<Vec<u8>>>,
    shared: Arc<Shared>,
    wake: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    over: AtomicBool,
    failure: Mutex<Option<RecordError>>,
}

/// The end of the wait for the last line.
#[derive(Debug)]
pub(super) enum EventsEnd {
    /// The wait ended: all is written, or cannot be, which [`EventWriter::failure`] has reported or this error reports.
    Written(Option<RecordError>),
    /// The user ended the wait by this signal.
    Left(i32),
}

impl EventWriter {
    pub(super) fn start(log: EventLog, run: String, wake: Arc<Waker>) -> io::Result<EventWriter> {
        let (work, inbox) = channel();
        let shared = Arc::new(Shared::default());
        let thread = {
            let (shared, wake) = (Arc::clone(&shared), Arc::clone(&wake));
            std::thread::Builder::new()
                .name("psmith-events".into())
                .spawn(move || write(log, &inbox, &shared, &wake))?
        };
        Ok(EventWriter { run, lines: Vec::new(), work: Some(work), shared, wake, thread: Some(thread) })
    }

    /// Adds an event. Never blocks.
    pub(super) fn note(&mut self, event: &LoggedEvent<'_>) {
        event.write_line(&mut self.lines, super::epoch_now(), &self.run);
        if self.lines.len() >= TURN_BYTES_MAX {
            self.hand_over();
        }
    }

    /// Passes the lines of this turn on.
    pub(super) fn hand_over(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.lines);
        self.shared.waiting.fetch_add(lines.len(), Ordering::Relaxed);
        if let Some(work) = &self.work {
            // The thread lives longer than all its work: it ends when this end is dropped.
            let _ = work.send(lines);
        }
    }

    /// Returns whether so much waits that the run must wait too. The engine is woken when it need not any more.
    pub(super) fn is_full(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) >= EVENT_BYTES_MAX
    }

    /// Returns the reason why no more can be written, once.
    pub(super) fn failure(&self) -> Option<RecordError> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until the last line is written; a signal that would end a run ends the wait.
    pub(super) fn finish(mut self, signals: &Signals) -> EventsEnd {
        self.hand_over();
        drop(self.work.take());
        while !self.shared.over.load(Ordering::Acquire) {
            let wanted = rustix::event::PollFlags::IN;
            let mut fds = [
                rustix::event::PollFd::new(&*self.wake, wanted),
                rustix::event::PollFd::new(signals.fd(), wanted),
            ];
            // An interrupted poll is repeated.
            let _ = rustix::event::poll(&mut fds, None);
            self.wake.drain();
            while let Some(request) = signals.next() {
                match request {
                    SignalRequest::End(signal) | SignalRequest::Kill(signal) => {
                        return EventsEnd::Left(signal);
                    }
                    SignalRequest::Suspend => Signals::stop_here(),
                    SignalRequest::Drain
                    | SignalRequest::List
                    | SignalRequest::Reap
                    | SignalRequest::Redraw => {}
                }
            }
        }
        if let Some(thread) = self.thread.take() {
            // The thread has reported its end.
            let _ = thread.join();
        }
        EventsEnd::Written(self.failure())
    }
}

fn write(mut log: EventLog, inbox: &Receiver<Vec<u8>>, shared: &Shared, wake: &Waker) {
    let mut broken = false;
    for lines in inbox {
        // After a failure the run ends; events until then are dropped.
        if !broken && let Err(error) = log.write(&lines) {
            broken = true;
            *shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            wake.wake();
        }
        let before = shared.waiting.fetch_sub(lines.len(), Ordering::Relaxed);
        if before >= EVENT_BYTES_MAX && before - lines.len() < EVENT_BYTES_MAX {
            wake.wake();
        }
    }
    drop(log);
    shared.over.store(true, Ordering::Release);
    wake.wake();
}
