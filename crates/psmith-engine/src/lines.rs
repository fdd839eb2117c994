//! Output of several jobs on its way to one stream: whole lines of each, marked with whose they are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;

use psmith_core::JobId;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

/// The length above which a line is passed on in pieces.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// The lines of jobs, as far as they are not passed on.
#[derive(Debug)]
pub struct JobLines {
    /// True if lines are held back until they are whole.
    whole: bool,
    partial: HashMap<(JobId, u8), Vec<u8>>,
    at_line_start: HashMap<(JobId, u8), bool>,
}

impl JobLines {
    /// Makes a store that holds lines back until they are `whole`, or passes bytes on as they come.
    #[must_use]
    pub fn new(whole: bool) -> JobLines {
        JobLines { whole, partial: HashMap::new(), at_line_start: HashMap::new() }
    }

    /// Takes output of a job while it runs; returns what is to be passed on now, each line begun with the tag.
    pub fn take<'b>(&mut self, job: JobId, stream: u8, bytes: &'b [u8], tag: Option<&[u8]>) -> Cow<'b, [u8]> {
        if !self.whole {
            return self.tagged(job, stream, bytes, tag);
        }
        let mut waiting = self.partial.remove(&(job, stream)).unwrap_or_default();
        let mut ready = Vec::new();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole > 0 {
            waiting.extend_from_slice(&bytes[..whole]);
            ready = self.tagged(job, stream, &waiting, tag).into_owned();
            waiting.clear();
        }
        waiting.extend_from_slice(&bytes[whole..]);
        if waiting.len() > LINE_BYTES_MAX {
            ready.extend_from_slice(&self.tagged(job, stream, &waiting, tag));
            waiting.clear();
        }
        if !waiting.is_empty() {
            self.partial.insert((job, stream), waiting);
        }
        Cow::Owned(ready)
    }

    /// Takes the line that was held back, which has no end yet; empty if there is none.
    pub fn rest(&mut self, job: JobId, stream: u8) -> Vec<u8> {
        self.partial.remove(&(job, stream)).unwrap_or_default()
    }

    /// Returns these bytes of a job, each line begun with the tag.
    pub fn tagged<'b>(
        &mut self,
        job: JobId,
        stream: u8,
        bytes: &'b [u8],
        tag: Option<&[u8]>,
    ) -> Cow<'b, [u8]> {
        if bytes.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let at_start = self.at_line_start.entry((job, stream)).or_insert(true);
        let Some(tag) = tag else {
            *at_start = bytes.last() == Some(&b'\n');
            return Cow::Borrowed(bytes);
        };
        let mut tagged = Vec::with_capacity(bytes.len() + 64);
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if *at_start {
                tagged.extend_from_slice(tag);
            }
            tagged.extend_from_slice(line);
            *at_start = line.last() == Some(&b'\n');
        }
        Cow::Owned(tagged)
    }

    /// Returns the streams of jobs of which a line is held back.
    #[must_use]
    pub fn held(&self) -> Vec<(JobId, u8)> {
        self.partial.keys().copied().collect()
    }

    /// Forgets a stream of a job, with what was held back; returns whether the last line that was passed on has no end.
    pub fn end(&mut self, job: JobId, stream: u8) -> bool {
        self.partial.remove(&(job, stream));
        self.at_line_start.remove(&(job, stream)) == Some(false)
    }
}

/// Writes all bytes, past the buffer and the lock of a standard stream, also if the descriptor is non-blocking: any
/// process that shares it can make it so.
///
/// # Errors
/// The number of bytes that were written before the error.
pub fn write_all(stream: &mut impl AsFd, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match rustix::io::write(stream.as_fd(), &bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(length) => written += length,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                match rustix::event::poll(&mut [PollFd::new(stream, PollFlags::OUT)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err((written, error.into())),
                }
            }
            Err(error) => return Err((written, error.into())),
        }
    }
    Ok(())
}
