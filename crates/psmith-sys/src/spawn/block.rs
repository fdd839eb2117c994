//! The memory of one start: everything that the child reads or writes between `clone` and `execve`.
//!
//! While the child is on it, the parent reads its atomic words only. Nothing here is moved or freed meanwhile.

use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering};

use super::{ChildStep, Dir, SpawnProgress, SpawnRequest, StartError, child};
use crate::environment::{Environment, pointer_to, word_offsets};
use crate::rlimit::{KernelRlimit, Resource};
use crate::signals::SignalSet;
use crate::stack::ChildStack;

/// The size beyond which the words' memory is released after the start, so that one huge command line does not stay
/// for ever.
const WORDS_KEPT_BYTES_MAX: usize = 64 << 10;

const SHELL: &std::ffi::CStr = c"/bin/sh";

/// The plain numbers of a request.
#[derive(Debug)]
pub(super) struct SpawnPlan {
    pub(super) fds: [RawFd; 3],
    pub(super) dir_fd: Option<RawFd>,
    pub(super) umask: Option<u32>,
    pub(super) nice: i32,
    pub(super) foreground: Option<RawFd>,
    pub(super) no_new_privs: bool,
    pub(super) parent_death: Option<i32>,
    pub(super) parent: u32,
    pub(super) has_close_range: bool,
    /// Signals whose disposition is not the default.
    pub(super) reset: SignalSet,
}

#[derive(Debug)]
pub(super) struct SpawnBlock {
    stack: ChildStack,
    /// The step that the child is taking.
    step: AtomicU8,
    /// The error, set by the child if that step failed.
    errno: AtomicU32,
    /// Program, directory and argument words, each ended by NUL.
    words: Vec<u8>,
    /// The shell, then the argument words, then null. The child passes them from the second on; or, for a script
    /// without an interpreter line, replaces the second by the program and passes them all.
    arguments: Vec<AtomicPtr<c_char>>,
    environment: Environment,
    pub(super) program: *const c_char,
    pub(super) dir: *const c_char,
    pub(super) groups: Vec<RawFd>,
    pub(super) rlimits: Vec<(Resource, KernelRlimit)>,
    pub(super) plan: Option<SpawnPlan>,
}

impl SpawnBlock {
    pub(super) fn new() -> io::Result<Self> {
        Ok(SpawnBlock {
            stack: ChildStack::new()?,
            step: AtomicU8::new(0),
            errno: AtomicU32::new(0),
            words: Vec::new(),
            arguments: Vec::new(),
            environment: Environment::default(),
            program: ptr::null(),
            dir: ptr::null(),
            groups: Vec::new(),
            rlimits: Vec::new(),
            plan: None,
        })
    }

