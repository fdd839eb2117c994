//! Limits of a job's resources: those that are requested, and the means by which the machine holds them.
//!
//! Memory, processes and processors are limited for a job's whole tree, and need a control group; the rest is limited
//! for each process, by `setrlimit(2)`. Where no group can hold memory, the address space of each process is limited
//! instead.

use std::fmt;
use std::io;
use std::time::Duration;

use psmith_core::outcome::Limits;
use psmith_sys::rlimit::{self, Resource, Rlimit};

use crate::containment::TreeLimits;
use crate::containment::tree_limits;

/// The most that a job may use. Everything that is not set is unlimited, except core files, of which none are written.
///
/// A job that is ended by its limit ends with `Cause::OutOfMemory` or `Cause::Limit`; one that is refused what it asks
/// for (a descriptor, a process) goes on and ends as it will, and the limit is reported beside its own end where the
/// kernel has counted the refusal.
///
/// ```
/// use psmith::{Cause, ResourceLimits};
/// # psmith::init();
/// let spin = |_: u32| -> u32 { loop { std::hint::spin_loop() } };
/// let limits = ResourceLimits::new().cpu_time(std::time::Duration::from_secs(1));
/// let results: Vec<_> = psmith::map([1], spin).limits(limits).collect();
/// assert!(matches!(results[0].as_ref().unwrap_err().cause, Cause::Limit(_)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ResourceLimits {
    /// The limit set by [`memory`](Self::memory).
    pub memory_bytes: Option<u64>,
    /// The limit set by [`cpu_time`](Self::cpu_time).
    pub cpu_time: Option<Duration>,
    /// The limit set by [`file_size`](Self::file_size).
    pub file_size_bytes: Option<u64>,
    /// The limit set by [`open_files`](Self::open_files).
    pub open_files: Option<u64>,
    /// The limit set by [`core_size`](Self::core_size).
    pub core_bytes: Option<u64>,
    /// The limit set by [`processes`](Self::processes).
    pub processes: Option<u64>,
    /// The limit set by [`cpus`](Self::cpus).
    pub cpus: Option<f64>,
}

/// Limits as this machine holds them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitsInForce {
    /// The limits held for each process.
    pub rlimits: Vec<Rlimit>,
    /// The limits held for the tree of a job.
    pub tree: TreeLimits,
    /// The limits that causes may have to name.
    pub named: Limits,
}

/// A limit that cannot be held.
#[derive(Debug)]
pub struct LimitRefused {
    /// The limit.
    pub limit: LimitName,
    /// The reason why it cannot be held.
    pub why: WhyRefused,
}

/// A limit, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitName {
    /// Memory.
    Memory,
    /// CPU time.
    CpuTime,
    /// The size of files.
    FileSize,
    /// Open descriptors.
    OpenFiles,
    /// Core files.
    Core,
    /// Processes.
    Processes,
    /// Processors.
    Cpus,
}

/// The reason why a limit cannot be held.
#[derive(Debug)]
#[non_exhaustive]
pub enum WhyRefused {
    /// The limit is too low to start a program in: this is the least.
    Below(u64),
    /// The limit is above this process's own, which only root raises.
    Above(u64),
    /// The limit needs a control group, and there is none; the text says why.
    NoGroup(String),
    /// The kernel was asked for the current limits, and failed.
    Kernel(io::Error),
}

/// The least memory that a job may be limited to. Until it executes, a command's process shares the warden's memory map
/// and is charged for its words (2 MiB at most, by the usual limit of the stack): if the kernel killed it then for lack
/// of memory, it would kill the warden, too.
const MEMORY_MIN: u64 = 4 << 20;

impl ResourceLimits {
    /// Returns no limits.
    ///
    /// ```
    /// use psmith::ResourceLimits;
    /// let limits = ResourceLimits::new().open_files(64).core_size(0);
    /// assert_eq!(ResourceLimits { open_files: None, core_bytes: None, ..limits }, ResourceLimits::new());
    /// ```
    #[must_use]
    pub fn new() -> ResourceLimits {
        ResourceLimits::default()
    }

