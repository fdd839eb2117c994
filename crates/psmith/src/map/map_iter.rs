//! The results of a fan-out: takes items as far as the window allows, hands out results, calls the hooks.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::job::failure::Failure;
use crate::job::flow::Judge;
use crate::job::job::{Callee, JobRef};
use crate::map::hooks::{Hooks, of_hook};
use crate::map::inline;
use crate::map::left::LeftItems;
use crate::map::map::Map;
use crate::map::map_run::{MapRun, MapStage};
use crate::run::decode::{decode_outcome_owned, decoded};
use crate::run::input_writer::InputWriter;
use crate::run::options::{Isolation, OnError, Options};
use crate::run::run_event::First;
use crate::run::run_event::{RunEvent, Wants};
use psmith_engine::EngineError;
use psmith_engine::channel::messages::Receiver;
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::Described;
use psmith_engine::function::job_function::JobFunction;
use psmith_engine::handler::EngineCommand;

/// The results of a [`Map`].
///
/// ```
/// # psmith::init();
/// let mut results = psmith::map(1.., |n: u32| n * n).workers(1).into_iter();
/// assert_eq!(results.next().unwrap().unwrap(), 1);
/// assert_eq!(results.next().unwrap().unwrap(), 4);
/// ```
#[must_use = "nothing runs before it is iterated over"]
pub struct MapIter<'h, I, F, R, C = Described> {
    items: I,
    f: F,
    options: Options,
    judge: Option<Judge>,
    hooks: Hooks<'h, R>,
    codec: PhantomData<fn() -> C>,
    stage: MapStage,
    taken: u64,
    handed_out: u64,
    /// True once no more items are taken, for a hook or a value.
    stopped: bool,
    /// True once no more items are taken.
    ended: bool,
    left: LeftItems,
}

impl<'h, I, F, R, C> MapIter<'h, I, F, R, C> {
    pub(super) fn new(map: Map<'h, I, F, R, C>) -> Self {
        let Map { items, f, options, judge, hooks, .. } = map;
        MapIter {
            items,
            f,
            options,
            judge,
            hooks,
            codec: PhantomData,
            stage: MapStage::Before,
            taken: 0,
            handed_out: 0,
            stopped: false,
            ended: false,
            left: LeftItems::default(),
        }
    }
}

impl<I, F, R, C> Iterator for MapIter<'_, I, F, R, C>
where
    I: Iterator,
    F: JobFunction<Input = I::Item, Value = R>,
    C: Codec<I::Item> + Codec<R> + 'static,
{
    type Item = Result<R, Failure>;

    fn next(&mut self) -> Option<Result<R, Failure>> {
        self.step().map(|(_, result)| result)
    }
}

