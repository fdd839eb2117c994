//! What hands short jobs of one function to a run, by one thread, without a lock for each.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use psmith_sys::barrier;

use crate::job::job::{Callee, Request};
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
    /// The engine, before it believes that there is nothing to do, has a barrier pass here: then no job needs one.
    unordered: bool,
    /// Whether such barriers are to be had was asked.
    asked: bool,
}

impl InputWriter {
    pub(crate) fn new(submitter: &Submitter, callee: &Arc<Callee>) -> InputWriter {
        InputWriter {
            shared: Arc::clone(&submitter.shared),
            writer: BufferWriter::new(callee, &submitter.policy),
            is_open: false,
            unordered: barrier::is_registered(),
            asked: false,
        }
    }

    /// Hands in a job; gives how many should be on their way.
    pub(crate) fn add(&mut self, input: &[u8]) -> u64 {
        if !self.is_open {
            self.shared.take_from(self.writer.inputs());
            self.is_open = true;
        }
        while !self.writer.add(input, !self.unordered) {
            self.writer = self.writer.next(input.len());
            self.shared.take_from(self.writer.inputs());
        }
        // In this order, as the engine's is the other: one of the two sees what the other has said.
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
        if !std::mem::replace(&mut self.asked, true) {
            // Now, because it may take a moment.
            self.unordered = barrier::register();
        }
    }
}
