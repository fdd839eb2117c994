//! An error of psmith itself: its message on stderr, and its exit code.
//!
//! A job's end is never reported by this type.

use std::fmt;

/// An error: a line that says what is wrong, at most two hints at what can be typed instead, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    /// The mistake, in lower case, without a full stop.
    pub message: String,
    /// Hints at what can be typed instead; each becomes a line of its own.
    pub hints: Vec<String>,
    /// The exit code of psmith.
    pub exit_code: u8,
}

impl CliError {
    /// The exit code of usage errors and of every other failure of psmith itself.
    pub const FAILED: u8 = 125;
    /// The program was found but cannot be executed.
    pub const NOT_EXECUTABLE: u8 = 126;
    /// The program was not found.
    pub const NOT_FOUND: u8 = 127;

    /// Makes an error that ends psmith with 125.
    #[must_use]
    pub fn new(message: impl Into<String>) -> CliError {
        CliError { message: message.into(), hints: Vec::new(), exit_code: CliError::FAILED }
    }

    /// Adds a line that says what can be typed instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> CliError {
        self.hints.push(hint.into());
        self
    }

    /// Sets the exit code instead of 125.
    #[must_use]
    pub fn code(mut self, exit_code: u8) -> CliError {
        self.exit_code = exit_code;
        self
    }
}

impl fmt::Display for CliError {
    /// Writes the lines as they appear on stderr, without the last line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "psmith: error: {}", self.message)?;
        for hint in &self.hints {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CliError {}
