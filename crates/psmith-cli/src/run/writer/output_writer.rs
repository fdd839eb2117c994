//! Output writer, on the writer's thread: owns the streams, the records and the board, and applies each piece of work
//! to them.
//!
//! Decides nothing about jobs, and knows no type of the engine's side.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use psmith_board::{Cursor, Line, Painter, Size};
use psmith_core::{JobId, Time};
use psmith_engine::lines::JobLines;
use psmith_engine::spool::Spool;

use super::{
    Backlog, JobToWrite, LIVE_BYTES_MAX, Lines, LiveOutput, OwnLines, Replies, Work, WriteFailure,
    WriterReply, lock,
};
use crate::record::joblog::JobLog;
use crate::record::results::ResultsWriter;
use crate::record::{JobRecord, JobStreams, RecordError};

/// The size below which buffers are not kept.
const SPARE_BYTES_MIN: usize = 64 * 1024;

/// The number of written buffers that are kept for the next chunks.
const SPARES_MAX: usize = 4;

/// The size above which output is waited for: it holds memory, or a file, that other jobs may need.
const SMALL_BYTES_MAX: u64 = 64 * 1024;

/// The longest time between two checks of a joblog.
const TICK: Duration = Duration::from_millis(250);

/// The streams and records, and how far each of them is written.
pub(in crate::run) struct OutputWriter {
    stdout: File,
    stderr: File,
    lines: JobLines,
    pub(in crate::run) joblog: Option<JobLog>,
    pub(in crate::run) results: Option<ResultsWriter>,
    run: String,
    painter: Painter,
    /// The lines of the board, if there is one, to be painted again after other output.
    board: Option<(Vec<Line>, Size)>,
    was_up: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
    /// True if the last text on the terminal is a line that a job has not ended yet.
    mid_line: bool,
    broken: bool,
    started: Instant,
    spares: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl OutputWriter {
    pub(super) fn new(
        lines: Lines,
        colors: bool,
        joblog: Option<JobLog>,
        results: Option<ResultsWriter>,
        run: String,
        spares: Arc<Mutex<Vec<Vec<u8>>>>,
    ) -> io::Result<OutputWriter> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        Ok(OutputWriter {
            stdout: File::from(stdout.as_fd().try_clone_to_owned()?),
            stderr: File::from(stderr.as_fd().try_clone_to_owned()?),
            lines: JobLines::new(lines == Lines::Whole),
            joblog,
            results,
            run,
            painter: Painter::new(colors),
            board: None,
            was_up: false,
            stdout_is_terminal: stdout.is_terminal(),
            stderr_is_terminal: stderr.is_terminal(),
            mid_line: false,
            broken: false,
            started: Instant::now(),
            spares,
        })
    }

