//! Where a job's process stands: it is seized for a moment, looked at, and let go.
//!
//! Never waits: that a process stands still is news like its end. The warden does it, and nobody else could as well: the
//! process is its own unreaped child, so the number is no stranger's; it is an ancestor, as hardened kernels demand; and
//! in the host the stop would be a child's change that somebody else's wait may take away. Names no function: that is
//! the host's affair, which has the time.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};

use psmith_sys::trace;
use rustix::io::Errno;

use super::messages::{Key, MAPS_BYTES_MAX, STACK_BYTES_MAX, Seen, ToHost};
use super::server::Server;

/// Who was asked to stand still.
pub(super) type Wanted = HashSet<u32>;

impl Server {
    /// Asks the process of this attempt to stand still. A second wish is answered together with the first.
    pub(super) fn look(&mut self, key: Key) -> io::Result<()> {
        let seized = match self.leader_of(key) {
            Some(pid) if self.wanted.contains(&pid) => return Ok(()),
            Some(pid) => trace::seize(pid).map(|()| self.wanted.insert(pid)),
            None => Err(Errno::SRCH.into()),
        };
        match seized {
            Ok(_) => Ok(()),
            Err(error) => self.say(&ToHost::Looked { key, seen: Err(errno(&error)) }),
        }
    }

    /// It stands still; `signal` is what it was about to get.
    pub(super) fn on_seized(&mut self, pid: u32, signal: i32) -> io::Result<()> {
        let seen = seen(pid);
        // A process that was killed meanwhile is gone: its end is on the way.
        let _ = trace::let_go(pid, signal);
        self.wanted.remove(&pid);
        let Some(key) = self.children.get(&pid).and_then(|child| child.key) else { return Ok(()) };
        match seen {
            Ok((registers, stack, maps)) => {
                let seen = Ok(Seen { registers, stack: &stack, maps: &maps });
                self.say(&ToHost::Looked { key, seen })
            }
            Err(error) => self.say(&ToHost::Looked { key, seen: Err(errno(&error)) }),
        }
    }

    /// It ended. If it never stood still, that is the answer.
    pub(super) fn on_gone(&mut self, pid: u32) -> io::Result<()> {
        let key = self.children.get(&pid).and_then(|child| child.key);
        match (self.wanted.remove(&pid), key) {
            (true, Some(key)) => self.say(&ToHost::Looked { key, seen: Err(Errno::SRCH.raw_os_error()) }),
            (_, _) => Ok(()),
        }
    }
}

fn seen(pid: u32) -> io::Result<([u64; 4], Vec<u8>, Vec<u8>)> {
    let registers = trace::registers(pid)?;
    let stack = trace::memory(pid, registers.stack, STACK_BYTES_MAX)?;
    let mut maps = Vec::new();
    File::open(format!("/proc/{pid}/maps"))?.take(MAPS_BYTES_MAX as u64).read_to_end(&mut maps)?;
    Ok(([registers.instruction, registers.stack, registers.frame, registers.link], stack, maps))
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::IO.raw_os_error())
}
