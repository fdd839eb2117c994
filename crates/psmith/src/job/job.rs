//! A job as a value, and a job as hooks and consumers see it. Never runs a job.

use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use psmith_core::outcome::{Cause, SpawnFailure, SpawnStep};

use crate::job::callee::Callee;
use crate::job::failure::KeptInput;
use crate::job::flow::Judgement;
use crate::job::mailbox::JobMailbox;
use crate::job::overrides::JobOverrides;
use crate::job::retry::Retry;
use psmith_engine::channel::frame::FRAME_BYTES_MAX;
use psmith_engine::command::{Command, OwnSurroundings};
use psmith_engine::function::codec::{Codec, CodecError};
use psmith_engine::function::described::Described;
use psmith_engine::function::job_function::{Fallible, Lending, LendingFallible, Plain};
use psmith_engine::limits::{LimitsInForce, ResourceLimits};
use psmith_engine::scratch::JobScratch;
use psmith_engine::worker::panics;

/// A job, ready to be submitted.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) callee: Arc<Callee>,
    /// Encoded; of a command, its standard input.
    pub(crate) input: Arc<Vec<u8>>,
    /// Reason why the job can never run, such as an input that cannot be encoded.
    pub(crate) refused: Option<Cause>,
    /// True if the job was cancelled before the engine knew it.
    pub(crate) cancelled: bool,
    /// True if it was cancelled by a kill.
    pub(crate) killed: bool,
    pub(crate) label: Option<String>,
    /// The index that its handle has, where that is not the job's place among those that the engine was given: jobs that
    /// were cancelled before are not.
    pub(crate) index: Option<u64>,
    /// The mailbox of messages to the job, if it has a handle that can send some.
    pub(crate) mailbox: Option<Arc<JobMailbox>>,
    /// The command, if the job is one and calls no function.
    pub(crate) command: Option<Box<Command>>,
    /// Settings of this job alone.
    pub(crate) overrides: Option<Box<JobOverrides>>,
    /// Limit of a command's output, in bytes.
    pub(crate) frame_bytes_max: u64,
    /// Scratch directories of the job, where it may have some.
    pub(crate) scratch: Option<Box<JobScratch>>,
    /// The program's surroundings when the job was handed in, if they are not the run's.
    pub(crate) surroundings: Option<Arc<OwnSurroundings>>,
}

impl Request {
    /// Makes a job that calls `callee` with this input.
    pub(crate) fn new<A, C: Codec<A>>(callee: &Arc<Callee>, input: &A, bytes_max: u64) -> Request {
        let mut bytes = Vec::new();
        let refused = Request::encode::<A, C>(callee, input, bytes_max, &mut bytes).err();
        Request { refused, ..Request::of_encoded(callee, bytes) }
    }

    /// Makes a job with an input that is encoded already.
    pub(crate) fn of_encoded(callee: &Arc<Callee>, input: Vec<u8>) -> Request {
        let callee = Arc::clone(callee);
        let input = Arc::new(input);
        Request {
            callee,
            input,
            refused: None,
            cancelled: false,
            killed: false,
            label: None,
            index: None,
            mailbox: None,
            command: None,
            overrides: None,
            frame_bytes_max: FRAME_BYTES_MAX,
            scratch: None,
            surroundings: None,
        }
    }

    /// Appends the encoded input to `bytes`. An error is the reason why the job can never run; `bytes` are empty then.
    pub(crate) fn encode<A, C: Codec<A>>(
        callee: &Callee,
        input: &A,
        bytes_max: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Cause> {
        let encoded = catch_unwind(AssertUnwindSafe(|| C::encode(input, bytes)));
        let encoded = encoded.unwrap_or_else(|payload| {
            Err(CodecError::new(format!("its encoding panicked: {}", panics::message(payload.as_ref()))))
        });
        let refused = match (&callee.function, encoded) {
            (Err(reason), _) => Some(Cause::Undecodable(format!("the function: {reason}"))),
            (_, Err(error)) => Some(Cause::Undecodable(format!("its input: {error}"))),
            (Ok(_), Ok(())) => too_long(bytes.len(), bytes_max),
        };
        refused.map_or(Ok(()), |cause| {
            *bytes = Vec::new();
            Err(cause)
        })
    }

    /// Returns the path at which this attempt may make its directory, as bytes for the worker.
    pub(crate) fn scratch(&mut self, attempt: u32) -> Option<Vec<u8>> {
        self.scratch.as_mut().map(|scratch| scratch.of_attempt(attempt).into_os_string().into_vec())
    }

    /// Returns the limits that the job has of its own.
    pub(crate) fn limits(&self) -> Option<&Arc<LimitsInForce>> {
        self.overrides.as_ref()?.in_force.as_ref()
    }

    /// Returns whether the job has a process of its own even where workers are reused.
    pub(crate) fn is_alone(&self) -> bool {
        self.command.is_some() || self.limits().is_some()
    }

    /// Decodes the input; `None` if it is none, or of another type.
    pub(crate) fn decoded_input<A: 'static>(&self) -> Option<A> {
        self.kept_input()?.decoded()
    }

