//! Outcomes: how a job ended, as data, never as an error of psmith's own.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// The outcome of a job. Every accepted job gets exactly one.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The verdict: `Ok`, or the cause of the failure.
    pub verdict: Result<(), Cause>,
    /// The number of attempts started, forgiven ones included, refused starts not. 0: the job never ran.
    pub attempts: u32,
    /// The number of attempts that were charged to the job: its tries. A success is charged, too; an attempt that was
    /// lost, gave way or was cancelled is not.
    pub tries: u32,
    /// The last attempt, if there was one.
    pub last: Option<AttemptReport>,
    /// True if the job had tries left and gets none, because it has crashed as often as it may.
    pub quarantined: bool,
    /// The attempts before the last one, oldest first; at most [`ATTEMPT_HISTORY_MAX`], the oldest are dropped.
    pub earlier: Vec<AttemptSummary>,
}

/// The maximum number of earlier attempts that an outcome keeps.
pub const ATTEMPT_HISTORY_MAX: usize = 32;

/// The report on an attempt that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptReport {
    /// Attempt number, from 1.
    pub number: u32,
    /// Process id, as it was; 0 if no process was created.
    pub pid: u32,
    /// The time from start to end of its process, on the run's clock; with `Leak::Wait` to the end of its whole tree.
    pub wall: Duration,
    /// The exit status of the process itself; `None` if it was not observed (never started, lost).
    pub exit: Option<Exit>,
    /// The resources used.
    pub usage: Usage,
    /// Descendants that outlived it and were killed or released; at least 1 if a process held its output open.
    /// Descendants that were ended by the ladder of the attempt itself are not counted.
    pub leaked: u32,
}

/// An entry of a job's history.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptSummary {
    /// Attempt number, from 1.
    pub number: u32,
    /// The cause of its failure; `None` for an attempt that succeeded but was run again (never, at present).
    pub cause: Option<Cause>,
    /// The time from start to end, on the run's clock.
    pub wall: Duration,
    /// True if the attempt counted as a try.
    pub charged: bool,
}

/// The exit status of a process, as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The process called `exit` with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// True if the kernel wrote a core file.
        core_dumped: bool,
    },
}

/// The resources that an attempt used: its process and the descendants it waited for, or its whole group where
/// [`Usage::whole_group`] says so. All zeros: that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Peak resident memory in bytes.
    pub max_rss_bytes: u64,
    /// True when the figures are those of the job's control group, false when of the process.
    pub whole_group: bool,
}

/// The kernel's evidence of limits that were hit during an attempt, read from the job's own group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Processes of the job that the kernel killed because memory ran out.
    pub oom_kills: u64,
    /// Forks that `pids.max` refused.
    pub pids_refused: u64,
}

/// Limits in force for an attempt, as far as a cause may have to report them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory of the whole tree in bytes, held by a control group.
    pub memory_bytes: Option<u64>,
    /// Address space of each process in bytes (a weaker substitute for the memory limit).
    pub address_space_bytes: Option<u64>,
    /// CPU time of each process.
    pub cpu_time: Option<Duration>,
    /// Size of any file written, in bytes.
    pub file_size_bytes: Option<u64>,
    /// Open descriptors of each process.
    pub open_files: Option<u64>,
    /// Processes of the whole tree.
    pub processes: Option<u64>,
}

