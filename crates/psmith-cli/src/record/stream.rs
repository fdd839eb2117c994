//! Copying of a job's output, a chunk at a time; an error shows which side failed.

use std::io::{self, Read as _, SeekFrom, Write};
use std::path::Path;

use super::{RecordError, Stream};

/// The size of a chunk: a multiple of 3, so that base64 of chunks is base64 of the whole.
pub(crate) const CHUNK_BYTES: usize = 48 * 1024;

/// The side that failed when a stream could not be copied.
#[derive(Debug)]
pub(crate) enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

impl CopyError {
    /// Returns the meaning of the error to the run: the output of this job, or the file at `path`.
    pub(crate) fn into_record(self, job: u64, path: &Path) -> RecordError {
        match self {
            CopyError::Read(source) => RecordError::spool(job, source),
            CopyError::Write(source) => RecordError::not_writable(path, source),
        }
    }
}

/// Reads a stream from its beginning. `step` gets a chunk, and whether it is the last one, and returns the number of
/// bytes that it used; the rest comes again with the next. A last chunk is used whole.
pub(crate) fn for_each_chunk(
    stream: &mut dyn Stream,
    mut step: impl FnMut(&[u8], bool) -> Result<usize, CopyError>,
) -> Result<(), CopyError> {
    stream.seek(SeekFrom::Start(0)).map_err(CopyError::Read)?;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    loop {
        let room = (CHUNK_BYTES - chunk.len()) as u64;
        let read = stream.take(room).read_to_end(&mut chunk).map_err(CopyError::Read)? as u64;
        let last = read < room;
        let used = step(&chunk, last)?;
        if last {
            return Ok(());
        }
        chunk.drain(..used);
    }
}

/// Copies a stream whole.
pub(crate) fn copy(stream: &mut dyn Stream, out: &mut dyn Write) -> Result<(), CopyError> {
    for_each_chunk(stream, |chunk, _| {
        out.write_all(chunk).map_err(CopyError::Write)?;
        Ok(chunk.len())
    })
}
