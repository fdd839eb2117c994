//! Jobs in, what they came to out: functions of many kinds, and commands, in one run and in order.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use psmith_core::Cause;
use psmith_core::policy::Order;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::job::failure::Failure;
use crate::job::job::{Job, JobRef};
use crate::map::hooks::{MessageHook, message_hook, of_hook};
use crate::run::decode::settle;
use crate::run::face;
use crate::run::options::{OnError, Options};
use crate::run::run::{News, Run, Wants};
use crate::run::settings::settings;
use crate::run::submitter::Submitter;
use psmith_engine::EngineError;
use psmith_engine::function::codec::CodecError;
use psmith_engine::handler::EngineCommand;

/// Runs these jobs and gives what they come to, in the order of the jobs.
///
/// As [`map`](crate::map()), but each item is a [`Job`] of its own: jobs may call different functions or be commands, and
/// bring settings of their own. It is lazy as `map` is: nothing runs before it is asked for the first outcome, then jobs are
/// taken as far ahead as the window allows, so `jobs` may be endless; dropping it ends what runs and waits for that. It
/// takes at least one worker: there is no inline mode here.
///
/// Defaults: as many workers as processors, workers that stay, and the others go on after a failure. Of
/// [`Options`](crate::Options) it does not serve `logger`.
///
/// ```
/// # psmith::init();
/// use psmith::Job;
///
/// let double = |n: u32| n.to_string().repeat(2).into_bytes();
/// let jobs = [Job::command("echo").arg("one").job(), Job::new(double, 7), Job::command("cat").stdin("3").job()];
/// let values: Result<Vec<Vec<u8>>, psmith::Failure> = psmith::run_jobs(jobs).workers(2).collect();
/// assert_eq!(values.unwrap(), [&b"one\n"[..], b"77", b"3"]);
/// // proves: N-13
/// ```
pub fn run_jobs<'h, R, I>(jobs: I) -> RunJobs<'h, I::IntoIter, R>
where
    I: IntoIterator<Item = Job<R>>,
{
    let options = Options::of(face::RUN_JOBS);
    RunJobs { jobs: jobs.into_iter(), options, on_done: None, on_message: None, stage: Stage::Before }
}

/// What the jobs come to, and before the first is asked for the settings of their run; see [`run_jobs`].
#[must_use = "nothing runs before it is iterated over"]
pub struct RunJobs<'h, I, R> {
    jobs: I,
    options: Options,
    on_done: Option<DoneHook<'h, R>>,
    on_message: Option<MessageHook<'h>>,
    stage: Stage<R>,
}

type Decode<R> = fn(&[u8]) -> Result<R, CodecError>;

type DoneHook<'h, R> = Box<dyn FnMut(&JobRef, Result<&R, &Failure>) + 'h>;

enum Stage<R> {
    Before,
    Running(Box<Running<R>>),
    Over,
}

struct Running<R> {
    run: Run,
    submitter: Submitter,
    /// How the values of jobs that are on their way are read, by index.
    decoders: HashMap<u64, Decode<R>>,
    /// Why a job's outcome, which is yet to come, is a failure of ours.
    spoilt: HashMap<u64, String>,
    window: usize,
    taken: u64,
    /// No more jobs are taken.
    ended: bool,
    /// A hook has ended the run.
    stopped: bool,
}

impl<'h, I, R> RunJobs<'h, I, R> {
    settings!(options);

    /// Gives outcomes as they come, not in the order of the jobs.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Job;
    /// let jobs = (1..=3).map(|n| Job::new(|n: u32| n, n));
    /// let mut values: Vec<u32> = psmith::run_jobs(jobs).unordered().map(Result::unwrap).collect();
    /// values.sort();
    /// assert_eq!(values, [1, 2, 3]);
    /// ```
    pub fn unordered(mut self) -> Self {
        self.options.order = Order::Completion;
        self
    }

    /// Called with each job and its outcome, before that is handed out.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Job;
    /// let jobs = ["true", "false"].map(|program| Job::command(program).job());
    /// let mut ended = Vec::new();
    /// let run = psmith::run_jobs(jobs);
    /// run.on_done(|job, came| ended.push((job.label().unwrap().to_owned(), came.is_ok()))).for_each(drop);
    /// assert_eq!(ended, [("true".to_owned(), true), ("false".to_owned(), false)]);
    /// ```
    pub fn on_done(mut self, hook: impl FnMut(&JobRef, Result<&R, &Failure>) + 'h) -> Self {
        self.on_done = Some(Box::new(hook));
        self
    }

    /// Called with each message of a job ([`Cx::send`](crate::Cx::send)), before the job's outcome. A message of another
    /// type stops the run: its job's place is taken by a failure that says so, what runs may finish, and nothing more is
    /// started. That failure keeps its place in the order, after the outcomes of the jobs before it; with
    /// [`unordered`](Self::unordered) it comes at once.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Job;
    /// let count = |n: u32| for i in 0..n { psmith::cx().unwrap().send(&i).unwrap(); };
    /// let greet = |n: u32| psmith::cx().unwrap().send(&(n + 30)).unwrap();
    /// let jobs = [Job::<()>::new(count, 3), Job::<()>::new(greet, 7)];
    /// let mut heard = Vec::new();
    /// for end in psmith::run_jobs(jobs).on_message(|job, n: u32| heard.push((job.index(), n))) {
    ///     end.unwrap();
    /// }
    /// heard.sort();
    /// assert_eq!(heard, [(0, 0), (0, 1), (0, 2), (1, 37)]);
    /// ```
    pub fn on_message<M: Serialize + DeserializeOwned>(mut self, hook: impl FnMut(&JobRef, M) + 'h) -> Self {
        self.on_message = Some(message_hook(hook));
        self
    }
}

