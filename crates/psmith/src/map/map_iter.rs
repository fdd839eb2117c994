//! The results of a fan-out: takes items as far as the window allows, hands out results, calls the hooks.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::job::callee::Callee;
use crate::job::failure::{Failure, KeptInput};
use crate::job::flow::Judge;
use crate::job::job::JobRef;
use crate::map::hooks::{Hooks, of_hook};
use crate::map::inline;
use crate::map::left::LeftItems;
use crate::map::map::Map;
use crate::map::map_run::{MapRun, MapStage};
use crate::map::start_gate::{StartGate, call_hook};
use crate::run::decode::{decode_outcome_owned, decoded};
use crate::run::input_writer::InputWriter;
use crate::run::options::{Isolation, OnError, Options};
use crate::run::run_event::First;
use crate::run::run_event::{RunEvent, Wants};
use psmith_core::Cause;
use psmith_core::policy::Order;
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
    /// The gate before each start, where there is a start hook.
    gate: Option<StartGate>,
    /// True if results are handed out with their inputs.
    keeps_inputs: bool,
    /// That of the last result, then.
    last_input: Option<KeptInput>,
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
            gate: None,
            keeps_inputs: false,
            last_input: None,
        }
    }
}

impl<I, F, R, C> Iterator for MapIter<'_, I, F, R, C>
where
    I: Iterator,
    I::Item: 'static,
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
    I::Item: 'static,
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
            starts: false,
            slots: hooks.start.is_some(),
            progress: hooks.progress.is_some(),
            messages: hooks.message.is_some(),
            blocks: self.may_be_blocks(),
        };
        let callee = Callee::new::<F, C>(self.f, self.judge);
        self.stage = MapStage::Running(Box::new(MapRun::begin(options, workers, wants, callee)?));
        self.gate = self.hooks.start.is_some().then(|| StartGate::new(workers));
        self.submit(&first);
        Ok(())
    }

    /// Hands in one item, where its start hook lets it pass.
    fn submit(&mut self, item: &I::Item) {
        let MapStage::Running(running) = &mut self.stage else { return };
        let index = self.taken;
        self.taken += 1;
        let (Some(gate), Some(hook)) = (&mut self.gate, &mut self.hooks.start) else {
            return running.submit::<I::Item, C>(item);
        };
        let request = running.request::<I::Item, C>(item);
        let job = JobRef::unstarted(index, &request);
        let answer = call_hook(Some(&running.run), || hook(&job));
        if gate.may_begin(job, answer) {
            running.submitter.submit(request);
        } else {
            self.stopped = true;
            running.submitter.close();
        }
    }

    /// Returns the results with the indices of their items.
    pub(super) fn indexed(mut self) -> impl Iterator<Item = Result<(u64, R), Failure>> {
        std::iter::from_fn(move || self.step().map(|(index, result)| Ok((index, result?))))
    }

    /// Returns the results with their items.
    pub(super) fn with_input(mut self) -> impl Iterator<Item = Result<(I::Item, R), Failure>> {
        self.keeps_inputs = true;
        std::iter::from_fn(move || {
            let (index, result) = self.step()?;
            let input = self.last_input.take().and_then(|input| input.decoded());
            let undecodable = || Cause::Undecodable("its input cannot be decoded again".into());
            Some(result.and_then(|value| {
                input.map(|input| (input, value)).ok_or_else(|| Failure::new(undecodable(), index))
            }))
        })
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
            MapStage::Running(_) => {
                let (job, result) = self.next_done()?;
                self.last_input = job.input;
                Some((job.index, result))
            }
            MapStage::Before | MapStage::Over => None,
        }
    }

    /// Returns the next of the values that arrived together, if no hook is to be called with it.
    fn next_value(&mut self) -> Option<(u64, Result<R, Failure>)> {
        if !matches!(&self.stage, MapStage::Running(running) if running.results.is_some())
            || self.hooks.done.is_some()
            || self.keeps_inputs
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
            if self.options.order == Order::Completion
                && let Some((job, failure)) = self.take_refused()
            {
                return Some((job, Err(failure)));
            }
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
                if let Some((job, failure)) = self.take_refused() {
                    return Some((job, Err(failure)));
                }
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
    fn on_event(
        &mut self,
        event: RunEvent,
    ) -> Result<Option<(JobRef, Result<R, Failure>)>, (JobRef, String)> {
        let hooks = &mut self.hooks;
        match event {
            RunEvent::Started(_) => Ok(None),
            RunEvent::SlotFreed => {
                self.gate.iter_mut().for_each(StartGate::on_end);
                Ok(None)
            }
            RunEvent::Progress(job, done, total) => {
                if let Some(hook) = &mut hooks.progress {
                    call_hook(self.stage.run(), || hook(&job, done, total));
                }
                Ok(None)
            }
            RunEvent::Message(job, bytes, body) => {
                // After a failing message the job's further messages are ignored.
                if let Some(hook) = &mut hooks.message
                    && !hooks.overridden.contains(job.index)
                    && let Err(text) = call_hook(self.stage.run(), || hook(&job, &bytes[body..]))
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
                    call_hook(self.stage.run(), || hook(finished.request));
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
                    call_hook(self.stage.run(), || hook(&job, result.as_ref()))
                        .map_err(|text| (job.clone(), format!("done hook: {text}")))?;
                }
                Ok(Some((job, result)))
            }
        }
    }

    /// Returns the next of the values that arrived together; `None` if there is none.
    fn next_of_results(&mut self) -> Option<Result<(JobRef, Result<R, Failure>), (JobRef, String)>> {
        let MapStage::Running(running) = &mut self.stage else { return None };
        let results = running.results.as_mut()?;
        let Some((index, place)) = results.next() else {
            running.results = None;
            return None;
        };
        let job = results.job_ref(index);
        let result = decoded(|| C::decode(&results.bytes[place]));
        let result = result.map_err(|cause| results.failure(index, cause));
        self.handed_out += 1;
        if let Some(hook) = &mut self.hooks.done
            && let Err(text) = call_hook(self.stage.run(), || hook(&job, result.as_ref()))
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
                let has_slot = self.gate.as_ref().is_none_or(StartGate::has_room);
                !self.ended && !self.stopped && has_slot && self.taken - self.handed_out < running.window
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
                self.submit(&item);
            }
            None => {
                self.ended = true;
                running.submitter.close();
            }
        }
    }

    /// Takes the failure of the item whose start hook refused it.
    fn take_refused(&mut self) -> Option<(JobRef, Failure)> {
        self.gate.as_mut()?.take_refused()
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
        let mut job = inline::job(self.taken);
        self.taken += 1;
        if self.keeps_inputs || self.hooks.start.is_some() || self.hooks.done.is_some() {
            job.input = KeptInput::of::<I::Item, C>(&item);
            self.last_input.clone_from(&job.input);
        }
        // Until it is known that no hook has panicked.
        self.stopped = true;
        if let Some(hook) = &mut self.hooks.start
            && let Err(text) = hook(&job)
        {
            return Some((job.index, Err(self.stop_for_hook(&job, format!("start hook: {text}")))));
        }
        let shared = self.options.shared.as_ref().and_then(|shared| shared.as_ref().ok());
        let place = (self.options.scratch.as_deref(), shared);
        let receiver = if self.hooks.message.is_some() { Receiver::Host } else { Receiver::Nobody };
        let (mut result, said) = inline::call::<F, C>(self.f, item, job.index, receiver, place);
        let heard = self.hooks.hear_inline(&job, &said);
        let is_over = heard.is_err();
        if let Err(text) = heard {
            result = Err(self.stop_for_hook(&job, text));
        }
        if let Some(hook) = &mut self.hooks.done
            && let Err(text) = hook(&job, result.as_ref())
        {
            return Some((job.index, Err(self.stop_for_hook(&job, format!("done hook: {text}")))));
        }
        self.stopped = is_over || (result.is_err() && self.options.after_error() != OnError::Continue);
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