    /// Copies the request in. The `&mut` proves that no child is on the block.
    pub(super) fn fill(&mut self, plan: SpawnPlan, request: &SpawnRequest<'_>) -> io::Result<()> {
        assert!(!self.is_in_use(), "a block is filled at rest only");
        let is_ended = |words: &[u8]| words.last().is_none_or(|last| *last == 0);
        if request.argv.is_empty() || !is_ended(request.argv) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let dir = match request.dir {
            Some(Dir::Path(path)) => path.to_bytes_with_nul(),
            _ => &[],
        };
        let parts = [request.program.to_bytes_with_nul(), dir, request.argv];
        self.words.clear();
        self.words.reserve(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            self.words.extend_from_slice(part);
        }
        // From here on `words` is neither grown nor moved, so pointers into it hold until the next fill.
        let program_end = parts[0].len();
        let argv_start = program_end + dir.len();
        self.program = self.words.as_ptr().cast();
        self.dir = if dir.is_empty() { ptr::null() } else { pointer_to(&self.words, program_end) };

        self.arguments.clear();
        self.arguments.push(AtomicPtr::new(SHELL.as_ptr().cast_mut()));
        let argv = word_offsets(request.argv).map(|offset| pointer_to(&self.words, argv_start + offset));
        self.arguments.extend(argv.map(|word| AtomicPtr::new(word.cast_mut())));
        self.arguments.push(AtomicPtr::new(ptr::null_mut()));

        self.environment.fill(request.env, request.env_extra)?;

        self.groups.clear();
        self.groups.extend(request.groups.iter().map(AsRawFd::as_raw_fd));
        self.rlimits.clear();
        let kernel = |soft, hard| KernelRlimit { soft, hard };
        self.rlimits
            .extend(request.rlimits.iter().map(|limit| (limit.resource, kernel(limit.soft, limit.hard))));
        self.plan = Some(plan);
        self.step.store(ChildStep::Session.code(), Ordering::Relaxed);
        self.errno.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Starts a child on this block. Afterwards the block is the child's until [`SpawnBlock::is_in_use`] returns
    /// false.
    pub(super) fn clone_child(&mut self, group: Option<RawFd>) -> io::Result<(u32, OwnedFd)> {
        let argument = ptr::from_mut(self).cast::<c_void>();
        // SAFETY: the spawner's terms: all signals are blocked. `run` makes raw system calls only and never returns; the
        // block stays, and its atomic words alone are touched, until the child is off it.
        unsafe { self.stack.spawn(group, 0, run, argument) }
    }

    /// Returns whether a child is still on this memory.
    pub(super) fn is_in_use(&self) -> bool {
        self.stack.is_in_use()
    }

    pub(super) fn progress(&self) -> SpawnProgress {
        // The order matters: what the child wrote before it left is visible once it is seen to have left.
        let in_use = self.is_in_use();
        let step = ChildStep::from_code(self.step.load(Ordering::Acquire)).unwrap_or(ChildStep::Exec);
        let errno = self.errno.load(Ordering::Acquire);
        match (errno, in_use, step) {
            (0, true, step) => SpawnProgress::Pending(step),
            (0, false, ChildStep::Exec) => SpawnProgress::Executed,
            (0, false, step) => SpawnProgress::Killed(step),
            (errno, _, step) => SpawnProgress::Failed(StartError { step, errno: errno as i32 }),
        }
    }

    pub(super) fn forget_large_words(&mut self) {
        self.environment.clear();
        if self.words.capacity() > WORDS_KEPT_BYTES_MAX {
            self.words = Vec::new();
            self.arguments = Vec::new();
        }
    }

    /// Sets the step that the child is taking. Called by the child.
    #[inline]
    pub(super) fn at(&self, step: ChildStep) {
        self.step.store(step as u8, Ordering::Release);
    }

    /// Sets the error of the step that failed. Called by the child.
    #[inline]
    pub(super) fn fail(&self, errno: i32) {
        self.errno.store(errno.unsigned_abs().max(1), Ordering::Release);
    }

    /// Returns the argument words. Called by the child.
    #[inline]
    pub(super) fn arguments(&self) -> *const AtomicPtr<c_char> {
        // The second, behind the shell; there are always at least three.
        self.arguments.as_ptr().wrapping_add(1)
    }

    /// Returns the argument words for the shell, which is to run the program as a script. Called by the child.
    #[inline]
    pub(super) fn arguments_for_shell(&self) -> *const AtomicPtr<c_char> {
        if let Some(first) = self.arguments.get(1) {
            first.store(self.program.cast_mut(), Ordering::Relaxed);
        }
        self.arguments.as_ptr()
    }

    /// Returns the environment. Called by the child.
    #[inline]
    pub(super) fn environment(&self) -> *const *const c_char {
        self.environment.pointers()
    }

    /// Returns the shell that runs scripts without an interpreter line. Called by the child.
    #[inline]
    pub(super) fn shell(&self) -> *const c_char {
        SHELL.as_ptr()
    }
}

extern "C" fn run(block: *mut c_void) -> c_int {
    // SAFETY: the block that `clone_child` passed; it is not touched by the parent but for its atomic words.
    child::run(unsafe { &*block.cast::<SpawnBlock>() })
}