    /// Limits the memory of the job with all its processes, in bytes. Without control groups: the address space of each
    /// process, which counts what is mapped, used or not. Less than 4 MiB is refused.
    ///
    /// ```
    /// let limits = psmith::ResourceLimits::new().memory(64 << 20);
    /// assert_eq!(limits.memory_bytes, Some(64 << 20));
    /// ```
    #[must_use]
    pub fn memory(self, bytes: u64) -> Self {
        ResourceLimits { memory_bytes: Some(bytes), ..self }
    }

    /// Limits the CPU time of each process; in whole seconds, rounded up, at least one.
    ///
    /// ```
    /// use std::time::Duration;
    /// let limits = psmith::ResourceLimits::new().cpu_time(Duration::from_secs(10));
    /// assert_eq!(limits.cpu_time, Some(Duration::from_secs(10)));
    /// ```
    #[must_use]
    pub fn cpu_time(self, time: Duration) -> Self {
        ResourceLimits { cpu_time: Some(time), ..self }
    }

    /// Limits the size of any one file that is written, in bytes.
    ///
    /// ```
    /// let limits = psmith::ResourceLimits::new().file_size(1 << 20);
    /// assert_eq!(limits.file_size_bytes, Some(1 << 20));
    /// ```
    #[must_use]
    pub fn file_size(self, bytes: u64) -> Self {
        ResourceLimits { file_size_bytes: Some(bytes), ..self }
    }

    /// Limits the descriptors of each process: one more than the highest that it may open.
    ///
    /// ```
    /// let limits = psmith::ResourceLimits::new().open_files(64);
    /// assert_eq!(limits.open_files, Some(64));
    /// ```
    #[must_use]
    pub fn open_files(self, files: u64) -> Self {
        ResourceLimits { open_files: Some(files), ..self }
    }

    /// Limits the size of a core file in bytes; 0 unless this is called.
    ///
    /// ```
    /// let limits = psmith::ResourceLimits::new().core_size(1 << 20);
    /// assert_eq!(limits.core_bytes, Some(1 << 20));
    /// ```
    #[must_use]
    pub fn core_size(self, bytes: u64) -> Self {
        ResourceLimits { core_bytes: Some(bytes), ..self }
    }

    /// Limits the processes and threads of the job, itself included. Needs a control group.
    ///
    /// ```
    /// let limits = psmith::ResourceLimits::new().processes(16);
    /// assert_eq!(limits.processes, Some(16));
    /// ```
    #[must_use]
    pub fn processes(self, processes: u64) -> Self {
        ResourceLimits { processes: Some(processes), ..self }
    }

    /// Limits the CPU time per second, in processors such as 1.5: the job is slowed down, not ended. Needs a control
    /// group.
    ///
    /// ```
    /// let limits = psmith::ResourceLimits::new().cpus(1.5);
    /// assert_eq!(limits.cpus, Some(1.5));
    /// ```
    #[must_use]
    pub fn cpus(self, cpus: f64) -> Self {
        ResourceLimits { cpus: Some(cpus), ..self }
    }

    /// Returns these limits, and for each that is not set that of `others`.
    pub fn or(self, others: ResourceLimits) -> Self {
        ResourceLimits {
            memory_bytes: self.memory_bytes.or(others.memory_bytes),
            cpu_time: self.cpu_time.or(others.cpu_time),
            file_size_bytes: self.file_size_bytes.or(others.file_size_bytes),
            open_files: self.open_files.or(others.open_files),
            core_bytes: self.core_bytes.or(others.core_bytes),
            processes: self.processes.or(others.processes),
            cpus: self.cpus.or(others.cpus),
        }
    }

