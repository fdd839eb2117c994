//! The result of a program that has ended: status and streams, with assertions that show all of it.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

/// A program that has ended.
#[derive(Clone, Debug)]
pub struct EndedCommand {
    /// The exit status, as the parent sees it.
    pub status: ExitStatus,
    /// The output on stdout.
    pub stdout: Vec<u8>,
    /// The output on stderr.
    pub stderr: Vec<u8>,
    /// The process id that it had.
    pub pid: i32,
    /// The time from start to end.
    pub wall: Duration,
}

impl EndedCommand {
    /// Returns the exit code as a shell reports it: 128+n for a death by signal n.
    ///
    /// # Panics
    /// Never: a waited-for process has one or the other.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().expect("it exited or a signal ended it"))
    }

    /// Returns the signal that ended it, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Returns its stdout as text, invalid bytes replaced.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns its stderr as text, invalid bytes replaced.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Returns the lines of stdout, sorted: for runs whose order is not promised.
    #[must_use]
    pub fn sorted_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.out().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Returns the lines on stderr that name a failed job, `psmith: job N failed: ..`.
    #[must_use]
    pub fn failure_lines(&self) -> Vec<String> {
        self.err()
            .lines()
            .filter(|line| line.starts_with("psmith: job ") && line.contains(" failed: "))
            .map(str::to_owned)
            .collect()
    }

    /// Asserts the exit code; the message shows both streams.
    ///
    /// # Panics
    /// If it differs.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &EndedCommand {
        assert_eq!(self.code(), code, "exit code; {}", self.streams());
        self
    }

    /// Asserts stdout, byte for byte.
    ///
    /// # Panics
    /// If it differs.
    #[track_caller]
    pub fn assert_out(&self, stdout: impl AsRef<[u8]>) -> &EndedCommand {
        assert_eq!(self.out(), String::from_utf8_lossy(stdout.as_ref()), "stdout; {}", self.streams());
        assert_eq!(self.stdout, stdout.as_ref(), "stdout, byte for byte; {}", self.streams());
        self
    }

    /// Asserts that stderr is empty.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn assert_quiet(&self) -> &EndedCommand {
        assert!(self.stderr.is_empty(), "stderr is not empty; {}", self.streams());
        self
    }

    /// Asserts that stderr contains this.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn assert_err_has(&self, text: &str) -> &EndedCommand {
        assert!(self.err().contains(text), "no {text:?} on stderr; {}", self.streams());
        self
    }

    /// Asserts that stderr does not contain this.
    ///
    /// # Panics
    /// If it does.
    #[track_caller]
    pub fn assert_err_lacks(&self, text: &str) -> &EndedCommand {
        assert!(!self.err().contains(text), "{text:?} on stderr; {}", self.streams());
        self
    }

    fn streams(&self) -> String {
        format!("{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.out(), self.err())
    }
}
