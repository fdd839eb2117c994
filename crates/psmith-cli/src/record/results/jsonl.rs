//! JSON results, one object on a line for each job: GNU parallel's keys, and psmith's own.

use std::io::Write;
use std::path::Path;

use super::super::json::{Bytes, BytesList, write_stream};
use super::super::stream::CopyError;
use super::super::{JobRecord, JobStreams, RecordError};
use super::result_rows::{ResultColumns, ResultRows};

#[derive(Debug)]
pub(super) struct JsonLines {
    rows: ResultRows,
}

impl JsonLines {
    pub(super) fn open(path: &Path, keep: bool) -> Result<JsonLines, RecordError> {
        Ok(JsonLines { rows: ResultRows::open(path, keep, false)? })
    }

    pub(super) fn write(
        &mut self,
        record: &JobRecord<'_>,
        streams: &mut JobStreams<'_>,
    ) -> Result<(), RecordError> {
        let ResultColumns { starttime, runtime, exitval, signal } = ResultColumns::of(record);
        let (job, receive) = (record.job, record.stdout_bytes);
        let command = json(&Bytes(record.command));
        let inputs = json(&BytesList(record.inputs));
        let status = record.status.word();
        let cause = json(&record.outcome.verdict.as_ref().err().map(|cause| cause.kind().word()));
        let attempts = record.outcome.attempts;
        self.rows.record(job, |out: &mut dyn Write| {
            write!(
                out,
                "{{\"Seq\":{job},\"Host\":\":\",\"Starttime\":{starttime},\"JobRuntime\":{runtime},\"Send\":0,\
                 \"Receive\":{receive},\"Exitval\":{exitval},\"Signal\":{signal},\"Command\":{command},\
                 \"V\":{inputs},\"Stdout\":"
            )
            .map_err(CopyError::Write)?;
            write_stream(streams.stdout, out)?;
            out.write_all(b",\"Stderr\":").map_err(CopyError::Write)?;
            write_stream(streams.stderr, out)?;
            writeln!(out, ",\"Status\":\"{status}\",\"Cause\":{cause},\"Attempts\":{attempts}}}")
                .map_err(CopyError::Write)
        })
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("strings and lists of them are JSON")
}
