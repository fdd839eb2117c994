//! Requests for stack samples of a process, until its warden has answered.
//!
//! Never samples a stack itself, and names no function: it passes on the warden's samples.

use std::sync::mpsc::Sender;

use psmith_sys::trace::Registers;

use crate::engine::Engine;
use crate::engine::handler::Handler;
pub use crate::warden::messages::THREADS_MAX;
use crate::warden::messages::{Key, SampledThread, ToWarden};

/// A thread's registers and stack at one moment.
#[derive(Debug)]
pub struct StackSample {
    /// The thread's number.
    pub thread: u32,
    /// The thread's name.
    pub name: Vec<u8>,
    /// The thread's registers.
    pub registers: Registers,
    /// The bytes of its stack, from the stack pointer on.
    pub stack: Vec<u8>,
    /// The mappings of the process, as in `/proc/PID/maps`; empty where they came with another thread.
    pub maps: Vec<u8>,
}

/// A request for samples, which are sent thread by thread. Dropped before the first, it reports that this run has no
/// such process; dropped after it, that there are no more.
#[derive(Debug)]
pub struct StackRequester {
    /// The sender of the answers.
    pub sender: Sender<Result<StackSample, i32>>,
    /// True once the first one was sent.
    pub has_begun: bool,
}

/// The requests that have not been answered.
#[derive(Default)]
pub(super) struct StackSamples {
    requests: Vec<(Key, StackRequester)>,
}

impl StackSamples {
    /// Notes a request for this attempt, and forgets those for attempts that are `gone`.
    fn add(&mut self, key: Key, requester: StackRequester, gone: impl Fn(Key) -> bool) {
        self.requests.retain(|(key, _)| !gone(*key));
        self.requests.push((key, requester));
    }

    /// Passes a sample on to all requesters. A request made between the samples of a round waits for the next round.
    pub(super) fn on_sampled(
        &mut self,
        of: Key,
        (first, more): (bool, bool),
        seen: &Result<SampledThread<'_>, i32>,
    ) {
        let is_due = |key: Key, requester: &StackRequester| key == of && (first || requester.has_begun);
        for (key, requester) in &mut self.requests {
            if !is_due(*key, requester) {
                continue;
            }
            requester.has_begun = true;
            let sample = seen.as_ref().map_err(|errno| *errno).map(|seen| {
                let [instruction, stack, frame, link] = seen.registers;
                let registers = Registers { instruction, stack, frame, link };
                let (thread, name) = (seen.thread, seen.name.to_vec());
                StackSample { thread, name, registers, stack: seen.stack.to_vec(), maps: seen.maps.to_vec() }
            });
            // The requester may have stopped waiting.
            let _ = requester.sender.send(sample);
        }
        if !more {
            self.requests.retain(|(key, requester)| !is_due(*key, requester));
        }
    }

    /// Forgets all requests: no warden is left that could answer.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
    }
}

impl<H: Handler> Engine<H> {
    /// Requests samples of the stacks of this process, if it is a live one of this run.
    pub(super) fn sample_stack(&mut self, pid: u32, requester: StackRequester) {
        let is_it = |running: &&crate::engine::attempt::Running| {
            running.pid == pid && running.pidfd.is_some() && !running.exited
        };
        let Some(running) = self.attempts.iter().find(is_it) else { return };
        let (key, slot) = (running.key(), running.slot.0);
        let attempts = &self.attempts;
        self.samples.add(key, requester, |key| !attempts.iter().any(|running| running.key() == key));
        self.send_to_parent(slot, &ToWarden::SampleStack { key });
    }
}
