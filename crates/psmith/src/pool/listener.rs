//! Events of the engine become the outcomes that the jobs' handles return: on the listener's thread, or on that of a
//! caller that waits for the only job there is and drives the engine itself.
//!
//! A caller handles only events that cannot hold it up: passing output on may block, and a logger is the program's own
//! code.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use psmith_core::Cause;
use psmith_engine::EngineError;

use crate::job::failure::Failure;
use crate::job::job::JobRef;
use crate::job::run_summary::LogLevel;
use crate::pool::completion::CompletionSlot;
use crate::pool::shared::{EventSink, PoolShared};
use crate::run::decode::decode_outcome;
use crate::run::job_output::{has_to_pass_on, pass_on_output};
use crate::run::options::Output;
use crate::run::run::Run;
use crate::run::run_event::{Finished, RunEvent};

/// The listener's thread.
pub(crate) fn listen(shared: &PoolShared, run: Run) {
    let mut ending = EndOnDrop { shared, trouble: Some(panicked()), broken: None };
    // Dropped before the guard: what panics above ends the engine first, and then the handles get their outcomes.
    let mut run = run;
    let trouble = loop {
        match run.wait() {
            Ok(true) => {
                let mut sink = shared.sink.lock().unwrap_or_else(PoisonError::into_inner);
                while let Some(event) = run.try_next() {
                    shared.on_event(&mut sink, event);
                }
            }
            Ok(false) => break None,
            Err(error) => break Some(error),
        }
    };
    run.finish();
    (ending.trouble, ending.broken) = (trouble, run.first().broken);
}

fn panicked() -> Arc<EngineError> {
    Arc::new(EngineError::Kernel(io::Error::other(
        "a logger, a hook or a strategy panicked, and no outcome can be received any more",
    )))
}

/// Ends the pool, also where the program's own logger or strategy has panicked: every handle gets an outcome.
struct EndOnDrop<'p> {
    shared: &'p PoolShared,
    trouble: Option<Arc<EngineError>>,
    broken: Option<u32>,
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        let broken = self.broken;
        let mut state = self.shared.lock();
        state.broken = broken;
        state.closed = true;
        state.held_back.clear();
        for (index, completion) in state.completions.drain() {
            let mut failure = match &self.trouble {
                Some(error) => Failure::ours(Arc::clone(error), index),
                None => Failure::new(broken.map_or(Cause::Cancelled, Cause::CircuitBroken), index),
            };
            state.report.jobs += 1;
            state.report.failed += 1;
            failure.label.clone_from(&completion.label);
            if broken.is_none() {
                state.left.push(JobRef {
                    index,
                    label: completion.label.clone(),
                    slot: 0,
                    pid: 0,
                    name: None,
                    input: None,
                });
            }
            let calls = completion.fill(Err(failure));
            state.calls.add(calls);
        }
        state.over = true;
        drop(state);
        self.shared.notify_waiters();
        self.shared.make_calls();
    }
}

impl PoolShared {
    fn on_event(&self, sink: &mut EventSink, event: RunEvent) {
        match event {
            RunEvent::Done(finished) => self.deliver(sink, *finished),
            RunEvent::Started(job) => {
                let state = self.lock();
                let completion = state.completions.get(job.index).cloned();
                drop(state);
                if let Some(completion) = completion {
                    completion.has_process(job.pid());
                }
            }
            RunEvent::Progress(job, done, total) => sink.listening.progress(&job, done, total),
            RunEvent::Message(job, bytes, body) => {
                // After a failing message the job's further messages are ignored.
                if !sink.undecoded.iter().any(|(index, _)| *index == job.index)
                    && let Err(reason) = sink.listening.message(&job, &bytes[body..])
                {
                    sink.undecoded.push((job.index, reason));
                }
            }
            RunEvent::SlotFreed | RunEvent::Results(_) => {}
        }
    }

    fn deliver(&self, sink: &mut EventSink, mut finished: Finished) {
        let Some(completion) = self.on_finished(finished.job.index) else { return };
        let lost = pass_on_output(&mut finished, sink.output, true, sink.logger.as_ref());
        let job = finished.job.clone();
        if job.pid != 0 {
            completion.has_process(job.pid);
        }
        let mut result = decode_outcome(finished, Output::Discard, |bytes| Ok(Arc::new(bytes.to_vec())));
        if let Some(at) = sink.undecoded.iter().position(|(index, _)| *index == job.index) {
            let mut failure = Failure::new(Cause::Error(sink.undecoded.swap_remove(at).1), job.index);
            failure.label.clone_from(&job.label);
            failure.attempts = 1;
            result = Err(failure);
        }
        if let Some(logger) = &sink.logger {
            match &result {
                Ok(_) => logger.log(LogLevel::Info, format_args!("job #{} succeeded", job.id())),
                Err(failure) => logger.log(LogLevel::Error, format_args!("{failure}")),
            }
        }
        let mut state = self.lock();
        state.report.jobs += 1;
        state.report.lost_output += lost;
        if let Err(failure) = &result {
            state.report.failed += 1;
            if state.closed && failure.cause == Cause::Cancelled {
                state.left.push(job);
            }
        }
        state.completions.remove(completion.index);
        // Before the waiters are notified that all are done: then this one is ready, too.
        let calls = completion.fill(result);
        let is_wanted = !calls.is_empty();
        state.calls.add(calls);
        drop(state);
        self.notify_waiters();
        if is_wanted {
            self.make_calls();
        }
    }

    /// Returns whether there is one job only, so that the thread that waits for it may drive the engine.
    fn has_only_one(&self) -> bool {
        self.lock().completions.len() == 1
    }

    /// Begins the only job on this very thread; false if another thread must be woken for it.
    pub(crate) fn begin_on_this_thread(&self) -> bool {
        if !self.has_only_one() {
            return false;
        }
        let Some(mut driver) = self.submitter.try_drive() else { return false };
        driver.has_more();
        let goes_on = driver.advance() && self.handle_events_now();
        driver.leave(!goes_on);
        true
    }

    /// Drives the engine until the only job has its outcome, or until the time `until`, if no other thread does. The
    /// caller must check afterwards in any case whether there is an outcome.
    pub(crate) fn drive_until_done(&self, completion: &CompletionSlot, until: Option<Instant>) {
        if completion.is_filled() || !self.has_only_one() {
            return;
        }
        let Some(mut driver) = self.submitter.try_drive() else { return self.submitter.request_drive() };
        let mut goes_on = true;
        while !completion.is_filled() {
            goes_on = driver.advance() && self.handle_events_now();
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if !goes_on || completion.is_filled() || left.is_some_and(|left| left.is_zero()) {
                break;
            }
            driver.wait(left);
        }
        driver.leave(!goes_on || !self.lock().completions.is_empty());
    }

    /// Handles the events that there are, on the thread of a caller that drives; false if the listener must do it.
    fn handle_events_now(&self) -> bool {
        let Ok(mut sink) = self.sink.try_lock() else { return false };
        if !sink.may_block() && !self.calls_back.load(Ordering::SeqCst) {
            let output = sink.output;
            let cannot_block = |event: &RunEvent| match event {
                RunEvent::Done(finished) => !has_to_pass_on(finished, output),
                _ => true,
            };
            while let Some(event) = self.submitter.take_event_if(cannot_block) {
                self.on_event(&mut sink, event);
            }
        }
        drop(sink);
        !self.submitter.has_events()
    }
}
