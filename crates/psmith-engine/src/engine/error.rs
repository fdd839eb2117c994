//! Reasons why a run could not go on. The end of a job is data, and never an error here.

use std::fmt;
use std::io;
use std::path::PathBuf;

use psmith_core::outcome::{Cause, LimitKind};
use psmith_sys::c_strings::os_text;
use psmith_sys::signals;

use crate::containment::Containment;

/// The reason why a run could not go on: psmith's failure, never a job's.
#[derive(Debug)]
#[non_exhaustive]
pub enum EngineError {
    /// The demanded containment is not available here.
    Containment {
        /// The level that was demanded.
        demanded: Containment,
        /// The reasons why it, and each stronger level, is not available.
        reasons: Vec<(Containment, String)>,
    },
    /// The warden could not be started, or was lost too often.
    Warden {
        /// The error that occurred.
        error: io::Error,
        /// The last text on its standard error; often empty.
        words: String,
    },
    /// Output could not be kept: the spool's disk is full or broken.
    Spool(PathBuf, io::Error),
    /// The consumer failed.
    Consumer(io::Error),
    /// The limit on descriptors, which is too low to run even one job.
    Descriptors(u64),
    /// A setting makes no sense.
    Setting(String),
    /// A worker cannot be started, however often it is tried: jobs that wait for one are not begun.
    Workers {
        /// The number of starts that failed in a row.
        failures: u32,
        /// The cause of the last failure.
        cause: Cause,
    },
    /// The run is nested deeper than this many levels: most likely a job begins the run that it belongs to.
    TooDeep(u32),
    /// The run belongs to another process: this one is a forked copy of the one that began it.
    Forked,
    /// This process has changed its user, a group or its root directory since the run began, in the words given: the run's
    /// processes have what it had before. The run has ended, or takes no more jobs; another one is begun as now.
    Credentials(String),
    /// The kernel refused a call that the engine cannot do without.
    Kernel(io::Error),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Containment { demanded, reasons } => {
                write!(f, "containment '{demanded}' cannot be had here")?;
                reasons.iter().try_for_each(|(level, reason)| write!(f, "; {level}: {reason}"))
            }
            EngineError::Warden { error, words } if words.is_empty() => {
                write!(f, "the warden failed: {}", os_text(error))
            }
            EngineError::Warden { error, words } => {
                write!(f, "the warden failed: {}; it said: {words}", os_text(error))
            }
            EngineError::Spool(dir, error) => {
                write!(f, "cannot keep job output in {}: {}", dir.display(), os_text(error))
            }
            EngineError::Consumer(error) => write!(f, "{error}"),
            EngineError::Descriptors(allowed) => {
                write!(f, "{allowed} descriptors (ulimit -n) are too few to run a job")
            }
            EngineError::Setting(text) => f.write_str(text),
            EngineError::Workers { failures, cause } => {
                write!(f, "no worker can be started ({failures} times in a row): {}", text_of(cause))
            }
            EngineError::TooDeep(levels) => write!(
                f,
                "runs of jobs of runs are nested {levels} deep, and no deeper: does a job begin the run that it \
                 belongs to?"
            ),
            EngineError::Forked => {
                write!(
                    f,
                    "this process is a copy of the one that began the run, which alone can go on with it"
                )
            }
            EngineError::Credentials(change) => {
                write!(
                    f,
                    "this process has changed {change} since the run began, whose processes are as they were: begin \
                     another run"
                )
            }
            EngineError::Kernel(error) => write!(f, "the kernel refused: {}", os_text(error)),
        }
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EngineError::Containment { .. }
            | EngineError::Descriptors(_)
            | EngineError::Setting(_)
            | EngineError::Workers { .. }
            | EngineError::TooDeep(_)
            | EngineError::Forked
            | EngineError::Credentials(_) => None,
            EngineError::Warden { error, .. }
            | EngineError::Spool(_, error)
            | EngineError::Consumer(error)
            | EngineError::Kernel(error) => Some(error),
        }
    }
}

/// Returns a cause in words.
pub fn text_of(cause: &Cause) -> String {
    match cause {
        Cause::Error(text) => text.clone(),
        Cause::Panic { message, location, .. } if location.is_empty() => format!("panicked: {message}"),
        Cause::Panic { message, location, .. } => format!("panicked at {location}: {message}"),
        Cause::Exit(0) => "its process exited with code 0 before the job was done".into(),
        Cause::Exit(code) => format!("its process exited with code {code}"),
        Cause::Signal { signal, core_dumped } => {
            let name = signals::name(*signal).map_or_else(|| signal.to_string(), |name| format!("SIG{name}"));
            format!("killed by {name}{}", if *core_dumped { " (core dumped)" } else { "" })
        }
        Cause::StackOverflow => "its stack overflowed (killed by SIGSEGV)".into(),
        Cause::Timeout(limit) => format!("timed out after {limit:?}"),
        Cause::Idle(limit) => format!("gave no sign of life for {limit:?}"),
        Cause::Limit(LimitKind::CpuTime(limit)) => format!("used more than {limit:?} of CPU time"),
        Cause::Limit(LimitKind::FileSize(bytes)) => format!("wrote a file of more than {bytes} bytes"),
        Cause::Limit(LimitKind::Processes(most)) => format!("started more than {most} processes"),
        Cause::OutOfMemory { limit_bytes: Some(limit), .. } => {
            format!("out of memory: more than {limit} bytes")
        }
        Cause::OutOfMemory { limit_bytes: None, .. } => "out of memory".into(),
        Cause::Cancelled => "cancelled".into(),
        Cause::Lost => "lost: its process vanished without a report".into(),
        Cause::SpawnFailed(failure) => {
            let mut text = format!("failed to {}", failure.step.verb());
            if !failure.detail.is_empty() {
                text.push_str(&format!(": {}", failure.detail));
            }
            if failure.errno != 0 {
                let error = std::io::Error::from_raw_os_error(failure.errno).to_string();
                text.push_str(&format!(": {}", error.split(" (os error").next().unwrap_or_default()));
            }
            text
        }
        Cause::Leaked(count) => format!("left {count} processes behind"),
        Cause::Undecodable(reason) => format!("cannot carry {reason}"),
        Cause::Protocol(reason) => format!("broke the protocol: {reason}"),
        Cause::CircuitBroken(1) => "not started: the job before had crashed".into(),
        Cause::CircuitBroken(jobs) => format!("not started: {jobs} jobs in a row had crashed"),
        _ => format!("{cause:?}"),
    }
}
