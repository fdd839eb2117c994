//! A running attempt as the host sees it: a pidfd, two pipes, a cgroup slot. It is passive: the loop notifies it that a
//! pipe is readable or that its process has ended, and it makes no decisions.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use psmith_core::{AttemptId, SlotId};
use psmith_sys::{pidfd, proc_tree};

use crate::command::OwnSurroundings;
use crate::engine::cgroup_slots::SlotLease;
use crate::engine::channels::WorkerChannel;
use crate::engine::descriptors::Counted;
use crate::engine::handler::{AttemptOutput, Live, OutputKept};
use crate::engine::spool::Spool;
use crate::limits::LimitsInForce;
use crate::warden::link::Link;
use crate::warden::messages::Key;

/// An attempt that occupies a slot.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: AttemptId,
    pub(crate) slot: SlotId,
    /// The generation, which tells late events of an earlier attempt in the same slot from those of this one.
    pub(crate) generation: u32,
    /// The limit of memory, if it has one.
    pub(crate) memory_bytes: Option<u64>,
    /// The limits of its own job, in place of the run's.
    pub(crate) limits: Option<Arc<LimitsInForce>>,
    /// The surroundings of its own job, in place of the run's.
    pub(crate) surroundings: Option<Arc<OwnSurroundings>>,
    pub(crate) pid: u32,
    /// From the order to start it to the report.
    pub(crate) awaited: Option<Counted>,
    pub(crate) pidfd: Option<OwnedFd>,
    pub(crate) pipes: [Option<Pipe>; 2],
    pub(crate) live: Live,
    pub(crate) output: AttemptOutput,
    /// The part of its output that is kept.
    pub(crate) kept: OutputKept,
    pub(crate) lease: SlotLease,
    pub(crate) keeper: Option<Link>,
    /// True for a worker that does several jobs: what its group has used says nothing of one of them.
    pub(crate) reused: bool,
    /// The channel of a function worker; `None` for a command.
    pub(crate) channel: Option<WorkerChannel>,
    /// Signals that were requested before the process was known.
    pub(crate) pending: Vec<i32>,
    /// True while its process is stopped and the handler was notified of that.
    pub(crate) stopped: bool,
    pub(crate) exited: bool,
    pub(crate) tree_empty: bool,
    /// The number of descendants, counted just before they were killed.
    pub(crate) killed: u32,
    /// True once its remains were released: its keeper, if it has one, stays with them.
    pub(crate) released: bool,
    /// The number of descendants that were alive when it ended, where the warden or a keeper can tell.
    pub(crate) outlived_by: u32,
    /// True while the poll set waits for its group to become empty.
    pub(crate) watched: bool,
    /// True once its job has its outcome or will be retried; only an unkillable attempt stays longer.
    pub(crate) dismissed: bool,
    /// The program, and below it the directory, for the message of a failed start.
    pub(crate) program: Vec<u8>,
    pub(crate) dir: Option<Vec<u8>>,
}

/// The reading end of one of its streams.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) fd: OwnedFd,
    /// True while it is out of the poll set: its process is not known to run yet, or live output is not taken now.
    pub(crate) paused: bool,
    /// The number of bytes received so far: above a threshold a larger pipe pays off.
    pub(crate) seen: u64,
    pub(crate) widened: bool,
}

impl Pipe {
    pub(crate) fn new(fd: OwnedFd) -> Pipe {
        Pipe { fd, paused: true, seen: 0, widened: false }
    }
}

/// Result of one read from a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The number of bytes that were read.
    Bytes(usize),
    /// The pipe is empty, but a writer may still have it open.
    Empty,
    /// The last writer has closed the pipe.
    End,
}

impl Running {
    /// Returns an attempt that is about to be started.
    pub(crate) fn new(id: AttemptId, slot: SlotId, generation: u32, live: Live) -> Running {
        Running {
            id,
            slot,
            generation,
            memory_bytes: None,
            limits: None,
            surroundings: None,
            pid: 0,
            awaited: None,
            pidfd: None,
            pipes: [None, None],
            live,
            output: AttemptOutput::default(),
            kept: OutputKept::ALL,
            lease: SlotLease::default(),
            keeper: None,
            reused: false,
            channel: None,
            pending: Vec::new(),
            stopped: false,
            exited: false,
            tree_empty: false,
            killed: 0,
            released: false,
            outlived_by: 0,
            watched: false,
            dismissed: false,
            program: Vec::new(),
            dir: None,
        }
    }

    pub(crate) fn key(&self) -> Key {
        Key { job: self.id.job.0, number: self.id.number }
    }

    pub(crate) fn output_open(&self) -> bool {
        self.pipes.iter().any(Option::is_some)
    }

    /// Returns whether its process is not known yet, and may be started any moment.
    pub(crate) fn is_starting(&self) -> bool {
        self.pidfd.is_none() && !self.exited && !self.dismissed
    }

    /// Returns whether nothing of it is left that could still cause an event.
    pub(crate) fn is_over(&self) -> bool {
        self.exited && self.tree_empty && !self.output_open()
    }

    /// Returns whether stream 1 or 2 is passed on as it is written.
    pub(crate) fn is_live(&self, stream: u8) -> bool {
        match self.live {
            Live::Nothing => false,
            Live::Stdout => stream == 1,
            Live::Stderr => stream == 2,
            Live::Both => true,
        }
    }

    /// Reads once from a stream into `buffer`.
    pub(crate) fn read(&mut self, stream: u8, buffer: &mut [u8]) -> io::Result<Read> {
        let Some(pipe) = &mut self.pipes[usize::from(stream) - 1] else { return Ok(Read::End) };
        match rustix::io::read(&pipe.fd, &mut *buffer) {
            Ok(0) => Ok(Read::End),
            Ok(length) => {
                pipe.seen += length as u64;
                self.output.count(stream, &buffer[..length], &self.kept);
                Ok(Read::Bytes(length))
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Read::Empty),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn spool(&mut self, stream: u8) -> &mut Spool {
        self.output.spool(stream)
    }

    /// Returns whether its process group has live members besides itself, once it has ended.
    pub(crate) fn group_is_alive(&self) -> bool {
        if self.pidfd.as_ref().is_none_or(|pidfd| pidfd::signal_group(pidfd.as_fd(), 0).is_err()) {
            return false;
        }
        // A signal reaches zombies, too, and where the first process of a container does not reap, they stay.
        let mut members = proc_tree::all().filter_map(|pid| proc_tree::stat(pid).ok());
        let mut zombies = 0;
        let is_alive = members.any(|member| {
            zombies += u32::from(member.pgrp == self.pid && member.is_zombie());
            member.pgrp == self.pid && !member.is_zombie()
        });
        is_alive || zombies == 0
    }
}
