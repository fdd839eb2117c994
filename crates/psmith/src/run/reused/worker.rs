//! A reused worker as its driver knows it: its process, its shared memory, and its output. Never tracks which job the
//! worker has: the pool does.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use psmith_core::outcome::Usage;
use psmith_core::worker_pool::BatchProgress;
use psmith_sys::shared::SharedMapping;

use crate::job::failure::KeptInput;
use crate::job::job::JobRef;
use psmith_engine::channel::messages::CallUsage;
use psmith_engine::channel::shared_region::{REGION_WORDS, ResultCursor, ResultValues, SharedRegion};
use psmith_engine::handler::{AttemptOutput, OutputKept};
use psmith_engine::spool::MEMORY_BYTES_MAX;

/// A worker between its start and its end.
#[derive(Debug, Default)]
pub(crate) struct ReusedWorker {
    pub(crate) pid: u32,
    pub(crate) name: Option<String>,
    /// The slot of the job that it was given last.
    pub(crate) slot: u32,
    /// The memory that it shares with this process. A worker without it gets one job at a time.
    pub(crate) region: Option<SharedRegion>,
    /// Position up to which the results of its batch were read.
    cursor: ResultCursor,
    /// Results that were read and not passed on.
    values: ResultValues,
    /// The frame that reported the end of its batch, and the offset in it of the value of the job that ended the batch.
    pub(crate) value: Option<(Vec<u8>, usize)>,
    /// What the job that it did last has used, where that is known.
    pub(crate) usage: Option<Usage>,
    /// Output of a process for one attempt alone; `None` for a reused worker.
    pub(crate) alone_output: Option<AttemptOutput>,
    /// Output of a reused worker since it was last taken.
    output: AttemptOutput,
}

impl ReusedWorker {
    /// Makes the memory that it shares with this process, and returns its file: at its start, because workers that wait
    /// for theirs must hold no descriptors.
    pub(crate) fn share_memory(&mut self) -> Option<Arc<OwnedFd>> {
        // A machine that has no memory to give does not fail the worker, which then gets one job at a time.
        let (shared, file) = SharedMapping::create("psmith-region", REGION_WORDS).ok()?;
        self.region = Some(SharedRegion::new(shared));
        Some(Arc::new(file))
    }

    /// Makes a process for one attempt alone, which is about to start.
    pub(crate) fn alone() -> ReusedWorker {
        ReusedWorker { alone_output: Some(AttemptOutput::default()), ..ReusedWorker::default() }
    }

    /// Reference to one of several short jobs that it has.
    pub(crate) fn job_ref(&self, index: u64, input: Option<KeptInput>) -> JobRef {
        JobRef { index, label: None, slot: self.slot, pid: self.pid, name: self.name.clone(), input }
    }

    /// Prepares the shared memory for a batch of this many jobs.
    pub(crate) fn prepare(&mut self, jobs: u32) {
        (self.cursor, self.values) = (ResultCursor::default(), ResultValues::default());
        self.usage = None;
        if let Some(region) = &self.region {
            region.prepare(jobs);
        }
    }

    /// Reads the results of its batch that are whole and were not read before, of the first `most` jobs. Returns how
    /// many jobs have results now.
    pub(crate) fn read_results(&mut self, most: u32) -> u32 {
        let Some(region) = &self.region else { return 0 };
        let (values, cursor) = region.results(self.cursor, most);
        self.cursor = cursor;
        if self.values.ends.is_empty() {
            self.values = values;
        } else {
            let before = self.values.bytes.len() as u32;
            self.values.bytes.extend(values.bytes);
            self.values.ends.extend(values.ends.iter().map(|end| before + end));
        }
        cursor.results
    }

    /// Takes the results that were read and not passed on.
    pub(crate) fn take_values(&mut self) -> ResultValues {
        std::mem::take(&mut self.values)
    }

    /// Returns how far a worker that has ended got with its batch.
    pub(crate) fn progress(&mut self, most: Option<u32>) -> BatchProgress {
        let begun = self.region.as_ref().map_or(0, SharedRegion::begun);
        BatchProgress { begun, results: most.map_or(0, |most| self.read_results(most)) }
    }

    /// Counts bytes that it wrote to standard output (1) or error (2), and keeps them, in `dir` if they are many.
    pub(crate) fn append_output(
        &mut self,
        stream: u8,
        bytes: &[u8],
        kept: &OutputKept,
        dir: Option<&PathBuf>,
    ) {
        self.output.count(stream, bytes, kept);
        if let Some(dir) = dir {
            // What cannot be kept is counted.
            let _ = self.output.keep(stream, bytes, kept, (&mut MEMORY_BYTES_MAX.clone(), dir));
        }
    }

    /// Notes what the process has used in all, at its end. How much of that is the job's is known if that was the first
    /// of a batch, or the only one.
    pub(crate) fn on_used(&mut self, all: Usage) {
        let Some(region) = self.region.as_ref().filter(|region| region.begun() == 1) else { return };
        // A job that has reported its end has told it.
        if let (None, Some(before)) = (self.usage, region.used_before().map(CallUsage::usage)) {
            let (user, system) =
                (all.user.saturating_sub(before.user), all.system.saturating_sub(before.system));
            self.usage = Some(Usage { user, system, ..all });
        }
    }

    /// Returns what the last job of a reused worker has used: zeros if that is not known. `None` for a process of one
    /// attempt alone, of which the kernel tells it.
    pub(crate) fn take_usage(&mut self) -> Option<Usage> {
        let usage = self.usage.take().unwrap_or_default();
        self.alone_output.is_none().then_some(usage)
    }

    /// Takes its output since the last call.
    pub(crate) fn take_output(&mut self) -> AttemptOutput {
        std::mem::take(self.alone_output.as_mut().unwrap_or(&mut self.output))
    }
}