    /// Determines the means by which they can be held here.
    ///
    /// ```
    /// use psmith::ResourceLimits;
    /// let held = ResourceLimits::new().open_files(64).in_force().unwrap();
    /// assert_eq!(held.named.open_files, Some(64));
    /// assert!(ResourceLimits::new().memory(1).in_force().is_err());
    /// ```
    ///
    /// # Errors
    /// The first limit that cannot.
    #[doc(hidden)]
    pub fn in_force(&self) -> Result<LimitsInForce, LimitRefused> {
        let refused = |limit, why| LimitRefused { limit, why };
        if self.memory_bytes.is_some_and(|bytes| bytes < MEMORY_MIN) {
            return Err(refused(LimitName::Memory, WhyRefused::Below(MEMORY_MIN)));
        }
        let mut rlimits = Vec::new();
        let mut named = Limits {
            cpu_time: self.cpu_time,
            file_size_bytes: self.file_size_bytes,
            open_files: self.open_files,
            processes: self.processes,
            ..Limits::default()
        };
        let mut set = |limit, resource, soft, hard| -> Result<(), LimitRefused> {
            let now = rlimit::get(resource).map_err(|error| refused(limit, WhyRefused::Kernel(error)))?;
            if hard > now.hard && !rustix::process::geteuid().is_root() {
                return Err(refused(limit, WhyRefused::Above(now.hard)));
            }
            rlimits.push(Rlimit { resource, soft, hard });
            Ok(())
        };
        if let Some(time) = self.cpu_time {
            let seconds = (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1);
            // One second between the signal that can be handled and the one that cannot.
            set(LimitName::CpuTime, Resource::Cpu, seconds, seconds + 1)?;
        }
        if let Some(bytes) = self.file_size_bytes {
            set(LimitName::FileSize, Resource::FileSize, bytes, bytes)?;
        }
        if let Some(files) = self.open_files {
            set(LimitName::OpenFiles, Resource::OpenFiles, files, files)?;
        }
        let core = rlimit::get(Resource::Core)
            .map_err(|error| refused(LimitName::Core, WhyRefused::Kernel(error)))?;
        match self.core_bytes {
            Some(bytes) if bytes > core.hard => set(LimitName::Core, Resource::Core, bytes, bytes)?,
            asked => set(LimitName::Core, Resource::Core, asked.unwrap_or(0).min(core.hard), core.hard)?,
        }
        let mut tree =
            TreeLimits { memory_bytes: self.memory_bytes, processes: self.processes, cpus: self.cpus };
        let found = tree_limits(&tree);
        if let (Some(bytes), Err(_)) = (self.memory_bytes, &found.memory) {
            tree.memory_bytes = None;
            named.address_space_bytes = Some(bytes);
            set(LimitName::Memory, Resource::AddressSpace, bytes, bytes)?;
        }
        named.memory_bytes = tree.memory_bytes;
        for (limit, asked, found) in [
            (LimitName::Processes, self.processes.is_some(), found.processes),
            (LimitName::Cpus, self.cpus.is_some(), found.cpus),
        ] {
            if let (true, Err(why)) = (asked, found) {
                return Err(refused(limit, WhyRefused::NoGroup(why)));
            }
        }
        Ok(LimitsInForce { rlimits, tree, named })
    }
}

impl fmt::Display for LimitRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = match self.limit {
            LimitName::Memory => "memory",
            LimitName::CpuTime => "CPU time",
            LimitName::FileSize => "file size",
            LimitName::OpenFiles => "open files",
            LimitName::Core => "core size",
            LimitName::Processes => "processes",
            LimitName::Cpus => "CPUs",
        };
        write!(f, "limit of {limit}: {}", self.why)
    }
}

impl fmt::Display for WhyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhyRefused::Below(least) => {
                write!(f, "too little to start a program in; at least {least} bytes")
            }
            WhyRefused::Above(now) => {
                write!(f, "the limit here is {now} already, and only root raises it")
            }
            WhyRefused::NoGroup(why) => write!(f, "cannot be held here: {why}"),
            WhyRefused::Kernel(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for LimitRefused {}
