//! The inputs of a run, as its loop knows them: the jobs that come, how the input ended, and whether somebody types it.

use std::time::Duration;

use super::producer::{InputEnd, ProducedItem, Producer};
use super::writer::WriterHandle;
use crate::error::CliError;
use crate::plan::{self, RunPlan};

/// Time from the start of a run to the question whether anybody is typing.
const WAITING_AFTER: Duration = Duration::from_secs(1);

/// The loop's side of the producer.
pub(super) struct RunInputs {
    producer: Producer,
    /// How many jobs there are, where the plan had to know.
    total: Option<u64>,
    end: Option<InputEnd>,
    /// The input could not be read to its end: what was accepted is finished all the same.
    pub(super) failure: Option<CliError>,
    /// Inputs come from a terminal.
    are_typed: bool,
    /// A prompt may be needed, and has not been given yet.
    may_have_to_prompt: bool,
}

impl RunInputs {
    pub(super) fn new(producer: Producer, plan: &RunPlan) -> RunInputs {
        RunInputs {
            producer,
            total: plan.total(),
            end: None,
            failure: None,
            are_typed: plan.waits_for_terminal(),
            may_have_to_prompt: plan.waits_for_terminal(),
        }
    }

    /// The next job, or how the input ended; `None`: a wake-up follows.
    pub(super) fn next(&mut self) -> Option<ProducedItem> {
        let item = self.producer.next();
        if matches!(item, Some(ProducedItem::Job(..) | ProducedItem::End(_))) {
            self.may_have_to_prompt = false;
        }
        item
    }

    /// Notes that the input is at its end.
    pub(super) fn on_end(&mut self, end: InputEnd) {
        self.end = Some(end);
    }

    /// Says once what is awaited, if somebody would have to type it. Returns when it may have to.
    pub(super) fn tick(&mut self, elapsed: Duration, writer: &WriterHandle) -> Option<Duration> {
        if !self.may_have_to_prompt {
            return None;
        }
        let left = WAITING_AFTER.saturating_sub(elapsed);
        if left.is_zero() {
            self.may_have_to_prompt = false;
            writer.message(format!("psmith: {}\n", plan::WAITING));
            return None;
        }
        Some(left)
    }

    /// Whether somebody is typing them now.
    pub(super) fn are_being_typed(&self) -> bool {
        self.are_typed && self.end.is_none()
    }

    /// Jobs to run, once their number is known.
    pub(super) fn to_run(&self) -> Option<u64> {
        self.total.or(self.end.as_ref().map(|end| end.jobs - end.skipped))
    }

    /// Jobs that there are, skipped ones included, once their number is known.
    pub(super) fn jobs(&self) -> Option<u64> {
        self.total.or(self.end.as_ref().map(|end| end.jobs))
    }

    /// Jobs that were skipped, because they are done already.
    pub(super) fn skipped(&self) -> u64 {
        self.end.as_ref().map_or(0, |end| end.skipped)
    }

    /// Rows of the joblog that belong to no job of this input.
    pub(super) fn unmatched(&self) -> u64 {
        self.end.as_ref().map_or(0, |end| end.unmatched)
    }
}
