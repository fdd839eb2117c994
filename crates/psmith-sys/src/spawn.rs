//! The start path of commands.
//!
//! `clone` with shared memory but *without* `CLONE_VFORK`: nothing is copied, and this process goes on while the child
//! is still on its way to `execve`, so a program on a dead mount holds up no other start. The price is that the child
//! runs on this process's memory for a while. So each start has a block of its own (stack, words, pointers, error
//! word) which stays untouched until the kernel has cleared the block's `alive` word, at exec or exit
//! (`CLONE_CHILD_CLEARTID`); and the child makes raw system calls only (`spawn/child.rs`).
//!
//! Never looks a program up in PATH, never waits, never reaps, never signals.
//!
//! **The caller's side of the contract:** the process has one thread, all signals are blocked
//! ([`crate::signals::block_all`]), and SIGCHLD is not ignored. A handler that ran in the child would run on the
//! parent's memory.

mod block;
mod child;

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use block::{SpawnBlock, SpawnPlan};

pub use crate::environment::EnvBlock;
use crate::forbid::{KernelFacility, is_forbidden};
use crate::rlimit::Rlimit;
use crate::signals::{self, SignalSet};

/// The description of a start.
pub struct SpawnRequest<'a> {
    /// The program, with a slash; relative to `dir`. PATH is not searched.
    pub program: &'a CStr,
    /// The argument words, the program's own name first, each ended by NUL, back to back. At least one.
    pub argv: &'a [u8],
    /// The environment.
    pub env: &'a EnvBlock,
    /// The words added to the environment, `K=V`, each ended by NUL; a word replaces the one of `env` with the same
    /// key.
    pub env_extra: &'a [u8],
    /// Descriptors 0, 1 and 2 of the child; `None` is `/dev/null`.
    pub fds: [Option<BorrowedFd<'a>>; 3],
    /// The working directory; `None` is this process's.
    pub dir: Option<Dir<'a>>,
    /// The file mode mask; `None` is this process's.
    pub umask: Option<u32>,
    /// Limits to set.
    pub rlimits: &'a [Rlimit],
    /// The number added to the nice value.
    pub nice: i32,
    /// The open directory of a group of the second version; the child is spawned in it (Linux 5.7). Some kernels kill
    /// at its start a child that is spawned in, or by a process in, a group that was ever killed: try it out first.
    pub group: Option<BorrowedFd<'a>>,
    /// Open `cgroup.procs` files; the child joins each by writing `0`, before it does anything expensive.
    pub groups: &'a [BorrowedFd<'a>],
    /// Session and terminal.
    pub session: Session<'a>,
    /// True if set-uid programs are not to gain privileges.
    pub no_new_privs: bool,
    /// The signal that the child gets when this thread ends.
    pub parent_death: Option<i32>,
}

/// A working directory.
#[derive(Debug, Clone, Copy)]
pub enum Dir<'a> {
    /// A directory by name.
    Path(&'a CStr),
    /// A directory that is open.
    Fd(BorrowedFd<'a>),
}

/// The session of the child.
#[derive(Debug, Clone, Copy)]
pub enum Session<'a> {
    /// A new session, without a terminal.
    New,
    /// The session of this process, with a process group of its own that gets the foreground of this terminal.
    Foreground(BorrowedFd<'a>),
}

/// A child that is being started.
#[derive(Debug)]
pub struct Started {
    /// The child's number, to be reaped by the caller.
    pub pid: u32,
    /// The child's handle.
    pub pidfd: OwnedFd,
    /// The start's block; hand it to [`Spawner::release`].
    pub ticket: Ticket,
}

/// The claim of a start on its block. It can be moved but not copied.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the block is never used again unless it is released"]
pub struct Ticket {
    index: usize,
    pid: u32,
}

/// The progress of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpawnProgress {
    /// The child is before exec, at this step.
    Pending(ChildStep),
    /// The program is running, or has run.
    Executed,
    /// The step failed; the child exits, or has exited, with 127.
    Failed(StartError),
    /// The child was killed before exec, at this step.
    Killed(ChildStep),
}

/// The step of a start that failed, and its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartError {
    /// The step.
    pub step: ChildStep,
    /// The kernel's error number.
    pub errno: i32,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step.name(), io::Error::from_raw_os_error(self.errno))
    }
}