    /// Returns the input as a failure keeps it.
    pub(crate) fn kept_input(&self) -> Option<KeptInput> {
        let decode = self.callee.decode_input;
        let input = || KeptInput { bytes: Arc::clone(&self.input), decode, described: self.callee.described };
        (self.refused.is_none() && self.command.is_none()).then(input)
    }
}

pub(crate) fn too_long(bytes: usize, bytes_max: u64) -> Option<Cause> {
    // The head of the frame takes some bytes, too.
    let is_too_long = bytes as u64 > bytes_max.saturating_sub(256);
    is_too_long.then(|| {
        Cause::Undecodable(format!(
            "its input: {bytes} bytes are more than the limit of {bytes_max} (max_message_bytes)"
        ))
    })
}

/// A function together with its argument, as a value, for a [`Server`](crate::Server) or a pool to run.
///
/// Jobs that return the same `R` may call different functions.
///
/// ```
/// use psmith::Job;
///
/// fn double(n: u64) -> u64 { n * 2 }
/// fn length(text: String) -> Result<u64, String> { Ok(text.len() as u64) }
///
/// let jobs: [Job<u64>; 2] = [Job::new(double, 21), Job::fallible(length, "abc".to_owned()).label("abc")];
/// assert_eq!(format!("{}", jobs[1]), "abc");
/// ```
pub struct Job<R> {
    pub(crate) request: Request,
    pub(crate) decode: fn(&[u8]) -> Result<R, CodecError>,
}

impl<R> Job<R> {
    /// Makes a job that calls `f` with `input`. An input that cannot be encoded, or a function that cannot be called
    /// from another process, is the job's failure when it is run.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Job;
    /// let jobs = [Job::new(|n: u32| n + 1, 1), Job::new(|text: String| text.len() as u32, "four".into())];
    /// assert_eq!(psmith::run_jobs(jobs).map(Result::unwrap).collect::<Vec<u32>>(), [2, 4]);
    /// ```
    pub fn new<A>(f: fn(A) -> R, input: A) -> Job<R>
    where
        A: 'static,
        R: 'static,
        Described: Codec<A> + Codec<R>,
    {
        Job::by_codec::<Described, A>(f, input)
    }

    /// Makes a job as [`Job::new`] does, of a function that returns a `Result`: its error, which is displayed, is the
    /// job's failure ([`Cause::Error`]), and may be tried again. Given to [`Job::new`], such a function's `Result` is a
    /// value, and no failure.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Job;
    /// let parse = |text: String| text.parse::<u32>();
    /// let jobs = ["7", "seven"].map(|text| Job::fallible(parse, text.to_owned()));
    /// let ends: Vec<_> = psmith::run_jobs(jobs).collect();
    /// assert_eq!(*ends[0].as_ref().unwrap(), 7);
    /// assert!(ends[1].as_ref().unwrap_err().to_string().contains("invalid digit"));
    /// ```
    pub fn fallible<A, E>(f: fn(A) -> Result<R, E>, input: A) -> Job<R>
    where
        A: 'static,
        R: 'static,
        E: fmt::Display + 'static,
        Described: Codec<A> + Codec<R>,
    {
        Job::fallible_by_codec::<Described, A, E>(f, input)
    }

    /// Makes a job that calls `f` with `input` and with the value that all jobs of its run share, an `X`
    /// ([`share`](crate::PoolBuilder::share)). In a run that was given none, or one of another type, the job fails, and
    /// `f` is not called.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let names = vec!["zero".to_owned(), "one".to_owned()];
    /// let pool = Pool::builder().workers(1).share(&names).build().unwrap();
    /// let job = Job::lent(|names: &Vec<String>, n: usize| names[n].clone(), 1);
    /// assert_eq!(pool.submit(job).unwrap().wait().unwrap(), "one");
    /// ```
    pub fn lent<X, A>(f: fn(&X, A) -> R, input: A) -> Job<R>
    where
        X: 'static,
        A: 'static,
        R: 'static,
        Described: Codec<A> + Codec<R>,
    {
        Job::of_callee::<Described, A>(Callee::new::<_, Described>(Lending(f), None), &input)
    }

