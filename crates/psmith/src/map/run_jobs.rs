//! Jobs in, outcomes out: functions of many kinds, and commands, in one run and in order.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use psmith_core::policy::Order;

use crate::job::failure::Failure;
use crate::job::job::{Job, JobRef};
use crate::map::hooks::{HookAnswer, Hooks, StartHook, hooks, of_hook};
use crate::map::iterates::iterates;
use crate::map::left::LeftItems;
use crate::map::start_gate::{StartGate, call_hook};
use crate::run::decode::decode_outcome;
use crate::run::face;
use crate::run::options::{OnError, Options};
use crate::run::run::Run;
use crate::run::run_event::{Finished, RunEvent, Wants};
use crate::run::settings::settings;
use crate::run::submitter::Submitter;
use psmith_engine::EngineError;
use psmith_engine::function::codec::CodecError;
use psmith_engine::handler::EngineCommand;

/// Runs these jobs and gives their outcomes, in the order of the jobs.
///
/// As [`map`](crate::map()), but each item is a [`Job`] of its own: jobs may call different functions or be commands,
/// and bring settings of their own. It is lazy as `map` is: nothing runs before it is asked for the first outcome, then
/// jobs are taken as far ahead as the window allows, so `jobs` may be endless; dropping it ends what runs and waits for
/// that. It takes at least one worker: there is no inline mode here.
///
/// Defaults: as many workers as processors, workers that stay, and the others go on after a failure. Of
/// [`Options`] it does not serve `logger`.
///
/// ```
/// # psmith::init();
/// use psmith::Job;
///
/// let double = |n: u32| n.to_string().repeat(2).into_bytes();
/// let jobs = [Job::command("echo").arg("one").job(), Job::new(double, 7), Job::command("cat").stdin("3").job()];
/// let values: Result<Vec<Vec<u8>>, psmith::Failure> = psmith::run_jobs(jobs).workers(2).collect();
/// assert_eq!(values.unwrap(), [&b"one\n"[..], b"77", b"3"]);
/// // proves: one-kind-of-job
/// ```
pub fn run_jobs<'h, R, I>(jobs: I) -> RunJobs<'h, I::IntoIter, R>
where
    I: IntoIterator<Item = Job<R>>,
{
    let options = Options::of(face::RUN_JOBS);
    RunJobs { jobs: jobs.into_iter(), options, hooks: Hooks::none(), on_left: None }
}

/// Jobs and the settings of their run, before it begins; see [`run_jobs`]. Their outcomes are those of its iterator,
/// [`RunJobsIter`], which takes no more settings.
#[must_use = "nothing runs before it is iterated over"]
pub struct RunJobs<'h, I, R> {
    jobs: I,
    options: Options,
    hooks: Hooks<'h, R>,
    on_left: Option<OnLeft<'h, R>>,
}

/// The outcomes of a [`RunJobs`].
#[must_use = "nothing runs before it is iterated over"]
pub struct RunJobsIter<'h, I, R> {
    jobs: I,
    options: Options,
    hooks: Hooks<'h, R>,
    on_left: Option<OnLeft<'h, R>>,
    left: LeftItems,
    stage: RunJobsStage<R>,
}

type OnLeft<'h, R> = Box<dyn FnMut(Job<R>) + Send + 'h>;

type Decode<R> = fn(&[u8]) -> Result<R, CodecError>;

enum RunJobsStage<R> {
    Before,
    Running(Box<RunJobsRun<R>>),
    Over,
}

impl<R> RunJobsStage<R> {
    /// Returns the run, if there is one now.
    fn run(&self) -> Option<&Run> {
        match self {
            RunJobsStage::Running(running) => Some(&running.run),
            RunJobsStage::Before | RunJobsStage::Over => None,
        }
    }
}

struct RunJobsRun<R> {
    run: Run,
    submitter: Submitter,
    /// The decoders of the values of jobs that are under way, by index.
    decoders: HashMap<u64, Decode<R>>,
    window: usize,
    taken: u64,
    /// True once no more jobs are taken.
    ended: bool,
    /// True once a hook has ended the run.
    stopped: bool,
    /// The gate before each start, where there is a start hook.
    gate: Option<StartGate>,
}

impl<'h, I, R> RunJobs<'h, I, R> {
    settings!(options);
    hooks!(R, hooks);

    /// Sets the hook that is called with each job that was taken and not begun, because the run was ended, as
    /// [`Map::on_left`](crate::Map::on_left) is with items.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, OnError};
    /// let jobs = (0..9).map(|n| Job::command("false").job().label(n.to_string()));
    /// let mut back = Vec::new();
    /// let run = psmith::run_jobs(jobs).workers(1).on_error(OnError::Stop).on_left(|job| back.push(job.to_string()));
    /// assert_eq!((run.count(), back[0].as_str()), (1, "1"));
    /// ```
    pub fn on_left(mut self, hook: impl FnMut(Job<R>) + Send + 'h) -> Self {
        self.on_left = Some(Box::new(hook));
        self
    }

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
}

