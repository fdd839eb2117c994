//! A server's end, asked for from any thread, and what the threads of a server share for it. Runs nothing itself.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::job::job::Request;
use crate::run::submitter::Submitter;
use psmith_engine::condition::Condition;
use psmith_engine::handler::EngineCommand;
use psmith_sys::generation::generation;

/// Ends a server's run from any thread; see [`Server::handle`](crate::Server::handle). It only asks: [`Server::run`](crate::Server::run) returns when it is done.
///
/// ```
/// # psmith::init();
/// use psmith::{Job, Server};
///
/// fn next(n: u64) -> u64 { n + 1 }
///
/// // A producer that never ends, but for the consumer.
/// let server = Server::new(|| Some(Job::new(next, 1)));
/// let handle = server.handle();
/// let summary = server.consumer(|_, _| handle.drain()).run().unwrap();
/// assert!(summary.jobs >= 1);
/// ```
#[derive(Clone, Debug)]
pub struct ServerHandle(pub(super) Arc<ServerState>);

impl ServerHandle {
    /// Takes no more jobs, and finishes all that were taken: they are delivered, then [`Server::run`](crate::Server::run) returns. A
    /// producer that blocks is left to itself; what it gives later is not taken.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Server};
    /// let server = Server::new(|| Some(Job::new(|n: u32| n, 1)));
    /// server.handle().drain();
    /// assert_eq!(server.run().unwrap().jobs, 0);
    /// ```
    pub fn drain(&self) {
        if let Some(submitter) = self.0.close() {
            submitter.close();
        }
    }

    /// Takes and starts no more jobs, asks those that run to stop, and kills them after the grace ([`Server::grace`](crate::Server::grace)).
    /// These are delivered as cancelled, those that were not begun are handed back ([`Server::on_left`](crate::Server::on_left)), then
    /// [`Server::run`](crate::Server::run) returns.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Cause, Job, Server};
    /// let forever = |_: u32| -> () { loop { std::thread::park() } };
    /// let mut left = 2;
    /// let producer = move || { left -= 1; (left > 0).then(|| Job::<()>::new(forever, 1)) };
    /// let server = Server::new(producer);
    /// let handle = server.handle();
    /// let mut ends = Vec::new();
    /// let logger = move |_, line: std::fmt::Arguments<'_>| if line.to_string().contains("runs as") { handle.stop() };
    /// server.logger(logger).consumer(|_, end| ends.push(end.unwrap_err().into_cause())).run().unwrap();
    /// assert_eq!(ends, [Cause::Cancelled]);
    /// ```
    pub fn stop(&self) {
        if let Some(submitter) = self.0.close() {
            submitter.order(EngineCommand::Stop);
            submitter.close();
        }
    }

    /// Stops as [`ServerHandle::stop`] does, with this grace, if it is shorter than the server's: waits so long for the
    /// end, and kills what still runs then. With none, what runs is killed at once, and nothing is waited for.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Cause, Job, Server};
    /// use std::time::Duration;
    /// let forever = |_: u32| -> () { loop { std::thread::park() } };
    /// let server = Server::new(move || Some(Job::<()>::new(forever, 1))).grace(Duration::from_secs(3600));
    /// let handle = server.handle();
    /// let logger = move |_, _: std::fmt::Arguments<'_>| handle.stop_within(Duration::ZERO);
    /// let ended = |_: &psmith::JobRef, end: Result<(), psmith::Failure>| assert_eq!(end.unwrap_err().cause, Cause::Cancelled);
    /// server.logger(logger).consumer(ended).run().unwrap();
    /// ```
    pub fn stop_within(&self, grace: Duration) {
        let Some(submitter) = self.0.close() else { return };
        if !grace.is_zero() {
            submitter.order(EngineCommand::Stop);
            submitter.close();
            if self.join_timeout(grace) {
                return;
            }
        }
        submitter.order(EngineCommand::Kill);
        submitter.close();
    }

