//! The steps that turn a copy of the warden into a process of its own: the same, in the same order, as a command's
//! start takes between `clone` and `exec` (`psmith-sys/src/spawn/child.rs`), but in a process with memory of its own,
//! so in ordinary Rust. Nothing of the warden's is used afterwards: its descriptors are closed.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use psmith_core::policy::SIGKILL;
use psmith_sys::environment::{self, Environment};
use psmith_sys::fork::OnlyThread;
use psmith_sys::rlimit::{self, Resource, Rlimit};
use psmith_sys::signals::{self, SignalSet};
use psmith_sys::spawn::ChildStep;
use psmith_sys::{exit, subreaper};

/// The settings of a worker.
pub(crate) struct SetUpPlan<'a> {
    /// The warden (or keeper) that forked it.
    pub(crate) parent: u32,
    pub(crate) terminal: Option<BorrowedFd<'a>>,
    pub(crate) groups: &'a [BorrowedFd<'a>],
    pub(crate) rlimits: &'a [Rlimit],
    pub(crate) nice: i32,
    pub(crate) dir: Option<&'a Path>,
    pub(crate) umask: Option<u32>,
    /// Descriptors 0, 1 and 2 to be; all of these have higher numbers.
    pub(crate) streams: [BorrowedFd<'a>; 3],
    pub(crate) env: Environment,
    pub(crate) no_new_privs: bool,
    pub(crate) alone: OnlyThread,
}

/// The step that failed, and its error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetUpFailure {
    pub(crate) step: ChildStep,
    pub(crate) errno: i32,
}

/// Makes the calling process, just forked, a process of its own that keeps only `channel`.
pub(crate) fn set_up(plan: SetUpPlan<'_>, channel: BorrowedFd<'_>) -> Result<(), SetUpFailure> {
    let at = |step| move |error: io::Error| SetUpFailure { step, errno: error.raw_os_error().unwrap_or(0) };
    match plan.terminal {
        None => drop(rustix::process::setsid().map_err(io::Error::from).map_err(at(ChildStep::Session))?),
        Some(terminal) => {
            let own = rustix::process::getpid();
            rustix::process::setpgid(None, None).map_err(io::Error::from).map_err(at(ChildStep::Session))?;
            // From the background this call would stop its caller, but all signals are blocked here.
            rustix::termios::tcsetpgrp(terminal, own)
                .map_err(io::Error::from)
                .map_err(at(ChildStep::Terminal))?;
        }
    }
    subreaper::set_parent_death_signal(SIGKILL).map_err(at(ChildStep::ParentDeath))?;
    if crate::worker::serve::is_orphan(plan.parent) {
        return Err(SetUpFailure {
            step: ChildStep::ParentDeath,
            errno: rustix::io::Errno::SRCH.raw_os_error(),
        });
    }
    for group in plan.groups {
        let joined = rustix::io::retry_on_intr(|| rustix::io::write(group, b"0"));
        joined.map_err(io::Error::from).map_err(at(ChildStep::JoinGroup))?;
    }
    // The limit on descriptors comes after the descriptors: a small one would forbid moving them.
    let is_files = |limit: &&Rlimit| limit.resource == Resource::OpenFiles;
    for limit in plan.rlimits.iter().filter(|limit| !is_files(limit)) {
        rlimit::set(*limit).map_err(at(ChildStep::Limits))?;
    }
    if plan.nice != 0 {
        rustix::process::nice(plan.nice).map_err(io::Error::from).map_err(at(ChildStep::Nice))?;
    }
    if let Some(dir) = plan.dir {
        rustix::process::chdir(dir).map_err(io::Error::from).map_err(at(ChildStep::WorkingDirectory))?;
    }
    if let Some(umask) = plan.umask {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
    }
    arrange(plan.streams).map_err(at(ChildStep::Descriptors))?;
    exit::close_all_but(channel).map_err(at(ChildStep::Descriptors))?;
    for limit in plan.rlimits.iter().filter(is_files) {
        rlimit::set(*limit).map_err(at(ChildStep::Limits))?;
    }
    environment::replace(plan.env, &plan.alone);
    if plan.no_new_privs {
        rustix::thread::set_no_new_privs(true).map_err(io::Error::from).map_err(at(ChildStep::Privileges))?;
    }
    // Last: from here on signals are delivered. The warden has set all dispositions to their defaults.
    signals::restore(SignalSet::EMPTY);
    Ok(())
}

fn arrange([stdin, stdout, stderr]: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    rustix::stdio::dup2_stdin(stdin)?;
    rustix::stdio::dup2_stdout(stdout)?;
    rustix::stdio::dup2_stderr(stderr)?;
    Ok(())
}
