//! The stacks of a job's process: the functions that its threads are in, by name.
//!
//! The warden seizes each thread for a moment and hands over its registers and the bytes of its stack
//! (`warden/stack_samples.rs`); here they are walked and named, while the process has long gone on. Nothing is
//! installed in the job, and it takes no part: a job that spins with all signals blocked is shown as well as one that
//! sleeps. Stops no process itself.

mod names;
mod walk;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::stacks::walk::Walker;
use psmith_engine::handler::StackRequester;
use psmith_engine::stack_samples::{StackSample, THREADS_MAX};

/// The longest wait for a thread to stop: one that does not is in a call that nothing interrupts, or frozen.
const SEIZE_MAX: Duration = Duration::from_secs(2);

/// The functions that the threads of a process were in, each at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stack {
    /// The process.
    pub pid: u32,
    /// The functions of its first thread, the innermost first, each called by the next. Where the compiler put one
    /// function into another, both are listed. Empty if that thread has ended and others go on.
    pub frames: Vec<Frame>,
    /// The reason for which the outermost callers are missing, if they are: a program without unwind tables, or a very
    /// deep stack.
    pub cut: Option<String>,
    /// The other threads, in the order of their numbers.
    pub threads: Vec<Thread>,
    /// The reason for which threads are missing, if they are.
    pub threads_cut: Option<String>,
}

/// A thread of a process beside the first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Thread {
    /// The thread's number.
    pub tid: u32,
    /// The thread's name, at most 15 bytes of it: of a Rust program the name that its builder was given. Bytes that are
    /// not UTF-8 are replaced.
    pub name: String,
    /// The functions, the innermost first, each called by the next.
    pub frames: Vec<Frame>,
    /// The reason for which the outermost callers are missing, if they are.
    pub cut: Option<String>,
}

/// A function on a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// The function's name, if the program or library has a table of symbols.
    pub function: Option<String>,
    /// The source file, if there is debug information.
    pub file: Option<PathBuf>,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// The program or library, and where in it the function was.
    pub object: Option<(PathBuf, u64)>,
}

/// The reason for which there is no stack.
#[derive(Debug)]
#[non_exhaustive]
pub enum StackError {
    /// The process is none of this program's jobs: it has ended, or never was one.
    NotOurs,
    /// The process may not be traced, or a debugger has it.
    Refused(io::Error),
    /// The process did not stop within two seconds: it is frozen, or in a kernel call that cannot be interrupted.
    Busy,
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StackError::NotOurs => f.write_str("no job of this program has such a process"),
            StackError::Refused(error) => write!(f, "the process cannot be looked at: {error}"),
            StackError::Busy => {
                f.write_str("the process does not stand still: it is frozen or in the kernel")
            }
        }
    }
}

impl std::error::Error for StackError {}

