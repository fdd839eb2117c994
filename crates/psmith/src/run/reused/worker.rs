//! One worker as its driver has it: its channel's and its memory's side of things. What it is at is the pool's to know.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use psmith_core::worker_pool::BatchProgress;
use psmith_sys::shared::SharedMapping;

use crate::job::job::JobRef;
use psmith_engine::channel::shared_region::{REGION_WORDS, ResultCursor, ResultValues, SharedRegion};
use psmith_engine::handler::{Output, TAIL_BYTES_MAX};
use psmith_engine::spool::{MEMORY_BYTES_MAX, Spool};

/// A worker between its start and its end.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) pid: u32,
    pub(crate) name: Option<String>,
    /// The slot of the job that it was given last.
    pub(crate) slot: u32,
    /// The memory that it shares with us. Without it, it gets one job at a time.
    pub(crate) region: Option<SharedRegion>,
    /// By which it finds that memory, until it is started.
    pub(crate) region_file: Option<Arc<OwnedFd>>,
    /// How far the results of its batch were read, and those that were read and not passed on.
    mark: ResultCursor,
    values: ResultValues,
    /// The frame that told the end of its batch, and where in it the value of the job begins that ended it.
    pub(crate) value: Option<(Vec<u8>, usize)>,
    /// It is no worker, but the process of a command, and this is all that it wrote.
    pub(crate) command: Option<Output>,
    written: [Spool; 2],
    tail: Vec<u8>,
}

impl Life {
    pub(crate) fn new() -> Life {
        // Where the machine has none to give the worker does without.
        let shared = SharedMapping::create("psmith-region", REGION_WORDS).ok();
        let (region, file) = shared.map(|(shared, file)| (SharedRegion::new(shared), Arc::new(file))).unzip();
        Life { region, region_file: file, ..Life::default() }
    }

    /// The process of a command, on its way.
    pub(crate) fn of_command() -> Life {
        Life { command: Some(Output::default()), ..Life::default() }
    }

    /// One of several short jobs that it has.
    pub(crate) fn job(&self, index: u64) -> JobRef {
        JobRef { index, label: None, slot: self.slot, pid: self.pid, name: self.name.clone() }
    }

    /// It is about to be given so many jobs.
    pub(crate) fn prepare(&mut self, jobs: u32) {
        (self.mark, self.values) = (ResultCursor::default(), ResultValues::default());
        if let Some(region) = &self.region {
            region.prepare(jobs);
        }
    }

    /// Reads the results of its batch that are whole and were not read before, of the first `most`. Gives how many jobs
    /// have results now.
    pub(crate) fn read_results(&mut self, most: u32) -> u32 {
        let Some(region) = &self.region else { return 0 };
        let (values, mark) = region.results(self.mark, most);
        self.mark = mark;
        if self.values.ends.is_empty() {
            self.values = values;
        } else {
            let before = self.values.bytes.len() as u32;
            self.values.bytes.extend(values.bytes);
            self.values.ends.extend(values.ends.iter().map(|end| before + end));
        }
        mark.results
    }

    /// The results that were read and not taken.
    pub(crate) fn take_values(&mut self) -> ResultValues {
        std::mem::take(&mut self.values)
    }

    /// How far it is, now that it is no more.
    pub(crate) fn progress(&mut self, most: Option<u32>) -> BatchProgress {
        let begun = self.region.as_ref().map_or(0, SharedRegion::begun);
        BatchProgress { begun, results: most.map_or(0, |most| self.read_results(most)) }
    }

    /// It wrote this to standard output (1) or error (2).
    pub(crate) fn wrote(&mut self, stream: u8, bytes: &[u8], dir: &Path) {
        // A spool that cannot keep its bytes says so to whoever reads it.
        let place = usize::from(stream == 2);
        let _ = self.written[place].append(bytes, &mut MEMORY_BYTES_MAX.clone(), dir);
        if stream == 2 {
            self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES_MAX)..]);
            let surplus = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
            self.tail.drain(..surplus);
        }
    }

    /// What it wrote since this was asked for last.
    pub(crate) fn take_output(&mut self) -> Output {
        if let Some(output) = &mut self.command {
            return std::mem::take(output);
        }
        let [stdout, stderr] = std::mem::take(&mut self.written);
        let (stdout_bytes, stderr_bytes) = (stdout.len(), stderr.len());
        let stderr_tail = std::mem::take(&mut self.tail);
        Output { stdout, stderr, passed: [0; 2], stdout_bytes, stderr_bytes, stderr_tail }
    }
}
