//! Source of inputs, read as it is written: a record is passed on as soon as its end has been read.
//!
//! Memory is one record and one buffer, however long the source is.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::csv_reader::CsvReader;
use super::job_args::JobArgs;
use super::spec::{ColumnSplit, From, InputSpec};
use crate::quote::shown;
use crate::report::display::os_text;

/// A failure to read inputs. The jobs before it are complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// The failure, fit to be a message.
    pub message: String,
}

/// The longest input. The kernel takes a fraction of this as an argument; a source without separators ends here
/// instead of in memory.
pub const INPUT_BYTES_MAX: usize = 64 << 20;

/// The number of bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// A source, opened.
#[derive(Debug)]
pub(crate) struct InputReader {
    from: Bytes,
    separator: Vec<u8>,
    columns: ColumnSplit,
    /// The number of columns up to which rows of a source with named columns are filled.
    pub(crate) columns_min: usize,
    /// A record before it is cut into columns.
    record: Vec<u8>,
}

#[derive(Debug)]
enum Bytes {
    Words(std::vec::IntoIter<OsString>),
    Stream(Stream),
    Csv(Box<CsvReader<Opened>>),
}

impl InputReader {
    /// Opens a source.
    pub(crate) fn open(from: &From, spec: &InputSpec) -> Result<InputReader, InputError> {
        let from = match (from, &spec.columns) {
            (From::Words(words), _) => Bytes::Words(words.clone().into_iter()),
            (file, ColumnSplit::Csv(separator)) => {
                let (file, name) = open_source(file)?;
                Bytes::Csv(Box::new(CsvReader::new(file, *separator, name)))
            }
            (file, _) => {
                let (file, name) = open_source(file)?;
                Bytes::Stream(Stream { file, name, buffer: Vec::new(), start: 0, scanned: 0, ended: false })
            }
        };
        Ok(InputReader {
            from,
            separator: spec.separator.clone(),
            columns: spec.columns.clone(),
            columns_min: 0,
            record: Vec::new(),
        })
    }

    /// Appends the columns of the next record; returns false at the end.
    pub(crate) fn next_into(&mut self, row: &mut JobArgs) -> Result<bool, InputError> {
        let before = row.len();
        match &mut self.from {
            Bytes::Words(words) => {
                let Some(word) = words.next() else { return Ok(false) };
                cut(word.as_bytes(), &self.columns, row)?;
            }
            Bytes::Stream(stream) => {
                if !stream.next(&self.separator, &mut self.record)? {
                    return Ok(false);
                }
                cut(&self.record, &self.columns, row)?;
            }
            Bytes::Csv(reader) => {
                if !reader.next_into(row)? {
                    return Ok(false);
                }
            }
        }
        while row.len() - before < self.columns_min {
            row.push(b"");
        }
        Ok(true)
    }

    /// Returns the number of records that are left, as far as counting cannot block: words, and regular files, read to
    /// their end.
    pub(crate) fn count_rest(&mut self) -> u64 {
        let file = match &self.from {
            Bytes::Words(words) => return words.len() as u64,
            Bytes::Stream(stream) => &stream.file,
            Bytes::Csv(reader) => reader.get_ref(),
        };
        if !file.is_regular() {
            return 0;
        }
        let (mut row, mut count) = (JobArgs::default(), 0);
        // A file that cannot be read would not have become a job.
        while self.next_into(&mut row).unwrap_or(false) {
            row.truncate(0);
            count += 1;
        }
        count
    }

    /// Returns the number of words that are left, if that is known without reading.
    pub(crate) fn words_left(&self) -> Option<u64> {
        match &self.from {
            Bytes::Words(words) => Some(words.len() as u64),
            Bytes::Stream(_) | Bytes::Csv(_) => None,
        }
    }
}

/// Cuts one record into columns.
fn cut(record: &[u8], columns: &ColumnSplit, row: &mut JobArgs) -> Result<(), InputError> {
    match columns {
        ColumnSplit::Whole => row.push(record),
        ColumnSplit::Literal(separator) => {
            let mut start = 0;
            for at in memchr::memmem::find_iter(record, separator) {
                row.push(&record[start..at]);
                start = at + separator.len();
            }
            row.push(&record[start..]);
        }
        ColumnSplit::Regex(separator) => {
            for column in separator.split(record) {
                row.push(column);
            }
        }
        ColumnSplit::Csv(separator) => {
            // A word is a record by itself, line feeds and all.
            let name = format!("'{}'", shown(record));
            if !CsvReader::new(record, *separator, name).next_into(row)? {
                row.push(record);
            }
        }
    }
    Ok(())
}

