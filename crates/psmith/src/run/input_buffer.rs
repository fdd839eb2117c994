//! The encoded inputs of short jobs with indices in a row. One thread adds to them while others take: to take a lock and
//! to give it back costs more than a short job.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use psmith_core::JobPolicy;

use crate::job::callee::Callee;
use psmith_engine::function::packed::{words, words_of};

/// An input that is longer travels alone.
pub(crate) const INPUT_BYTES_MAX: usize = 4 * 1024;

/// So many lie together at most.
pub(crate) const JOBS_MAX: usize = 8192;

/// So many at first: few jobs shall not cost a large piece of memory.
const JOBS_FIRST: usize = 64;

/// Inputs of one function, in the form that a batch has.
#[derive(Debug)]
pub(crate) struct InputBuffer {
    callee: Arc<Callee>,
    policy: Arc<JobPolicy>,
    words: Box<[AtomicU64]>,
    /// Behind which word each ends.
    ends: Box<[AtomicU32]>,
    /// So many are whole; what is written of them is seen by whoever sees this.
    jobs: AtomicU32,
}

impl InputBuffer {
    fn new(callee: &Arc<Callee>, policy: &Arc<JobPolicy>, jobs: usize, words: usize) -> InputBuffer {
        InputBuffer {
            callee: Arc::clone(callee),
            policy: Arc::clone(policy),
            words: std::iter::repeat_with(AtomicU64::default).take(words).collect(),
            ends: std::iter::repeat_with(AtomicU32::default).take(jobs).collect(),
            jobs: AtomicU32::new(0),
        }
    }

    pub(crate) fn callee(&self) -> &Arc<Callee> {
        &self.callee
    }

    pub(crate) fn policy(&self) -> &Arc<JobPolicy> {
        &self.policy
    }

    /// How many there are by now.
    pub(crate) fn jobs(&self) -> usize {
        // In one order with the flag of idle workers: race "believed idle".
        self.jobs.load(Ordering::SeqCst) as usize
    }

    /// The words of one of them, or of several.
    fn place(&self, jobs: Range<usize>) -> Range<usize> {
        let end =
            |job: usize| job.checked_sub(1).map_or(0, |job| self.ends[job].load(Ordering::Relaxed) as usize);
        end(jobs.start)..end(jobs.end)
    }

    /// Their bytes, in the form that a batch has.
    pub(crate) fn bytes(&self, jobs: Range<usize>) -> Vec<u8> {
        let words = &self.words[self.place(jobs)];
        words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect()
    }

    /// How many bytes these are.
    pub(crate) fn bytes_len(&self, jobs: Range<usize>) -> usize {
        8 * self.place(jobs).len()
    }

    /// How many of `jobs`, from the first on, fit into so many bytes.
    pub(crate) fn fitting(&self, jobs: Range<usize>, bytes: usize) -> usize {
        let from = self.place(jobs.start..jobs.start).start;
        self.ends[jobs].partition_point(|end| 8 * (end.load(Ordering::Relaxed) as usize - from) <= bytes)
    }
}

/// The one who adds.
#[derive(Debug)]
pub(crate) struct BufferWriter {
    inputs: Arc<InputBuffer>,
    words: usize,
    jobs: usize,
}

impl BufferWriter {
    /// Writes the first inputs of a function.
    pub(crate) fn new(callee: &Arc<Callee>, policy: &Arc<JobPolicy>) -> BufferWriter {
        BufferWriter::with_room(InputBuffer::new(callee, policy, JOBS_FIRST, JOBS_FIRST))
    }

    fn with_room(inputs: InputBuffer) -> BufferWriter {
        BufferWriter { inputs: Arc::new(inputs), words: 0, jobs: 0 }
    }

    /// To go on with where these have no room for an input of so many bytes.
    pub(crate) fn next(&self, bytes: usize) -> BufferWriter {
        let InputBuffer { callee, policy, ends, .. } = &*self.inputs;
        let jobs = (4 * ends.len()).min(JOBS_MAX);
        BufferWriter::with_room(InputBuffer::new(callee, policy, jobs, jobs.max(words_of(bytes))))
    }

    pub(crate) fn inputs(&self) -> &Arc<InputBuffer> {
        &self.inputs
    }

    /// Adds one; false if there is no room. What the caller reads next is read after every thread can see it.
    pub(crate) fn add(&mut self, input: &[u8]) -> bool {
        let InputBuffer { words: all, ends, jobs, .. } = &*self.inputs;
        let to = self.words + words_of(input.len());
        let (Some(room), Some(end)) = (all.get(self.words..to), ends.get(self.jobs)) else { return false };
        for (place, word) in room.iter().zip(words(input)) {
            place.store(word, Ordering::Relaxed);
        }
        end.store(to as u32, Ordering::Relaxed);
        self.words = to;
        self.jobs += 1;
        // A lock for each job would cost more than the job; this one step keeps the order that the writer needs.
        jobs.store(self.jobs as u32, Ordering::SeqCst);
        true
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use psmith_engine::function::described::Described;
    use psmith_engine::function::job_function::Plain;

    /// One that has these, of a function that nobody calls.
    pub(crate) fn writer_of(inputs: &[&[u8]]) -> BufferWriter {
        let callee = Arc::new(Callee::new::<_, Described>(Plain(|n: u8| n), None));
        let mut writer = BufferWriter::new(&callee, &Arc::default());
        inputs.iter().for_each(|input| assert!(writer.add(input)));
        writer
    }

    #[test]
    fn full_inputs_take_no_more_and_the_next_have_room() {
        let mut writer = writer_of(&[]);
        let mut before = 0;
        for jobs in [64, 256, 1024, 4096, 8192, 8192] {
            for _ in 0..jobs {
                assert!(writer.add(b"four"));
            }
            assert!(!writer.add(b""));
            assert_eq!(writer.inputs().jobs(), jobs);
            before += jobs;
            writer = writer.next(4);
        }
        assert_eq!(before, 64 + 256 + 1024 + 4096 + 2 * 8192);
    }

    #[test]
    fn the_next_have_room_for_an_input_of_every_length() {
        let long = [7; INPUT_BYTES_MAX];
        let mut writer = writer_of(&[]);
        assert!(!writer.add(&long));
        writer = writer.next(long.len());
        assert!(writer.add(&long) && !writer.add(&long));
        assert_eq!(writer.inputs().jobs(), 1);
        assert_eq!(writer.inputs().bytes_len(0..1), 8 * words_of(long.len()));
    }
}
