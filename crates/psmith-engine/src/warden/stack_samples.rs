//! Stack samples of a job's process: its threads are seized for a moment, one after the other, read, and released.
//!
//! Never waits: the stop of a thread is an event like a process's end. Only the warden can do it well: the process is
//! its own unreaped child, so the number is not reused; it is an ancestor, as hardened kernels demand; and in the host
//! the stop would be a child's state change that another wait may consume. Names no function: that is left to the host,
//! which has the time.
//!
//! At most one thread of a process is seized at any time. So no thread waits for another, and one that never stops
//! delays only the requester.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};

use psmith_sys::trace;
use rustix::io::Errno;

use crate::warden::messages::{Key, MAPS_BYTES_MAX, STACK_BYTES_MAX, SampledThread, THREADS_MAX, ToHost};
use crate::warden::server::WardenServer;

/// The rounds that are in progress, by process.
pub(super) type SamplingRounds = HashMap<u32, SamplingRound>;

/// A round of samples: one of each thread of a process.
#[derive(Debug)]
pub(super) struct SamplingRound {
    /// The thread that was asked to stop.
    asked: u32,
    /// The threads that are still to be sampled.
    left: VecDeque<u32>,
    /// True until a thread has been reported.
    is_first: bool,
    /// True once the mappings were reported with a thread.
    has_maps: bool,
    /// True if another request came meanwhile: it is answered by a round of its own.
    again: bool,
}

/// A thread's name, registers, stack.
type ThreadState = (Vec<u8>, [u64; 4], Vec<u8>);

impl WardenServer {
    /// Stops the threads of this attempt's process, one after the other, and samples each.
    pub(super) fn sample_stack(&mut self, key: Key) -> io::Result<()> {
        let begun = match self.leader_of(key) {
            Some(pid) => match self.sampled.get_mut(&pid) {
                Some(round) => {
                    round.again = true;
                    return Ok(());
                }
                None => self.begin_sampling(pid),
            },
            None => Err(Errno::SRCH.into()),
        };
        match begun {
            Ok(()) => Ok(()),
            Err(error) => {
                self.send(&ToHost::StackSampled { key, first: true, more: false, seen: Err(errno(&error)) })
            }
        }
    }

    fn begin_sampling(&mut self, pid: u32) -> io::Result<()> {
        let mut left = threads(pid)?;
        let asked = seize_next(&mut left)?;
        self.sampled
            .insert(pid, SamplingRound { asked, left, is_first: true, has_maps: false, again: false });
        Ok(())
    }

    /// Samples a thread that has stopped; `signal` is the one that it was about to receive.
    pub(super) fn on_seized(&mut self, thread: u32, signal: i32) -> io::Result<()> {
        // A thread that executes a program has its process's number from then on.
        let of =
            |(pid, round): (&u32, &SamplingRound)| (round.asked == thread || *pid == thread).then_some(*pid);
        let pid = self.sampled.iter().find_map(of);
        let seen = seen(thread);
        // One that was killed meanwhile is gone: its end is about to be reported.
        let _ = trace::release(thread, signal);
        pid.map_or(Ok(()), |pid| self.report_and_seize_next(pid, thread, seen))
    }

    /// Reports a thread that ended before it stopped.
    pub(super) fn on_thread_ended(&mut self, thread: u32) -> io::Result<()> {
        if self.sampled.contains_key(&thread) {
            if let Some(round) = self.sampled.get_mut(&thread) {
                round.left.clear();
                round.again = false;
            }
            return self.report_and_seize_next(thread, thread, Err(Errno::SRCH.into()));
        }
        let of = self.sampled.iter().find_map(|(pid, round)| (round.asked == thread).then_some(*pid));
        of.map_or(Ok(()), |pid| self.report_and_seize_next(pid, thread, Err(Errno::SRCH.into())))
    }

    /// Reports a thread, and seizes the next one.
    fn report_and_seize_next(
        &mut self,
        pid: u32,
        thread: u32,
        seen: io::Result<ThreadState>,
    ) -> io::Result<()> {
        let Some(mut round) = self.sampled.remove(&pid) else { return Ok(()) };
        let next = seize_next(&mut round.left).ok();
        let first = std::mem::replace(&mut round.is_first, false);
        let has_new_maps = seen.is_ok() && !std::mem::replace(&mut round.has_maps, seen.is_ok());
        let again = round.again;
        if let Some(asked) = next {
            self.sampled.insert(pid, SamplingRound { asked, ..round });
        }
        let Some(key) = self.children.get(&pid).and_then(|child| child.key) else { return Ok(()) };
        let maps = if has_new_maps { maps(pid).unwrap_or_default() } else { Vec::new() };
        let seen = seen.as_ref().map_err(errno).map(|(name, registers, stack)| SampledThread {
            thread,
            name,
            registers: *registers,
            stack,
            maps: &maps,
        });
        self.send(&ToHost::StackSampled { key, first, more: next.is_some(), seen })?;
        if next.is_none() && again { self.sample_stack(key) } else { Ok(()) }
    }
}

/// Returns the threads of a process, the first one first.
fn threads(pid: u32) -> io::Result<VecDeque<u32>> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    let number = |entry: io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let mut others: Vec<u32> = entries.filter_map(number).filter(|thread| *thread != pid).collect();
    others.sort_unstable();
    others.truncate(THREADS_MAX - 1);
    Ok(std::iter::once(pid).chain(others).collect())
}

/// Seizes the next of these that can be seized; one that has ended meanwhile is skipped.
fn seize_next(left: &mut VecDeque<u32>) -> io::Result<u32> {
    let mut refused = Errno::SRCH.into();
    while let Some(thread) = left.pop_front() {
        match trace::seize(thread) {
            Ok(()) => return Ok(thread),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn seen(thread: u32) -> io::Result<ThreadState> {
    let registers = trace::registers(thread)?;
    let stack = trace::memory(thread, registers.stack, STACK_BYTES_MAX)?;
    let mut name = std::fs::read(format!("/proc/{thread}/comm")).unwrap_or_default();
    name.truncate(name.trim_ascii_end().len());
    Ok((name, [registers.instruction, registers.stack, registers.frame, registers.link], stack))
}

fn maps(pid: u32) -> io::Result<Vec<u8>> {
    let mut maps = Vec::new();
    File::open(format!("/proc/{pid}/maps"))?.take(MAPS_BYTES_MAX as u64).read_to_end(&mut maps)?;
    Ok(maps)
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::IO.raw_os_error())
}
