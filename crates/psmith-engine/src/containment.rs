//! The levels of containment: how the descendants of a job are held together, and which levels this machine offers.
//! Holds no job itself: the engine and the warden do.

use std::fmt;

use psmith_sys::forbid::{self, KernelFacility};
use psmith_sys::{cgroup, probe};

/// A level of containment: how the descendants of a job are held together and killed, from the strongest to the
/// weakest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Containment {
    /// The job's process group alone: a descendant that makes a session of its own escapes.
    Group,
    /// The warden adopts the orphans of jobs, and kills them: by their session or their environment at the end of the
    /// job, or at the latest at the end of the run.
    Sweep,
    /// A small subreaper process per job: every descendant dies with its job. Costs one more process per job.
    Keeper,
    /// A control group per slot, which the kernel kills as a whole.
    Cgroup,
}

impl Containment {
    /// The levels, the best first.
    pub const ALL: [Containment; 4] =
        [Containment::Cgroup, Containment::Keeper, Containment::Sweep, Containment::Group];

    /// Returns its name in options and events.
    ///
    /// ```
    /// assert_eq!(psmith::Containment::Cgroup.word(), "cgroup");
    /// ```
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Containment::Cgroup => "cgroup",
            Containment::Keeper => "keeper",
            Containment::Sweep => "sweep",
            Containment::Group => "group",
        }
    }

    /// Returns the level of that name.
    ///
    /// ```
    /// use psmith::Containment;
    /// assert_eq!(Containment::of_word("keeper"), Some(Containment::Keeper));
    /// assert_eq!(Containment::of_word("jail"), None);
    /// ```
    #[must_use]
    pub fn of_word(word: &str) -> Option<Containment> {
        Containment::ALL.into_iter().find(|level| level.word() == word)
    }

    /// Tests whether this machine can hold jobs this way, by doing it; the error says why not.
    ///
    /// The test runs in a short-lived process beside this one: the host itself never becomes a subreaper and joins no
    /// group. A process group is always available.
    ///
    /// ```
    /// use psmith::Containment;
    /// # psmith::init();
    /// assert!(Containment::Group.probe().is_ok());
    /// let best = Containment::ALL.into_iter().find(|level| level.probe().is_ok());
    /// assert!(best.is_some());
    /// ```
    ///
    /// # Errors
    ///
    /// What was tried and how it failed, in one line.
    pub fn probe(self) -> Result<(), String> {
        match self {
            Containment::Cgroup if forbid::is_forbidden(KernelFacility::Cgroup) => {
                Err("forbidden by PSMITH_FORBID".into())
            }
            Containment::Cgroup => cgroup::probe_kill().map_err(|error| error.to_string()),
            Containment::Keeper | Containment::Sweep if forbid::is_forbidden(KernelFacility::Subreaper) => {
                Err("forbidden by PSMITH_FORBID".into())
            }
            Containment::Keeper | Containment::Sweep => probe::adoption().map_err(|error| error.to_string()),
            Containment::Group => Ok(()),
        }
    }
}

impl fmt::Display for Containment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The limits of a whole tree that this machine can hold, found by trying; those not requested are not tried.
#[derive(Debug)]
pub struct TreeSupport {
    /// Support for a memory limit.
    pub memory: Result<(), String>,
    /// Support for a limit on the number of processes.
    pub processes: Result<(), String>,
    /// Support for a limit on the share of CPUs.
    pub cpus: Result<(), String>,
}

/// Limits of the whole tree of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TreeLimits {
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// The number of processes and threads.
    pub processes: Option<u64>,
    /// CPUs' worth of time, such as 1.5.
    pub cpus: Option<f64>,
}

impl TreeLimits {
    /// Returns whether no limit is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == TreeLimits::default()
    }
}

/// Tries the limits that are requested.
///
/// ```
/// use psmith_engine::containment::{TreeLimits, tree_limits};
/// # psmith::init();
/// let found = tree_limits(&TreeLimits { processes: Some(16), ..TreeLimits::default() });
/// if let Err(why) = found.processes {
///     eprintln!("processes cannot be limited here: {why}");
/// }
/// ```
#[must_use]
pub fn tree_limits(asked: &TreeLimits) -> TreeSupport {
    let found = |wanted: bool, controller| {
        if wanted { cgroup::probe_limit(controller).map_err(|refusal| refusal.to_string()) } else { Ok(()) }
    };
    TreeSupport {
        memory: found(asked.memory_bytes.is_some(), cgroup::Controller::Memory),
        processes: found(asked.processes.is_some(), cgroup::Controller::Pids),
        cpus: found(asked.cpus.is_some(), cgroup::Controller::Cpu),
    }
}
