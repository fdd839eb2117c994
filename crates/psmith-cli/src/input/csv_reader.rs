//! Records of CSV, as RFC 4180 and spreadsheets write them. A quote that is never closed is an error: it would swallow
//! the rest of the source.

use std::io::Read;

use super::job_args::JobArgs;
use super::source::{INPUT_BYTES_MAX, InputError};
use crate::report::display::os_text;

/// What follows the end of a source, in a record of its own: if a quote is still open there, it becomes part of the last
/// field instead.
const END_MARK: &[u8] = b"\nend of input 7d0f1c2b9a\n";

/// A source of CSV.
#[derive(Debug)]
pub(super) struct CsvReader<R> {
    reader: csv::Reader<Bounded<R>>,
    record: csv::ByteRecord,
    name: String,
}

impl<R: Read> CsvReader<R> {
    /// Reads records from `from`, called `name` in messages.
    pub(super) fn new(from: R, separator: u8, name: String) -> CsvReader<R> {
        let bounded = Bounded { inner: from, left: 0, mark: None };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator)
            .from_reader(bounded);
        CsvReader { reader, record: csv::ByteRecord::new(), name }
    }

    /// Appends the fields of the next record; returns false at the end.
    pub(super) fn next_into(&mut self, row: &mut JobArgs) -> Result<bool, InputError> {
        self.reader.get_mut().left = INPUT_BYTES_MAX;
        let start = self.reader.position().line();
        let more = self.reader.read_byte_record(&mut self.record).map_err(|error| InputError {
            message: match error.into_kind() {
                csv::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::OutOfMemory => format!(
                    "cannot read {}: the record in line {start} is longer than {} MiB; a quote may not be closed",
                    self.name,
                    INPUT_BYTES_MAX >> 20
                ),
                csv::ErrorKind::Io(error) => format!("cannot read {}: {}", self.name, os_text(&error)),
                _ => format!("cannot read {}: not a CSV record", self.name),
            },
        })?;
        let mark = END_MARK.trim_ascii();
        if !more || self.record.len() == 1 && self.record.get(0) == Some(mark) {
            return Ok(false);
        }
        if let Some(last) = self.record.iter().next_back()
            && last.ends_with(END_MARK)
        {
            let line = self.record.position().map_or(start, csv::Position::line);
            let before = self.record.iter().rev().skip(1).flatten().filter(|b| **b == b'\n').count();
            return Err(InputError {
                message: format!("{}: the quote in line {} is not closed", self.name, line + before as u64),
            });
        }
        for field in &self.record {
            row.push(field);
        }
        Ok(true)
    }

    /// Returns the source.
    pub(super) fn get_ref(&self) -> &R {
        &self.reader.get_ref().inner
    }
}

/// A source that ends with [`END_MARK`], and of which no record is longer than is allowed.
#[derive(Debug)]
struct Bounded<R> {
    inner: R,
    /// The bytes that may still be read for the present record.
    left: usize,
    /// What is left of the mark, once the source has ended.
    mark: Option<&'static [u8]>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::ErrorKind::OutOfMemory.into());
        }
        if self.mark.is_none() {
            let read = self.inner.read(buffer)?;
            self.left = self.left.saturating_sub(read);
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
        }
        self.mark.get_or_insert(END_MARK).read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &[u8]) -> Result<Vec<Vec<String>>, String> {
        let mut reader = CsvReader::new(text, b',', "stdin".into());
        let mut records = Vec::new();
        loop {
            let mut row = JobArgs::default();
            match reader.next_into(&mut row) {
                Ok(true) => {
                    records
                        .push(row.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect());
                }
                Ok(false) => return Ok(records),
                Err(error) => return Err(error.message),
            }
        }
    }

    #[test]
    fn what_spreadsheets_write_is_read() {
        for text in [&b"a,\"b,1\"\nc,d\n"[..], b"a,\"b,1\"\r\nc,d\r\n", b"\xef\xbb\xbfa,\"b,1\"\nc,d"] {
            assert_eq!(records(text).unwrap(), [["a", "b,1"], ["c", "d"]]);
        }
        assert_eq!(records(b"\"a\r\nb\",\"say \"\"x\"\"\"\n").unwrap(), [["a\r\nb", "say \"x\""]]);
        assert_eq!(records(b"5\" disk,x\n").unwrap(), [["5\" disk", "x"]]);
        assert_eq!(records(b"a,\n").unwrap(), [["a", ""]]);
        assert_eq!(records(b"").unwrap(), Vec::<Vec<String>>::new());
        assert_eq!(records(b"\"a\"").unwrap(), [["a"]]);
        assert_eq!(records(b"\"a\n\"\n").unwrap(), [["a\n"]]);
    }

    #[test]
    fn a_quote_that_is_not_closed_is_named_by_its_line() {
        let message = |line| Err(format!("stdin: the quote in line {line} is not closed"));
        assert_eq!(records(b"a,b\nc,\"d\ne,f\n"), message(2));
        assert_eq!(records(b"a,b\n\"x\ny\",\"d\ne,f"), message(3));
        assert_eq!(records(b"\""), message(1));
        assert_eq!(records(b"\"a\"\"\n"), message(1));
    }
}
