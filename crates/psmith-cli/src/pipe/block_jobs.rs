//! Jobs of `--pipe`, one after the other, each with its stdin.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use super::blocks::BlockReader;
use super::feeder::{JobFeed, Part, ReadFailure};
use super::job_stdin::{JobStdin, name_of};
use super::parts::PartReader;
use super::round_robin::RoundRobin;
use super::spec::{BlockSize, PipeSpec};
use crate::input::{InputError, InputSpec, JobArgs, Opened};
use crate::report::display::os_text;

/// The jobs of `--pipe`, in order. The next one blocks while the source blocks.
#[derive(Debug)]
pub(crate) struct BlockJobs {
    spec: PipeSpec,
    slots: u32,
    source: Source,
    receivers: RoundRobin,
}

#[derive(Debug)]
enum Source {
    Stream(BlockReader<Opened>),
    Parts { file: Arc<File>, name: String, reader: PartReader, header: Arc<Vec<u8>>, failure: ReadFailure },
}

impl BlockJobs {
    /// Opens the source.
    pub(crate) fn open(
        spec: &PipeSpec,
        input: &InputSpec,
        slots: u32,
        failure: ReadFailure,
    ) -> Result<BlockJobs, InputError> {
        let (from, name) = crate::input::open_source(&input.sources[0].from)?;
        let source = if spec.part {
            let Opened::File(file) = from else {
                return Err(InputError { message: format!("{name} is no regular file: --pipe reads any") });
            };
            let mut reader = PartReader::new(&file, name.clone(), &spec.cut, spec.block, slots)?;
            let header = if spec.header { reader.take_header(&file)? } else { Vec::new() };
            Source::Parts { file: Arc::new(file), name, reader, header: Arc::new(header), failure }
        } else {
            let BlockSize::Bytes(block) = spec.block else {
                return Err(InputError { message: "--block: a number of blocks needs --pipe-part".into() });
            };
            Source::Stream(BlockReader::new(from, name, spec.cut.clone(), block, spec.header))
        };
        Ok(BlockJobs { spec: spec.clone(), slots, source, receivers: RoundRobin::default() })
    }

    /// Makes the next job.
    pub(crate) fn next(&mut self) -> Result<Option<(JobArgs, JobStdin)>, InputError> {
        match &mut self.source {
            Source::Stream(reader) if self.spec.round_robin => {
                if self.receivers.len() < self.slots as usize {
                    let Some((header, block)) = reader.next()? else {
                        return self.receivers.finish().map(|()| None).map_err(|error| unfed(&error));
                    };
                    let first =
                        self.receivers.add([header, &block].concat()).map_err(|error| unfed(&error))?;
                    let stream = JobStdin::Stream(Arc::new(Mutex::new(Some(first))));
                    return Ok(Some((JobArgs::default(), stream)));
                }
                // A header stands once at the head of a job's stream.
                while let Some((_, block)) = reader.next()? {
                    let takers = self.receivers.give(&block, self.spec.in_turn);
                    if !takers.map_err(|error| unfed(&error))? {
                        break;
                    }
                }
                self.receivers.finish().map(|()| None).map_err(|error| unfed(&error))
            }
            Source::Stream(reader) => {
                let Some((header, block)) = reader.next()? else { return Ok(None) };
                let feed = JobFeed::block([header, &block].concat());
                self.block_job(feed).map(Some)
            }
            Source::Parts { file, name, reader, header, failure } => {
                let Some((start, end)) = reader.next(file)? else { return Ok(None) };
                let (file, name, failure) = (Arc::clone(file), name.clone(), Arc::clone(failure));
                let part = Part { file, name, start, end, failure };
                let feed = JobFeed { bytes: Arc::clone(header), part: Some(part) };
                self.block_job(feed).map(Some)
            }
        }
    }

    fn block_job(&self, feed: JobFeed) -> Result<(JobArgs, JobStdin), InputError> {
        let mut args = JobArgs::default();
        if !self.spec.cat {
            return Ok((args, JobStdin::Feed(Arc::new(feed))));
        }
        let file = feed.copy()?;
        args.push(name_of(&file).as_bytes());
        Ok((args, JobStdin::Named(Arc::new(file))))
    }
}

/// Puts a block into a file in memory.
pub(super) fn in_memory(block: &[u8]) -> Result<OwnedFd, InputError> {
    psmith_sys::memfd::sealed("psmith-block", block).map_err(|error| unfed(&error))
}

/// Returns the error of a block that cannot be handed to its job.
fn unfed(error: &std::io::Error) -> InputError {
    InputError { message: format!("cannot hand out a block: {}", os_text(error)) }
}