impl<I, R> Iterator for RunJobs<'_, I, R>
where
    I: Iterator<Item = Job<R>>,
{
    type Item = Result<R, Failure>;

    fn next(&mut self) -> Option<Result<R, Failure>> {
        if let Stage::Before = self.stage {
            match self.begin() {
                Ok(stage) => self.stage = stage,
                Err(error) => return Some(Err(self.abort(Arc::new(error)))),
            }
        }
        loop {
            let Stage::Running(running) = &mut self.stage else { return None };
            // One job before each outcome that is handed out keeps the window full.
            running.take_from(&mut self.jobs, self.options.after_error());
            let news = match running.run.try_next() {
                None if running.may_take() => continue,
                None => running.run.next(),
                news => Ok(news),
            };
            match news {
                Ok(Some(News::Done(finished))) => {
                    let job = finished.job.clone();
                    let Some(decode) = running.decoders.remove(&job.index) else { continue };
                    let mut came = settle(*finished, self.options.output, decode);
                    if let Some(reason) = running.spoilt.remove(&job.index) {
                        came = Err(of_hook(&job, reason));
                    }
                    if came
                        .as_ref()
                        .is_err_and(|failure| running.is_left_over(failure, self.options.after_error()))
                    {
                        continue;
                    }
                    if let Some(hook) = &mut self.on_done {
                        hook(&job, came.as_ref());
                    }
                    return Some(came);
                }
                Ok(Some(News::Message(job, bytes, body))) => {
                    // After a failing message there is no more to be heard of its job.
                    let is_heard =
                        running.decoders.contains_key(&job.index) && !running.spoilt.contains_key(&job.index);
                    if let Some(hook) = &mut self.on_message
                        && is_heard
                        && let Err(text) = hook(&job, &bytes[body..])
                    {
                        running.stop();
                        if self.options.order == Order::Submission {
                            running.spoilt.insert(job.index, text);
                            continue;
                        }
                        running.decoders.remove(&job.index);
                        let failure = of_hook(&job, text);
                        if let Some(hook) = &mut self.on_done {
                            hook(&job, Err(&failure));
                        }
                        return Some(Err(failure));
                    }
                }
                Ok(Some(News::Started(_) | News::Progress(..) | News::Results(_))) => {}
                Ok(None) => self.stage = Stage::Over,
                Err(error) => return Some(Err(self.abort(error))),
            }
        }
    }
}

impl<I, R> RunJobs<'_, I, R>
where
    I: Iterator<Item = Job<R>>,
{
    fn begin(&mut self) -> Result<Stage<R>, EngineError> {
        let workers = self.options.workers_in_force().map_err(EngineError::Setting)?.max(1);
        // Without a first job nothing is started at all.
        let Some(first) = self.jobs.next() else { return Ok(Stage::Over) };
        let wants = Wants { messages: self.on_message.is_some(), ..Wants::default() };
        let (run, submitter) = Run::begin(&self.options, workers, wants)?;
        let window = self.options.window_in_force(workers) as usize;
        let decoders = HashMap::new();
        let mut running = Running {
            run,
            submitter,
            decoders,
            spoilt: HashMap::new(),
            window,
            taken: 0,
            ended: false,
            stopped: false,
        };
        running.submit(first);
        Ok(Stage::Running(Box::new(running)))
    }

    /// psmith itself failed: one failure, and the end.
    fn abort(&mut self, error: Arc<EngineError>) -> Failure {
        let index = match &self.stage {
            Stage::Running(running) => running.decoders.keys().min().copied().unwrap_or(running.taken),
            Stage::Before | Stage::Over => 0,
        };
        self.stage = Stage::Over;
        Failure::ours(error, index)
    }
}

impl<R> Running<R> {
    fn may_take(&self) -> bool {
        !self.ended && self.decoders.len() < self.window
    }

    fn take_from(&mut self, jobs: &mut impl Iterator<Item = Job<R>>, on_error: OnError) {
        if !self.may_take() {
            return;
        }
        let job = if self.run.is_ended() || self.is_over_early(on_error) { None } else { jobs.next() };
        match job {
            Some(job) => self.submit(job),
            None => {
                self.ended = true;
                self.submitter.close();
            }
        }
    }

    fn submit(&mut self, job: Job<R>) {
        self.decoders.insert(self.taken, job.decode);
        self.taken += 1;
        self.submitter.submit(job.request);
    }

    /// A hook wants no more.
    fn stop(&mut self) {
        self.stopped = true;
        self.run.order(EngineCommand::Drain);
    }

    /// One job, or a hook, has ended the run for all.
    fn is_over_early(&self, on_error: OnError) -> bool {
        self.stopped || on_error != OnError::Continue && self.run.first().failed.is_some()
    }

    /// A job that never ran because another one had ended the run: no news for anybody.
    fn is_left_over(&self, failure: &Failure, on_error: OnError) -> bool {
        failure.attempts == 0 && failure.cause == Cause::Cancelled && self.is_over_early(on_error)
    }
}

impl<I, R> fmt::Debug for RunJobs<'_, I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunJobs").field("options", &self.options).finish_non_exhaustive()
    }
}
