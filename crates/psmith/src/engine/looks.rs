//! Who wants to know where a process stands, until its warden has told.

use std::sync::mpsc::Sender;

use psmith_sys::trace::Registers;

use super::Engine;
use super::handler::Handler;
use crate::warden::messages::{Key, Seen, ToWarden};

/// Where a process stood.
#[derive(Debug)]
#[cfg_attr(not(feature = "stacks"), expect(dead_code, reason = "nobody asks without that feature"))]
pub(crate) struct Look {
    pub(crate) registers: Registers,
    /// From the stack pointer on.
    pub(crate) stack: Vec<u8>,
    /// What was mapped where, as `/proc/PID/maps` has it.
    pub(crate) maps: Vec<u8>,
}

/// Who wants to know. Dropped without an answer, it says that this run has no such process.
#[derive(Debug)]
pub struct Looker(pub(crate) Sender<Result<Look, i32>>);

impl<H: Handler> Engine<H> {
    /// Asks for a look at this process, if it is one of ours and lives.
    pub(super) fn look(&mut self, pid: u32, looker: Looker) {
        let is_it = |running: &&super::attempt::Running| {
            running.pid == pid && running.pidfd.is_some() && !running.exited
        };
        let Some(running) = self.slots.iter().flatten().find(is_it) else { return };
        let (key, slot) = (running.key(), running.slot.0);
        self.looks.retain(|(key, _)| self.slots.iter().flatten().any(|running| running.key() == *key));
        self.looks.push((key, looker));
        self.tell_parent(slot, &ToWarden::Look { key });
    }

    /// All that asked get the answer.
    pub(super) fn on_looked(&mut self, of: Key, seen: &Result<Seen<'_>, i32>) {
        let asked = std::mem::take(&mut self.looks);
        let (theirs, others): (Vec<_>, Vec<_>) = asked.into_iter().partition(|(key, _)| *key == of);
        self.looks = others;
        for (_, looker) in theirs {
            let look = seen.as_ref().map_err(|errno| *errno).map(|seen| {
                let [instruction, stack, frame, link] = seen.registers;
                let registers = Registers { instruction, stack, frame, link };
                Look { registers, stack: seen.stack.to_vec(), maps: seen.maps.to_vec() }
            });
            // Who asked may have stopped waiting.
            let _ = looker.0.send(look);
        }
    }
}
