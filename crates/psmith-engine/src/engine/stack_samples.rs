//! Who wants to know where a process stands, until its warden has told.
//!
//! Never looks itself, and names no function: it passes on what the warden saw.

use std::sync::mpsc::Sender;

use psmith_sys::trace::Registers;

use crate::engine::Engine;
use crate::engine::handler::Handler;
pub use crate::warden::messages::THREADS_MAX;
use crate::warden::messages::{Key, Seen, ToWarden};

/// Where a thread stood.
#[derive(Debug)]
pub struct Look {
    /// The thread's number.
    pub thread: u32,
    /// What it calls itself.
    pub name: Vec<u8>,
    /// Its registers.
    pub registers: Registers,
    /// From the stack pointer on.
    pub stack: Vec<u8>,
    /// What was mapped where, as `/proc/PID/maps` has it; empty where it was told with another
    /// thread.
    pub maps: Vec<u8>,
}

/// Who wants to know, thread by thread. Dropped without an answer, it says that this run has no such process; dropped after
/// one, that there are no more.
#[derive(Debug)]
pub struct Looker {
    /// Where the answers go.
    pub tell: Sender<Result<Look, i32>>,
    /// It has heard of the first thread.
    pub has_begun: bool,
}

/// Owns all that asked and have not had their answer.
#[derive(Default)]
pub(super) struct StackSamples {
    requests: Vec<(Key, Looker)>,
}

impl StackSamples {
    /// Notes a request for this attempt, and forgets those for attempts that are `gone`.
    fn add(&mut self, key: Key, looker: Looker, gone: impl Fn(Key) -> bool) {
        self.requests.retain(|(key, _)| !gone(*key));
        self.requests.push((key, looker));
    }

    /// All that asked get the answer. Who asked while others were being told waits for the next first one.
    pub(super) fn on_looked(&mut self, of: Key, (first, more): (bool, bool), seen: &Result<Seen<'_>, i32>) {
        let is_told = |key: Key, looker: &Looker| key == of && (first || looker.has_begun);
        for (key, looker) in &mut self.requests {
            if !is_told(*key, looker) {
                continue;
            }
            looker.has_begun = true;
            let look = seen.as_ref().map_err(|errno| *errno).map(|seen| {
                let [instruction, stack, frame, link] = seen.registers;
                let registers = Registers { instruction, stack, frame, link };
                let (thread, name) = (seen.thread, seen.name.to_vec());
                Look { thread, name, registers, stack: seen.stack.to_vec(), maps: seen.maps.to_vec() }
            });
            // Who asked may have stopped waiting.
            let _ = looker.tell.send(look);
        }
        if !more {
            self.requests.retain(|(key, looker)| !is_told(*key, looker));
        }
    }

    /// Forgets all: nobody is left who could answer.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
    }
}

impl<H: Handler> Engine<H> {
    /// Asks for a look at this process, if it is one of ours and lives.
    pub(super) fn look(&mut self, pid: u32, looker: Looker) {
        let is_it = |running: &&crate::engine::attempt::Running| {
            running.pid == pid && running.pidfd.is_some() && !running.exited
        };
        let Some(running) = self.attempts.iter().find(is_it) else { return };
        let (key, slot) = (running.key(), running.slot.0);
        let attempts = &self.attempts;
        self.samples.add(key, looker, |key| !attempts.iter().any(|running| running.key() == key));
        self.tell_parent(slot, &ToWarden::Look { key });
    }
}
