//! The job server: a producer that may block, a consumer of outcomes, a process for each job.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use psmith_core::policy::Order;

use crate::job::failure::Failure;
use crate::job::job::{Job, JobRef};
use crate::job::run_summary::{LogLevel, RunSummary};
use crate::run::decode::decode_outcome;
use crate::run::face;
use crate::run::job_output::pass_on_output;
use crate::run::options::Options;
use crate::run::run::Run;
use crate::run::run_event::{RunEvent, Wants};
use crate::run::settings::settings;
use crate::run::submitter::Submitter;
use psmith_engine::EngineError;
use psmith_engine::function::codec::CodecError;
use psmith_engine::handler::EngineCommand;
use psmith_engine::worker::panics;
use psmith_sys::generation::generation;

type Consumer<'h, R> = Box<dyn FnMut(&JobRef, Result<R, Failure>) + Send + 'h>;
type ServerLogger<'h> = Box<dyn FnMut(LogLevel, fmt::Arguments<'_>) + Send + 'h>;

/// Runs the jobs of a producer, each in a process of its own, and passes the outcomes to a consumer.
///
/// The producer is called again and again, on a thread of its own, until it gives `None`; it may block, and holds up
/// neither the reaping nor the delivery of jobs that run. It is not asked while the window is full. Consumer and logger
/// are called on the thread of [`Server::run`], never two at once, in the order in which jobs end
/// ([`Server::in_order`]: in which they were produced). Without a consumer outcomes are dropped, without a logger
/// nothing is logged. A server has at least one worker: there is no inline mode here.
///
/// Defaults: 4 workers, a process for each job, and the others go on after a failure. It serves all of
/// [`Options`].
///
/// ```
/// # psmith::init();
/// # // proves: lazy-producer, outcome-consumer
/// use psmith::{Job, Server};
///
/// fn double(n: u64) -> u64 { n * 2 }
/// fn square(n: u64) -> Result<u64, String> { Ok(n * n) }
///
/// let mut numbers = 1..=4;
/// let producer = move || numbers.next().map(|n| if n % 2 == 0 { Job::new(double, n) } else { Job::fallible(square, n) });
/// let mut results = Vec::new();
/// let report = Server::new(producer).consumer(|_, result| results.push(result.unwrap())).run().unwrap();
/// assert_eq!((report.jobs, report.failed), (4, 0));
/// results.sort();
/// assert_eq!(results, [1, 4, 8, 9]);
/// ```
#[must_use = "nothing runs before `run`"]
pub struct Server<'h, P, R> {
    producer: P,
    options: Options,
    consumer: Option<Consumer<'h, R>>,
    logger: Option<ServerLogger<'h>>,
    leaving: StopOnDrop,
    name: String,
    gives: PhantomData<fn() -> R>,
}

