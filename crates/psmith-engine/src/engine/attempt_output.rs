//! The output of one attempt: what is kept of it for the outcome, how much there was, and what was lost of it.

use std::io;
use std::path::Path;

use psmith_sys::c_strings::os_text;

use crate::engine::spool::Spool;

/// The length of the end of a job's standard error that is kept beside its outcome.
pub const TAIL_BYTES_MAX: usize = 4096;

/// The output of an attempt.
#[derive(Debug, Default)]
pub struct AttemptOutput {
    /// Standard output, less what was passed on live and not kept.
    pub stdout: Spool,
    /// Standard error, less what was passed on live and not kept.
    pub stderr: Spool,
    /// Bytes of each that were passed on live. They are also in the spools if the handler keeps them.
    pub passed: [u64; 2],
    /// Length of all standard output.
    pub stdout_bytes: u64,
    /// Length of all standard error.
    pub stderr_bytes: u64,
    /// The last bytes of standard output, as many as [`OutputKept::tails`] says.
    pub stdout_tail: Vec<u8>,
    /// The last bytes of standard error, as many as [`OutputKept::tails`] says.
    pub stderr_tail: Vec<u8>,
    /// Bytes of each that should have been kept, or passed on, and were not.
    pub lost: [u64; 2],
    /// The reason for the first of them.
    pub lost_why: Option<LossReason>,
}

/// The part of a job's output that is kept until its outcome; for each stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputKept {
    /// The most bytes of what is not passed on live. Those beyond count as lost, unless nothing was to be kept (0).
    pub bytes_max: [u64; 2],
    /// The number of bytes at the end that are kept in any case.
    pub tails: [usize; 2],
}

impl OutputKept {
    /// All output, and the usual end of standard error.
    pub const ALL: OutputKept = OutputKept { bytes_max: [u64::MAX; 2], tails: [0, TAIL_BYTES_MAX] };
}

impl Default for OutputKept {
    fn default() -> OutputKept {
        OutputKept::ALL
    }
}

/// The reason for which output was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// There was more of a stream than is kept.
    Limit(u64),
    /// It could not be kept, in words.
    Kept(String),
    /// It could not be passed on, in words.
    PassedOn(String),
}

impl LossReason {
    /// Makes the reason of an error of the spool in this directory.
    #[must_use]
    pub fn of_spool(dir: &Path, error: &io::Error) -> LossReason {
        LossReason::Kept(format!("{}: {}", dir.display(), os_text(error)))
    }

    /// Makes the reason of an error of the stream to which output is passed on.
    #[must_use]
    pub fn of_stream(error: &io::Error) -> LossReason {
        LossReason::PassedOn(os_text(error))
    }
}

impl AttemptOutput {
    /// Counts bytes of stream 1 or 2 that were read, and keeps the end of them.
    pub fn count(&mut self, stream: u8, bytes: &[u8], kept: &OutputKept) {
        let of_stdout = stream == 1;
        let (count, tail, tail_max) = if of_stdout {
            (&mut self.stdout_bytes, &mut self.stdout_tail, kept.tails[0])
        } else {
            (&mut self.stderr_bytes, &mut self.stderr_tail, kept.tails[1])
        };
        *count += bytes.len() as u64;
        if bytes.len() >= tail_max {
            tail.clear();
            tail.extend_from_slice(&bytes[bytes.len() - tail_max..]);
        } else {
            let surplus = (tail.len() + bytes.len()).saturating_sub(tail_max);
            tail.drain(..surplus);
            tail.extend_from_slice(bytes);
        }
    }

    /// Keeps bytes of stream 1 or 2 for the outcome, as many as `kept` allows; counts the others as lost. `budget` and
    /// `dir` are those of [`Spool::append`].
    ///
    /// # Errors
    /// They could not be kept; they count as lost, as do all that follow.
    pub fn keep(
        &mut self,
        stream: u8,
        bytes: &[u8],
        kept: &OutputKept,
        (budget, dir): (&mut usize, &Path),
    ) -> io::Result<()> {
        let bytes_max = kept.bytes_max[usize::from(stream) - 1];
        if bytes_max == 0 {
            return Ok(());
        }
        let spool = self.spool(stream);
        let room = usize::try_from(bytes_max - spool.len().min(bytes_max)).unwrap_or(usize::MAX);
        let fitting = &bytes[..bytes.len().min(room)];
        let done = if fitting.is_empty() { Ok(()) } else { spool.append(fitting, budget, dir) };
        let beyond = (bytes.len() - fitting.len()) as u64;
        if let Err(error) = done {
            self.lose(stream, bytes.len() as u64, || LossReason::of_spool(dir, &error));
            return Err(error);
        }
        if beyond > 0 {
            self.lose(stream, beyond, || LossReason::Limit(bytes_max));
        }
        Ok(())
    }

    /// Counts bytes of stream 1 or 2 as lost.
    pub fn lose(&mut self, stream: u8, bytes: u64, why: impl FnOnce() -> LossReason) {
        self.lost[usize::from(stream) - 1] += bytes;
        self.lost_why.get_or_insert_with(why);
    }

    pub(super) fn spool(&mut self, stream: u8) -> &mut Spool {
        if stream == 1 { &mut self.stdout } else { &mut self.stderr }
    }

    /// Returns the memory that both spools give back when they are dropped.
    pub(super) fn memory_held(&self) -> usize {
        self.stdout.memory_held() + self.stderr.memory_held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_stderr_is_its_last_bytes_however_they_come() {
        for chunk in [1, 7, 1000, TAIL_BYTES_MAX, 3 * TAIL_BYTES_MAX] {
            let mut output = AttemptOutput::default();
            let all: Vec<u8> = (0..20_000_u32).map(|n| n.to_le_bytes()[0]).collect();
            for piece in all.chunks(chunk) {
                output.count(2, piece, &OutputKept::ALL);
            }
            assert_eq!(output.stderr_tail, all[all.len() - TAIL_BYTES_MAX..], "chunks of {chunk}");
            assert_eq!(output.stderr_bytes, all.len() as u64);
        }
    }

    #[test]
    fn what_is_beyond_the_limit_or_cannot_be_kept_counts_as_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (mut budget, kept) = (1 << 20, OutputKept { bytes_max: [10, 0], tails: [3, 2] });
        let mut output = AttemptOutput::default();
        for piece in [b"0123456", b"789abcd"] {
            for stream in [1, 2] {
                output.count(stream, piece, &kept);
                output.keep(stream, piece, &kept, (&mut budget, dir.path())).unwrap();
            }
        }
        assert_eq!(output.stdout.in_memory(), Some(&b"0123456789"[..]));
        assert!(output.stderr.is_empty());
        assert_eq!((output.lost, output.lost_why.take()), ([4, 0], Some(LossReason::Limit(10))));
        assert_eq!((&output.stdout_tail[..], &output.stderr_tail[..]), (&b"bcd"[..], &b"cd"[..]));

        let (missing, kept) = (dir.path().join("missing"), OutputKept::ALL);
        let mut output = AttemptOutput::default();
        for _ in 0..2 {
            output.keep(1, &[0; 100_000], &kept, (&mut budget, &missing)).unwrap_err();
        }
        assert_eq!(output.lost, [200_000, 0]);
        let Some(LossReason::Kept(why)) = output.lost_why else { panic!() };
        assert!(why.ends_with("/missing: no such file or directory"), "{why}");
    }
}
