//! Requests for stack samples of a process, until its warden has answered.
//!
//! Never samples a stack itself, and names no function: it passes on what the warden saw.

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
    /// What it calls itself.
    pub name: Vec<u8>,
    /// Its registers.
    pub registers: Registers,
    /// From the stack pointer on.
    pub stack: Vec<u8>,
    /// What was mapped where, as `/proc/PID/maps` has it; empty where it came with another
    /// thread.
    pub maps: Vec<u8>,
}

/// Asks for the samples, and receives them thread by thread. Dropped without one, it says that this run has no such
/// process; dropped after one, that there are no more.
#[derive(Debug)]
pub struct StackRequester {
    /// Where the answers go.
    pub sender: Sender<Result<StackSample, i32>>,
    /// The first one has come.
    pub has_begun: bool,
}

/// Owns all that asked and have not had their answer.
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

    /// Passes a sample on to all that asked. One that asked between the samples of a round waits for the next round.
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
            // Who asked may have stopped waiting.
            let _ = requester.sender.send(sample);
        }
        if !more {
            self.requests.retain(|(key, requester)| !is_due(*key, requester));
        }
    }

    /// Forgets all: nobody is left who could answer.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
    }
}

impl<H: Handler> Engine<H> {
    /// Asks for samples of the stacks of this process, if it is one of ours and lives.
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