/// The reason for which a server could not go on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// The producer panicked, with this message. What was taken by then was delivered.
    Producer(String),
    /// psmith itself failed.
    Engine(Arc<EngineError>),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Producer(message) => write!(f, "the producer panicked: {message}"),
            ServerError::Engine(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for ServerError {}

/// Ends a server's run from any thread; see [`Server::handle`]. It only asks: [`Server::run`] returns when it is done.
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
pub struct ServerHandle(Arc<Stop>);

impl ServerHandle {
    /// Takes no more jobs, and finishes all that were taken: they are delivered, then [`Server::run`] returns. A
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

    /// Takes and starts no more jobs, asks those that run to stop, and kills them after the grace ([`Server::grace`]).
    /// They are delivered as cancelled, then [`Server::run`] returns.
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

    /// Waits until [`Server::run`] is about to return, or the server was dropped. Not for the consumer or the logger:
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
        if self.0.is_foreign() {
            return;
        }
        let mut gate = self.0.lock();
        while !gate.is_over {
            gate = self.0.changed.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The state that producer, server and handles share.
#[derive(Default)]
struct Stop {
    state: Mutex<SubmissionGate>,
    changed: Condvar,
    /// The generation of the process in which the server runs; 0 before it does.
    runs_in: AtomicU64,
}

#[derive(Default)]
struct SubmissionGate {
    /// True once no more jobs are taken.
    is_closed: bool,
    /// True once the run is over, or will never begin.
    is_over: bool,
    in_flight: u32,
    submitter: Option<Submitter>,
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stop")
    }
}

impl Stop {
    fn lock(&self) -> MutexGuard<'_, SubmissionGate> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the server runs in the process that this one is a forked copy of: nothing is to be waited for.
    fn is_foreign(&self) -> bool {
        let runs_in = self.runs_in.load(Ordering::Relaxed);
        runs_in != 0 && runs_in != generation()
    }

    /// Takes no more jobs; returns where those went that were taken.
    fn close(&self) -> Option<Submitter> {
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
}

/// The decoders of the jobs' results, by index.
type Decoders<R> = Arc<Mutex<HashMap<u64, fn(&[u8]) -> Result<R, CodecError>>>>;

impl<'h, P, R> Server<'h, P, R>
where
    P: FnMut() -> Option<Job<R>> + Send + 'static,
    R: 'static,
{
    /// A server of what `producer` gives, until it gives `None`.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Server};
    /// let mut jobs = (1..=3).map(|n| Job::new(|n: u32| n, n));
    /// let report = Server::new(move || jobs.next()).run().unwrap();
    /// assert_eq!(report.jobs, 3);
    /// ```
    pub fn new(producer: P) -> Server<'h, P, R> {
        Server {
            producer,
            options: Options::of(face::SERVER),
            consumer: None,
            logger: None,
            leaving: StopOnDrop(Arc::default()),
            name: format!("psmith server {}", std::process::id()),
            gives: PhantomData,
        }
    }

    settings!(but_logger: options);

    /// Delivers in the order in which jobs were produced.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Server};
    /// let mut jobs = (1..=3).map(|n| Job::new(|n: u32| n, n));
    /// let mut got = Vec::new();
    /// Server::new(move || jobs.next()).in_order().consumer(|_, n| got.push(n.unwrap())).run().unwrap();
    /// assert_eq!(got, [1, 2, 3]);
    /// ```
    pub fn in_order(mut self) -> Self {
        self.options.order = Order::Submission;
        self
    }

    /// Sets the function that is called with each job's outcome, once.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Server};
    /// let mut jobs = (1..=3).map(|n| Job::new(|n: u32| n, n));
    /// let mut sum = 0;
    /// Server::new(move || jobs.next()).consumer(|_, n| sum += n.unwrap()).run().unwrap();
    /// assert_eq!(sum, 6);
    /// ```
    pub fn consumer(mut self, consumer: impl FnMut(&JobRef, Result<R, Failure>) + Send + 'h) -> Self {
        self.consumer = Some(Box::new(consumer));
        self
    }

    /// Sets the function that is called with each line of the log.
    ///
    /// ```
    /// # psmith::init();
    /// # // proves: two-level-logger
    /// use psmith::{Job, LogLevel, Server};
    ///
    /// let mut jobs = (0..2).map(|n| Job::fallible(|n: u32| if n == 0 { Err("nought") } else { Ok(n) }, n));
    /// let mut errors = 0;
    /// let count = |level, _: std::fmt::Arguments<'_>| errors += usize::from(level == LogLevel::Error);
    /// Server::new(move || jobs.next()).logger(count).run().unwrap();
    /// assert_eq!(errors, 1);
    /// ```
    pub fn logger(mut self, logger: impl FnMut(LogLevel, fmt::Arguments<'_>) + Send + 'h) -> Self {
        self.logger = Some(Box::new(logger));
        self
    }

    /// Sets the name of the server in its log; workers are logged by their own names ([`JobRef::process_name`]).
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Server};
    /// let mut jobs = (1..=3).map(|n| Job::new(|n: u32| n, n));
    /// let mut lines = Vec::new();
    /// let logger = |_, line: std::fmt::Arguments<'_>| lines.push(line.to_string());
    /// Server::new(move || jobs.next()).process_name("painter").logger(logger).run().unwrap();
    /// assert!(lines[0].contains("painter"));
    /// ```
    pub fn process_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// A handle that ends the run, for another thread, a signal handler's pipe, or the consumer itself.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Server};
    /// let server = Server::new(|| Some(Job::new(|n: u32| n, 1)));
    /// let handle = server.handle();
    /// let other = std::thread::spawn(move || handle.drain());
    /// // Endless, but for the other thread.
    /// server.run().unwrap();
    /// other.join().unwrap();
    /// ```
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(Arc::clone(&self.leaving.0))
    }

    /// Runs until the producer has no more, or a [`ServerHandle`] ends it, and everything that was taken is delivered.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Server};
    /// let mut jobs = (1..=3).map(|n| Job::new(|n: u32| n, n));
    /// let report = Server::new(move || jobs.next()).run().unwrap();
    /// assert_eq!((report.jobs, report.failed), (3, 0));
    /// ```
    ///
    /// # Errors
    /// The producer panicked (after what was taken by then), or psmith itself failed.
    pub fn run(self) -> Result<RunSummary, ServerError> {
        let Server { producer, options, mut consumer, mut logger, leaving, name, .. } = self;
        let shared_logger = options.logger.clone();
        let stop = &leaving.0;
        let ours = |error| ServerError::Engine(Arc::new(error));
        let workers = options.workers_in_force().map_err(|text| ours(EngineError::Setting(text)))?.max(1);
        let wants = Wants { starts: logger.is_some() || shared_logger.is_some(), ..Wants::default() };
        let (mut run, submitter) = Run::begin(&options, workers, wants).map_err(ours)?;
        stop.runs_in.store(generation(), Ordering::Relaxed);
        stop.lock().submitter = Some(submitter.clone());
        let decoders: Decoders<R> = Arc::default();
        let panicked: Arc<Mutex<Option<String>>> = Arc::default();
        let production = Production {
            stop: Arc::clone(stop),
            submitter,
            decoders: Arc::clone(&decoders),
            panicked: Arc::clone(&panicked),
            window: options.window_in_force(workers),
        };
        // Not joined: a producer that blocks must not hold up the end of a server that was stopped.
        let thread = std::thread::Builder::new().name("psmith-producer".into());
        thread.spawn(move || production.go_on(producer)).map_err(|error| ours(EngineError::Kernel(error)))?;
        let mut log = |level, text: fmt::Arguments<'_>| {
            if let Some(logger) = &mut logger {
                logger(level, format_args!("{name}: {text}"));
            }
            if let Some(logger) = &shared_logger {
                logger.log(level, format_args!("{name}: {text}"));
            }
        };
        let mut report = RunSummary::default();
        while let Some(event) = run.next().map_err(ServerError::Engine)? {
            let mut finished = match event {
                RunEvent::Done(finished) => finished,
                RunEvent::Started(job) => {
                    log(LogLevel::Info, format_args!("job #{} runs as {}", job.id(), job.process_name()));
                    continue;
                }
                RunEvent::Progress(..) | RunEvent::Message(..) | RunEvent::Results(_) => continue,
            };
            {
                let mut gate = stop.lock();
                gate.in_flight = gate.in_flight.saturating_sub(1);
            }
            stop.changed.notify_all();
            let job = finished.job.clone();
            let decode = decoders.lock().unwrap_or_else(PoisonError::into_inner).remove(&job.index);
            let missing = |_: &[u8]| Err(CodecError::new("it was not submitted here".into()));
            report.lost_output +=
                pass_on_output(&mut finished, options.output, false, shared_logger.as_ref());
            let result = match decode {
                Some(decode) => decode_outcome(*finished, options.output, decode),
                None => decode_outcome(*finished, options.output, missing),
            };
            report.jobs += 1;
            match &result {
                Ok(_) => log(LogLevel::Info, format_args!("job #{} succeeded", job.id())),
                Err(failure) => {
                    report.failed += 1;
                    log(LogLevel::Error, format_args!("{failure}"));
                }
            }
            if let Some(consumer) = &mut consumer {
                consumer(&job, result);
            }
        }
        run.finish();
        // Also where a guard has ended the run: a producer that waits is not asked again.
        stop.close();
        let message = panicked.lock().unwrap_or_else(PoisonError::into_inner).take();
        message.map_or(Ok(report), |message| Err(ServerError::Producer(message)))
    }
}

