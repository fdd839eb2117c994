//! The set of jobs that an earlier run has done, read from its joblog. Never writes it.
//!
//! A job is identified by the text of its command and by how often that text occurred before it, never by its position:
//! an edited or reordered input resumes correctly. Only if the text depends on the slot that the job was given (`{%}`),
//! its position counts as well ([`Identity::TextInSlot`]). It holds [`BYTES_PER_ROW`] for each row in memory, the only
//! record that grows with the number of jobs.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _};
use std::path::Path;

use super::hash::hash_of;
use super::joblog_row::parse_row;
use super::{RecordError, RecordErrorKind};
use psmith_report::display::{visible, visible_path};

/// The memory held for each row of the joblog.
pub const BYTES_PER_ROW: usize = size_of::<Entry>();
/// The longest line that can be a row: the kernel accepts less in a command, even with every byte quoted.
const LINE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The width at which a command in an error message is cut.
const SHOWN_COLUMNS_MAX: usize = 40;

/// The rows that count as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResumeMode {
    /// Any row (`--resume`).
    #[default]
    Resume,
    /// Rows of jobs whose last row is a success (`--resume-failed`).
    ResumeFailed,
}

/// The identity of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// The text of its command, and how often that occurred before it.
    #[default]
    Text,
    /// The position, and the text of its command in whichever slot it ran. Without the position, `echo {%}{}` would
    /// match `echo 111` both for the job of 1 in slot 11 and for that of 11 in slot 1, and a job would never be run.
    TextInSlot,
}

/// The jobs that an earlier run has done.
#[derive(Debug, Default)]
pub struct ResumeSet {
    /// The jobs that are done, sorted by hash, one entry for each text of a command.
    done: Vec<Entry>,
    identity: Identity,
    /// The positions that have a row, sorted; only if they count.
    positions: Vec<u64>,
    rows: u64,
    torn: bool,
}

/// An entry. While reading: a row, its `tag` made of `Seq` and success. Afterwards: a text, its `tag` the number of
/// occurrences that are done and not yet matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    hash: [u64; 2],
    tag: u64,
}

impl ResumeSet {
    /// Reads a joblog; a missing one is empty. `fixed_start` is the beginning of every command of this run, as
    /// `--dry-run` prints it, up to the first placeholder (a script: its text up to there).
    ///
    /// A last line without newline was cut short and does not count.
    ///
    /// # Errors
    /// Fails with [`RecordErrorKind::NotReadable`], or with [`RecordErrorKind::OtherCommand`] if there are rows and
    /// none of them begins with `fixed_start`.
    pub fn read(
        path: &Path,
        mode: ResumeMode,
        identity: Identity,
        fixed_start: &[u8],
    ) -> Result<ResumeSet, RecordError> {
        let cannot = |source| RecordError::not_readable(path, source);
        // Checked before it is opened: the open of a pipe waits for its other end.
        let file = match std::fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => return Ok(ResumeSet::default()),
            Ok(_) => File::open(path).map_err(cannot)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ResumeSet::default()),
            Err(error) => return Err(cannot(error)),
        };
        let mut reading = Reading { mode, identity, fixed_start, ..Reading::default() };
        reading.read(file).map_err(cannot)?;
        if let Some(other) = &reading.other_start
            && !reading.start_seen
        {
            let (theirs, ours) = telling_starts(other, fixed_start);
            let file = visible_path(path);
            let message =
                format!("{file} is of another command: its rows begin '{theirs}', this one '{ours}'");
            return Err(RecordError::new(RecordErrorKind::OtherCommand, message)
                .with_hint(format!("another --joblog, or +{file} to append")));
        }
        Ok(reading.into_set())
    }

    /// Returns whether this job has been done; must be called for each job of the present input, in its order, and not
    /// again once the answer was yes. `position` is its number, from 1.
    pub fn should_skip(&mut self, position: u64, command: &[u8]) -> bool {
        let hash = hash_in(self.identity, position, command);
        let Ok(found) = self.done.binary_search_by_key(&hash, |entry| entry.hash) else { return false };
        let left = &mut self.done[found].tag;
        if *left == 0 {
            return false;
        }
        *left -= 1;
        true
    }

    /// Returns whether a job may have been done, as far as its position alone shows.
    #[must_use]
    pub fn may_skip(&self, position: u64) -> bool {
        self.identity == Identity::Text || self.positions.binary_search(&position).is_ok()
    }

    /// Returns the number of done jobs that no job of the present input has matched so far.
    #[must_use]
    pub fn unmatched(&self) -> u64 {
        self.done.iter().map(|entry| entry.tag).sum()
    }

    /// Returns the number of rows of the joblog.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns whether the last line was cut short, and so did not count. Worth a warning.
    #[must_use]
    pub fn torn(&self) -> bool {
        self.torn
    }
}

#[derive(Default)]
struct Reading<'a> {
    mode: ResumeMode,
    identity: Identity,
    fixed_start: &'a [u8],
    entries: Vec<Entry>,
    rows: u64,
    torn: bool,
    start_seen: bool,
    other_start: Option<Vec<u8>>,
}