/// The reason why an outcome is not success. The list is closed: a job ends in one of these or succeeds.
///
/// If several apply to an attempt, the first of these wins: what psmith did before the process ended (`Timeout`,
/// `Idle`, `Cancelled`), what the kernel proves (`OutOfMemory`, `Limit` by signal or event, `Signal`, `Exit`), a
/// violation of the protocol (`Protocol`), and last what the process left behind (`Leaked`).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// A function returned an error, with its text.
    Error(String),
    /// A function panicked. In a program that is built to abort, and where a panic cannot unwind, its process died of it
    /// (`SIGABRT`), also where another thread of the job panicked.
    Panic {
        /// The panic's text.
        message: String,
        /// File, line and column, if known.
        location: String,
        /// The backtrace, where `RUST_BACKTRACE` asks for one; else empty.
        backtrace: String,
    },
    /// The process exited with this code, which is not 0.
    Exit(i32),
    /// A signal ended the process, and psmith did not send it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// True if the kernel wrote a core file.
        core_dumped: bool,
    },
    /// The function's stack overflowed, and its process died of that (`SIGSEGV`; its kind is `Signal`).
    StackOverflow,
    /// The attempt ran longer than this, and was ended.
    Timeout(Duration),
    /// The attempt gave no sign of life for this long, and was ended.
    Idle(Duration),
    /// The kernel stopped it at a limit that psmith had set.
    Limit(LimitKind),
    /// The kernel killed it because memory ran out, by its own evidence.
    OutOfMemory {
        /// The limit in force, if the job had one of its own.
        limit_bytes: Option<u64>,
        /// Processes killed, as the group's events counted.
        kills: u64,
    },
    /// The job was asked to stop, or never started: by the user, by `--halt`, by shutdown. As the cause of a retry:
    /// the attempt gave way because memory was short.
    Cancelled,
    /// The process vanished without a report, through no fault of the job.
    Lost,
    /// The process could not be started.
    SpawnFailed(SpawnFailure),
    /// The process ended well, but descendants outlived it and that was declared a failure.
    Leaked(u32),
    /// An argument or a result could not be encoded or decoded.
    Undecodable(String),
    /// A worker broke the protocol.
    Protocol(String),
    /// The job was never started: before its turn came, this number of different jobs of its run had crashed in a row.
    CircuitBroken(u32),
}

/// The name of a cause without its details: the word that users type and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CauseKind {
    /// `error`
    Error,
    /// `panic`
    Panic,
    /// `exit`
    Exit,
    /// `signal`
    Signal,
    /// `timeout`
    Timeout,
    /// `idle`
    Idle,
    /// `limit`
    Limit,
    /// `oom`
    OutOfMemory,
    /// `cancelled`
    Cancelled,
    /// `lost`
    Lost,
    /// `spawn`
    SpawnFailed,
    /// `leak`
    Leaked,
    /// `undecodable`
    Undecodable,
    /// `protocol`
    Protocol,
    /// `broken`
    CircuitBroken,
}

/// The limit that stopped a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// CPU time of a process (`SIGXCPU`).
    CpuTime(Duration),
    /// Size of a file in bytes (`SIGXFSZ`).
    FileSize(u64),
    /// Number of processes of the job (`pids.max`).
    Processes(u64),
}

/// A start that failed: no program of the job ever ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnFailure {
    /// The step that failed.
    pub step: SpawnStep,
    /// The kernel's error number; 0 where no system call failed.
    pub errno: i32,
    /// Details for people: the path, the argument's size; may be empty.
    pub detail: String,
    /// True if the same start can never succeed (a NUL byte, an argument too long): never tried again.
    pub permanent: bool,
}

/// The steps of a start, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpawnStep {
    /// Encoding arguments and environment (a NUL byte, an argument too long).
    Prepare,
    /// Finding the program.
    Lookup,
    /// Making pipes, spools and groups.
    Resources,
    /// `clone`.
    Clone,
    /// `setsid` or `setpgid`.
    Session,
    /// Parent-death signal.
    ParentDeath,
    /// Joining the control group.
    JoinGroup,
    /// Resource limits.
    Limits,
    /// Priority.
    Nice,
    /// Descriptors 0, 1, 2.
    Descriptors,
    /// Working directory.
    WorkingDirectory,
    /// Signal mask and dispositions.
    Signals,
    /// The terminal, where one was asked for.
    Terminal,
    /// `execve`.
    Exec,
}