    /// Makes a job as [`Job::lent`] does, of a function that returns a `Result`; its error is the job's failure, as that
    /// of [`Job::fallible`].
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let names = vec!["zero".to_owned(), "one".to_owned()];
    /// let pool = Pool::builder().workers(1).share(&names).build().unwrap();
    /// let name = |names: &Vec<String>, n: usize| names.get(n).cloned().ok_or("no such name");
    /// assert!(pool.submit(Job::fallible_lent(name, 7)).unwrap().wait().is_err());
    /// ```
    pub fn fallible_lent<X, A, E>(f: fn(&X, A) -> Result<R, E>, input: A) -> Job<R>
    where
        X: 'static,
        A: 'static,
        R: 'static,
        E: fmt::Display + 'static,
        Described: Codec<A> + Codec<R>,
    {
        Job::of_callee::<Described, A>(Callee::new::<_, Described>(LendingFallible(f), None), &input)
    }

    /// Makes a job as [`Job::new`] does, with another codec: also for types that serde does not know.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Job;
    /// use psmith::codec::Raw;
    /// let reversed = |bytes: Vec<u8>| bytes.into_iter().rev().collect::<Vec<u8>>();
    /// let jobs = [Job::by_codec::<Raw, _>(reversed, b"abc".to_vec())];
    /// assert_eq!(psmith::run_jobs(jobs).into_iter().next().unwrap().unwrap(), b"cba");
    /// ```
    pub fn by_codec<C, A>(f: fn(A) -> R, input: A) -> Job<R>
    where
        A: 'static,
        R: 'static,
        C: Codec<A> + Codec<R> + 'static,
    {
        Job::of_callee::<C, A>(Callee::new::<_, C>(Plain(f), None), &input)
    }

    /// Makes a job as [`Job::fallible`] does, with another codec.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Job;
    /// use psmith::codec::Raw;
    /// let checked = |bytes: Vec<u8>| if bytes.is_ascii() { Ok(bytes) } else { Err("no text") };
    /// let jobs = [Job::fallible_by_codec::<Raw, _, _>(checked, b"abc".to_vec())];
    /// assert_eq!(psmith::run_jobs(jobs).into_iter().next().unwrap().unwrap(), b"abc");
    /// ```
    pub fn fallible_by_codec<C, A, E>(f: fn(A) -> Result<R, E>, input: A) -> Job<R>
    where
        A: 'static,
        R: 'static,
        E: fmt::Display + 'static,
        C: Codec<A> + Codec<R> + 'static,
    {
        Job::of_callee::<C, A>(Callee::new::<_, C>(Fallible(f), None), &input)
    }

    /// Makes a job that calls `callee` with this input.
    pub(crate) fn of_callee<C: Codec<A> + Codec<R>, A>(callee: Callee, input: &A) -> Job<R> {
        let callee = Arc::new(callee);
        Job { request: Request::new::<A, C>(&callee, input, u64::MAX), decode: <C as Codec<R>>::decode }
    }

    /// Makes a job that calls the function that `#[psmith::job]` registered as `name` (`crate::module::function`) with
    /// `input`. Whether its argument and result are an `A` and an `R` shows when it runs; a value that cannot be
    /// decoded is the job's failure, as is a name that is not registered.
    ///
    /// ```
    /// # fn main() {
    /// # psmith::init();
    /// #[psmith::job]
    /// fn triple(n: u32) -> u32 { n * 3 }
    ///
    /// let name = psmith::registry::names().find(|name| name.ends_with("triple")).unwrap();
    /// let mut jobs = vec![psmith::Job::<u32>::named(name, 14_u32)].into_iter();
    /// let mut got = 0;
    /// psmith::Server::new(move || jobs.next()).consumer(|_, result| got = result.unwrap()).run().unwrap();
    /// assert_eq!(got, 42);
    /// # }
    /// ```
    pub fn named<A: 'static>(name: &str, input: A) -> Job<R>
    where
        Described: Codec<A> + Codec<R>,
    {
        Job::of_callee::<Described, A>(Callee::named::<A>(name), &input)
    }