    /// Does all work, until the channel is closed.
    pub(super) fn work(
        mut self,
        inbox: &Receiver<Work>,
        live_bytes: &AtomicUsize,
        backlog: &Backlog,
        replies: &Replies,
    ) -> OutputWriter {
        loop {
            // Painted when nothing else is to be written just now: in a burst it is not painted between each two lines.
            let next = inbox.try_recv().or_else(|_| {
                self.paint_again();
                inbox.recv_timeout(TICK)
            });
            match next {
                Ok(Work::Deliver(job)) => self.deliver_and_reply(*job, replies),
                Ok(Work::Output(work)) => {
                    if let Err(error) = self.pass_on(work, live_bytes, replies) {
                        self.on_failure(WriteFailure::Stdout(error), replies);
                    }
                }
                Ok(Work::Stderr(work)) => self.show(work, backlog),
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(error) = self.tick_joblog() {
                        replies.give(WriterReply::Failed(WriteFailure::Record(error)), true);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return self,
            }
        }
    }

    fn deliver_and_reply(&mut self, job: JobToWrite, replies: &Replies) {
        let id = job.id;
        let is_large = job.output.stdout.len() + job.output.stderr.len() > SMALL_BYTES_MAX;
        // Rows of a burst are passed to the kernel together, at the latest at its end.
        let done = self.deliver(job).and_then(|()| self.tick_joblog().map_err(WriteFailure::Record));
        if let Err(failure) = done {
            self.on_failure(failure, replies);
        }
        // A reply is sent also for work that could not be written, or the run would wait for it for ever.
        replies.give(WriterReply::Delivered(id), is_large);
    }

    /// Passes on a job's output while it runs.
    fn pass_on(&mut self, work: LiveOutput, live_bytes: &AtomicUsize, replies: &Replies) -> io::Result<()> {
        match work {
            LiveOutput::Chunk { job, stream, buffer, length, tag } => {
                let done = self.live(job, stream, &buffer[..length], tag.as_deref());
                let before = live_bytes.fetch_sub(buffer.len(), Ordering::Relaxed);
                self.spare(buffer);
                if before >= LIVE_BYTES_MAX {
                    replies.wake.wake();
                }
                done
            }
            LiveOutput::Backlog { job, stream, backlog, tag } => {
                self.backlog(job, stream, backlog, tag.as_deref())
            }
            LiveOutput::BreakOff(job) => self.break_off(job),
        }
    }

    /// Shows psmith's own messages, or its board. A lost one changes no outcome.
    fn show(&mut self, work: OwnLines, backlog: &Backlog) {
        match work {
            OwnLines::Message(lines) => {
                self.write_message(&lines);
                backlog.message_bytes.fetch_sub(lines.len(), Ordering::Relaxed);
                self.report_dropped(backlog);
            }
            OwnLines::LastMessage(lines) => {
                self.report_dropped(backlog);
                self.write_message(&lines);
            }
            OwnLines::Board => {
                let waiting = lock(&backlog.board).take();
                if let Some((lines, size)) = waiting {
                    self.paint(lines, size);
                }
            }
            OwnLines::ClearBoard(done) => {
                self.clear_board();
                self.board = None;
                // The requester may have stopped waiting.
                let _ = done.send(());
            }
            OwnLines::LeaveBoard(line) => {
                self.board = None;
                if self.was_up {
                    self.write_message(&format!("{line}\n"));
                }
            }
        }
    }

    /// Ends all writing, and notifies the engine's side once.
    fn on_failure(&mut self, failure: WriteFailure, replies: &Replies) {
        if std::mem::replace(&mut self.broken, true) {
            return;
        }
        let reply = match failure {
            WriteFailure::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                WriterReply::BrokenPipe
            }
            failure => WriterReply::Failed(failure),
        };
        replies.give(reply, true);
    }

    /// Keeps a written buffer for the next chunk; a few are enough.
    fn spare(&self, buffer: Vec<u8>) {
        let mut spares = lock(&self.spares);
        if buffer.len() >= SPARE_BYTES_MIN && spares.len() < SPARES_MAX {
            spares.push(buffer);
        }
    }

    fn tick_joblog(&mut self) -> Result<(), RecordError> {
        let now = Time(self.started.elapsed());
        self.joblog.as_mut().map_or(Ok(()), |joblog| joblog.tick(now))
    }

    /// Writes a message to stderr. A lost one changes no outcome, so errors are ignored.
    fn write_message(&mut self, lines: &str) {
        if self.stderr_is_terminal {
            self.clear_board();
        }
        self.end_line();
        let _ = self.stderr.write_all(lines.as_bytes());
    }