impl<I, F, R, C> MapIter<'_, I, F, R, C>
where
    I: Iterator,
    F: JobFunction<Input = I::Item, Value = R>,
    C: Codec<I::Item> + Codec<R> + 'static,
{
    fn begin(&mut self) -> Result<(), EngineError> {
        let options = &self.options;
        options.check()?;
        let workers = options.workers_in_force().map_err(EngineError::Setting)?;
        if workers == 0 {
            options.first_calls()?;
            self.stage = MapStage::Inline;
            return Ok(());
        }
        // Without a first item nothing is started at all.
        let Some(first) = self.items.next() else {
            self.stage = MapStage::Over;
            return Ok(());
        };
        let hooks = &self.hooks;
        let total = match self.items.size_hint() {
            (least, Some(most)) if least == most => Some(least as u64 + 1),
            _ => None,
        };
        let wants = Wants {
            total,
            starts: hooks.start.is_some(),
            progress: hooks.progress.is_some(),
            messages: hooks.message.is_some(),
            blocks: self.may_be_blocks(),
        };
        let callee = Callee::new::<F, C>(self.f, self.judge);
        let mut running = MapRun::begin(options, workers, wants, callee)?;
        running.submit::<I::Item, C>(&first);
        self.taken = 1;
        self.stage = MapStage::Running(Box::new(running));
        Ok(())
    }

    /// Returns the next outcome and its job's index.
    pub(crate) fn step(&mut self) -> Option<(u64, Result<R, Failure>)> {
        #[cfg(feature = "board")]
        self.hooks.shown.begin(|| self.items.size_hint());
        let next = self.next_outcome();
        #[cfg(feature = "board")]
        self.hooks.shown.on_outcome(next.as_ref().map(|(_, result)| result.is_ok()));
        next
    }

    fn next_outcome(&mut self) -> Option<(u64, Result<R, Failure>)> {
        if let MapStage::Before = self.stage {
            if let Some(failure) = LeftItems::failure_if_stopping(&self.items, self.taken) {
                self.stage = MapStage::Over;
                return Some((0, Err(failure)));
            }
            if let Err(error) = self.begin() {
                return Some((0, Err(self.abort(Arc::new(error)))));
            }
        }
        if let Some(next) = self.next_value() {
            return Some(next);
        }
        match self.stage {
            MapStage::Inline => self.next_inline(),
            MapStage::Running(_) => self.next_done().map(|(job, result)| (job.index, result)),
            MapStage::Before | MapStage::Over => None,
        }
    }

    /// Returns the next of the values that arrived together, if no hook is to be called with it.
    fn next_value(&mut self) -> Option<(u64, Result<R, Failure>)> {
        if !matches!(&self.stage, MapStage::Running(running) if running.results.is_some())
            || self.hooks.done.is_some()
        {
            return None;
        }
        self.take_item();
        let MapStage::Running(running) = &mut self.stage else { return None };
        let results = running.results.as_mut()?;
        let Some((index, place)) = results.next() else {
            running.results = None;
            return None;
        };
        self.handed_out += 1;
        let result = decoded(|| C::decode(&results.bytes[place]));
        Some((index, result.map_err(|cause| results.failure(index, cause))))
    }

    /// Returns the next outcome, with its job; hooks have been called.
    fn next_done(&mut self) -> Option<(JobRef, Result<R, Failure>)> {
        loop {
            // One item before each outcome that is handed out keeps the window full.
            self.take_item();
            if let Some(done) = self.next_of_results() {
                match done {
                    Ok(done) => return Some(done),
                    Err((job, text)) => return Some((job.clone(), Err(self.stop_for_hook(&job, text)))),
                }
            }
            let MapStage::Running(running) = &mut self.stage else { return None };
            let event = match running.run.try_next() {
                Some(event) => Some(event),
                None if self.may_take() => continue,
                None => {
                    let MapStage::Running(running) = &mut self.stage else { return None };
                    running.input_writer.iter_mut().for_each(InputWriter::before_wait);
                    match running.run.next() {
                        Ok(event) => event,
                        Err(error) => {
                            let failure = self.abort(error);
                            return Some((inline::job(failure.index), Err(failure)));
                        }
                    }
                }
            };
            let Some(event) = event else {
                let left = self.failure_of_left();
                // Dropped here, it has ended: nothing is waited for.
                self.stage = MapStage::Over;
                return left.map(|failure| (inline::job(failure.index), Err(failure)));
            };
            match self.on_event(event) {
                Ok(None) => {}
                Ok(Some(done)) => return Some(done),
                Err((job, text)) => return Some((job.clone(), Err(self.stop_for_hook(&job, text)))),
            }
        }
    }

    /// Handles one event; an end becomes an outcome. An error is a hook's.
    #[expect(clippy::type_complexity, reason = "the two halves of one answer, used in one place")]
    fn on_event(
        &mut self,
        event: RunEvent,
    ) -> Result<Option<(JobRef, Result<R, Failure>)>, (JobRef, String)> {
        let hooks = &mut self.hooks;
        match event {
            RunEvent::Started(job) => {
                if let Some(hook) = &mut hooks.start {
                    hook(&job).map_err(|text| (job, format!("start hook: {text}")))?;
                }
                Ok(None)
            }
            RunEvent::Progress(job, done, total) => {
                if let Some(hook) = &mut hooks.progress {
                    hook(&job, done, total);
                }
                Ok(None)
            }
            RunEvent::Message(job, bytes, body) => {
                // After a failing message the job's further messages are ignored.
                if let Some(hook) = &mut hooks.message
                    && !hooks.overridden.contains(job.index)
                    && let Err(text) = hook(&job, &bytes[body..])
                {
                    hooks.overridden.insert(job.index, text);
                    self.stop();
                }
                Ok(None)
            }
            RunEvent::Results(results) => {
                if let MapStage::Running(running) = &mut self.stage {
                    running.results = Some(results);
                }
                Ok(None)
            }
            RunEvent::Done(finished) if finished.is_left() => {
                self.handed_out += 1;
                self.left.add(finished.job.index);
                if let Some(hook) = &mut hooks.left {
                    hook(finished.request);
                }
                Ok(None)
            }
            RunEvent::Done(finished) => {
                self.handed_out += 1;
                let job = finished.job.clone();
                let mut result = decode_outcome_owned(*finished, self.options.output, C::decode_owned);
                if let Some(text) = self.hooks.overridden.remove(job.index) {
                    result = Err(of_hook(&job, text));
                }
                if let Some(hook) = &mut self.hooks.done {
                    hook(&job, result.as_ref())
                        .map_err(|text| (job.clone(), format!("done hook: {text}")))?;
                }
                Ok(Some((job, result)))
            }
        }
    }

    /// Returns the next of the values that arrived together; `None` if there is none.
    #[expect(clippy::type_complexity, reason = "the two halves of one answer, used in one place")]
    fn next_of_results(&mut self) -> Option<Result<(JobRef, Result<R, Failure>), (JobRef, String)>> {
        let MapStage::Running(running) = &mut self.stage else { return None };
        let results = running.results.as_mut()?;
        let Some((index, place)) = results.next() else {
            running.results = None;
            return None;
        };
        let job = JobRef { index, ..results.job.clone() };
        let result = decoded(|| C::decode(&results.bytes[place]));
        let result = result.map_err(|cause| results.failure(index, cause));
        self.handed_out += 1;
        if let Some(hook) = &mut self.hooks.done
            && let Err(text) = hook(&job, result.as_ref())
        {
            return Some(Err((job, format!("done hook: {text}"))));
        }
        Some(Ok((job, result)))
    }

    /// Returns whether jobs may be handed in and reported several at a time: nothing depends on the end of one before
    /// the next begins.
    fn may_be_blocks(&self) -> bool {
        let Options { breaker, timeout, idle_timeout, recycle, .. } = &self.options;
        self.options.isolation_in_force() == Isolation::Reuse
            && self.options.after_error() == OnError::Continue
            // Of a batch only one end is counted.
            && *breaker == 0
            && self.judge.is_none()
            && self.hooks.start.is_none()
            && timeout.is_none()
            && idle_timeout.is_none()
            && recycle.max_rss_growth.is_none()
            && self.options.scratch.is_none()
            // Observers see each job.
            && !self.options.is_watched()
    }

    /// Returns the failure that tells what was left, where nothing else has told that the run was ended.
    fn failure_of_left(&self) -> Option<Failure> {
        let MapStage::Running(running) = &self.stage else { return None };
        let is_told = self.stopped || self.is_over_early();
        self.left.failure(&running.run, &self.items, self.taken, is_told)
    }

    /// True if one job has ended the run for all.
    fn is_over_early(&self) -> bool {
        if self.judge.is_none() && self.options.after_error() == OnError::Continue {
            return false;
        }
        let first = self.first();
        first.decided.is_some() || (first.failed.is_some() && self.options.after_error() != OnError::Continue)
    }

    /// The jobs that decided something first.
    pub(crate) fn first(&self) -> First {
        match &self.stage {
            MapStage::Running(running) => running.run.first(),
            MapStage::Before | MapStage::Inline | MapStage::Over => First::default(),
        }
    }

    fn may_take(&self) -> bool {
        match &self.stage {
            MapStage::Running(running) => {
                !self.ended && !self.stopped && self.taken - self.handed_out < running.window
            }
            MapStage::Before | MapStage::Inline | MapStage::Over => false,
        }
    }

    fn take_item(&mut self) {
        if !self.may_take() {
            return;
        }
        // A run that is over early takes no more.
        let ended = matches!(&self.stage, MapStage::Running(running) if running.run.is_ended());
        let is_needed = !ended && !self.is_over_early();
        let item = if is_needed { self.items.next() } else { None };
        self.left.is_source_over |= is_needed && item.is_none();
        let MapStage::Running(running) = &mut self.stage else { return };
        match item {
            Some(item) => {
                running.submit::<I::Item, C>(&item);
                self.taken += 1;
            }
            None => {
                self.ended = true;
                running.submitter.close();
            }
        }
    }

    /// Stops the run for a hook that returned an error.
    fn stop_for_hook(&mut self, job: &JobRef, text: String) -> Failure {
        self.stop();
        of_hook(job, text)
    }

    /// True once a hook has stopped the run, or enough is known.
    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped
    }

    fn stop(&mut self) {
        self.stopped = true;
        if let MapStage::Running(running) = &self.stage {
            running.run.order(EngineCommand::Drain);
        }
    }

    /// Ends the run for an error of psmith's own, with one failure.
    fn abort(&mut self, error: Arc<EngineError>) -> Failure {
        self.stage = MapStage::Over;
        Failure::ours(error, self.handed_out)
    }

    fn next_inline(&mut self) -> Option<(u64, Result<R, Failure>)> {
        if self.stopped {
            return None;
        }
        if let Some(failure) = LeftItems::failure_if_stopping(&self.items, self.taken) {
            self.stopped = true;
            return Some((self.taken, Err(failure)));
        }
        let item = self.items.next()?;
        let job = inline::job(self.taken);
        self.taken += 1;
        if let Some(hook) = &mut self.hooks.start
            && let Err(text) = hook(&job)
        {
            return Some((job.index, Err(self.stop_for_hook(&job, format!("start hook: {text}")))));
        }
        let shared = self.options.shared.as_ref().and_then(|shared| shared.as_ref().ok());
        let place = (self.options.scratch.as_deref(), shared);
        let receiver = if self.hooks.message.is_some() { Receiver::Host } else { Receiver::Nobody };
        let (mut result, said) = inline::call::<F, C>(self.f, item, job.index, receiver, place);
        if let Err(text) = self.hooks.hear_inline(&job, &said) {
            result = Err(self.stop_for_hook(&job, text));
        }
        if result.is_err() && self.options.after_error() != OnError::Continue {
            self.stopped = true;
        }
        if let Some(hook) = &mut self.hooks.done
            && let Err(text) = hook(&job, result.as_ref())
        {
            return Some((job.index, Err(self.stop_for_hook(&job, format!("done hook: {text}")))));
        }
        Some((job.index, result))
    }

    /// Takes no more items; what runs may finish.
    pub(crate) fn enough(&mut self) {
        self.stopped = true;
        if let MapStage::Running(running) = &self.stage {
            running.submitter.close();
        }
    }

    /// Ends what runs and waits until nothing is left.
    pub(crate) fn kill(&mut self) {
        if let MapStage::Running(running) = &self.stage {
            running.run.order(EngineCommand::Kill);
        }
        self.stage = MapStage::Over;
    }
}