    /// Sets a name for people, in place of the input.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Job;
    /// let jobs = [Job::fallible(|_: ()| -> Result<(), String> { Err("no".into()) }, ()).label("deploy")];
    /// assert_eq!(psmith::run_jobs(jobs).into_iter().next().unwrap().unwrap_err().label.as_deref(), Some("deploy"));
    /// ```
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Job<R> {
        self.request.label = Some(label.into());
        self
    }

    /// Ends an attempt at this job that runs longer, in place of the timeout of its run.
    ///
    /// ```
    /// # psmith::init();
    /// use std::time::Duration;
    /// use psmith::{Cause, Job, Pool, Retry};
    /// let limit = Duration::from_millis(100);
    /// let jobs = [
    ///     Job::command("sleep").arg("60").job().timeout(limit),
    ///     Job::new(|_: ()| -> Vec<u8> { loop { std::thread::park() } }, ()).timeout(limit).retry(Retry::tries(2)),
    /// ];
    /// let pool = Pool::builder().workers(2).build().unwrap();
    /// let failures = jobs.map(|job| pool.submit(job).unwrap().wait().unwrap_err());
    /// assert!(failures.iter().all(|failure| failure.cause == Cause::Timeout(limit)));
    /// assert_eq!(failures.map(|failure| failure.attempts), [1, 2]);
    /// ```
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Job<R> {
        self.request.overrides.get_or_insert_default().timeout = Some(limit);
        self
    }

    /// Ends an attempt at this job that gives no sign of life for this long, in place of the idle timeout of its run.
    /// The signs of life of a command are its output.
    ///
    /// ```
    /// # psmith::init();
    /// use std::time::Duration;
    /// use psmith::{Cause, Job};
    /// let limit = Duration::from_millis(100);
    /// let jobs = [Job::command("sleep").arg("60").job().idle_timeout(limit)];
    /// assert_eq!(psmith::run_jobs(jobs).into_iter().next().unwrap().unwrap_err().cause, Cause::Idle(limit));
    /// ```
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Job<R> {
        self.request.overrides.get_or_insert_default().idle_timeout = Some(limit);
        self
    }

    /// Sets how often this job is tried, in place of the retries of its run.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Retry};
    /// let flaky = |_: ()| if psmith::cx().unwrap().attempt() == 1 { Err("not yet") } else { Ok(7) };
    /// let jobs = [Job::fallible(flaky, ()).retry(Retry::tries(2))];
    /// assert_eq!(psmith::run_jobs(jobs).into_iter().next().unwrap().unwrap(), 7);
    /// ```
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Job<R> {
        self.request.overrides.get_or_insert_default().retry = Some(retry);
        self
    }

    /// Limits this job's memory, CPU time, files and processes, each in place of its run's
    /// ([`limits`](crate::PoolBuilder::limits)), be it less or more; limits that are not set here are the run's. The
    /// kernel counts for processes: beside reused workers ([`Isolation::Reuse`](crate::Isolation::Reuse)) such a job,
    /// function or command, has a process of its own in each attempt, which begins as every worker does.
    ///
    /// A limit that cannot be enforced on this machine is the job's failure, [`Cause::SpawnFailed`], and the job does
    /// not run. To find out how limits can be enforced costs some milliseconds; the last limits of a run are
    /// remembered, so jobs in a row with the same ones cost that once.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool, ResourceLimits};
    /// let files = |files| ResourceLimits::new().open_files(files);
    /// let asks = || Job::command("sh").args(["-c", "ulimit -n"]).job();
    /// let pool = Pool::builder().workers(1).limits(files(100)).build().unwrap();
    /// let handles = [asks(), asks().limits(files(50)), asks().limits(files(150))].map(|job| pool.submit(job).unwrap());
    /// assert_eq!(handles.map(|handle| handle.wait().unwrap()), [&b"100\n"[..], b"50\n", b"150\n"]);
    /// ```
    #[must_use]
    pub fn limits(mut self, limits: ResourceLimits) -> Job<R> {
        self.request.overrides.get_or_insert_default().limits = Some(limits);
        self
    }
}

impl<R> fmt::Display for Job<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.request.label {
            Some(label) => f.write_str(label),
            None => match self.request.kept_input() {
                Some(input) => write!(f, "{input:?}"),
                None => f.write_str("a job that cannot run"),
            },
        }
    }
}

impl<R> fmt::Debug for Job<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({self})")
    }
}