/// Releases the producer's thread and all who wait, however the server is left, also by a panic of the consumer: no
/// more jobs are taken.
struct StopOnDrop(Arc<Stop>);

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

/// The producer's thread.
struct Production<R> {
    stop: Arc<Stop>,
    submitter: Submitter,
    decoders: Decoders<R>,
    panicked: Arc<Mutex<Option<String>>>,
    window: u32,
}

impl<R> Production<R> {
    fn go_on(self, mut producer: impl FnMut() -> Option<Job<R>>) {
        let mut index = 0;
        while self.wait_for_room() {
            let job = match catch_unwind(AssertUnwindSafe(&mut producer)) {
                Ok(Some(job)) => job,
                Ok(None) => break,
                Err(payload) => {
                    let message = panics::message(payload.as_ref());
                    *self.panicked.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
                    break;
                }
            };
            // Under the lock: a job that comes after the end of all is not taken, and one before it is.
            let mut gate = self.stop.lock();
            if gate.is_closed {
                break;
            }
            gate.in_flight += 1;
            self.decoders.lock().unwrap_or_else(PoisonError::into_inner).insert(index, job.decode);
            self.submitter.submit(job.request);
            drop(gate);
            index += 1;
        }
        self.submitter.close();
    }

    /// Waits until the window has room; false if no more jobs are taken.
    fn wait_for_room(&self) -> bool {
        let mut gate = self.stop.lock();
        while !gate.is_closed && gate.in_flight >= self.window {
            gate = self.stop.changed.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
        !gate.is_closed
    }
}
