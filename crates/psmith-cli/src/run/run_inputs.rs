//! Inputs of a run, as its loop knows them: the next jobs, the end of the input, and whether the user types it.

use std::time::Duration;

use super::producer::{InputEnd, ProducedItem, Producer};
use super::writer::WriterHandle;
use crate::error::CliError;
use crate::plan::{self, RunPlan};

/// The time from the start of a run to the check whether the user has typed any input.
const WAITING_AFTER: Duration = Duration::from_secs(1);

/// The loop's side of the producer.
pub(super) struct RunInputs {
    producer: Producer,
    /// The number of jobs, if the plan had to know it.
    total: Option<u64>,
    end: Option<InputEnd>,
    /// The error because of which the input could not be read to its end: accepted jobs are finished all the same.
    pub(super) failure: Option<CliError>,
    /// True if inputs come from a terminal.
    are_typed: bool,
    /// True while a prompt may be needed, and has not been shown yet.
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

    /// Returns the next job, or the end of the input; `None`: a wake-up follows.
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

    /// Shows once that input is expected, if the user has to type it. Returns the time of the next call.
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

    /// Returns whether the user is typing them now.
    pub(super) fn are_being_typed(&self) -> bool {
        self.are_typed && self.end.is_none()
    }

    /// Returns the number of jobs to run, once it is known.
    pub(super) fn to_run(&self) -> Option<u64> {
        self.total.or(self.end.as_ref().map(|end| end.jobs - end.skipped))
    }

    /// Returns the number of jobs, skipped ones included, once it is known.
    pub(super) fn jobs(&self) -> Option<u64> {
        self.total.or(self.end.as_ref().map(|end| end.jobs))
    }

    /// Returns the number of jobs that were skipped, because they are done already.
    pub(super) fn skipped(&self) -> u64 {
        self.end.as_ref().map_or(0, |end| end.skipped)
    }

    /// Returns the number of rows of the joblog that belong to no job of this input.
    pub(super) fn unmatched(&self) -> u64 {
        self.end.as_ref().map_or(0, |end| end.unmatched)
    }
}