/// A job as hooks and consumers see it.
///
/// ```
/// # psmith::init();
/// let mut seen = Vec::new();
/// let pids: Vec<u32> = psmith::map(0..2, |_: u32| std::process::id())
///     .on_done(|job, _| seen.push((job.index(), job.id(), job.pid())))
///     .map(Result::unwrap)
///     .collect();
/// assert_eq!(seen, [(0, 1, pids[0]), (1, 2, pids[1])]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRef {
    pub(crate) index: u64,
    pub(crate) label: Option<String>,
    pub(crate) slot: u32,
    pub(crate) pid: u32,
    pub(crate) name: Option<String>,
    /// Encoded, where the job has an input.
    pub(crate) input: Option<KeptInput>,
}

impl JobRef {
    /// Makes a reference to a job that has no process.
    pub(crate) fn unstarted(index: u64, request: &Request) -> JobRef {
        let (label, input) = (request.label.clone(), request.kept_input());
        JobRef { index, label, slot: 0, pid: 0, name: None, input }
    }

    /// Returns the index of the job in the order of submission, from 0.
    ///
    /// ```
    /// # psmith::init();
    /// # // proves: iterator-adapters
    /// let mut seen = Vec::new();
    /// let map = psmith::map([5, 6], |n: u32| n).on_done(|job, n| seen.push((job.index(), *n.unwrap())));
    /// assert_eq!(map.into_iter().enumerate().map(|(at, n)| (at, n.unwrap())).collect::<Vec<_>>(), [(0, 5), (1, 6)]);
    /// assert_eq!(seen, [(0, 5), (1, 6)]);
    /// ```
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Returns the number of the job in the run, from 1: the same that [`Cx::job_id`](crate::Cx::job_id) returns in the
    /// job.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.index + 1
    }

    /// Returns the name of the job, if it was given one.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Job;
    /// let mut seen = Vec::new();
    /// let jobs = [Job::command("true").job().label("first"), Job::new(|_: ()| Vec::new(), ())];
    /// psmith::run_jobs(jobs).on_done(|job, _| seen.push(job.label().map(str::to_owned))).for_each(drop);
    /// assert_eq!(seen, [Some("first".to_owned()), None]);
    /// ```
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Decodes the input of the job: the item of a [`map`](crate::map()), or what was given to
    /// [`Job::new`](crate::Job::new). Each call decodes it anew. `None` if it is of another type, or if the job is a
    /// command.
    ///
    /// ```
    /// # psmith::init();
    /// let mut seen = Vec::new();
    /// let lengths = psmith::map(["a".to_owned(), "bc".to_owned()], |word: String| word.len());
    /// lengths.on_done(|job, n| seen.push((job.input::<String>().unwrap(), *n.unwrap()))).for_each(drop);
    /// assert_eq!(seen, [("a".to_owned(), 1), ("bc".to_owned(), 2)]);
    /// ```
    #[must_use]
    pub fn input<A: 'static>(&self) -> Option<A> {
        self.input.as_ref()?.decoded()
    }

    /// Returns the slot of its last attempt, from 0.
    ///
    /// ```
    /// # psmith::init();
    /// let mut seen = Vec::new();
    /// psmith::map(0..9, |n: u32| n).workers(2).on_done(|job, _| seen.push(job.slot())).for_each(drop);
    /// assert!(seen.iter().all(|slot| *slot < 2));
    /// ```
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Returns the process of its last attempt, as it was; 0 if there was none, as in a start hook. Inline it is this
    /// process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the name of its worker: the last that was set by [`Cx::set_process_name`](crate::Cx::set_process_name),
    /// else its process id.
    ///
    /// ```
    /// # psmith::init();
    /// let mut seen = Vec::new();
    /// let named = |_: ()| psmith::cx().unwrap().set_process_name("painter");
    /// psmith::map([()], named).on_done(|job, _| seen.push(job.process_name())).for_each(drop);
    /// assert_eq!(seen, ["painter"]);
    /// ```
    #[must_use]
    pub fn process_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.pid.to_string())
    }
}

/// Judges what a job's value means for the other jobs. A type whose decoding panics decides nothing; its own caller
/// gets the failure.
pub(crate) fn judged(request: &Request, value: &[u8]) -> Judgement {
    request.callee.judge.map_or(Judgement::Go, |judge| {
        catch_unwind(AssertUnwindSafe(|| judge(value))).unwrap_or(Judgement::Go)
    })
}

pub(crate) fn refused(detail: String) -> SpawnFailure {
    SpawnFailure { step: SpawnStep::Prepare, errno: 0, detail, permanent: true }
}
