//! The exit status of a run: one value, chosen by one table.
//!
//! Decides from counts alone. Never exits the process and never raises a signal; `main` does both.

use psmith_core::outcome::{Cause, Outcome};
use psmith_core::policy::HaltOn;

/// The number up to which failed jobs are counted.
pub const COUNT_MAX: u64 = 100;
/// The exit code if more than [`COUNT_MAX`] jobs failed.
pub const MANY: u8 = 101;
/// The exit code if no job failed, but some were left unrun.
pub const LEFT: u8 = 122;
/// The exit code of `--require-input` without any input.
pub const NO_INPUT: u8 = 124;
/// The exit code if psmith itself failed: usage, or an output that cannot be written.
pub const OWN_FAILURE: u8 = 125;
/// The exit code if the program is not executable.
pub const NOT_EXECUTABLE: u8 = 126;
/// The exit code if the program was not found.
pub const NOT_FOUND: u8 = 127;

/// The mapping of failed jobs to an exit code (`--exit`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExitScheme {
    /// The number of failed jobs, 101 for more than 100.
    #[default]
    Count,
    /// 1 if any job failed.
    Class,
    /// The code of the first job that failed, in completion order.
    First,
    /// 0 if any job succeeded, 1 if none did.
    AnyZero,
}

impl ExitScheme {
    /// The schemes, in the order of the manual.
    pub const ALL: [ExitScheme; 4] =
        [ExitScheme::Count, ExitScheme::Class, ExitScheme::First, ExitScheme::AnyZero];

    /// Returns its word, as `--exit` takes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ExitScheme::Count => "count",
            ExitScheme::Class => "class",
            ExitScheme::First => "first",
            ExitScheme::AnyZero => "any-zero",
        }
    }
}

/// The end of a run, as far as the exit status depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitFacts {
    /// The signal that stopped the run (not `HUP`, which only drains).
    pub signal: Option<i32>,
    /// True if psmith itself failed: an output could not be written, or the machine had no resources.
    pub broken: bool,
    /// The condition of `--halt` that was met.
    pub halted_on: Option<HaltOn>,
    /// Jobs that succeeded.
    pub ok: u64,
    /// Jobs that failed; cancelled ones are not among them.
    pub failed: u64,
    /// Jobs that were left unrun or cut short.
    pub left: u64,
    /// [`first_code`] of the first job that failed, in completion order.
    pub first: Option<u8>,
}

/// The way in which the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Exit with this code.
    Code(u8),
    /// Death by this signal, raised again, so that a shell sees it.
    Signal(i32),
}

impl ExitStatus {
    /// Returns the code that a shell shows for it.
    #[must_use]
    pub fn shell_code(self) -> i32 {
        match self {
            ExitStatus::Code(code) => i32::from(code),
            ExitStatus::Signal(signal) => 128 + signal,
        }
    }
}

impl ExitFacts {
    /// Returns the one status of this run. The first that applies wins: a signal, a failure of psmith itself, a met
    /// `--halt ..success`, failed jobs, jobs left unrun, success.
    #[must_use]
    pub fn status(&self, scheme: ExitScheme) -> ExitStatus {
        if let Some(signal) = self.signal {
            return ExitStatus::Signal(signal);
        }
        if self.broken {
            return ExitStatus::Code(OWN_FAILURE);
        }
        if self.halted_on == Some(HaltOn::Success) {
            return ExitStatus::Code(0);
        }
        let failures = match scheme {
            _ if self.failed == 0 => 0,
            ExitScheme::Count if self.failed > COUNT_MAX => MANY,
            ExitScheme::Count => u8::try_from(self.failed).unwrap_or(MANY),
            ExitScheme::Class => 1,
            ExitScheme::First => self.first.unwrap_or(OWN_FAILURE),
            ExitScheme::AnyZero => u8::from(self.ok == 0),
        };
        if failures != 0 {
            return ExitStatus::Code(failures);
        }
        // A met `done=` is what the user requested: the rest is left on purpose.
        if self.failed == 0 && self.left > 0 && self.halted_on.is_none() {
            return ExitStatus::Code(LEFT);
        }
        ExitStatus::Code(0)
    }
}