    fn report_dropped(&mut self, backlog: &Backlog) {
        let dropped = backlog.messages_dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.write_message(&format!(
                "psmith: warning: {dropped} messages were dropped, because nobody read them\n"
            ));
        }
    }

    /// Ends the line on the terminal: a message begins at the left margin. Only the terminal gets the newline, never
    /// another destination of stdout.
    fn end_line(&mut self) {
        if self.stderr_is_terminal && std::mem::take(&mut self.mid_line) {
            let _ = self.stderr.write_all(b"\n");
        }
    }

    fn paint(&mut self, lines: Vec<Line>, size: Size) {
        let cursor = if self.mid_line { Cursor::MidLine } else { Cursor::Margin };
        let frame = self.painter.paint(&lines, size, cursor);
        let _ = write_all(&mut self.stderr, frame.as_bytes());
        self.board = Some((lines, size));
        self.was_up = true;
    }

    fn paint_again(&mut self) {
        if !self.painter.is_drawn()
            && let Some((lines, size)) = self.board.take()
        {
            self.paint(lines, size);
        }
    }

    /// Erases the board from the terminal, before anything else is written there.
    fn clear_board(&mut self) {
        if let Some(codes) = self.painter.clear() {
            let _ = write_all(&mut self.stderr, codes.as_bytes());
        }
    }

    // Methods for job output.

    fn live(&mut self, job: JobId, stream: u8, bytes: &[u8], tag: Option<&[u8]>) -> io::Result<()> {
        if self.broken {
            return Ok(());
        }
        let ready = self.lines.take(job, stream, bytes, tag);
        self.put(stream, &ready)
    }

    fn backlog(&mut self, job: JobId, stream: u8, backlog: Spool, tag: Option<&[u8]>) -> io::Result<()> {
        let mut reader = backlog.into_reader();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let length = reader.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            self.live(job, stream, &buffer[..length], tag)?;
        }
    }

    /// Ends the output of a lost attempt. It cannot be taken back, but the next attempt begins at the left margin, and
    /// is not appended to half a line that waits for its end.
    fn break_off(&mut self, job: JobId) -> io::Result<()> {
        for stream in [1, 2] {
            if self.lines.end(job, stream) && !self.broken {
                self.put(stream, b"\n")?;
            }
        }
        Ok(())
    }

    /// Writes bytes of a job, each line begun with its tag.
    fn pass(&mut self, job: JobId, stream: u8, bytes: &[u8], tag: Option<&[u8]>) -> io::Result<()> {
        if bytes.is_empty() || self.broken {
            return Ok(());
        }
        let tagged = self.lines.tagged(job, stream, bytes, tag);
        self.put(stream, &tagged)
    }

    fn put(&mut self, stream: u8, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if if stream == 1 { self.stdout_is_terminal } else { self.stderr_is_terminal } {
            self.clear_board();
            self.mid_line = bytes.last() != Some(&b'\n');
        }
        if stream == 1 {
            return write_all(&mut self.stdout, bytes);
        }
        match write_all(&mut self.stderr, bytes) {
            // A dead terminal or a closed pipe takes no more messages; the jobs' results are written elsewhere.
            Err(error) if error.kind() != io::ErrorKind::StorageFull => Ok(()),
            done => done,
        }
    }

    fn deliver(&mut self, job: JobToWrite) -> Result<(), WriteFailure> {
        let JobToWrite { id, outcome, status, output, .. } = job;
        let (passed, stdout_bytes, stderr_bytes) = (output.passed, output.stdout_bytes, output.stderr_bytes);
        let kept = self.results.is_some();
        let mut streams = [(1_u8, output.stdout), (2, output.stderr)]
            .map(|(stream, spool)| (stream, spool.len(), spool.into_reader()));
        if job.show && !self.broken {
            for (stream, length, reader) in &mut streams {
                // With results the spool holds what was passed on live as well.
                let skip = if kept { passed[usize::from(*stream) - 1] } else { 0 };
                if skip < *length {
                    reader.seek(SeekFrom::Start(skip)).map_err(WriteFailure::Stdout)?;
                    self.copy(id, *stream, reader, job.tag.as_deref()).map_err(WriteFailure::Stdout)?;
                }
                let rest = self.lines.rest(id, *stream);
                self.pass(id, *stream, &rest, job.tag.as_deref()).map_err(WriteFailure::Stdout)?;
            }
        }
        for stream in [1, 2] {
            self.lines.end(id, stream);
        }
        if !job.recorded || self.broken {
            return Ok(());
        }
        let inputs: Vec<&[u8]> = job.inputs.iter().map(Vec::as_slice).collect();
        let record = JobRecord {
            job: job.number,
            outcome: &outcome,
            status,
            command: job.command.as_bytes(),
            argv: &job.argv,
            inputs: &inputs,
            started_epoch: job.started_epoch,
            slot: job.slot,
            stdout_bytes,
            stderr_bytes,
            stderr_tail: &output.stderr_tail,
        };
        // A job that was refused its file has no path, and wrote nothing.
        let refused = |results: &ResultsWriter| results.needs_path() && job.results_path.is_empty();
        if let Some(results) = self.results.as_mut().filter(|results| !refused(results)) {
            let [(_, _, stdout), (_, _, stderr)] = &mut streams;
            let mut streams = JobStreams { stdout, stderr };
            results
                .write(&record, &mut streams, &job.results_path, crate::run::epoch_now(), &self.run)
                .map_err(WriteFailure::Record)?;
        }
        self.joblog.as_mut().map_or(Ok(()), |joblog| joblog.append(&record)).map_err(WriteFailure::Record)
    }

    fn copy(&mut self, job: JobId, stream: u8, from: &mut impl Read, tag: Option<&[u8]>) -> io::Result<()> {
        let mut buffer = vec![0; 128 * 1024];
        // A partial line that waits is written before what follows it.
        let rest = self.lines.rest(job, stream);
        self.pass(job, stream, &rest, tag)?;
        loop {
            let length = from.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            self.pass(job, stream, &buffer[..length], tag)?;
        }
    }
}

/// Writes like `write_all`, also if the descriptor is non-blocking.
fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    psmith_engine::lines::write_all(file, bytes).map_err(|(_, error)| error)
}
