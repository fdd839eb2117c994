//! Events of a run, as they happen: JSON, one object on each line.
//!
//! Within one version fields are only added, never changed or reordered. Never judges: it writes the values that it
//! receives.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use psmith_core::outcome::{Cause, Exit};
use rustix::fs::OFlags;
use serde::Serialize;

use super::json::{Bytes, BytesList};
use super::{JobRecord, RecordError, RecordErrorKind};
use psmith_report::display::os_text;

/// The version of the format.
pub const VERSION: u32 = 1;
/// The lowest descriptor for events: those below are the run's own stdin, stdout and stderr.
const DESCRIPTOR_MIN: i32 = 3;

/// An event of the run.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LoggedEvent<'a> {
    /// The run begins.
    RunStart {
        /// psmith's version.
        psmith: &'a str,
        /// The words of the command, placeholders and all.
        template: BytesList<'a, Vec<u8>>,
        /// True for a script.
        shell: bool,
        /// The number of slots.
        slots: u32,
        /// The number of jobs, if it is known.
        total: Option<u64>,
        /// The level of containment.
        contain: &'a str,
        /// The working directory.
        cwd: Bytes<'a>,
        /// The run that this one resumes.
        resumed_from: Option<&'a str>,
    },
    /// An attempt has a process.
    JobStart {
        /// The job's number.
        job: u64,
        /// The attempt, from 1.
        attempt: u32,
        /// The slot, from 1.
        slot: u32,
        /// The process id.
        pid: u32,
        /// The words it is started with.
        argv: BytesList<'a, Vec<u8>>,
        /// The inputs of these words.
        inputs: BytesList<'a, &'a [u8]>,
    },
    /// An attempt wrote something (`--events-output` only).
    JobOutput {
        /// The job's number.
        job: u64,
        /// The attempt, from 1.
        attempt: u32,
        /// The stream.
        stream: OutputStream,
        /// The bytes.
        data: Bytes<'a>,
    },
    /// An attempt has been running for long.
    JobSlow {
        /// The job's number.
        job: u64,
        /// The attempt, from 1.
        attempt: u32,
        /// The time since it began, in seconds.
        #[serde(serialize_with = "seconds")]
        after: Duration,
    },
    /// The process of an attempt is stopped: by a signal, or by the terminal that it was given.
    JobStopped {
        /// The job's number.
        job: u64,
        /// The attempt, from 1.
        attempt: u32,
        /// The signal that stopped it.
        signal: i32,
    },
    /// A stopped attempt continues.
    JobContinued {
        /// The job's number.
        job: u64,
        /// The attempt, from 1.
        attempt: u32,
    },
    /// An attempt failed and will be followed by another.
    JobRetry {
        /// The job's number.
        job: u64,
        /// The attempt, from 1.
        attempt: u32,
        /// The cause.
        cause: &'static str,
        /// The exit code.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// The pause before the next, in seconds.
        #[serde(serialize_with = "seconds")]
        delay: Duration,
        /// True if it counted as a try.
        charged: bool,
    },
    /// A job has ended.
    JobEnd(JobEnd<'a>),
    /// Starts are held, or, without reason, no longer.
    Held {
        /// The reason.
        reason: Option<&'static str>,
        /// Jobs that wait for a slot.
        ready: u64,
    },
    /// The number of slots changed.
    Width {
        /// The new number.
        slots: u32,
        /// The origin of the change: `key`, `file`, ...
        by: &'a str,
    },
    /// The run is over.
    RunEnd(RunEndEvent<'a>),
}

/// The stream of a job that output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputStream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// The end of a job.
#[derive(Clone, Debug, Serialize)]
pub struct JobEnd<'a> {
    job: u64,
    status: &'static str,
    cause: Option<&'static str>,
    code: Option<i32>,
    signal: Option<i32>,
    core: bool,
    attempts: u32,
    #[serde(serialize_with = "seconds")]
    wall: Duration,
    #[serde(serialize_with = "seconds")]
    user: Duration,
    #[serde(serialize_with = "seconds")]
    sys: Duration,
    maxrss: u64,
    leaked: u32,
    stdout_bytes: u64,
    stderr_bytes: u64,
    stderr_tail: Bytes<'a>,
}

/// The end of a run. Also the JSON form of the summary.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RunEndEvent<'a> {
    /// The number of jobs, as far as it is known.
    pub jobs: u64,
    /// Jobs that succeeded.
    pub ok: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that were cancelled after their start.
    pub cancelled: u64,
    /// Jobs that were not to run.
    pub skipped: u64,
    /// Jobs that were never begun.
    pub left: u64,
    /// Jobs that succeeded after a retry.
    pub flaky: u64,
    /// Jobs that left descendants behind.
    pub leaked: u64,
    /// The time that the run took, in seconds.
    #[serde(serialize_with = "seconds")]
    pub wall: Duration,
    /// The signal that stopped it, without `SIG`.
    pub stopped_by: Option<&'a str>,
    /// The exit code that a shell sees.
    pub exit: i32,
}

