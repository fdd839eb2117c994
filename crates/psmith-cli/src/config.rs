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
pub use crate::record::results::ResultsPlace;
pub use crate::record::resume::ResumeMode;
pub use crate::report::summary::SummaryMode;
pub use crate::report::tally::Flaky;
pub use crate::values::SlotsSpec;
pub use psmith_engine::Containment;
pub(crate) use resolve::DEFAULT_SHELL;

/// A whole run, as asked for.
#[derive(Clone, Debug)]
pub struct Config {
    /// The command and how it is run.
    pub command: CommandSpec,
    /// Over what.
    pub input: InputSpec,
    /// How many inputs make a job.
    pub batch: BatchSize,
    /// `--require-input`: no input at all is an error (exit 124).
    pub require_input: bool,
    /// The standard input of jobs.
    pub stdin: StdinMode,
    /// `--tty`: one slot, the job gets the terminal. `pace.slots` says one already.
    pub tty: bool,
    /// How many at once, how fast.
    pub pace: PaceSpec,
    /// Limits of each job.
    pub limits: ResourceLimits,
    /// `--contain`: this level or better.
    pub contain: Option<Containment>,
    /// Environment and directory of the jobs.
    pub surroundings: SurroundingsSpec,
    /// Timeouts, tries, back-off, leaks. Its `limits` are empty: which hold depends on the containment.
    pub policy: JobPolicy,
    /// Jobs that run longer are named.
    pub slow: Option<Duration>,
    /// The count of a success after a retry.
    pub flaky: Flaky,
    /// When to stop early.
    pub halt: Halt,
    /// The meaning of the exit code.
    pub exit: ExitScheme,
    /// How output is passed on.
    pub output: OutputSpec,
    /// Records in files.
    pub records: RecordsSpec,
    /// Which jobs of the joblog are skipped.
    pub resume: Option<ResumeMode>,
    /// Messages on stderr.
    pub report: ReportSpec,
    /// Print what would run, in this form, and run nothing.
    pub dry_run: Option<DryRun>,
}

/// The command and how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// The words before `:::`. In shell mode: the script, or nothing (each input is a script).
    pub words: Vec<OsString>,
    /// Shell mode: which shell.
    pub shell: Option<PathBuf>,
    /// `-I`: this stands for the input, and `{}` is ordinary text.
    pub replace: Option<Vec<u8>>,
}

/// The standard input of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdinMode {
    /// `/dev/null`.
    Null,
    /// The standard input of psmith itself; never where the input comes from there.
    Inherit,
}

/// How many at once, how fast.
#[derive(Clone, Debug, PartialEq)]
pub struct PaceSpec {
    /// How many slots.
    pub slots: SlotsSpec,
    /// At least this between two starts: the larger one of `--delay` and what `--rate` asks for.
    pub start_gap: Duration,
    /// Hold starts while the load average is above this.
    pub load: Option<Load>,
    /// Hold starts while less memory, in bytes, is free.
    pub memfree: Option<u64>,
    /// Added to the niceness of the jobs.
    pub nice: i32,
}

/// A bound on the load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// This load average.
    Number(f64),
    /// This percentage of the CPUs.
    Percent(f64),
}

impl Load {
    /// The load average that is the bound on a machine with so many CPUs.
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
    /// Variables to set, in the order given.
    pub env: Vec<(OsString, OsString)>,
    /// Begin with an empty environment.
    pub env_clear: bool,
    /// The directory, in which replacement strings count.
    pub workdir: Option<OsString>,
}

/// How output is passed on.
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
    /// Whole lines as they come.
    Lines,
    /// Jobs write themselves.
    Ungrouped,
}

/// The jobs whose output is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// All jobs.
    All,
    /// Failed jobs.
    Fail,
    /// No job.
    None,
}

/// The beginning of each line; a TAB follows. Made by [`RunPlan::tag`](crate::plan::RunPlan::tag).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The inputs, joined by blanks.
    Inputs,
    /// This text, in which replacement strings count.
    Text(OsString),
}

/// Records in files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordsSpec {
    /// The jobs' outputs.
    pub results: Option<ResultsPlace>,
    /// A line for each job.
    pub joblog: Option<Joblog>,
    /// All that happens.
    pub events: Option<EventsTo>,
    /// The jobs' output is part of the events.
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
    /// Keep what it holds.
    pub append: bool,
}

/// Where events go.
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
    /// The web board: where it listens.
    pub web: Option<SocketAddr>,
    /// Each attempt's command at its start.
    pub verbose: bool,
    /// No messages but errors.
    pub quiet: bool,
}

/// Progress on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressMode {
    /// The form that fits stderr.
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
    /// If stderr is a terminal that has them.
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// The form in which `--dry-run` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// Command lines that can be pasted.
    Text,
    /// JSON objects.
    Json,
}
