//! The delivery of a server's events: to its consumer, its hooks and its loggers. Never waits for an event.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::job::failure::Failure;
use crate::job::job::{Job, JobRef, Request};
use crate::job::run_summary::{LogLevel, RunSummary};
use crate::map::hooks::{MessageHook, ProgressHook, of_hook};
use crate::run::decode::decode_outcome;
use crate::run::job_output::pass_on_output;
use crate::run::options::{Logger, Output};
use crate::run::run_event::{Finished, RunEvent, Wants};
use psmith_engine::function::codec::CodecError;

pub(super) type Consumer<'h, R> = Box<dyn FnMut(&JobRef, Result<R, Failure>) + Send + 'h>;
pub(super) type OnLeft<'h, R> = Box<dyn FnMut(Job<R>) + Send + 'h>;
pub(super) type ServerLogger<'h> = Box<dyn FnMut(LogLevel, fmt::Arguments<'_>) + Send + 'h>;

type Decode<R> = fn(&[u8]) -> Result<R, CodecError>;

/// The decoders of the jobs' results, by index.
pub(super) type Decoders<R> = Arc<Mutex<HashMap<u64, Decode<R>>>>;

/// The receivers of a server's events, and the sums of its report.
pub(super) struct ServerDelivery<'h, R> {
    pub(super) consumer: Option<Consumer<'h, R>>,
    pub(super) on_left: Option<OnLeft<'h, R>>,
    pub(super) logger: Option<ServerLogger<'h>>,
    pub(super) shared_logger: Option<Logger>,
    pub(super) message: Option<MessageHook<'h>>,
    pub(super) progress: Option<ProgressHook<'h>>,
    pub(super) name: String,
    pub(super) output: Output,
    pub(super) decoders: Decoders<R>,
    /// The jobs of which a message could not be decoded, and why.
    pub(super) undecoded: Vec<(u64, String)>,
    pub(super) report: RunSummary,
}

impl<R> ServerDelivery<'_, R> {
    /// Returns the events that somebody receives.
    pub(super) fn wants(&self) -> Wants {
        Wants {
            starts: self.logger.is_some() || self.shared_logger.is_some(),
            messages: self.message.is_some(),
            progress: self.progress.is_some(),
            ..Wants::default()
        }
    }

    /// Delivers what happens to a job that goes on.
    pub(super) fn on_event(&mut self, event: RunEvent) {
        match event {
            RunEvent::Started(job) => {
                self.log(LogLevel::Info, format_args!("job #{} runs as {}", job.id(), job.process_name()));
            }
            RunEvent::Progress(job, done, total) => {
                self.progress.iter_mut().for_each(|hook| hook(&job, done, total));
            }
            RunEvent::Message(job, bytes, body) => {
                // After a failing message the job's further messages are ignored.
                if !self.undecoded.iter().any(|(index, _)| *index == job.index)
                    && let Some(Err(reason)) = self.message.as_mut().map(|hook| hook(&job, &bytes[body..]))
                {
                    self.undecoded.push((job.index, reason));
                }
            }
            RunEvent::Done(finished) => self.on_done(finished),
            RunEvent::SlotFreed | RunEvent::Results(_) => {}
        }
    }

    /// Delivers the outcome of a job, or hands the job back.
    pub(super) fn on_done(&mut self, mut finished: Box<Finished>) {
        let job = finished.job.clone();
        let decode = self.decoder_of(job.index);
        if finished.is_left() {
            return self.hand_back(finished.request, decode);
        }
        let lost = pass_on_output(&mut finished, self.output, false, self.shared_logger.as_ref());
        self.report.lost_output += lost;
        let missing = |_: &[u8]| Err(CodecError::new("it was not submitted here".into()));
        let result = match decode {
            Some(decode) => decode_outcome(*finished, self.output, decode),
            None => decode_outcome(*finished, self.output, missing),
        };
        let at = self.undecoded.iter().position(|(index, _)| *index == job.index);
        let result = at.map_or(result, |at| Err(of_hook(&job, self.undecoded.swap_remove(at).1)));
        self.report.jobs += 1;
        match &result {
            Ok(_) => self.log(LogLevel::Info, format_args!("job #{} succeeded", job.id())),
            Err(failure) => {
                self.report.failed += 1;
                self.log(LogLevel::Error, format_args!("{failure}"));
            }
        }
        if let Some(consumer) = &mut self.consumer {
            consumer(&job, result);
        }
    }

    /// Hands back a job that was not begun.
    pub(super) fn hand_back(&mut self, request: Request, decode: Option<Decode<R>>) {
        self.report.left += 1;
        if let (Some(on_left), Some(decode)) = (&mut self.on_left, decode) {
            on_left(Job { request, decode });
        }
    }

    /// Takes the decoder of a job's result.
    pub(super) fn decoder_of(&self, index: u64) -> Option<Decode<R>> {
        self.decoders.lock().unwrap_or_else(PoisonError::into_inner).remove(&index)
    }

    fn log(&mut self, level: LogLevel, text: fmt::Arguments<'_>) {
        let name = &self.name;
        if let Some(logger) = &mut self.logger {
            logger(level, format_args!("{name}: {text}"));
        }
        if let Some(logger) = &self.shared_logger {
            logger.log(level, format_args!("{name}: {text}"));
        }
    }
}