impl<'a> JobEnd<'a> {
    /// Makes the event from the job's record.
    #[must_use]
    pub fn of(record: &JobRecord<'a>) -> JobEnd<'a> {
        let outcome = record.outcome;
        let last = outcome.last.as_ref();
        let (code, signal, core) =
            exit_fields(last.and_then(|last| last.exit), outcome.verdict.as_ref().err());
        let usage = last.map(|last| last.usage).unwrap_or_default();
        JobEnd {
            job: record.job,
            status: record.status.word(),
            cause: outcome.verdict.as_ref().err().map(|cause| cause.kind().word()),
            code,
            signal,
            core,
            attempts: outcome.attempts,
            wall: last.map(|last| last.wall).unwrap_or_default(),
            user: usage.user,
            sys: usage.system,
            maxrss: usage.max_rss_bytes,
            leaked: last.map_or(0, |last| last.leaked),
            stdout_bytes: record.stdout_bytes,
            stderr_bytes: record.stderr_bytes,
            stderr_tail: Bytes(record.stderr_tail),
        }
    }
}

impl<'a> LoggedEvent<'a> {
    /// Makes the event for the retry of an attempt that ended by this cause.
    #[must_use]
    pub fn retry(job: u64, attempt: u32, cause: &Cause, delay: Duration, charged: bool) -> LoggedEvent<'a> {
        let (code, signal, _) = exit_fields(None, Some(cause));
        LoggedEvent::JobRetry { job, attempt, cause: cause.kind().word(), code, signal, delay, charged }
    }

    /// Appends this event as one line. `epoch` is in seconds since 1970.
    pub fn write_line(&self, line: &mut Vec<u8>, epoch: f64, run: &str) {
        let run = serde_json::to_string(run).expect("a string is JSON");
        write!(line, "{{\"v\":{VERSION},\"t\":{epoch:.6},\"run\":{run},").expect("a Vec takes every write");
        let start = line.len();
        serde_json::to_writer(&mut *line, self).expect("events are JSON, and a Vec takes every write");
        // The object goes on where the common fields end.
        line.remove(start);
        line.push(b'\n');
    }
}

/// A writer of events to one destination.
pub struct EventLog {
    out: Box<dyn Write + Send>,
    name: PathBuf,
}

impl std::fmt::Debug for EventLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLog").field("name", &self.name).finish_non_exhaustive()
    }
}

impl EventLog {
    /// Writes to this writer, which messages call `name`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, name: &Path) -> EventLog {
        EventLog { out, name: name.to_owned() }
    }

    /// Writes to this file, which is replaced.
    ///
    /// # Errors
    /// Fails if it cannot be made or written.
    pub fn create(path: &Path) -> Result<EventLog, RecordError> {
        let file = File::create(path).map_err(|source| RecordError::not_writable(path, source))?;
        Ok(EventLog::new(Box::new(file), path))
    }

    /// Writes to a descriptor that psmith was started with, from 3 on.
    ///
    /// # Errors
    /// Fails with [`RecordErrorKind::BadDescriptor`] if it is below 3, not open, or not for writing.
    pub fn descriptor(number: i32) -> Result<EventLog, RecordError> {
        let file = inherited(number)?;
        Ok(EventLog::new(Box::new(file), Path::new(&format!("descriptor {number}"))))
    }

    /// Writes whole lines. May block until the reader takes them.
    ///
    /// # Errors
    /// Fails if they cannot be written.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), RecordError> {
        let written = self.out.write_all(lines).and_then(|()| self.out.flush());
        written.map_err(|source| RecordError::not_writable(&self.name, source))
    }
}

/// Returns exit code, signal, and whether a core was written: from the kernel's report, else from the cause.
fn exit_fields(exit: Option<Exit>, cause: Option<&Cause>) -> (Option<i32>, Option<i32>, bool) {
    match (exit, cause) {
        (Some(Exit::Code(code)), _) | (None, Some(&Cause::Exit(code))) => (Some(code), None, false),
        (Some(Exit::Signal { signal, core_dumped }), _)
        | (None, Some(&Cause::Signal { signal, core_dumped })) => (None, Some(signal), core_dumped),
        (None, _) => (None, None, false),
    }
}

/// Opens a descriptor of ours by its number, as a file of its own that shares the position.
///
/// The kernel copies it by our own pidfd, so that a number is never used as an owned descriptor without a check. If
/// that is forbidden, `/proc` opens the same file again, at its end.
fn inherited(number: i32) -> Result<File, RecordError> {
    let bad = |why: &str| {
        RecordError::new(RecordErrorKind::BadDescriptor, format!("--events: descriptor {number} {why}"))
            .with_hint(format!("--events 3 3>events.jsonl, or --events ./{number} for a file of that name"))
    };
    if number < DESCRIPTOR_MIN {
        return Err(bad("is not for events: 3 and up"));
    }
    let own = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
    let taken = own
        .and_then(|own| rustix::process::pidfd_getfd(own, number, rustix::process::PidfdGetfdFlags::empty()));
    let file = match taken {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::BADF) => return Err(bad("is not open")),
        Err(_) => {
            let path = format!("/proc/self/fd/{number}");
            OpenOptions::new().append(true).open(path).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => bad("is not open"),
                _ => bad(&format!("cannot be opened: {}", os_text(&error))),
            })?
        }
    };
    let flags = rustix::fs::fcntl_getfl(&file).unwrap_or(OFlags::empty());
    if flags & OFlags::RWMODE == OFlags::RDONLY {
        return Err(bad("is not open for writing"));
    }
    Ok(file)
}

/// Writes seconds with at most 6 decimals.
fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_micros() as f64 / 1e6)
}

#[cfg(test)]
#[path = "event_log_tests.rs"]
mod tests;