impl<'h, I, R> IntoIterator for RunJobs<'h, I, R>
where
    I: Iterator<Item = Job<R>>,
{
    type Item = Result<R, Failure>;
    type IntoIter = RunJobsIter<'h, I, R>;

    fn into_iter(self) -> RunJobsIter<'h, I, R> {
        let RunJobs { jobs, options, hooks, on_left } = self;
        let stage = RunJobsStage::Before;
        RunJobsIter { jobs, options, hooks, on_left, left: LeftItems::default(), stage }
    }
}

impl<'h, I, R> RunJobs<'h, I, R>
where
    I: Iterator<Item = Job<R>>,
{
    iterates!(R, RunJobsIter<'h, I, R>);
}

impl<I, R> Iterator for RunJobsIter<'_, I, R>
where
    I: Iterator<Item = Job<R>>,
{
    type Item = Result<R, Failure>;

    fn next(&mut self) -> Option<Result<R, Failure>> {
        if let RunJobsStage::Before = self.stage {
            if let Some(failure) = LeftItems::failure_if_stopping(&self.jobs, 0) {
                self.stage = RunJobsStage::Over;
                return Some(Err(failure));
            }
            match self.begin() {
                Ok(stage) => self.stage = stage,
                Err(error) => return Some(Err(self.abort(Arc::new(error)))),
            }
        }
        loop {
            let RunJobsStage::Running(running) = &mut self.stage else { return None };
            // One job before each outcome that is handed out keeps the window full.
            running.take_from(
                &mut self.jobs,
                self.options.after_error(),
                &mut self.left,
                self.hooks.start.as_mut(),
            );
            if self.options.order == Order::Completion
                && let Some(refused) = running.take_refused()
            {
                return Some(Err(refused));
            }
            let event = match running.run.try_next() {
                None if running.may_take() => continue,
                None => running.run.next(),
                event => Ok(event),
            };
            match event {
                Ok(Some(event)) => {
                    if let Some(outcome) = self.on_event(event) {
                        return Some(outcome);
                    }
                }
                Ok(None) => {
                    if let Some(refused) = running.take_refused() {
                        return Some(Err(refused));
                    }
                    let is_told = running.is_over_early(self.options.after_error());
                    let failure = self.left.failure(&running.run, &self.jobs, running.taken, is_told);
                    self.stage = RunJobsStage::Over;
                    return failure.map(Err);
                }
                Err(error) => return Some(Err(self.abort(error))),
            }
        }
    }
}

impl<I, R> RunJobsIter<'_, I, R>
where
    I: Iterator<Item = Job<R>>,
{
    fn begin(&mut self) -> Result<RunJobsStage<R>, EngineError> {
        let workers = self.options.workers_in_force().map_err(EngineError::Setting)?.max(1);
        // Without a first job nothing is started at all.
        let Some(first) = self.jobs.next() else { return Ok(RunJobsStage::Over) };
        let wants = Wants {
            slots: self.hooks.start.is_some(),
            progress: self.hooks.progress.is_some(),
            messages: self.hooks.message.is_some(),
            ..Wants::default()
        };
        let (run, submitter) = Run::begin(&self.options, workers, wants)?;
        let window = self.options.window_in_force(workers) as usize;
        let decoders = HashMap::new();
        let gate = self.hooks.start.is_some().then(|| StartGate::new(workers));
        let mut running =
            RunJobsRun { run, submitter, decoders, window, taken: 0, ended: false, stopped: false, gate };
        running.submit(first, self.hooks.start.as_mut());
        Ok(RunJobsStage::Running(Box::new(running)))
    }

    /// Handles one event, and returns the outcome that is to be handed out for it.
    fn on_event(&mut self, event: RunEvent) -> Option<Result<R, Failure>> {
        match event {
            RunEvent::Done(finished) => self.end(*finished),
            RunEvent::Message(job, bytes, body) => self.handle_message(&job, &bytes[body..]),
            RunEvent::SlotFreed => {
                let RunJobsStage::Running(running) = &mut self.stage else { return None };
                running.gate.iter_mut().for_each(StartGate::on_end);
                None
            }
            RunEvent::Progress(job, done, total) => {
                let hook = self.hooks.progress.as_mut()?;
                call_hook(self.stage.run(), || hook(&job, done, total));
                None
            }
            RunEvent::Started(_) | RunEvent::Results(_) => None,
        }
    }

    fn end(&mut self, finished: Finished) -> Option<Result<R, Failure>> {
        let RunJobsStage::Running(running) = &mut self.stage else { return None };
        let job = finished.job.clone();
        let decode = running.decoders.remove(&job.index)?;
        if finished.is_left() {
            self.left.add(job.index);
            if let Some(hook) = &mut self.on_left {
                call_hook(Some(&running.run), || hook(Job { request: finished.request, decode }));
            }
            return None;
        }
        let mut outcome = decode_outcome(finished, self.options.output, decode);
        if let Some(reason) = self.hooks.overridden.remove(job.index) {
            outcome = Err(of_hook(&job, reason));
        }
        if let Some(hook) = &mut self.hooks.done
            && let Err(text) = call_hook(self.stage.run(), || hook(&job, outcome.as_ref()))
        {
            return Some(Err(self.stop_for_hook(&job, format!("done hook: {text}"))));
        }
        Some(outcome)
    }

    /// A message of another type stops the run: a failure takes the place of its job's outcome, in the order of jobs,
    /// or at once where outcomes are given as they come.
    fn handle_message(&mut self, job: &JobRef, bytes: &[u8]) -> Option<Result<R, Failure>> {
        let RunJobsStage::Running(running) = &mut self.stage else { return None };
        // After a failing message the job's further messages are ignored.
        if !running.decoders.contains_key(&job.index) || self.hooks.overridden.contains(job.index) {
            return None;
        }
        let hook = self.hooks.message.as_mut()?;
        let Err(text) = call_hook(Some(&running.run), || hook(job, bytes)) else { return None };
        running.stop();
        if self.options.order == Order::Submission {
            self.hooks.overridden.insert(job.index, text);
            return None;
        }
        running.decoders.remove(&job.index);
        let failure = of_hook(job, text);
        if let Some(hook) = &mut self.hooks.done
            && let Err(text) = call_hook(self.stage.run(), || hook(job, Err(&failure)))
        {
            return Some(Err(self.stop_for_hook(job, format!("done hook: {text}"))));
        }
        Some(Err(failure))
    }

    /// Stops the run for a hook that returned an error.
    fn stop_for_hook(&mut self, job: &JobRef, text: String) -> Failure {
        if let RunJobsStage::Running(running) = &mut self.stage {
            running.stop();
        }
        of_hook(job, text)
    }

    /// Ends the run for an error of psmith's own, with one failure.
    fn abort(&mut self, error: Arc<EngineError>) -> Failure {
        let index = match &self.stage {
            RunJobsStage::Running(running) => running.decoders.keys().min().copied().unwrap_or(running.taken),
            RunJobsStage::Before | RunJobsStage::Over => 0,
        };
        self.stage = RunJobsStage::Over;
        Failure::ours(error, index)
    }
}

impl<R> RunJobsRun<R> {
    fn may_take(&self) -> bool {
        let has_slot = self.gate.as_ref().is_none_or(StartGate::has_room);
        !self.ended && has_slot && self.decoders.len() < self.window
    }

    /// Takes the failure of the job whose start hook refused it.
    fn take_refused(&mut self) -> Option<Failure> {
        let (_, failure) = self.gate.as_mut()?.take_refused()?;
        Some(failure)
    }

    fn take_from(
        &mut self,
        jobs: &mut impl Iterator<Item = Job<R>>,
        on_error: OnError,
        left: &mut LeftItems,
        hook: Option<&mut StartHook<'_>>,
    ) {
        if !self.may_take() {
            return;
        }
        let is_needed = !self.run.is_ended() && !self.is_over_early(on_error);
        let job = if is_needed { jobs.next() } else { None };
        left.is_source_over |= is_needed && job.is_none();
        match job {
            Some(job) => self.submit(job, hook),
            None => {
                self.ended = true;
                self.submitter.close();
            }
        }
    }

    /// Hands in one job, where its start hook lets it pass.
    fn submit(&mut self, job: Job<R>, hook: Option<&mut StartHook<'_>>) {
        if let (Some(gate), Some(hook)) = (&mut self.gate, hook) {
            let begins = JobRef::unstarted(self.taken, &job.request);
            let answer = call_hook(Some(&self.run), || hook(&begins));
            if !gate.may_begin(begins, answer) {
                self.taken += 1;
                (self.stopped, self.ended) = (true, true);
                return self.submitter.close();
            }
        }
        self.decoders.insert(self.taken, job.decode);
        self.taken += 1;
        self.submitter.submit(job.request);
    }

    /// Stops the run for a hook.
    fn stop(&mut self) {
        self.stopped = true;
        self.run.order(EngineCommand::Drain);
    }

    /// True if one job, or a hook, has ended the run for all.
    fn is_over_early(&self, on_error: OnError) -> bool {
        self.stopped || on_error != OnError::Continue && self.run.first().failed.is_some()
    }
}

impl<I, R> fmt::Debug for RunJobs<'_, I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunJobs").field("options", &self.options).finish_non_exhaustive()
    }
}
