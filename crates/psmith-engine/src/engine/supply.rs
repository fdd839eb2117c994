//! The streams and variables that the run gives to each start: standard streams, with pipes made ahead of need, and the
//! variables by which its process is known.
//!
//! Never reads or writes a stream, and sends nothing.

use std::io::{self, Write};
use std::os::fd::OwnedFd;

use psmith_sys::{memfd, pipe};

use crate::command::{Numbers, Stdin};
use crate::engine::attempt::{Pipe, Running};
use crate::engine::handler::Streams;
use crate::warden::messages::KEY_VARIABLE;

/// The number of pipes made ahead: those of one start.
const PIPES_AHEAD: usize = 2;

/// The parts of which starts are made.
pub(super) struct StartSupply {
    /// The name of the run, for people.
    run: String,
    streams: Streams,
    /// The pipes for the next start, reader and writer.
    pipes: Vec<(OwnedFd, OwnedFd)>,
}

impl StartSupply {
    pub(super) fn new(run: String, streams: Streams) -> StartSupply {
        StartSupply { run, streams, pipes: Vec::new() }
    }

    /// Returns the variables that an attempt has beside those of all starts: the numbers that it sees of itself, the
    /// marker of the run's processes, and `words`, those of its job.
    pub(super) fn environment(
        &self,
        running: &Running,
        numbers: Numbers,
        marker: &[u8],
        words: &[u8],
    ) -> Vec<u8> {
        let attempt = running.id;
        let mut env = Vec::with_capacity(96 + words.len());
        // Writing to memory does not fail.
        let number = numbers.job.unwrap_or(attempt.job.0);
        let (slot, tried) = numbers.place.unwrap_or((running.slot.0, attempt.number));
        let _ = write!(env, "PSMITH_RUN={}\0PSMITH_JOB={number}\0", self.run);
        let _ = write!(env, "PSMITH_SLOT={}\0PSMITH_ATTEMPT={tried}\0", slot + 1);
        // By these two the warden finds the processes of this run, and of this attempt.
        env.extend_from_slice(marker);
        let _ = write!(env, "\0{KEY_VARIABLE}={}.{}\0", attempt.job.0, attempt.number);
        env.extend_from_slice(words);
        env
    }

    /// Makes the pipes of the next start.
    pub(super) fn stock(&mut self) {
        while self.streams.inherit.is_none() && self.pipes.len() < PIPES_AHEAD {
            match pipe::pipe() {
                Ok(pipe) => self.pipes.push(pipe),
                // A start that needs one then reports the error itself.
                Err(_) => return,
            }
        }
    }

    /// Opens the streams of an attempt, with its own standard input if it has one. The attempt gets its
    /// ends, `given` those of its process; returns which of 0, 1, 2 these are (bits 0 to 2).
    pub(super) fn open(
        &mut self,
        running: &mut Running,
        (is_command, stdin): (bool, Option<&Stdin>),
        given: &mut Vec<OwnedFd>,
    ) -> io::Result<u8> {
        let stdin = stdin.map(|stdin| match stdin {
            Stdin::Bytes(bytes) => memfd::input("psmith-stdin", bytes),
            Stdin::File(file) => file.try_clone(),
        });
        let stdin = stdin.or_else(|| self.streams.stdin.as_ref().map(OwnedFd::try_clone)).transpose()?;
        let mut streams = 0b110;
        if let Some(stdin) = stdin {
            given.push(stdin);
            streams |= 1;
        }
        for stream in [1_u8, 2] {
            let is_value = is_command && stream == 1 && self.streams.captures_values;
            if let (Some((stdout, stderr)), false) = (&self.streams.inherit, is_value) {
                given.push(if stream == 1 { stdout } else { stderr }.try_clone()?);
                continue;
            }
            let (reader, writer) = self.pipes.pop().map_or_else(pipe::pipe, Ok)?;
            // Watched from the report of its start on: most jobs end before that is needed.
            running.pipes[usize::from(stream) - 1] = Some(Pipe::new(reader));
            given.push(writer);
        }
        Ok(streams)
    }
}
