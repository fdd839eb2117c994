//! The output of running jobs on its way from their pipes to the handler: the buffer it is read into, the memory that
//! all spools may use, and the attempts whose streams are not read now.
//!
//! Never cuts output, and never decides whether it is passed on or kept.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use psmith_core::JobId;

use crate::engine::EngineError;
use crate::engine::attempt::{Read, Running};
use crate::engine::attempts::SlotGeneration;
use crate::engine::spool;

/// The most bytes that one read from a pipe takes.
const READ_BYTES: usize = 256 * 1024;

/// The memory and the directory of all spools.
pub(super) struct OutputStore {
    /// The directory for output that is too large for memory.
    dir: PathBuf,
    /// The number of bytes that all spools may still keep in memory.
    budget: usize,
    /// The size of output in memory that the consumer has not yet finished with, by job.
    handed_over: HashMap<JobId, usize>,
    buffer: Vec<u8>,
    /// The attempts whose streams or channels are not read now.
    paused: Vec<SlotGeneration>,
}

impl OutputStore {
    pub(super) fn new(dir: PathBuf) -> OutputStore {
        OutputStore {
            dir,
            budget: spool::MEMORY_BYTES_ALL_MAX,
            handed_over: HashMap::new(),
            buffer: vec![0; READ_BYTES],
            paused: Vec::new(),
        }
    }

    /// Reads once from a stream of this attempt; [`OutputStore::bytes`] returns the bytes afterwards.
    pub(super) fn read(&mut self, running: &mut Running, stream: u8) -> io::Result<Read> {
        running.read(stream, &mut self.buffer)
    }

    /// Returns the first `length` bytes of the last read.
    pub(super) fn bytes(&self, length: usize) -> &[u8] {
        &self.buffer[..length]
    }

    /// Returns the buffer of the last read, for a handler that may put another one of its size in its place.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Keeps the first `length` bytes of the last read for the delivery, as far as they are to be kept.
    pub(super) fn keep(&mut self, running: &mut Running, stream: u8, length: usize) -> io::Result<()> {
        let place = (&mut self.budget, self.dir.as_path());
        running.output.keep(stream, &self.buffer[..length], &running.kept, place)
    }

    /// Returns the failure of a run whose output cannot be kept.
    pub(super) fn failure(&self, error: io::Error) -> EngineError {
        EngineError::Spool(self.dir.clone(), error)
    }

    /// Returns this many bytes of spools to the budget.
    pub(super) fn give_back(&mut self, bytes: usize) {
        self.budget += bytes;
    }

    /// Notes that the consumer has this job's output in memory until [`OutputStore::on_delivered`].
    pub(super) fn hand_over(&mut self, job: JobId, bytes: usize) {
        if bytes > 0 {
            self.handed_over.insert(job, bytes);
        }
    }

    pub(super) fn on_delivered(&mut self, job: JobId) {
        self.budget += self.handed_over.remove(&job).unwrap_or(0);
    }

    /// Notes that streams or the channel of this attempt are not read for now.
    pub(super) fn note_paused(&mut self, slot_generation: SlotGeneration) {
        self.paused.push(slot_generation);
    }

    pub(super) fn paused(&self) -> &[SlotGeneration] {
        &self.paused
    }

    pub(super) fn take_paused(&mut self) -> Vec<SlotGeneration> {
        std::mem::take(&mut self.paused)
    }
}