/// Returns the functions that a job's process is in just now: a worker's, or a command's, of any run of this program.
///
/// For a job that does not end. Each thread is seized for less than a millisecond, one after the other, and goes on as
/// if it had been stopped and continued: nothing in it is changed, and no signal reaches it. At most 64 threads are
/// sampled. Where a thread beside the first does not stop within two seconds, those before it are returned. Names need
/// the symbols of the program (`strip = "none"`, which is the default), files and lines its debug information (`debug =
/// "line-tables-only"`). The number of the process is [`JobRef::pid`](crate::JobRef::pid)'s.
///
/// ```
/// # psmith::init();
/// use std::sync::mpsc;
/// use psmith::stack_of;
///
/// #[inline(never)]
/// fn wait_for_ever() {
///     psmith::cx().unwrap().send(&std::process::id()).unwrap();
///     loop {
///         std::thread::park();
///     }
/// }
///
/// let (started, pids) = mpsc::channel();
/// let sampler = std::thread::spawn(move || {
///     let pid = pids.recv().unwrap();
///     // It may not have entered the function yet.
///     while !stack_of(pid).unwrap().to_string().contains("wait_for_ever") {}
///     // The function was found: end it.
///     rustix::process::kill_process(
///         rustix::process::Pid::from_raw(pid as i32).unwrap(),
///         rustix::process::Signal::KILL,
///     )
/// });
/// let stuck = psmith::map([()], |()| wait_for_ever()).on_message(move |_, pid: u32| {
///     started.send(pid).unwrap();
/// });
/// assert!(stuck.into_iter().last().unwrap().is_err());
/// sampler.join().unwrap().unwrap();
/// assert!(matches!(stack_of(1), Err(psmith::StackError::NotOurs)));
/// ```
///
/// # Errors
/// See [`StackError`].
pub fn stack_of(pid: u32) -> Result<Stack, StackError> {
    let (sender, answer) = mpsc::channel();
    for run in crate::run::live_runs::runs() {
        run.look(pid, StackRequester { sender: sender.clone(), has_begun: false });
    }
    drop(sender);
    let until = Instant::now() + SEIZE_MAX;
    let mut samples: Vec<StackSample> = Vec::new();
    let mut refused = None;
    let ended = loop {
        match answer.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Ok(sample)) => samples.push(sample),
            // One thread may have ended, and another have been sampled.
            Ok(Err(errno)) => refused = Some(io::Error::from_raw_os_error(errno)),
            Err(ended) => break ended,
        }
    };
    if let Some(first) = samples.first() {
        let mut walker = Walker::new(&first.maps);
        let mut stack = Stack { pid, frames: Vec::new(), cut: None, threads: Vec::new(), threads_cut: None };
        for sample in &samples {
            let (frames, cut) = walker.walk(sample);
            if sample.thread == pid {
                (stack.frames, stack.cut) = (frames, cut);
            } else {
                let name = String::from_utf8_lossy(&sample.name).into_owned();
                stack.threads.push(Thread { tid: sample.thread, name, frames, cut });
            }
        }
        stack.threads_cut = match ended {
            RecvTimeoutError::Timeout => Some("one does not stand still".into()),
            RecvTimeoutError::Disconnected if samples.len() >= THREADS_MAX => {
                Some(format!("at most {THREADS_MAX} are looked at"))
            }
            RecvTimeoutError::Disconnected => None,
        };
        return Ok(stack);
    }
    match (refused, ended) {
        (Some(gone), _) if gone.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            Err(StackError::NotOurs)
        }
        (Some(error), _) => Err(StackError::Refused(error)),
        (None, RecvTimeoutError::Timeout) => Err(StackError::Busy),
        // Every run has answered that the process is not its own.
        (None, RecvTimeoutError::Disconnected) => Err(StackError::NotOurs),
    }
}

impl fmt::Display for Stack {
    /// Writes a line for each function, as a panic's backtrace has them, and one for its place in the source; before
    /// those of each thread beside the first, one with the thread's name and number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_frames(f, &self.frames, self.cut.as_deref())?;
        for thread in &self.threads {
            writeln!(f, "thread {} ({}):", thread.name, thread.tid)?;
            write_frames(f, &thread.frames, thread.cut.as_deref())?;
        }
        self.threads_cut.as_ref().map_or(Ok(()), |why| writeln!(f, "threads are missing: {why}"))
    }
}

fn write_frames(f: &mut fmt::Formatter<'_>, frames: &[Frame], cut: Option<&str>) -> fmt::Result {
    for (number, frame) in frames.iter().enumerate() {
        match (&frame.function, &frame.object) {
            (Some(function), _) => writeln!(f, "{number:4}: {function}")?,
            (None, Some((object, at))) => writeln!(f, "{number:4}: {}+{at:#x}", object.display())?,
            (None, None) => writeln!(f, "{number:4}: unknown")?,
        }
        if let Some(file) = &frame.file {
            let line = frame.line.map_or_else(String::new, |line| format!(":{line}"));
            writeln!(f, "             at {}{line}", file.display())?;
        }
    }
    cut.map_or(Ok(()), |why| writeln!(f, "      its callers are unknown: {why}"))
}