/// A file that is opened when it is first read, if opening it could block.
#[derive(Debug)]
pub(crate) enum Opened {
    File(File),
    /// A named pipe: opening it waits for a writer.
    Later(PathBuf),
}

impl Opened {
    fn is_regular(&self) -> bool {
        matches!(self, Opened::File(file) if file.metadata().is_ok_and(|metadata| metadata.is_file()))
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Opened::Later(path) = self {
            *self = Opened::File(File::open(path)?);
        }
        match self {
            Opened::File(file) => loop {
                match file.read(buffer) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    // A terminal or pipe that another process made non-blocking.
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => wait_readable(file),
                    result => return result,
                }
            },
            Opened::Later(_) => Ok(0),
        }
    }
}

fn wait_readable(file: &File) {
    use rustix::event::{PollFd, PollFlags, poll};
    // The error is reported by the next read.
    let _ = poll(&mut [PollFd::new(file, PollFlags::IN)], None);
}

/// Opens a file or stdin; returns it with its name in messages.
pub(crate) fn open_source(from: &From) -> Result<(Opened, String), InputError> {
    let (path, name) = match from {
        From::File(path) => (path.as_path(), shown(path.as_os_str().as_bytes())),
        From::Stdin | From::Words(_) => {
            let name = "stdin".to_owned();
            let copy = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3);
            let file = copy.map_err(|error| cannot_read(&name, &error.into()))?;
            return Ok((Opened::File(File::from(file)), name));
        }
    };
    let metadata = std::fs::metadata(path).map_err(|error| cannot_read(&name, &error))?;
    if metadata.is_dir() {
        return Err(InputError { message: format!("cannot read {name}: it is a directory") });
    }
    if is_fifo(path) {
        return Ok((Opened::Later(path.to_path_buf()), name));
    }
    let file = File::open(path).map_err(|error| cannot_read(&name, &error))?;
    Ok((Opened::File(file), name))
}

fn is_fifo(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    // A pipe at /dev/fd is open already; only one with a name of its own waits for a writer.
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn cannot_read(name: &str, error: &std::io::Error) -> InputError {
    InputError { message: format!("cannot read {name}: {}", os_text(error)) }
}

/// A file with its buffer.
#[derive(Debug)]
struct Stream {
    file: Opened,
    name: String,
    buffer: Vec<u8>,
    /// The start of the next record.
    start: usize,
    /// The position up to which no separator was found.
    scanned: usize,
    ended: bool,
}

impl Stream {
    /// Reads the next record, without its separator; returns false at the end.
    fn next(&mut self, separator: &[u8], record: &mut Vec<u8>) -> Result<bool, InputError> {
        record.clear();
        loop {
            if let Some(at) = find(&self.buffer[self.scanned..], separator) {
                let end = self.scanned + at;
                record.extend_from_slice(&self.buffer[self.start..end]);
                self.start = end + separator.len();
                self.scanned = self.start;
                return Ok(true);
            }
            // A separator of several bytes may span two reads.
            self.scanned = self.buffer.len().saturating_sub(separator.len() - 1).max(self.start);
            if self.ended {
                if self.start == self.buffer.len() {
                    return Ok(false);
                }
                record.extend_from_slice(&self.buffer[self.start..]);
                self.start = self.buffer.len();
                self.scanned = self.start;
                return Ok(true);
            }
            self.fill()?;
        }
    }

    /// Reads once: a slow producer's records become jobs at once.
    fn fill(&mut self) -> Result<(), InputError> {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        let held = self.buffer.len();
        if held > INPUT_BYTES_MAX {
            return Err(InputError {
                message: format!(
                    "cannot read {}: an input is longer than {} MiB",
                    self.name,
                    INPUT_BYTES_MAX >> 20
                ),
            });
        }
        self.buffer.resize(held + READ_BYTES.max(held), 0);
        let read = self.file.read(&mut self.buffer[held..]);
        let count = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(held + count);
        if self.buffer.capacity() > 4 * READ_BYTES && self.buffer.len() < READ_BYTES {
            self.buffer.shrink_to(2 * READ_BYTES);
        }
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) => return Err(cannot_read(&self.name, &error)),
        }
        Ok(())
    }
}

fn find(text: &[u8], separator: &[u8]) -> Option<usize> {
    match separator {
        [byte] => memchr::memchr(*byte, text),
        _ => memchr::memmem::find(text, separator),
    }
}