/// Returns the code of a failed job in the scheme `first`: its own exit code, 128+n for signal n, 124 for a timeout,
/// 125 for every other cause.
///
/// `None` for a job that did not fail: it succeeded or was cancelled.
#[must_use]
pub fn first_code(outcome: &Outcome) -> Option<u8> {
    match outcome.verdict.as_ref().err()? {
        Cause::Cancelled => None,
        Cause::Exit(code) => Some(u8::try_from(*code).unwrap_or(OWN_FAILURE)),
        Cause::Signal { signal, .. } => Some(u8::try_from(128 + signal).unwrap_or(OWN_FAILURE)),
        Cause::Timeout(_) | Cause::Idle(_) => Some(124),
        Cause::Error(_)
        | Cause::Panic { .. }
        | Cause::Limit(_)
        | Cause::OutOfMemory { .. }
        | Cause::Lost
        | Cause::SpawnFailed(_)
        | Cause::Leaked(_)
        | Cause::Undecodable(_)
        | Cause::Protocol(_) => Some(OWN_FAILURE),
        // The core may add a `Cause` before this table knows it.
        _ => Some(OWN_FAILURE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;
    use proptest::prelude::*;
    use std::time::Duration;

    fn end(ok: u64, failed: u64, left: u64) -> ExitFacts {
        ExitFacts { ok, failed, left, first: (failed > 0).then_some(42), ..ExitFacts::default() }
    }

    #[test]
    fn each_cell_of_the_table() {
        use ExitScheme::{AnyZero, Class, Count, First};
        let table: &[(ExitFacts, [u8; 4])] = &[
            (end(0, 0, 0), [0, 0, 0, 0]),
            (end(3, 0, 0), [0, 0, 0, 0]),
            (end(3, 2, 0), [2, 1, 42, 0]),
            (end(0, 2, 0), [2, 1, 42, 1]),
            (end(0, 100, 0), [100, 1, 42, 1]),
            (end(0, 101, 0), [101, 1, 42, 1]),
            (end(0, 5000, 0), [101, 1, 42, 1]),
            (end(3, 0, 4), [122, 122, 122, 122]),
            (end(3, 2, 4), [2, 1, 42, 0]),
            (end(0, 2, 4), [2, 1, 42, 1]),
            (ExitFacts { halted_on: Some(HaltOn::Success), ..end(1, 1, 9) }, [0, 0, 0, 0]),
            (ExitFacts { halted_on: Some(HaltOn::Done), ..end(1, 1, 9) }, [1, 1, 42, 0]),
            (ExitFacts { halted_on: Some(HaltOn::Done), ..end(2, 0, 9) }, [0, 0, 0, 0]),
            (ExitFacts { halted_on: Some(HaltOn::Fail), ..end(0, 1, 9) }, [1, 1, 42, 1]),
            (ExitFacts { broken: true, ..end(1, 1, 9) }, [125; 4]),
            (ExitFacts { broken: true, halted_on: Some(HaltOn::Success), ..end(1, 0, 0) }, [125; 4]),
        ];
        for (run, codes) in table {
            for (scheme, code) in [Count, Class, First, AnyZero].into_iter().zip(codes) {
                assert_eq!(run.status(scheme), ExitStatus::Code(*code), "{run:?} by {scheme:?}");
            }
        }
    }

    #[test]
    fn first_code_names_the_cause() {
        let code = |cause| first_code(&sample::failed(cause));
        assert_eq!(code(Cause::Exit(150)), Some(150));
        assert_eq!(code(Cause::Signal { signal: 9, core_dumped: false }), Some(137));
        assert_eq!(code(Cause::Timeout(Duration::from_secs(1))), Some(124));
        assert_eq!(code(Cause::Lost), Some(125));
        assert_eq!(code(Cause::OutOfMemory { limit_bytes: None, kills: 1 }), Some(125));
        assert_eq!(code(Cause::Leaked(1)), Some(125));
        assert_eq!(code(Cause::Cancelled), None);
        assert_eq!(first_code(&sample::succeeded()), None);
    }

    proptest! {
        #[test]
        fn precedence_holds_for_any_counts(
            ok in 0u64..300, failed in 0u64..300, left in 0u64..300, broken: bool, signal in proptest::option::of(1i32..65),
        ) {
            let run = ExitFacts { signal, broken, ..end(ok, failed, left) };
            for scheme in ExitScheme::ALL {
                match run.status(scheme) {
                    ExitStatus::Signal(number) => prop_assert_eq!(Some(number), signal),
                    ExitStatus::Code(code) => {
                        prop_assert_eq!(signal, None);
                        prop_assert_eq!(code == OWN_FAILURE, broken);
                        prop_assert!(code <= 101 || code == LEFT || code == OWN_FAILURE);
                        if code == LEFT { prop_assert!(failed == 0 && left > 0); }
                        if code == 0 && scheme != ExitScheme::AnyZero { prop_assert!(failed == 0 && left == 0); }
                    }
                }
            }
        }
    }
}
