//! What hands short jobs of one function to a run, by one thread, without a lock for each.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::job::callee::Callee;
use crate::job::job::Request;
use crate::run::input_buffer::BufferWriter;
use crate::run::shared::RunShared;
use crate::run::submitter::Submitter;

/// Hands in short jobs by their encoded inputs. They wait together, and are not waited for: whoever has nothing to do
/// takes what there is.
#[derive(Debug)]
pub(crate) struct InputWriter {
    shared: Arc<RunShared>,
    writer: BufferWriter,
    /// The engine has the writer's inputs: they are not behind others.
    is_open: bool,
}

impl InputWriter {
    pub(crate) fn new(submitter: &Submitter, callee: &Arc<Callee>) -> InputWriter {
        InputWriter {
            shared: Arc::clone(&submitter.shared),
            writer: BufferWriter::new(callee, &submitter.policy),
            is_open: false,
        }
    }

    /// Hands in a job; gives how many should be on their way.
    pub(crate) fn add(&mut self, input: &[u8]) -> u64 {
        if !self.is_open {
            self.shared.take_from(self.writer.inputs());
            self.is_open = true;
        }
        while !self.writer.add(input) {
            self.writer = self.writer.next(input.len());
            self.shared.take_from(self.writer.inputs());
        }
        // Race "believed idle": the count is stored before this flag is read, and the engine sets the flag before it reads
        // the count, all in one order (SeqCst). So one of the two sees what the other wrote.
        if self.shared.has_idle_workers.load(Ordering::SeqCst) {
            self.wake_for_idle();
        }
        self.shared.wanted.load(Ordering::Relaxed)
    }

    /// Hands in a job that travels alone.
    pub(crate) fn submit(&mut self, submitter: &Submitter, request: Request) {
        submitter.submit(request);
        if self.is_open {
            self.writer = self.writer.next(0);
            self.is_open = false;
        }
    }

    fn wake_for_idle(&self) {
        if self.shared.has_idle_workers.swap(false, Ordering::SeqCst) {
            self.shared.wake();
        }
    }

    /// To be called before outcomes are waited for.
    pub(crate) fn before_wait(&mut self) {
        self.wake_for_idle();
        self.shared.end_if_over();
    }
}
