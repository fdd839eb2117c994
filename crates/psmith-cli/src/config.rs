//! The meaning of the user's words: every choice resolved and typed, nothing left to be looked up in the flags.
//!
//! Made once, before anything is opened or started; never changed afterwards.

mod resolve;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use psmith_core::policy::{Halt, JobPolicy, Order};
use psmith_engine::ResourceLimits;

use crate::batch_size::BatchSize;
pub use crate::exit_code::ExitScheme;
use crate::input::InputSpec;
pub use crate::pipe::PipeSpec;
pub use crate::record::results::ResultsPlace;
pub use crate::record::resume::ResumeMode;
pub use crate::report::summary::SummaryMode;
pub use crate::report::tally::Flaky;
pub use crate::values::SlotsSpec;
pub use psmith_engine::Containment;
pub(crate) use resolve::DEFAULT_SHELL;

/// A whole run, as requested.
#[derive(Clone, Debug)]
pub struct Config {
    /// The command and how it is run.
    pub command: CommandSpec,
    /// The inputs.
    pub input: InputSpec,
    /// The number of inputs of a job.
    pub batch: BatchSize,
    /// `--require-input`: no input at all is an error (exit 124).
    pub require_input: bool,
    /// The standard input of jobs.
    pub stdin: StdinMode,
    /// `--pipe`: the input is cut into blocks, of which each job reads one.
    pub pipe: Option<PipeSpec>,
    /// `--tty`: one slot, the job gets the terminal. `pace.slots` says one already.
    pub tty: bool,
    /// The number of jobs at once, and their rate.
    pub pace: PaceSpec,
    /// Limits of each job.
    pub limits: ResourceLimits,
    /// `--contain`: this level or better.
    pub contain: Option<Containment>,
    /// The environment and directory of the jobs.
    pub surroundings: SurroundingsSpec,
    /// Timeouts, tries, back-off, leaks. Its `limits` are empty: the containment decides which of them apply.
    pub policy: JobPolicy,
    /// The time after which a running job is named as slow.
    pub slow: Option<Duration>,
    /// The count of a success after a retry.
    pub flaky: Flaky,
    /// The condition on which the run ends early.
    pub halt: Halt,
    /// The meaning of the exit code.
    pub exit: ExitScheme,
    /// The form in which output is passed on.
    pub output: OutputSpec,
    /// Records in files.
    pub records: RecordsSpec,
    /// The jobs of the joblog that are skipped.
    pub resume: Option<ResumeMode>,
    /// Messages on stderr.
    pub report: ReportSpec,
    /// The form of a dry run, which prints what would run and runs nothing.
    pub dry_run: Option<DryRun>,
}

/// The command and how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// The words before `:::`. In shell mode: the script, or nothing (each input is a script).
    pub words: Vec<OsString>,
    /// The shell in shell mode.
    pub shell: Option<PathBuf>,
    /// `-I`: the string that is replaced by the input; `{}` is then ordinary text.
    pub replace: Option<Vec<u8>>,
    /// True if `--` stood before the command: its words are passed on even if they read like a shell's.
    pub literal: bool,
    /// True with `--plus`.
    pub plus: bool,
}

/// The standard input of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdinMode {
    /// `/dev/null`.
    Null,
    /// The standard input of psmith itself; never where the input comes from there.
    Inherit,
    /// The bytes of the job's input, which is then no argument.
    Item,
}

/// The number of jobs at once, and their rate.
#[derive(Clone, Debug, PartialEq)]
pub struct PaceSpec {
    /// The number of slots.
    pub slots: SlotsSpec,
    /// The shortest time between two starts: the larger one of `--delay` and the gap of `--rate`.
    pub start_gap: Duration,
    /// The load average above which starts are held.
    pub load: Option<Load>,
    /// The free memory, in bytes, below which starts are held.
    pub memfree: Option<u64>,
    /// The number added to the niceness of the jobs.
    pub nice: i32,
}

/// A bound on the load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// A load average.
    Number(f64),
    /// A percentage of the CPUs.
    Percent(f64),
}

impl Load {
    /// Returns the load average that is the bound on a machine with this many CPUs.
    #[must_use]
    pub fn bound(self, cpus: u32) -> f64 {
        match self {
            Load::Number(number) => number,
            Load::Percent(percent) => f64::from(cpus) * percent / 100.0,
        }
    }
}

/// Environment and directory of the jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SurroundingsSpec {
    /// The variables to set, in the order given.
    pub env: Vec<(OsString, OsString)>,
    /// True if jobs begin with an empty environment.
    pub env_clear: bool,
    /// The directory, in which replacement strings are replaced.
    pub workdir: Option<OsString>,
    /// The variable that holds the job's slot, from 0.
    pub slot_variable: Option<OsString>,
}

/// The form in which output is passed on.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputSpec {
    /// The portions.
    pub mode: OutputMode,
    /// The order.
    pub order: Order,
    /// `--window`; `None`: the larger of 256 and 16 times the slots.
    pub window: Option<u32>,
    /// The jobs whose output is passed on.
    pub show: Show,
    /// The beginning of each line.
    pub tag: Option<Tag>,
}

/// The portions in which output is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMode {
    /// A job's whole output when it ends.
    Group,
    /// Whole lines as they are written.
    Lines,
    /// No passing on: jobs write to the streams themselves.
    Ungrouped,
}

/// The jobs whose output is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Any job.
    All,
    /// Failed jobs.
    Fail,
    /// Never a job.
    None,
}

/// The beginning of each line; a TAB follows. Made by [`RunPlan::tag`](crate::plan::RunPlan::tag).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The inputs, joined by blanks.
    Inputs,
    /// A text, in which replacement strings are replaced.
    Text(OsString),
}

/// Records in files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordsSpec {
    /// The jobs' outputs.
    pub results: Option<ResultsPlace>,
    /// A line for each job.
    pub joblog: Option<Joblog>,
    /// The events.
    pub events: Option<EventsTo>,
    /// True if the jobs' output is part of the events.
    pub events_output: bool,
    /// The report, a page for a browser.
    pub report: Option<PathBuf>,
    /// The trace, for Perfetto.
    pub trace: Option<PathBuf>,
}

/// A line for each job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joblog {
    /// The file.
    pub path: PathBuf,
    /// True if its rows are kept.
    pub append: bool,
}

/// The destination of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventsTo {
    /// A file.
    File(PathBuf),
    /// A descriptor that psmith was started with, 3 or above.
    Descriptor(i32),
}

/// Messages on stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSpec {
    /// The summary at the end.
    pub summary: SummaryMode,
    /// Progress on the way.
    pub progress: ProgressMode,
    /// Rows of the board.
    pub rows: u16,
    /// Colours.
    pub color: Color,
    /// The web board's address.
    pub web: Option<SocketAddr>,
    /// True if each attempt's command is shown at its start.
    pub verbose: bool,
    /// True if only errors are shown.
    pub quiet: bool,
}

/// Progress on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressMode {
    /// The form that suits stderr.
    Auto,
    /// Rows at the bottom of the terminal.
    Board,
    /// Lines.
    Plain,
    /// Failures only.
    None,
}

/// Colours on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// Colours if stderr is a terminal that has them.
    Auto,
    /// Colours always.
    Always,
    /// Colours never.
    Never,
}

/// The form in which `--dry-run` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// Command lines that can be pasted into a shell.
    Text,
    /// JSON objects.
    Json,
}