impl Cause {
    /// Returns the cause without its details.
    #[must_use]
    pub fn kind(&self) -> CauseKind {
        match self {
            Cause::Error(_) => CauseKind::Error,
            Cause::Panic { .. } => CauseKind::Panic,
            Cause::Exit(_) => CauseKind::Exit,
            Cause::Signal { .. } | Cause::StackOverflow => CauseKind::Signal,
            Cause::Timeout(_) => CauseKind::Timeout,
            Cause::Idle(_) => CauseKind::Idle,
            Cause::Limit(_) => CauseKind::Limit,
            Cause::OutOfMemory { .. } => CauseKind::OutOfMemory,
            Cause::Cancelled => CauseKind::Cancelled,
            Cause::Lost => CauseKind::Lost,
            Cause::SpawnFailed(_) => CauseKind::SpawnFailed,
            Cause::Leaked(_) => CauseKind::Leaked,
            Cause::Undecodable(_) => CauseKind::Undecodable,
            Cause::Protocol(_) => CauseKind::Protocol,
            Cause::CircuitBroken(_) => CauseKind::CircuitBroken,
        }
    }
}

impl Cause {
    /// Returns whether the process itself came to a bad end, as opposed to a function that failed in a process that
    /// survived: a signal, the kernel's memory or limits, a broken protocol, or (where a function was to reply) an
    /// exit without a reply.
    #[must_use]
    pub fn is_crash(&self) -> bool {
        match self {
            Cause::Exit(_)
            | Cause::Signal { .. }
            | Cause::StackOverflow
            | Cause::Limit(_)
            | Cause::OutOfMemory { .. }
            | Cause::Protocol(_) => true,
            Cause::Error(_)
            | Cause::Panic { .. }
            | Cause::Timeout(_)
            | Cause::Idle(_)
            | Cause::Cancelled
            | Cause::Lost
            | Cause::SpawnFailed(_)
            | Cause::Leaked(_)
            | Cause::Undecodable(_)
            | Cause::CircuitBroken(_) => false,
        }
    }
}

impl CauseKind {
    /// The causes, in the order of the enum.
    pub const ALL: [CauseKind; 15] = [
        CauseKind::Error,
        CauseKind::Panic,
        CauseKind::Exit,
        CauseKind::Signal,
        CauseKind::Timeout,
        CauseKind::Idle,
        CauseKind::Limit,
        CauseKind::OutOfMemory,
        CauseKind::Cancelled,
        CauseKind::Lost,
        CauseKind::SpawnFailed,
        CauseKind::Leaked,
        CauseKind::Undecodable,
        CauseKind::Protocol,
        CauseKind::CircuitBroken,
    ];

    /// Returns the word for it, the same everywhere: events, summary, results, `--retry-on`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            CauseKind::Error => "error",
            CauseKind::Panic => "panic",
            CauseKind::Exit => "exit",
            CauseKind::Signal => "signal",
            CauseKind::Timeout => "timeout",
            CauseKind::Idle => "idle",
            CauseKind::Limit => "limit",
            CauseKind::OutOfMemory => "oom",
            CauseKind::Cancelled => "cancelled",
            CauseKind::Lost => "lost",
            CauseKind::SpawnFailed => "spawn",
            CauseKind::Leaked => "leak",
            CauseKind::Undecodable => "undecodable",
            CauseKind::Protocol => "protocol",
            CauseKind::CircuitBroken => "broken",
        }
    }
}

impl SpawnStep {
    /// Returns the name of the step, fit to follow "failed to".
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            SpawnStep::Prepare => "prepare its arguments",
            SpawnStep::Lookup => "find the program",
            SpawnStep::Resources => "make its pipes or group",
            SpawnStep::Clone => "make a process",
            SpawnStep::Session => "make a session",
            SpawnStep::ParentDeath => "set the parent-death signal",
            SpawnStep::JoinGroup => "join its control group",
            SpawnStep::Limits => "set its limits",
            SpawnStep::Nice => "set its priority",
            SpawnStep::Descriptors => "set up its descriptors",
            SpawnStep::WorkingDirectory => "enter the working directory",
            SpawnStep::Signals => "reset its signals",
            SpawnStep::Terminal => "take the terminal",
            SpawnStep::Exec => "execute the program",
        }
    }
}