    /// Waits until [`Server::run`](crate::Server::run) is about to return, or the server was dropped. Not for the consumer or the logger:
    /// they would wait for themselves.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Server};
    /// let mut jobs = (1..=3).map(|n| Job::new(|n: u32| n, n));
    /// let server = Server::new(move || jobs.next());
    /// let handle = server.handle();
    /// let other = std::thread::spawn(move || handle.join());
    /// server.run().unwrap();
    /// other.join().unwrap();
    /// ```
    pub fn join(&self) {
        self.0.wait_until_over(None);
    }

    /// Waits as [`ServerHandle::join`] does, for at most `limit`; false if the server still ran by then. It goes on.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Server};
    /// use std::time::Duration;
    /// let mut jobs = (1..=3).map(|n| Job::new(|n: u32| n, n));
    /// let server = Server::new(move || jobs.next());
    /// let handle = server.handle();
    /// assert!(!handle.join_timeout(Duration::from_millis(1)), "it has not begun");
    /// server.run().unwrap();
    /// assert!(handle.join_timeout(Duration::MAX));
    /// ```
    #[must_use]
    pub fn join_timeout(&self, limit: Duration) -> bool {
        self.0.wait_until_over(Instant::now().checked_add(limit))
    }
}

/// The state that producer, server and handles share.
#[derive(Default)]
pub(super) struct ServerState {
    pub(super) state: Mutex<SubmissionGate>,
    pub(super) changed: Condition,
    /// The generation of the process in which the server runs; 0 before it does.
    pub(super) runs_in: AtomicU64,
}

#[derive(Default)]
pub(super) struct SubmissionGate {
    /// True once no more jobs are taken.
    pub(super) is_closed: bool,
    /// True once the run is over, or will never begin.
    pub(super) is_over: bool,
    pub(super) in_flight: u32,
    pub(super) submitter: Option<Submitter>,
    /// True while a job that comes too late can be handed back.
    pub(super) takes_back: bool,
    /// That job, with its index: the producer was asked for it before the end.
    pub(super) late: Option<(u64, Request)>,
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerState")
    }
}

impl ServerState {
    pub(super) fn lock(&self) -> MutexGuard<'_, SubmissionGate> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the server runs in the process that this one is a forked copy of: nothing is to be waited for.
    pub(super) fn is_foreign(&self) -> bool {
        let runs_in = self.runs_in.load(Ordering::Relaxed);
        runs_in != 0 && runs_in != generation()
    }

    /// Takes no more jobs; returns where those went that were taken.
    pub(super) fn close(&self) -> Option<Submitter> {
        if self.is_foreign() {
            return None;
        }
        let mut gate = self.lock();
        gate.is_closed = true;
        let submitter = gate.submitter.clone();
        drop(gate);
        self.changed.notify_all();
        submitter
    }

    /// Takes no more jobs, now that the engine has ended; false if none was taken before, either.
    pub(super) fn close_for_good(&self) -> bool {
        let was_open = !std::mem::replace(&mut self.lock().is_closed, true);
        self.changed.notify_all();
        was_open
    }

    /// Takes the job that came too late; none comes from now on.
    pub(super) fn take_late(&self) -> Option<(u64, Request)> {
        let mut gate = self.lock();
        gate.takes_back = false;
        gate.late.take()
    }

    /// Waits until the run is over, or until the time `until`; returns whether it is.
    pub(super) fn wait_until_over(&self, until: Option<Instant>) -> bool {
        if self.is_foreign() {
            return true;
        }
        let mut gate = self.lock();
        while !gate.is_over {
            gate = match self.changed.wait_until(gate, until) {
                Ok(gate) => gate,
                Err(_) => return false,
            };
        }
        true
    }
}

/// Releases the producer's thread and all who wait, however the server is left, also by a panic of the consumer: no
/// more jobs are taken.
pub(super) struct StopOnDrop(pub(super) Arc<ServerState>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if self.0.is_foreign() {
            return;
        }
        let mut gate = self.0.lock();
        gate.is_closed = true;
        gate.is_over = true;
        drop(gate);
        self.0.changed.notify_all();
    }
}
