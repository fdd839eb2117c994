//! CSV results, one row for each job, in GNU parallel's columns. Never holds a stream in memory.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;

use super::super::stream::{CHUNK_BYTES, CopyError, for_each_chunk};
use super::super::{JobRecord, JobStreams, RecordError, Stream};
use super::result_rows::{ResultColumns, ResultRows};

/// The columns before those of the inputs.
const BEFORE: [&str; 9] =
    ["Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval", "Signal", "Command"];

#[derive(Debug)]
pub(super) struct Csv {
    rows: ResultRows,
    /// The number of columns for inputs: as many as the first job's inputs.
    inputs: Option<usize>,
}

impl Csv {
    pub(super) fn open(path: &Path, keep: bool) -> Result<Csv, RecordError> {
        let rows = ResultRows::open(path, keep, true)?;
        let inputs = if rows.is_empty() { None } else { Some(inputs_in_header(path)?) };
        Ok(Csv { rows, inputs })
    }

    pub(super) fn write(
        &mut self,
        record: &JobRecord<'_>,
        streams: &mut JobStreams<'_>,
    ) -> Result<(), RecordError> {
        let inputs = match self.inputs {
            Some(inputs) => inputs,
            None => {
                let inputs = record.inputs.len();
                self.rows
                    .record(record.job, |out| out.write_all(&header(inputs)).map_err(CopyError::Write))?;
                self.inputs = Some(inputs);
                inputs
            }
        };
        let before = row_before_streams(record, inputs);
        self.rows.record(record.job, |out| {
            out.write_all(&before).map_err(CopyError::Write)?;
            write_field(streams.stdout, out)?;
            out.write_all(b",").map_err(CopyError::Write)?;
            write_field(streams.stderr, out)?;
            out.write_all(b"\n").map_err(CopyError::Write)
        })
    }
}

fn header(inputs: usize) -> Vec<u8> {
    let inputs: String = (1..=inputs).map(|number| format!(",V{number}")).collect();
    format!("{}{inputs},Stdout,Stderr\n", BEFORE.join(",")).into_bytes()
}

/// Returns the number of `V` columns of a file that exists already.
fn inputs_in_header(path: &Path) -> Result<usize, RecordError> {
    let cannot = |source| RecordError::not_readable(path, source);
    let mut header = Vec::new();
    let file = BufReader::new(File::open(path).map_err(cannot)?);
    std::io::Read::take(file, 1024 * 1024).read_until(b'\n', &mut header).map_err(cannot)?;
    Ok(header.split(|&byte| byte == b',').filter(|name| name.starts_with(b"V")).count())
}

/// Returns the row up to the streams, with the comma. All rows have as many inputs as the header: missing ones are
/// empty, surplus ones are in the last, joined by blanks.
fn row_before_streams(record: &JobRecord<'_>, inputs: usize) -> Vec<u8> {
    let columns = ResultColumns::of(record);
    let mut row = csv::WriterBuilder::new().from_writer(Vec::new());
    let fields = [
        record.job.to_string(),
        ":".to_owned(),
        columns.starttime,
        columns.runtime,
        "0".to_owned(),
        record.stdout_bytes.to_string(),
        columns.exitval.to_string(),
        columns.signal.to_string(),
    ];
    let sure = "a Vec takes every write";
    for field in fields {
        row.write_field(field).expect(sure);
    }
    row.write_field(record.command).expect(sure);
    for place in 0..inputs {
        let field = match record.inputs.get(place) {
            Some(_) if place + 1 == inputs => record.inputs[place..].join(&b' '),
            Some(input) => input.to_vec(),
            None => Vec::new(),
        };
        row.write_field(field).expect(sure);
    }
    // Begins the field of stdout: only then is a quote before it closed.
    row.write_field("").expect(sure);
    row.into_inner().expect(sure)
}

/// Writes a stream as one field. Short ones are quoted only if necessary, as is usual; for long ones that is not known
/// in time, so they always are, which has the same meaning.
fn write_field(stream: &mut dyn Stream, out: &mut dyn Write) -> Result<(), CopyError> {
    let mut quoted = None;
    for_each_chunk(stream, |chunk, last| {
        let first = quoted.is_none();
        let quote = *quoted.get_or_insert_with(|| !last || chunk.len() == CHUNK_BYTES || needs_quotes(chunk));
        let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(CopyError::Write);
        if !quote {
            write(chunk)?;
            return Ok(chunk.len());
        }
        if first {
            write(b"\"")?;
        }
        let mut from = 0;
        for at in memchr::memchr_iter(b'"', chunk) {
            write(&chunk[from..=at])?;
            write(b"\"")?;
            from = at + 1;
        }
        write(&chunk[from..])?;
        if last {
            write(b"\"")?;
        }
        Ok(chunk.len())
    })
}

fn needs_quotes(field: &[u8]) -> bool {
    field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'))
}
