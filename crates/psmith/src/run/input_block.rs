//! Many short jobs of one function as one piece: their inputs on the way in, their values on the way out.
//!
//! Only a way to carry them: each job keeps its index, its outcome and its failure. Knows no worker.

use std::ops::Range;
use std::sync::Arc;

use psmith_core::JobPolicy;
use psmith_core::outcome::Cause;

use crate::job::callee::Callee;
use crate::job::failure::{Failure, KeptInput};
use crate::job::job::{JobRef, Request};
use crate::run::input_buffer::InputBuffer;
use psmith_engine::function::packed::input_at;

/// Some inputs, and the index of the first.
#[derive(Clone, Debug)]
pub(crate) struct InputBlock {
    inputs: Arc<InputBuffer>,
    jobs: Range<usize>,
    pub(crate) index: u64,
}

impl InputBlock {
    pub(crate) fn new(inputs: Arc<InputBuffer>, jobs: Range<usize>, index: u64) -> InputBlock {
        InputBlock { inputs, jobs, index }
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn policy(&self) -> &Arc<JobPolicy> {
        self.inputs.policy()
    }

    pub(crate) fn callee(&self) -> &Arc<Callee> {
        self.inputs.callee()
    }

    /// Keeps the first `jobs` of them (all, if there are fewer) and gives the others.
    pub(crate) fn split_off(&mut self, jobs: usize) -> InputBlock {
        let at = self.jobs.end.min(self.jobs.start.saturating_add(jobs));
        let index = self.index + (at - self.jobs.start) as u64;
        let others = InputBlock { inputs: Arc::clone(&self.inputs), jobs: at..self.jobs.end, index };
        self.jobs.end = at;
        others
    }

    /// Takes the first `jobs` of them away.
    pub(crate) fn split_to(&mut self, jobs: usize) -> InputBlock {
        let others = self.split_off(jobs);
        std::mem::replace(self, others)
    }

    /// How many of them, from the first on, fit into so many bytes; at least one.
    pub(crate) fn fitting(&self, bytes: usize) -> usize {
        self.inputs.fitting(self.jobs.clone(), bytes).max(1)
    }

    /// Their inputs, in the form that a batch has.
    pub(crate) fn body(&self) -> Vec<u8> {
        self.inputs.bytes(self.jobs.clone())
    }

    /// The length of that.
    pub(crate) fn body_len(&self) -> usize {
        self.inputs.bytes_len(self.jobs.clone())
    }

    fn input(&self, job: usize) -> Vec<u8> {
        let job = self.jobs.start + job;
        let mut bytes = self.inputs.bytes(job..job + 1);
        let place = input_at(&bytes, 0).map_or(0..0, |(place, _)| place);
        bytes.truncate(place.end);
        bytes.drain(..place.start);
        bytes
    }

    /// The first of them, as a job of its own.
    pub(crate) fn first(&self) -> Request {
        Request::of_encoded(self.callee(), self.input(0))
    }
}

/// The values of jobs that succeeded, with indices in a row.
#[derive(Debug)]
pub(crate) struct ResultBlock {
    pub(crate) block: InputBlock,
    /// Of the first of them.
    pub(crate) job: JobRef,
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: Vec<u32>,
    /// So many were taken.
    pub(crate) taken: usize,
}

impl ResultBlock {
    /// Takes the next one: where its value lies.
    pub(crate) fn next(&mut self) -> Option<(u64, Range<usize>)> {
        let end = *self.ends.get(self.taken)? as usize;
        let from = self.taken.checked_sub(1).map_or(0, |last| self.ends[last] as usize);
        self.taken += 1;
        Some((self.job.index + self.taken as u64 - 1, from..end))
    }

    /// The job with this index, and its input.
    pub(crate) fn job_ref(&self, index: u64) -> JobRef {
        JobRef { index, input: self.kept_input(index), ..self.job.clone() }
    }

    fn kept_input(&self, index: u64) -> Option<KeptInput> {
        let place = index.checked_sub(self.block.index).and_then(|place| usize::try_from(place).ok())?;
        let request = (place < self.block.len())
            .then(|| Request::of_encoded(self.block.callee(), self.block.input(place)))?;
        request.kept_input()
    }

    /// The failure of the job with this index, whose value turned out to be none.
    pub(crate) fn failure(&self, index: u64, cause: Cause) -> Failure {
        let mut failure = Failure::new(cause, index);
        failure.attempts = 1;
        failure.pid = self.job.pid;
        failure.input = self.kept_input(index);
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::input_buffer::tests::writer_of;

    fn block() -> InputBlock {
        let writer = writer_of(&[b"a", b"", b"ccc"]);
        InputBlock::new(Arc::clone(writer.inputs()), 0..3, 10)
    }

    #[test]
    fn a_block_that_is_split_loses_nothing_and_keeps_indices() {
        for at in 0..=3 {
            let mut first = block();
            let rest = first.split_off(at);
            assert_eq!((first.len(), rest.len()), (at, 3 - at));
            assert_eq!((first.index, rest.index), (10, 10 + at as u64));
            assert_eq!([first.body(), rest.body()].concat(), block().body());
            let mut rest = block();
            assert_eq!(rest.split_to(at).body(), first.body());
            assert_eq!(rest.index, 10 + at as u64);
        }
        assert_eq!(block().split_off(2).first().input.as_slice(), b"ccc");
        assert_eq!((block().fitting(0), block().fitting(16), block().fitting(100)), (1, 2, 3));
    }
}