impl std::error::Error for StartError {}

/// The steps of a start, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ChildStep {
    /// The spawn of the process, in the parent.
    Clone,
    /// Session and process group.
    Session,
    /// The foreground of the terminal.
    Terminal,
    /// The parent-death signal; `ESRCH` if the parent was gone already.
    ParentDeath,
    /// Joining the control groups.
    JoinGroup,
    /// Resource limits.
    Limits,
    /// The nice value.
    Nice,
    /// The working directory.
    WorkingDirectory,
    /// Descriptors.
    Descriptors,
    /// Signal dispositions and mask.
    Signals,
    /// `no_new_privs`.
    Privileges,
    /// `execve`.
    Exec,
}

impl ChildStep {
    const ALL: [ChildStep; 12] = [
        ChildStep::Clone,
        ChildStep::Session,
        ChildStep::Terminal,
        ChildStep::ParentDeath,
        ChildStep::JoinGroup,
        ChildStep::Limits,
        ChildStep::Nice,
        ChildStep::WorkingDirectory,
        ChildStep::Descriptors,
        ChildStep::Signals,
        ChildStep::Privileges,
        ChildStep::Exec,
    ];

    /// Returns the step's name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ChildStep::Clone => "clone",
            ChildStep::Session => "session",
            ChildStep::Terminal => "terminal",
            ChildStep::ParentDeath => "parent death signal",
            ChildStep::JoinGroup => "join group",
            ChildStep::Limits => "limits",
            ChildStep::Nice => "nice",
            ChildStep::WorkingDirectory => "working directory",
            ChildStep::Descriptors => "descriptors",
            ChildStep::Signals => "signals",
            ChildStep::Privileges => "privileges",
            ChildStep::Exec => "exec",
        }
    }

    /// Returns the step as a number, for the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the step with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<ChildStep> {
        ChildStep::ALL.get(usize::from(code)).copied()
    }
}

/// Starts processes; owns the blocks of the starts that are on their way and keeps some for the next ones.
#[derive(Debug)]
pub struct Spawner {
    blocks: Vec<Option<Box<SpawnBlock>>>,
    /// Blocks that are free.
    free: Vec<usize>,
    /// Blocks that were released while the child was still on their memory.
    pending: Vec<usize>,
    null: OwnedFd,
    /// Signals that were not at their default when the spawner was made.
    reset: SignalSet,
}

/// The maximum number of free blocks that are kept; more are unmapped.
const FREE_BLOCKS_MAX: usize = 64;

impl Spawner {
    /// Creates a spawner without processes. Opens `/dev/null`, and notes which signals are ignored or handled:
    /// children get the default of those, and of those that [`crate::signals::ignore`] is called for later.
    ///
    /// # Errors
    /// Where `/dev/null` cannot be opened.
    pub fn new() -> io::Result<Self> {
        let mode = rustix::fs::Mode::empty();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
        let null = rustix::fs::open("/dev/null", flags, mode)?;
        // Were it 0, 1 or 2 (closed by the parent of this process), a child's own descriptors would fall on it.
        let null = if null.as_raw_fd() < 3 { rustix::io::fcntl_dupfd_cloexec(&null, 3)? } else { null };
        Ok(Spawner {
            blocks: Vec::new(),
            free: Vec::new(),
            pending: Vec::new(),
            null,
            reset: signals::not_default(),
        })
    }

