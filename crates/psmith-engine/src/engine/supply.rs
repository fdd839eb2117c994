//! The standard streams of the next start: where they lead, and pipes made for them ahead of need.
//!
//! Never reads or writes one.

use std::io;
use std::os::fd::OwnedFd;

use psmith_sys::{memfd, pipe};

use crate::engine::attempt::{Pipe, Running};
use crate::engine::handler::Streams;

/// Pipes made ahead: those of one start.
const PIPES_AHEAD: usize = 2;

/// Owns what the streams of jobs are made of.
pub(super) struct StreamSupply {
    streams: Streams,
    /// Readers and writers for the next start.
    pipes: Vec<(OwnedFd, OwnedFd)>,
}

impl StreamSupply {
    pub(super) fn new(streams: Streams) -> StreamSupply {
        StreamSupply { streams, pipes: Vec::new() }
    }

    /// Makes the pipes of the next start.
    pub(super) fn stock(&mut self) {
        while self.streams.inherit.is_none() && self.pipes.len() < PIPES_AHEAD {
            match pipe::pipe() {
                Ok(pipe) => self.pipes.push(pipe),
                // Whoever needs one now will be told.
                Err(_) => return,
            }
        }
    }

    /// Opens the streams of an attempt, whose standard input holds these bytes if there are some. The attempt gets its
    /// ends, `given` those of its process; returns which of 0, 1, 2 these are (bits 0 to 2).
    pub(super) fn open(
        &mut self,
        running: &mut Running,
        stdin: Option<&[u8]>,
        given: &mut Vec<OwnedFd>,
    ) -> io::Result<u8> {
        let stdin = stdin.map(|bytes| memfd::input("psmith-stdin", bytes));
        let stdin = stdin.or_else(|| self.streams.stdin.as_ref().map(OwnedFd::try_clone)).transpose()?;
        let mut streams = 0b110;
        if let Some(stdin) = stdin {
            given.push(stdin);
            streams |= 1;
        }
        if let Some((stdout, stderr)) = &self.streams.inherit {
            given.push(stdout.try_clone()?);
            given.push(stderr.try_clone()?);
            return Ok(streams);
        }
        for stream in [1_u8, 2] {
            let (reader, writer) = self.pipes.pop().map_or_else(pipe::pipe, Ok)?;
            // Watched from the news of its start on: most jobs end before they need to be.
            running.pipes[usize::from(stream) - 1] = Some(Pipe::new(reader));
            given.push(writer);
        }
        Ok(streams)
    }
}