impl Reading<'_> {
    fn read(&mut self, file: File) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(64 * 1024, file);
        // Lines are counted first, so that the table is allocated once, at its size.
        self.entries.reserve_exact(count_lines(&mut reader)?);
        reader.rewind()?;
        let mut line = Vec::new();
        loop {
            line.clear();
            reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            match line.pop() {
                None => return Ok(()),
                Some(b'\n') => self.on_line(&line),
                Some(_) if line.len() as u64 + 1 == LINE_BYTES_MAX => reader.skip_until(b'\n').map(drop)?,
                Some(_) => self.torn = true,
            }
        }
    }

    fn on_line(&mut self, line: &[u8]) {
        let Some(row) = parse_row(line) else { return };
        self.rows += 1;
        if row.command.starts_with(self.fixed_start) {
            self.start_seen = true;
        } else if self.other_start.is_none() {
            let shown = row.command.len().min(4 * SHOWN_COLUMNS_MAX);
            self.other_start = Some(row.command[..shown].to_vec());
        }
        let tag = (row.seq << 1) | u64::from(row.succeeded);
        self.entries.push(Entry { hash: hash_in(self.identity, row.seq, row.command), tag });
    }

    /// Folds the rows of each text into the number of its jobs that are done.
    fn into_set(mut self) -> ResumeSet {
        let mut positions = Vec::new();
        if self.identity == Identity::TextInSlot {
            if self.mode == ResumeMode::ResumeFailed {
                self.keep_last_rows();
            }
            positions.extend(self.entries.iter().map(|entry| entry.tag >> 1));
            positions.sort_unstable();
            positions.dedup();
        }
        match self.mode {
            ResumeMode::Resume => self.entries.sort_unstable_by_key(|entry| entry.hash),
            // Stable: the rows of one text stay in the order of the file, so that the last one is known.
            ResumeMode::ResumeFailed => self.entries.sort_by_key(|entry| entry.hash),
        }
        let mut texts = 0;
        let mut from = 0;
        while from < self.entries.len() {
            let hash = self.entries[from].hash;
            let to = from + self.entries[from..].partition_point(|entry| entry.hash == hash);
            let done = match self.mode {
                ResumeMode::Resume => (to - from) as u64,
                ResumeMode::ResumeFailed => successes(&mut self.entries[from..to]),
            };
            if done > 0 {
                self.entries[texts] = Entry { hash, tag: done };
                texts += 1;
            }
            from = to;
        }
        self.entries.truncate(texts);
        self.entries.shrink_to_fit();
        let (identity, rows, torn) = (self.identity, self.rows, self.torn);
        ResumeSet { done: self.entries, identity, positions, rows, torn }
    }

    /// Keeps the last row of each position: its rows differ in their slots, so in their texts.
    fn keep_last_rows(&mut self) {
        // Stable: the rows of one position stay in the order of the file.
        self.entries.sort_by_key(|entry| entry.tag >> 1);
        let mut kept: Vec<Entry> = self
            .entries
            .chunk_by(|a, b| a.tag >> 1 == b.tag >> 1)
            .filter_map(<[Entry]>::last)
            .copied()
            .collect();
        std::mem::swap(&mut self.entries, &mut kept);
    }
}

/// Returns the number of jobs of one text that succeeded at last. Rows of one job have one `Seq` as long as the input
/// is not edited; if it was, a job may be run once more, but a failure never counts as done.
fn successes(rows: &mut [Entry]) -> u64 {
    rows.sort_by_key(|row| row.tag >> 1);
    rows.chunk_by(|a, b| a.tag >> 1 == b.tag >> 1)
        .filter(|job| job.last().is_some_and(|row| row.tag & 1 == 1))
        .count() as u64
}

fn count_lines(reader: &mut impl BufRead) -> io::Result<usize> {
    let mut lines = 0;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(lines);
        }
        lines += memchr::memchr_iter(b'\n', chunk).count();
        let length = chunk.len();
        reader.consume(length);
    }
}

/// Returns the hash of a job, by its identity.
fn hash_in(known_by: Identity, position: u64, command: &[u8]) -> [u64; 2] {
    let hash = identity(command);
    match known_by {
        Identity::Text => hash,
        Identity::TextInSlot => {
            let bytes: Vec<u8> =
                [hash[0], hash[1], position].into_iter().flat_map(u64::to_le_bytes).collect();
            hash_of(&bytes)
        }
    }
}

/// Returns the hash of a command as rows hold it: control bytes are blanks there.
fn identity(command: &[u8]) -> [u64; 2] {
    if command.iter().all(|&byte| byte >= b' ') {
        return hash_of(command);
    }
    hash_of(&command.iter().map(|&byte| byte.max(b' ')).collect::<Vec<u8>>())
}

/// Returns the first words of two commands, or, if these are alike, as much as distinguishes them.
fn telling_starts(theirs: &[u8], ours: &[u8]) -> (String, String) {
    let word =
        |text: &[u8]| -> Vec<u8> { text.split(|&byte| byte == b' ').next().unwrap_or_default().to_vec() };
    let (their_word, our_word) = (word(theirs), word(ours));
    let shown = |text: &[u8]| visible(text.trim_ascii_end(), SHOWN_COLUMNS_MAX);
    if their_word == our_word {
        let length = theirs.len().min(ours.len().max(their_word.len() + 1));
        (shown(&theirs[..length]), shown(ours))
    } else {
        (shown(&their_word), shown(&our_word))
    }
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
