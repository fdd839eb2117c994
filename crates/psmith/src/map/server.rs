//! The job server: a producer that may block, a consumer of outcomes, a process for each job.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use psmith_core::policy::Order;

use crate::job::failure::Failure;
use crate::job::job::{Job, JobRef};
use crate::job::run_summary::{LogLevel, RunSummary};
use crate::map::delivery::{Consumer, Decoders, OnLeft, ServerDelivery, ServerLogger};
use crate::map::hooks::{MessageHook, ProgressHook, message_hook};
use crate::map::server_handle::{ServerHandle, ServerState, StopOnDrop};
use crate::run::face;
use crate::run::options::Options;
use crate::run::run::Run;
use crate::run::run_event::RunEvent;
use crate::run::settings::settings;
use crate::run::submitter::Submitter;
use psmith_engine::EngineError;
use psmith_engine::worker::panics;
use psmith_sys::generation::generation;

/// Runs the jobs of a producer, each in a process of its own, and passes the outcomes to a consumer.
///
/// The producer is called again and again, on a thread of its own, until it gives `None`; it may block, and holds up
/// neither the reaping nor the delivery of jobs that run. It is not asked while the window is full, nor once the run is
/// ended: by a [`ServerHandle`], a signal's [`guard`](crate::signals::guard), a failure
/// ([`on_error`](Server::on_error)), its time ([`total_timeout`](Server::total_timeout)) or its
/// [`breaker`](Server::breaker). What it had given by then and was not begun is no failure: it is handed back
/// ([`Server::on_left`]), or counted ([`RunSummary::left`]). Consumer and logger
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
    on_left: Option<OnLeft<'h, R>>,
    logger: Option<ServerLogger<'h>>,
    message: Option<MessageHook<'h>>,
    progress: Option<ProgressHook<'h>>,
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
            on_left: None,
            logger: None,
            message: None,
            progress: None,
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

    /// Sets the function that is called with each job that the producer gave and that was not begun, because the run was
    /// ended: to put it back where it came from. It is called on the thread of [`Server::run`], and never once that has
    /// returned.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, OnError, Server};
    /// let mut numbers = 0..100;
    /// let fail = |n: u32| if n == 1 { Err("one") } else { Ok(n) };
    /// let server = Server::new(move || numbers.next().map(|n| Job::fallible(fail, n).label(n.to_string())));
    /// let mut back = Vec::new();
    /// let server = server.workers(1).on_error(OnError::Stop).on_left(|job| back.push(job.to_string()));
    /// let summary = server.run().unwrap();
    /// assert_eq!((summary.jobs, summary.failed, summary.left), (2, 1, back.len() as u64));
    /// assert!((2..100).zip(back).all(|(n, job)| job == n.to_string()));
    /// ```
    pub fn on_left(mut self, on_left: impl FnMut(Job<R>) + Send + 'h) -> Self {
        self.on_left = Some(Box::new(on_left));
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

    /// Sets the function that is called with each message of a job ([`Cx::send`](crate::Cx::send)), before its outcome. A
    /// message of another type is the failure of its job, and the others go on.
    ///
    /// ```
    /// # psmith::init();
    /// # // proves: messages-both-ways
    /// use psmith::{Job, Server};
    /// let say = |n: u32| psmith::cx().unwrap().send(&(n + 1)).unwrap();
    /// let mut jobs = (1..=3).map(move |n| Job::new(say, n));
    /// let mut sum = 0;
    /// Server::new(move || jobs.next()).on_message(|_, n: u32| sum += n).run().unwrap();
    /// assert_eq!(sum, 9);
    /// ```
    pub fn on_message<M: serde::Serialize + serde::de::DeserializeOwned + 'static>(
        mut self,
        hook: impl FnMut(&JobRef, M) + Send + 'h,
    ) -> Self {
        self.message = Some(message_hook(hook));
        self
    }

    /// Sets the function that is called with the progress of a job ([`Cx::progress`](crate::Cx::progress)).
    pub fn on_progress(mut self, hook: impl FnMut(&JobRef, u64, u64) + Send + 'h) -> Self {
        self.progress = Some(Box::new(hook));
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
        let Server { producer, options, leaving, .. } = self;
        let mut delivery = ServerDelivery {
            consumer: self.consumer,
            on_left: self.on_left,
            logger: self.logger,
            shared_logger: options.logger.clone(),
            message: self.message,
            progress: self.progress,
            name: self.name,
            output: options.output,
            decoders: Decoders::default(),
            undecoded: Vec::new(),
            report: RunSummary::default(),
        };
        let state = &leaving.0;
        let ours = |error| ServerError::Engine(Arc::new(error));
        let workers = options.workers_in_force().map_err(|text| ours(EngineError::Setting(text)))?.max(1);
        let (mut run, submitter) = Run::begin(&options, workers, delivery.wants()).map_err(ours)?;
        state.runs_in.store(generation(), Ordering::Relaxed);
        {
            let mut gate = state.lock();
            gate.submitter = Some(submitter.clone());
            gate.takes_back = true;
        }
        let panicked: Arc<Mutex<Option<String>>> = Arc::default();
        let production = Production {
            state: Arc::clone(state),
            submitter,
            decoders: Arc::clone(&delivery.decoders),
            panicked: Arc::clone(&panicked),
            window: options.window_in_force(workers),
        };
        // Not joined: a producer that blocks must not hold up the end of a server that was stopped.
        let thread = std::thread::Builder::new().name("psmith-producer".into());
        thread.spawn(move || production.go_on(producer)).map_err(|error| ours(EngineError::Kernel(error)))?;
        loop {
            match run.next().map_err(ServerError::Engine)? {
                Some(RunEvent::Done(finished)) => {
                    {
                        let mut gate = state.lock();
                        gate.in_flight = gate.in_flight.saturating_sub(1);
                    }
                    state.changed.notify_all();
                    delivery.on_done(finished);
                }
                Some(event) => delivery.on_event(event),
                // From here on nothing is handed in; what was handed in meanwhile has its outcome.
                None if state.close_for_good() => {}
                None => break,
            }
        }
        run.finish();
        if let Some((index, request)) = state.take_late() {
            let decode = delivery.decoder_of(index);
            delivery.hand_back(request, decode);
        }
        let message = panicked.lock().unwrap_or_else(PoisonError::into_inner).take();
        message.map_or(Ok(delivery.report), |message| Err(ServerError::Producer(message)))
    }
}

/// The producer's thread.
struct Production<R> {
    state: Arc<ServerState>,
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
            self.decoders.lock().unwrap_or_else(PoisonError::into_inner).insert(index, job.decode);
            // Under the lock: a job that comes after the end of all is not taken, and one before it is.
            let mut gate = self.state.lock();
            if gate.is_closed {
                gate.late = gate.takes_back.then_some((index, job.request));
                break;
            }
            gate.in_flight += 1;
            self.submitter.submit(job.request);
            drop(gate);
            index += 1;
        }
        self.submitter.close();
    }

    /// Waits until the window has room; false if no more jobs are taken.
    fn wait_for_room(&self) -> bool {
        let mut gate = self.state.lock();
        while !gate.is_closed && gate.in_flight >= self.window {
            gate = self.state.changed.wait(gate);
        }
        !gate.is_closed && !self.submitter.is_ended()
    }
}