    /// Returns `/dev/null`, open for both.
    #[must_use]
    pub fn null(&self) -> BorrowedFd<'_> {
        self.null.as_fd()
    }

    /// Starts a child. Returns as soon as the child is spawned; [`Spawner::progress`] returns what became of it.
    ///
    /// # Errors
    /// Step [`ChildStep::Clone`]: `EAGAIN` (limit of processes), `ENOMEM`, `EMFILE`, `ENFILE`; with a group also `ENOSYS`,
    /// `EPERM` (a filter of system calls), `EACCES`, `ENODEV` (the group is removed). Step [`ChildStep::Exec`] with
    /// `EINVAL`: words that are not ended by NUL, or none. All other failures come from the child.
    pub fn start(&mut self, request: &SpawnRequest<'_>) -> Result<Started, StartError> {
        self.recover();
        let index = self.take_block().map_err(|error| failed(ChildStep::Clone, &error))?;
        let result = self.start_in(index, request);
        if result.is_err() {
            self.put_back(index);
        }
        result
    }

    /// Returns the progress of the start: pending, executed, or failed. Reads memory only, so it is cheap.
    ///
    /// A child that is killed *during* `execve` looks executed; where that matters (it ended by SIGKILL), use
    /// [`Spawner::progress_at_end`].
    #[must_use]
    pub fn progress(&self, ticket: &Ticket) -> SpawnProgress {
        self.blocks[ticket.index].as_ref().expect("a ticket keeps its block").progress()
    }

    /// Returns the progress of a start whose process has ended and is **not reaped yet**: the kernel still knows
    /// whether it ever executed a program.
    #[must_use]
    pub fn progress_at_end(&self, ticket: &Ticket) -> SpawnProgress {
        match self.progress(ticket) {
            SpawnProgress::Executed
                if crate::proc_tree::stat(ticket.pid).is_ok_and(|found| found.before_exec) =>
            {
                SpawnProgress::Killed(ChildStep::Exec)
            }
            other => other,
        }
    }

    /// Releases the block. One that is still pending is set aside until its child has left it.
    pub fn release(&mut self, ticket: Ticket) {
        self.pending.push(ticket.index);
        self.recover();
    }

    /// Returns the number of released starts that are still pending.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    fn start_in(&mut self, index: usize, request: &SpawnRequest<'_>) -> Result<Started, StartError> {
        let null = self.null.as_raw_fd();
        let block = self.blocks[index].as_mut().expect("taken");
        let plan = SpawnPlan {
            fds: request.fds.map(|fd| fd.map_or(null, |fd| fd.as_raw_fd())),
            dir_fd: match request.dir {
                Some(Dir::Fd(fd)) => Some(fd.as_raw_fd()),
                _ => None,
            },
            umask: request.umask,
            nice: request.nice,
            foreground: match request.session {
                Session::Foreground(tty) => Some(tty.as_raw_fd()),
                Session::New => None,
            },
            no_new_privs: request.no_new_privs,
            parent_death: request.parent_death,
            parent: std::process::id(),
            // Called here: the first query reads the environment, which the child must not.
            has_close_range: !is_forbidden(KernelFacility::CloseRange),
            reset: self.reset.union(signals::touched()),
        };
        block.fill(plan, request).map_err(|error| failed(ChildStep::Exec, &error))?;
        let (pid, pidfd) = block
            .clone_child(request.group.map(|group| group.as_raw_fd()))
            .map_err(|error| failed(ChildStep::Clone, &error))?;
        Ok(Started { pid, pidfd, ticket: Ticket { index, pid } })
    }

    fn take_block(&mut self) -> io::Result<usize> {
        if let Some(index) = self.free.pop() {
            return Ok(index);
        }
        let block = Some(Box::new(SpawnBlock::new()?));
        match self.blocks.iter().position(Option::is_none) {
            Some(index) => {
                self.blocks[index] = block;
                Ok(index)
            }
            None => {
                self.blocks.push(block);
                Ok(self.blocks.len() - 1)
            }
        }
    }

    fn put_back(&mut self, index: usize) {
        if self.free.len() < FREE_BLOCKS_MAX {
            if let Some(block) = &mut self.blocks[index] {
                block.forget_large_words();
            }
            self.free.push(index);
        } else {
            self.blocks[index] = None;
        }
    }

    /// Recovers the blocks that were released while pending and that the child has left by now.
    fn recover(&mut self) {
        let mut at = 0;
        while let Some(&index) = self.pending.get(at) {
            if self.blocks[index].as_ref().expect("a pending block is kept").is_in_use() {
                at += 1;
            } else {
                self.pending.swap_remove(at);
                self.put_back(index);
            }
        }
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        for block in self.blocks.drain(..).flatten() {
            // A child is still running on it: its memory must outlast this value.
            if block.is_in_use() {
                std::mem::forget(block);
            }
        }
    }
}

fn failed(step: ChildStep, error: &io::Error) -> StartError {
    StartError { step, errno: error.raw_os_error().unwrap_or(libc::EINVAL) }
}
